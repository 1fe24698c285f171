//! Workers, visitors and publishers: what each does next.

use perennial::parts::base::clock::Millis;
use perennial::parts::freshness::State;
use perennial::parts::ports::pages::slot::LeaseDecision;
use perennial::parts::record::page_record::{Epoch, Ticket};

use super::scenario::Script;
use super::store::{Committed, LEASE, Shown};
use super::{Job, Mistake, Protocol, World};

/// Actors by their place: two of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Worker,
    Visitor,
    Publisher,
}

impl Role {
    pub(crate) fn of(who: usize) -> Self {
        [Role::Worker, Role::Visitor, Role::Publisher][who / 2]
    }
}

/// One actor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Actor {
    pub(crate) phase: Phase,
    /// Until when its render is the only one that may run: its lease as far as it knows, unless a publisher's call
    /// has pre-empted it.
    pub(crate) until: Millis,
    /// A publisher's: the content that it has written. A visitor's: what was marked before they came.
    pub(crate) content: u8,
    /// A visitor's: how often they will still come.
    pub(crate) visits: u8,
    /// A visitor's: whether they have been shown something, or could have been.
    pub(crate) servable: bool,
}

/// Where an actor is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Phase {
    /// Nothing under way.
    Idle,
    /// A visitor on AWS: the record is read, its tags are not.
    Looked { record: Option<Shown> },
    /// A visitor has been answered with a stale page, and asks for its renewal.
    Asks { seen: Ticket },
    /// It is granted: the job is to be sent.
    Sends { ticket: Ticket },
    /// A visitor of a missing page waits.
    Waits { seen: Ticket },
    /// A publisher's call has come, and not begun.
    Called,
    /// On AWS: the epoch is advanced, the tag not yet stamped.
    Stamps { epoch: Epoch },
    /// The page is marked.
    Marked { epoch: Epoch },
    /// A publisher's call has found that no other one is rendering.
    Demands { epoch: Epoch, newest: Epoch, seen: Ticket },
    /// A publisher's call shares the other's.
    Joined,
    /// The worker of a job for a marked page has read it.
    Seen { seen: Ticket },
    /// On AWS: it was granted a ticket, and the answer was lost.
    Unsure { before: Box<Phase>, asked_at: Millis },
    /// A render has its ticket.
    Begun { ticket: Ticket },
    /// It knows what it starts from.
    Prepared { ticket: Ticket, epoch: Epoch },
    /// It has its content.
    Fetched { record: Shown },
    /// On AWS: its record is written, the slot not told.
    Put { record: Shown },
    /// A visitor's: what it has rendered is to be answered, as it is by now.
    Shows { record: Shown },
    /// It could not be told what to start from: its lease is to be given back.
    PublishError { ticket: Ticket },
    /// On AWS: its first ticket is given back, and the page is to be forgotten.
    Forgets { ticket: Ticket },
    /// It has failed: that is to be noted.
    Failed { ticket: Ticket },
    /// Nothing more to do.
    Done,
}

impl Phase {
    pub(crate) fn ticket(&self) -> Option<Ticket> {
        match self {
            Phase::Begun { ticket } | Phase::Prepared { ticket, .. } => Some(*ticket),
            Phase::Fetched { record } => Some(record.generation),
            _ => None,
        }
    }

    pub(crate) fn is_rendering(&self) -> bool {
        self.ticket().is_some()
    }
}

impl Actor {
    pub(crate) fn new(visits: u8) -> Self {
        Self { phase: Phase::Idle, until: Millis(0), content: 0, visits, servable: false }
    }
}

impl Protocol {
    /// Whether the actor has a next step of its own. Workers wait for jobs, who has joined for the other.
    pub(crate) fn can_step(&self, world: &World, who: usize) -> bool {
        let actor = &world.actors[who];
        match (&actor.phase, Role::of(who)) {
            (Phase::Idle, Role::Worker) | (Phase::Joined | Phase::Done, _) => false,
            (Phase::Idle, Role::Visitor) => actor.visits > 0,
            (Phase::Idle, Role::Publisher) => self.script(who) != Script::Nothing,
            _ => true,
        }
    }

    /// All goes well.
    pub(crate) fn step(&self, world: &mut World, who: usize) {
        let phase = world.actors[who].phase.clone();
        world.actors[who].phase = match phase {
            Phase::Idle if Role::of(who) == Role::Visitor => self.look(world, who),
            Phase::Idle => {
                world.content += 1;
                world.actors[who].content = world.content;
                Phase::Called
            }
            Phase::Looked { record } => self.judge(world, who, record),
            Phase::Marked { epoch } => self.marked(world, who, epoch),
            Phase::Asks { .. } | Phase::Waits { .. } | Phase::Seen { .. } | Phase::Demands { .. } => {
                self.begin(world, who, phase)
            }
            Phase::Unsure { before, asked_at } => self.repeat(world, who, *before, asked_at),
            Phase::Sends { ticket } => {
                self.send(world, Job::Refresh(ticket));
                self.ended(world, who)
            }
            Phase::Called => self.mark(world, who),
            Phase::Stamps { epoch } => {
                world.store.stamp(self.rules, epoch);
                Phase::Marked { epoch }
            }
            Phase::Begun { ticket } => Phase::Prepared { ticket, epoch: world.store.epoch },
            Phase::Prepared { ticket, epoch } => self.fetch(world, who, ticket, epoch),
            Phase::Fetched { record } => self.commit(world, who, record),
            Phase::Put { record } => {
                if !self.rules.has(Mistake::TellsTheSlotFirst) {
                    world.store.note(record.generation);
                } else if world.store.commit(self.rules, record.clone()) == Committed::Superseded {
                    return world.actors[who].phase = self.shown(world, who);
                }
                self.stored(world, who, record)
            }
            Phase::Shows { record } => {
                // `Engine::as_it_is_now`.
                let looks = !self.rules.has(Mistake::AnswersWithoutLooking);
                let newest = if looks { world.store.tag } else { record.epoch };
                let is_fresh = matches!(record.state(newest, world.now), State::Fresh { .. });
                world.told.lied |= is_fresh && record.content < world.told.marked;
                self.ended(world, who)
            }
            Phase::PublishError { ticket } => {
                world.store.release(self.rules, ticket);
                let forgets = self.rules.is_aws() && ticket == 1;
                if forgets { Phase::Forgets { ticket } } else { self.ended(world, who) }
            }
            Phase::Forgets { ticket } => {
                world.store.forget(self.rules, ticket);
                self.ended(world, who)
            }
            Phase::Failed { ticket } => {
                world.store.fail(self.rules, ticket, world.now);
                // A publisher is told that the page stays, is marked, and is tried again.
                self.acknowledge(world, who, false);
                self.ended(world, who)
            }
            Phase::Joined | Phase::Done => phase,
        };
    }

    /// The next step goes wrong. `None` where nothing can.
    pub(crate) fn fail(&self, world: &mut World, who: usize) -> Option<()> {
        world.actors[who].phase = match world.actors[who].phase.clone() {
            // The queue refuses the job: the lease is given back.
            Phase::Sends { ticket } => Phase::PublishError { ticket },
            Phase::Begun { ticket } => {
                world.actors[who].until = Millis(0);
                Phase::PublishError { ticket }
            }
            Phase::Prepared { ticket, .. } => {
                world.actors[who].until = Millis(0);
                Phase::Failed { ticket }
            }
            _ => return None,
        };
        Some(())
    }

    /// On AWS: the call is carried out, and will be repeated because nobody has heard of it.
    pub(crate) fn lose_answer(&self, world: &mut World, who: usize) -> Option<()> {
        let phase = world.actors[who].phase.clone();
        match phase {
            Phase::Asks { .. }
            | Phase::Waits { .. }
            | Phase::Seen { .. }
            | Phase::Marked { .. }
            | Phase::Demands { .. } => {
                let request = self.ask(who, &phase, world.now)?;
                let LeaseDecision::Granted(_) = world.store.begin(self.rules, &request) else { return None };
                world.store.holder = Some(who);
                world.actors[who].phase = Phase::Unsure { before: Box::new(phase), asked_at: world.now };
            }
            Phase::Called => {
                world.store.advance();
            }
            // The queue has the job, and its lease is given back.
            Phase::Sends { ticket } => {
                self.send(world, Job::Refresh(ticket));
                world.actors[who].phase = Phase::PublishError { ticket };
            }
            Phase::Fetched { record } => {
                world.store.commit(self.rules, record);
            }
            Phase::PublishError { ticket } => world.store.release(self.rules, ticket),
            Phase::Forgets { ticket } => world.store.forget(self.rules, ticket),
            Phase::Put { record } => world.store.note(record.generation),
            _ => return None,
        }
        Some(())
    }

    pub(crate) fn crash(&self, world: &mut World, who: usize) {
        world.actors[who].until = Millis(0);
        world.actors[who].phase = self.ended(world, who);
    }

    pub(crate) fn renew(&self, world: &mut World, who: usize) -> Option<()> {
        let ticket = world.actors[who].phase.ticket()?;
        if world.store.extend(self.rules, ticket, world.now) {
            world.actors[who].until = world.now.plus(LEASE);
        }
        Some(())
    }

    /// The content changes, and the call finds another one that has not begun.
    pub(crate) fn join(&self, world: &mut World, who: usize) -> Option<()> {
        let other = &world.actors[who ^ 1];
        let begun =
            matches!(other.phase, Phase::Marked { .. } | Phase::Demands { .. }) || other.phase.is_rendering();
        let shared = other.phase == Phase::Called || (begun && self.rules.has(Mistake::SharesBegunRenders));
        if !shared || self.script(who) != Script::Demand || self.script(who ^ 1) != Script::Demand {
            return None;
        }
        world.content += 1;
        (world.actors[who].content, world.actors[who].phase) = (world.content, Phase::Joined);
        Some(())
    }

    /// A worker takes a job up.
    pub(crate) fn deliver(&self, world: &mut World, who: usize, job: Job) {
        world.actors[who].phase = match job {
            Job::Refresh(ticket) => match world.store.resume(self.rules, ticket, world.now) {
                Some(ticket) => self.granted(world, who, ticket, world.now),
                None => self.work_again(world, ticket),
            },
            Job::Renew(epoch) => match &world.store.record {
                Some(record) if record.epoch < epoch && !record.deleted => {
                    Phase::Seen { seen: record.generation }
                }
                _ => Phase::Idle,
            },
        };
    }

    pub(super) fn send(&self, world: &mut World, job: Job) {
        world.jobs.push(job);
        world.jobs.sort_unstable();
    }

    /// What a worker is after a job, a visitor after a visit, and a publisher after a call.
    pub(super) fn ended(&self, world: &mut World, who: usize) -> Phase {
        let actor = &mut world.actors[who];
        actor.until = Millis(0);
        match Role::of(who) {
            Role::Worker => Phase::Idle,
            Role::Visitor => {
                (actor.content, actor.servable) = (0, false);
                Phase::Idle
            }
            Role::Publisher => {
                // Who has joined it gets the same answer, or was in the same process when it died.
                let other = &mut world.actors[who ^ 1];
                if other.phase == Phase::Joined {
                    other.phase = Phase::Done;
                }
                Phase::Done
            }
        }
    }
}
