//! What is done in a step: the journeys of a visitor, a render and a publisher.

use std::time::Duration;

use perennial::Fallback;
use perennial::parts::base::clock::Millis;
use perennial::parts::freshness::State;
use perennial::parts::ports::pages::slot::{LeaseDecision, LeaseRequest, Slot};
use perennial::parts::ports::pages::urgency::Urgency;
use perennial::parts::record::page_record::{Epoch, Ticket};
use perennial_serve::decide::{Circumstances, decide};

use super::actors::{Phase, Role};
use super::scenario::Script;
use super::store::{Committed, LEASE, Shown};
use super::{Job, Mistake, Protocol, World};

/// Three attempts at two seconds each, and the pauses between them.
const LONGEST_CALL: Duration = Duration::from_secs(7);

impl Protocol {
    /// What is asked for in a phase.
    pub(super) fn ask(&self, who: usize, phase: &Phase, now: Millis) -> Option<LeaseRequest> {
        let (seen, urgency) = match phase {
            Phase::Asks { seen } | Phase::Waits { seen } | Phase::Seen { seen } => {
                (Some(*seen), Urgency::Ordinary)
            }
            Phase::Demands { epoch, newest, seen } => (Some(*seen), Urgency::Demand(*newest.max(epoch))),
            Phase::Marked { .. } if self.script(who) == Script::Delete => (None, Urgency::Overriding),
            _ => return None,
        };
        Some(LeaseRequest { seen, urgency, lease: LEASE, now })
    }
}

/// A visitor's journey.
impl Protocol {
    pub(super) fn look(&self, world: &mut World, who: usize) -> Phase {
        let marked = world.told.marked;
        let actor = &mut world.actors[who];
        actor.visits -= 1;
        actor.content = marked;
        let record = world.store.record.clone();
        if self.rules.is_aws() && record.is_some() {
            return Phase::Looked { record };
        }
        self.judge(world, who, record)
    }

    /// As `Serve::answer_from_store` does.
    pub(super) fn judge(&self, world: &mut World, who: usize, record: Option<Shown>) -> Phase {
        let state = record.as_ref().map_or(State::Missing, |r| r.state(world.store.tag, world.now));
        let generation = record.as_ref().map_or(0, |record| record.generation);
        if let (State::Fresh { .. }, Some(record)) = (state, &record) {
            world.told.lied |= record.content < world.actors[who].content;
        }
        world.actors[who].servable = state != State::Missing;
        let circumstances = Circumstances {
            state,
            fallback: Fallback::Blocking,
            known: false,
            max_stale: None,
            stale_on_error: true,
            takes_shell: false,
        };
        let waits = matches!(state, State::Stale { .. }) && self.rules.has(Mistake::StaleVisitorsWait);
        match decide(circumstances) {
            perennial_serve::decide::Action::AnswerAndRenew if !waits => {
                let slot = world.store.seen_slot(self.rules);
                let free =
                    slot.leased_until(world.now).is_none() && slot.backed_off_until(world.now).is_none();
                if free { Phase::Asks { seen: generation } } else { self.ended(world, who) }
            }
            perennial_serve::decide::Action::AnswerAndRenew
            | perennial_serve::decide::Action::Render { .. } => Phase::Waits { seen: generation },
            _ => self.ended(world, who),
        }
    }

    /// A wish to render is answered.
    pub(super) fn begin(&self, world: &mut World, who: usize, phase: Phase) -> Phase {
        let Some(request) = self.ask(who, &phase, world.now) else { return phase };
        let begun = world.store.begin(self.rules, &request);
        self.begun(world, who, phase, begun, request.now)
    }

    pub(super) fn begun(
        &self,
        world: &mut World,
        who: usize,
        phase: Phase,
        begun: LeaseDecision,
        asked_at: Millis,
    ) -> Phase {
        match (begun, phase) {
            (LeaseDecision::Granted(ticket), Phase::Asks { .. }) => Phase::Sends { ticket },
            (LeaseDecision::Granted(ticket), _) => self.granted(world, who, ticket, asked_at),
            (_, Phase::Demands { epoch, .. }) => Phase::Marked { epoch },
            // Who waits for a missing page looks again.
            (LeaseDecision::RecordChanged, Phase::Waits { seen }) => {
                let generation = world.store.generation();
                let there = world.store.record.as_ref().is_some_and(|record| !record.deleted);
                match generation != seen && there {
                    true => self.ended(world, who),
                    false => Phase::Waits { seen: generation },
                }
            }
            (LeaseDecision::BackedOff { .. }, Phase::Waits { .. }) => self.ended(world, who),
            (_, Phase::Waits { seen }) => Phase::Waits { seen },
            _ => self.ended(world, who),
        }
    }

    /// The call whose answer was lost is made again, and meets what it has written: as `why` does in `begin.rs`.
    pub(super) fn repeat(&self, world: &mut World, who: usize, before: Phase, asked_at: Millis) -> Phase {
        let request = self.ask(who, &before, asked_at).filter(|_| world.now.since(asked_at) < LONGEST_CALL);
        // The last try has failed as well: the lease ends by itself.
        let Some(request) = request else { return self.ended(world, who) };
        let (ours, ticket) = (world.store.holder == Some(who), world.store.slot.ticket);
        let begun = match world.store.begin(self.rules, &request) {
            refused if ours && !matches!(refused, LeaseDecision::Granted(_)) => {
                LeaseDecision::Granted(ticket)
            }
            begun => begun,
        };
        world.store.holder = world.store.holder.filter(|holder| *holder != who);
        self.begun(world, who, before, begun, asked_at)
    }
}

/// A render's journey.
impl Protocol {
    pub(super) fn granted(&self, world: &mut World, who: usize, ticket: Ticket, asked_at: Millis) -> Phase {
        if Role::of(who) == Role::Publisher {
            let overriding = self.script(who) == Script::Delete;
            for (other, actor) in world.actors.iter_mut().enumerate() {
                // It overtakes all others, but for another publisher's call.
                if overriding || self.script(other) != Script::Demand || Role::of(other) != Role::Publisher {
                    actor.until = Millis(0);
                }
            }
        }
        let until = asked_at.plus(LEASE);
        world.actors[who].until = if until > world.now { until } else { Millis(0) };
        Phase::Begun { ticket }
    }

    pub(super) fn fetch(&self, world: &mut World, who: usize, ticket: Ticket, epoch: Epoch) -> Phase {
        let late = self.rules.has(Mistake::ReadsEpochAfterFetch);
        // The mistake: the epoch is read with the commit, after the content.
        let epoch = if late { Epoch::MAX } else { epoch };
        let deleted = Role::of(who) == Role::Publisher && self.script(who) == Script::Delete;
        let record =
            Shown { generation: ticket, epoch, started_at: world.now, content: world.content, deleted };
        if self.rules.has(Mistake::AcknowledgesBeforeCommit) {
            self.acknowledge(world, who, true);
        }
        Phase::Fetched { record }
    }

    pub(super) fn commit(&self, world: &mut World, who: usize, mut record: Shown) -> Phase {
        if self.rules.has(Mistake::WritesEpochOfCommit) || record.epoch == Epoch::MAX {
            record.epoch = world.store.epoch;
        }
        world.actors[who].until = Millis(0);
        if self.rules.has(Mistake::TellsTheSlotFirst) && self.rules.is_aws() {
            world.store.note(record.generation);
            return Phase::Put { record };
        }
        match world.store.commit(self.rules, record.clone()) {
            Committed::Stored if self.rules.is_aws() => Phase::Put { record },
            Committed::Stored => self.stored(world, who, record),
            // A newer ticket was handed out after this one: that render began after a publisher's call as well.
            Committed::Superseded => self.shown(world, who),
        }
    }

    pub(super) fn stored(&self, world: &mut World, who: usize, record: Shown) -> Phase {
        match Role::of(who) {
            Role::Visitor => Phase::Shows { record },
            Role::Worker | Role::Publisher => self.shown(world, who),
        }
    }

    pub(super) fn shown(&self, world: &mut World, who: usize) -> Phase {
        self.acknowledge(world, who, true);
        self.ended(world, who)
    }
}

/// A worker's journey.
impl Protocol {
    /// As `Engine::work_again` does.
    pub(super) fn work_again(&self, world: &mut World, ticket: Ticket) -> Phase {
        let (slot, seen) = (world.store.seen_slot(self.rules), world.store.generation());
        let ended = world.store.record.is_none() || slot.has_ended(ticket, seen);
        if !ended && !self.rules.has(Mistake::DropsJobsTakenUpBefore) {
            return Phase::Seen { seen };
        }
        let held = slot.leased_until(world.now).or(slot.backed_off_until(world.now));
        world.told.lost |= !ended && held.is_none();
        Phase::Idle
    }
}

/// A publisher's journey.
impl Protocol {
    pub(super) fn mark(&self, world: &mut World, who: usize) -> Phase {
        let renders = matches!(self.script(who), Script::Demand | Script::Delete);
        if renders && self.rules.has(Mistake::SkipsTheMark) {
            return Phase::Marked { epoch: world.store.epoch + 1 };
        }
        let epoch = world.store.advance();
        if self.rules.is_aws() {
            return Phase::Stamps { epoch };
        }
        world.store.stamp(self.rules, epoch);
        Phase::Marked { epoch }
    }

    /// The call is answered once the page is marked, unless it has to be rendered as well: then it looks, as
    /// `Engine::render_since` does.
    pub(super) fn marked(&self, world: &mut World, who: usize, epoch: Epoch) -> Phase {
        match self.script(who) {
            Script::Delete => return self.begin(world, who, Phase::Marked { epoch }),
            Script::MarkAndQueue => {
                let epoch = world.store.tag;
                self.send(world, Job::Renew(epoch));
            }
            Script::Demand => {
                let (slot, newest) = (world.store.seen_slot(self.rules), world.store.tag);
                let early = self.rules.has(Mistake::SharesEarlierRenders);
                let epoch_to_share = if early { epoch - 1 } else { epoch };
                let sees = match self.rules.has(Mistake::SharesWhatMayBeReplaced) {
                    true => Slot::default(),
                    false => slot.clone(),
                };
                let answers =
                    |record: &Shown| sees.answers_demand(epoch_to_share, record.generation, record.epoch);
                if world.store.record.as_ref().is_some_and(answers) {
                    return self.shown(world, who);
                }
                if slot.failed_demand(epoch).is_none() {
                    let seen = world.store.generation();
                    let busy = slot.demand_at(world.now).is_some();
                    return if busy {
                        Phase::Marked { epoch }
                    } else {
                        Phase::Demands { epoch, newest, seen }
                    };
                }
            }
            Script::Mark | Script::Nothing => {}
        }
        self.acknowledge(world, who, false);
        self.ended(world, who)
    }

    /// A publisher is answered, and who has joined it.
    pub(super) fn acknowledge(&self, world: &mut World, who: usize, shown: bool) {
        if Role::of(who) != Role::Publisher {
            return;
        }
        let other = who ^ 1;
        let mut content = world.actors[who].content;
        if world.actors[other].phase == Phase::Joined {
            content = content.max(world.actors[other].content);
        }
        world.told.marked = world.told.marked.max(content);
        if shown {
            world.told.shown = world.told.shown.max(content);
        }
    }
}
