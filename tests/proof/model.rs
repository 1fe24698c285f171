//! The protocol of pages as a model: workers, visitors and publishers around one page, in every order in which their
//! steps can come.
//!
//! A step is one call of the port `Pages` (or of the queue, or of the upstream); between any two steps of one actor all
//! others may take theirs, time may pass (so a paused process is one that takes no step), a process may die, and a job
//! may be lost or come twice. What is decided within a step is decided by the product's own functions:
//! [`freshness::state`](perennial::parts::freshness::state), the methods of [`Slot`](perennial::parts::ports::pages::slot::Slot), and
//! [`decide`](perennial_serve::decide::decide).
//!
//! | module | what |
//! |---|---|
//! | [`store`] | the port `Pages` |
//! | [`actors`] | who calls it, in the order in which `refresh`, `queue`, `first` and `demand` do |
//! | [`scenario`] | who comes, and what goes wrong |
//! | [`journeys`] | what they do in a step |
//! | [`promises`] | what must hold in every state |
//! | [`mistake`] | what must not go unnoticed |

pub(crate) mod actors;
mod journeys;
pub(crate) mod mistake;
pub(crate) mod promises;
pub(crate) mod scenario;
pub(crate) mod store;

use std::time::Duration;

use perennial::parts::base::clock::Millis;
use perennial::parts::ports::pages::slot::Slot;
use perennial::parts::record::page_record::{Epoch, Ticket};
use stateright::{Model, Property};

use self::actors::{Actor, Phase, Role};
pub(crate) use self::mistake::Mistake;
use self::scenario::{Scenario, Script};
use self::store::{Rules, Shown, Store};

/// How coarse time is: a lease and the page's period end with the second tick.
const TICK: Duration = Duration::from_secs(6);
const START: Millis = Millis(1_000_000);

/// How often something may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    pub(crate) ticks: u8,
    /// Processes that die.
    pub(crate) crashes: u8,
    /// Jobs that are lost or come twice.
    pub(crate) job_faults: u8,
    /// Renders that fail, calls that are refused, and on AWS answers that are lost.
    pub(crate) failures: u8,
}

/// A job of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Job {
    /// A stale page's, with the ticket that its visitor got.
    Refresh(Ticket),
    /// A marked page's.
    Renew(Epoch),
}

/// Everything there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) now: Millis,
    /// The upstream's version.
    pub(crate) content: u8,
    pub(crate) store: Store,
    /// In any order: sorted, so that worlds alike are one.
    pub(crate) jobs: Vec<Job>,
    pub(crate) actors: [Actor; 6],
    pub(crate) left: Left,
    pub(crate) told: Told,
}

/// What people were told, or have seen. The product knows nothing of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Told {
    /// The newest generation that was ever to be seen.
    pub(crate) generation: Ticket,
    /// The newest content of which a publisher was told that the page is marked.
    pub(crate) marked: u8,
    /// The newest content of which a publisher was told that it is shown.
    pub(crate) shown: u8,
    /// A visitor was told that something is fresh that is older than what a publisher had been told before they came; or
    /// before they were answered, if it was rendered for them.
    pub(crate) lied: bool,
    /// A job was dropped although nobody is at it, and nobody knows what came of it.
    pub(crate) lost: bool,
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Time passes.
    Tick,
    /// An actor takes its next step.
    Step(usize),
    /// The next step of an actor fails: its render, or the store.
    Fail(usize),
    /// On AWS: the next call of an actor is carried out, and its answer lost.
    LoseAnswer(usize),
    /// The process of an actor dies.
    Crash(usize),
    /// A render extends its lease.
    Renew(usize),
    /// A publisher's call joins the other's.
    Join(usize),
    /// A worker is given a job; the queue may keep it and give it again.
    Deliver { worker: usize, job: usize, again: bool },
    /// A job is lost.
    LoseJob(usize),
    /// On AWS: a day passes in which nobody comes, and the slot is removed.
    ExpireSlot,
}

/// The protocol in a scenario, right or with a mistake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) scenario: Scenario,
    pub(crate) rules: Rules,
}

impl Protocol {
    pub(crate) fn new(scenario: Scenario, mistake: Option<Mistake>) -> Self {
        Self { scenario, rules: Rules { kind: scenario.kind, mistake } }
    }

    pub(crate) fn script(&self, who: usize) -> Script {
        self.scenario.publishers[who % 2]
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let mut store = Store::default();
        if self.scenario.stored {
            let record = Shown { generation: 1, epoch: 0, started_at: START, content: 0, deleted: false };
            (store.record, store.slot.ticket, store.noted) = (Some(record), 1, 1);
        }
        let told = Told { generation: store.generation(), ..Told::default() };
        vec![World {
            now: START,
            content: 0,
            store,
            jobs: Vec::new(),
            actors: [0; 6].map(|_| Actor::new(self.scenario.visits)),
            left: self.scenario.left,
            told,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let left = world.left;
        if left.ticks > 0 {
            actions.push(Action::Tick);
        }
        for (who, actor) in world.actors.iter().enumerate() {
            if self.can_step(world, who) {
                actions.push(Action::Step(who));
                if left.failures > 0 {
                    actions.push(Action::Fail(who));
                    if self.rules.is_aws() {
                        actions.push(Action::LoseAnswer(who));
                    }
                }
            }
            if left.crashes > 0 && actor.phase != Phase::Idle && actor.phase != Phase::Done {
                actions.push(Action::Crash(who));
            }
            if actor.phase.is_rendering() && actor.until > world.now {
                actions.push(Action::Renew(who));
            }
            if Role::of(who) == Role::Publisher && actor.phase == Phase::Idle {
                actions.push(Action::Join(who));
            }
        }
        let at_rest = || world.actors.iter().all(|actor| matches!(actor.phase, Phase::Idle | Phase::Done));
        // No job is as old as that: the queue keeps one for a day at most.
        if left.failures > 0 && world.jobs.is_empty() && world.store.may_expire(self.rules) && at_rest() {
            actions.push(Action::ExpireSlot);
        }
        for job in 0..world.jobs.len() {
            // Workers are alike: the first idle one takes it.
            let idle = (0..6).find(|&w| Role::of(w) == Role::Worker && world.actors[w].phase == Phase::Idle);
            if let Some(worker) = idle {
                actions.push(Action::Deliver { worker, job, again: false });
                if left.job_faults > 0 {
                    actions.push(Action::Deliver { worker, job, again: true });
                }
            }
            if left.job_faults > 0 {
                actions.push(Action::LoseJob(job));
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Tick => self.tick(&mut next),
            Action::Step(who) => self.step(&mut next, who),
            Action::Fail(who) => {
                next.left.failures -= 1;
                self.fail(&mut next, who)?;
            }
            Action::LoseAnswer(who) => {
                next.left.failures -= 1;
                self.lose_answer(&mut next, who)?;
            }
            Action::Crash(who) => {
                next.left.crashes -= 1;
                self.crash(&mut next, who);
            }
            Action::Renew(who) => self.renew(&mut next, who)?,
            Action::Join(who) => self.join(&mut next, who)?,
            Action::Deliver { worker, job, again } => {
                let task = next.jobs[job];
                if again {
                    next.left.job_faults -= 1;
                } else {
                    next.jobs.remove(job);
                }
                self.deliver(&mut next, worker, task);
            }
            Action::ExpireSlot => {
                next.left.failures -= 1;
                next.store.slot = Slot::default();
            }
            Action::LoseJob(job) => {
                next.left.job_faults -= 1;
                next.jobs.remove(job);
            }
        }
        next.in_order();
        next.told.generation = next.told.generation.max(next.store.generation());
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::all()
    }
}

impl World {
    /// Workers are alike, and so are visitors: worlds that differ only in who is who are one.
    fn in_order(&mut self) {
        for first in [0, 2] {
            if self.actors[first] > self.actors[first + 1] {
                self.actors.swap(first, first + 1);
                self.store.holder = self.store.holder.map(|who| match who {
                    who if who == first => first + 1,
                    who if who == first + 1 => first,
                    other => other,
                });
            }
        }
    }
}

impl Protocol {
    pub(crate) fn tick(&self, world: &mut World) {
        world.left.ticks = world.left.ticks.saturating_sub(1);
        world.now = world.now.plus(TICK);
        for actor in &mut world.actors {
            // What has ended counts no more, however long ago.
            if actor.until <= world.now {
                actor.until = Millis(0);
            }
        }
    }
}
