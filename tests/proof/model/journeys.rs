//! What is done in a step: the journeys of a visitor, a render and a publisher.

use std::time::Duration;

use perennial::Fallback;
use perennial::clock::Millis;
use perennial::freshness::State;
use perennial::pages::{Ask, Begun};
use perennial::record::{Epoch, Ticket};
use serve::decide::{Circumstances, decide};

use super::actors::{Phase, Role};
use super::scenario::Script;
use super::store::{Committed, LEASE, Shown};
use super::{Job, Mistake, Protocol, World};

/// Three attempts at two seconds each, and the pauses between them.
const LONGEST_CALL: Duration = Duration::from_secs(7);

/// What is asked for in a phase.
pub(super) fn ask(phase: &Phase, now: Millis) -> Option<Ask> {
    let judged = match phase {
        Phase::Asks { judged } | Phase::Waits { judged } | Phase::Judged { judged } => Some(*judged),
        Phase::Marked => None,
        _ => return None,
    };
    Some(Ask { judged, urgent: judged.is_none(), shows_nothing: judged == Some(0), lease: LEASE, now })
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

    /// As `Serve::stored` does.
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
            serve::decide::Action::AnswerAndRenew if !waits => {
                let slot = world.store.seen_slot(self.rules);
                let free =
                    slot.leased_until(world.now).is_none() && slot.backed_off_until(world.now).is_none();
                if free { Phase::Asks { judged: generation } } else { self.ended(world, who) }
            }
            serve::decide::Action::AnswerAndRenew | serve::decide::Action::Render { .. } => {
                Phase::Waits { judged: generation }
            }
            _ => self.ended(world, who),
        }
    }

    /// A wish to render is answered.
    pub(super) fn begin(&self, world: &mut World, who: usize, phase: Phase) -> Phase {
        if phase == Phase::Marked && matches!(self.script(who), Script::Mark | Script::MarkAndQueue) {
            return self.marked(world, who);
        }
        let Some(ask) = ask(&phase, world.now) else { return phase };
        let begun = world.store.begin(self.rules, &ask);
        self.begun(world, who, phase, begun, ask.now)
    }

    pub(super) fn begun(
        &self,
        world: &mut World,
        who: usize,
        phase: Phase,
        begun: Begun,
        asked_at: Millis,
    ) -> Phase {
        match (begun, phase) {
            (Begun::Granted(ticket), Phase::Asks { .. }) => Phase::Sends { ticket },
            (Begun::Granted(ticket), _) => self.granted(world, who, ticket, asked_at),
            // Who waits for a missing page looks again.
            (Begun::Unneeded, Phase::Waits { judged }) => {
                let generation = world.store.generation();
                let there = world.store.record.as_ref().is_some_and(|record| !record.deleted);
                match generation != judged && there {
                    true => self.ended(world, who),
                    false => Phase::Waits { judged: generation },
                }
            }
            (Begun::BackedOff { .. }, Phase::Waits { .. }) => self.ended(world, who),
            (_, Phase::Waits { judged }) => Phase::Waits { judged },
            _ => self.ended(world, who),
        }
    }

    /// The call whose answer was lost is made again, and meets what it has written: as `why` does in `begin.rs`.
    pub(super) fn repeat(&self, world: &mut World, who: usize, before: Phase, asked_at: Millis) -> Phase {
        let ask = ask(&before, asked_at).filter(|_| world.now.since(asked_at) < LONGEST_CALL);
        // The last try has failed as well: the lease ends by itself.
        let Some(ask) = ask else { return self.ended(world, who) };
        let (ours, ticket) = (world.store.holder == Some(who), world.store.slot.ticket);
        let begun = match world.store.begin(self.rules, &ask) {
            refused if ours && !matches!(refused, Begun::Granted(_)) => Begun::Granted(ticket),
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
            // It pre-empts all others.
            world.actors.iter_mut().for_each(|actor| actor.until = Millis(0));
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
            // A newer ticket was handed out after this one: that render began after a publisher's call as well.
            Committed::Stored | Committed::Superseded => self.shown(world, who),
        }
    }

    pub(super) fn shown(&self, world: &mut World, who: usize) -> Phase {
        self.acknowledge(world, who, true);
        self.ended(world, who)
    }
}

/// A publisher's journey.
impl Protocol {
    pub(super) fn mark(&self, world: &mut World, who: usize) -> Phase {
        let renders = matches!(self.script(who), Script::Demand | Script::Delete);
        if renders && self.rules.has(Mistake::SkipsTheMark) {
            return Phase::Marked;
        }
        let epoch = world.store.advance();
        if self.rules.is_aws() {
            return Phase::Stamps { epoch };
        }
        world.store.stamp(self.rules, epoch);
        Phase::Marked
    }

    /// The call is answered once the page is marked, unless it has to be rendered as well.
    pub(super) fn marked(&self, world: &mut World, who: usize) -> Phase {
        if self.script(who) == Script::MarkAndQueue {
            let epoch = world.store.tag;
            self.send(world, Job::Renew(epoch));
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
