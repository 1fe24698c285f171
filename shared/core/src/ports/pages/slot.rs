//! Who may render a page: the conditions of the protocol.

use std::time::Duration;

use crate::base::clock::Millis;
use crate::freshness::{back_off, holds};
use crate::ports::pages::grant::Failed;
use crate::ports::pages::urgency::Urgency;
use crate::record::page_record::{Epoch, Ticket};

/// Who may render a page, and what became of those who did.
///
/// Its methods are the conditions of the protocol, and `tests/proof` goes through every order of events with them. A
/// store decides by them, or by conditional writes that say the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Slot {
    /// The newest ticket handed out; 0 for none.
    pub ticket: Ticket,
    /// Its lease, unless it was released. It may have ended: see [`Slot::leased_until`].
    pub lease: Option<Lease>,
    /// The epoch of [`Urgency::Demand`] that it was granted for: its render began no earlier. 0 for any other.
    pub demanded: Epoch,
    /// The newest failure since the last commit.
    pub failure: Option<FailureNote>,
}

/// Who may render until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The ticket it belongs to.
    pub ticket: Ticket,
    /// When it was granted or last extended.
    pub from: Millis,
    /// When it ends by itself.
    pub until: Millis,
}

/// A failed render.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FailureNote {
    /// Whose render.
    pub ticket: Ticket,
    /// How many in a row.
    pub count: u32,
    /// When.
    pub at: Millis,
    /// Not before then.
    pub retry_at: Millis,
    /// What it said.
    pub message: String,
}

impl Slot {
    /// The lease that holds now.
    pub fn lease_at(&self, now: Millis) -> Option<Lease> {
        self.lease.filter(|l| holds(l.from, l.until, now))
    }

    /// The end of the lease that holds now.
    pub fn leased_until(&self, now: Millis) -> Option<Millis> {
        self.lease_at(now).map(|l| l.until)
    }

    /// The lease that holds now, if it is a publisher's call that has it.
    pub fn demand_at(&self, now: Millis) -> Option<Lease> {
        self.lease_at(now).filter(|_| self.demanded > 0)
    }

    /// Whether what is shown, of a render that began at the epoch `shown`, answers a publisher's call of that epoch.
    /// Not while a newer ticket is about: its render may have begun earlier nevertheless, and would replace it.
    pub fn answers_demand(&self, epoch: Epoch, generation: Ticket, shown: Epoch) -> bool {
        shown >= epoch && generation >= self.ticket
    }

    /// The failure of a render that would have done for a publisher's call of that epoch as well.
    pub fn failed_demand(&self, epoch: Epoch) -> Option<&FailureNote> {
        self.failure.as_ref().filter(|failure| self.is_newest(failure.ticket) && self.demanded >= epoch)
    }

    /// The end of the back-off that holds now.
    pub fn backed_off_until(&self, now: Millis) -> Option<Millis> {
        self.failure.as_ref().filter(|f| holds(f.at, f.retry_at, now)).map(|f| f.retry_at)
    }

    /// What is noted of a failed render: the next one in a row, and when to try again.
    pub fn failed(self, page: &str, ticket: Ticket, failed: Failed) -> FailureNote {
        let count = self.failure.map_or(1, |f| f.count.saturating_add(1));
        // A number of the page's own, to spread back-offs with: FNV-1a.
        let seed = page.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let retry_at = failed.now.plus(back_off(count, failed.retry_after, ticket ^ seed));
        FailureNote { ticket, count, at: failed.now, retry_at, message: failed.message }
    }

    /// The decision of [`Pages::begin`](crate::ports::pages::Pages::begin): in these words for a store that holds a slot and its record in one place, and
    /// to tell why for one that decides by a conditional write.
    pub fn may_begin(&self, generation: Ticket, request: &LeaseRequest) -> Result<(), LeaseDecision> {
        if request.seen.is_some_and(|seen| seen != generation) {
            return Err(LeaseDecision::RecordChanged);
        }
        let lease = match request.urgency {
            Urgency::Ordinary | Urgency::Missing => self.lease_at(request.now),
            Urgency::Demand(_) => self.demand_at(request.now),
            Urgency::Overriding => None,
        };
        if let Some(lease) = lease {
            return Err(LeaseDecision::Busy(lease));
        }
        let held_back = generation > 0 && request.urgency == Urgency::Ordinary;
        match self.backed_off_until(request.now).filter(|_| held_back) {
            Some(until) => Err(LeaseDecision::BackedOff { until }),
            None => Ok(()),
        }
    }

    /// The ticket of a grant: above every one before it, and above what is shown even if the slot was lost.
    pub fn next_ticket(&self, generation: Ticket) -> Ticket {
        self.ticket.max(generation) + 1
    }

    /// The condition of [`Pages::resume`](crate::ports::pages::Pages::resume), [`Pages::extend`](crate::ports::pages::Pages::extend) and [`Pages::fail`](crate::ports::pages::Pages::fail): the ticket is the newest, and was not
    /// committed.
    pub fn is_current(&self, ticket: Ticket, generation: Ticket) -> bool {
        self.is_newest(ticket) && supersedes(ticket, generation)
    }

    /// The condition of [`Pages::release`](crate::ports::pages::Pages::release): nobody was granted a lease since.
    pub fn is_newest(&self, ticket: Ticket) -> bool {
        self.ticket == ticket
    }

    /// Whether it is known what came of the job with this ticket: a render since then was committed, or has failed.
    pub fn has_ended(&self, ticket: Ticket, generation: Ticket) -> bool {
        let failed = self.failure.as_ref().is_some_and(|failure| failure.ticket >= ticket);
        failed || !supersedes(ticket, generation)
    }

    /// Whether a page is forgotten that gives this ticket back: it was its first ever, so nobody else can hold one, and
    /// the numbers may start again.
    pub fn is_forgotten(&self, ticket: Ticket, generation: Ticket) -> bool {
        ticket == 1 && self.is_newest(ticket) && generation == 0 && self.failure.is_none()
    }

    /// The slot beside a record of that generation, for a store that writes them one after the other: a commit ends the
    /// leases and failures of its own and of older tickets.
    pub fn reconciled(self, generation: Ticket) -> Self {
        let lease = self.lease.filter(|lease| supersedes(lease.ticket, generation));
        let failure = self.failure.filter(|failure| supersedes(failure.ticket, generation));
        Self { lease, failure, ..self }
    }
}

/// The condition of [`Pages::commit`](crate::ports::pages::Pages::commit): a render is shown only in the place of one with an older ticket.
pub fn supersedes(ticket: Ticket, generation: Ticket) -> bool {
    ticket > generation
}

/// A wish to render.
#[derive(Clone, Copy, Debug)]
pub struct LeaseRequest {
    /// The generation the caller saw (0 for none); `None` if it does not matter.
    pub seen: Option<Ticket>,
    /// Whose leases and back-offs hold it up.
    pub urgency: Urgency,
    /// How long the lease is to last.
    pub lease: Duration,
    /// The present.
    pub now: Millis,
}

/// Answer to a wish to render.
#[derive(Clone, Debug)]
pub enum LeaseDecision {
    /// Render, under this ticket.
    Granted(Ticket),
    /// Somebody else does, until this lease's end at the latest.
    Busy(Lease),
    /// The last render failed; not before then.
    BackedOff {
        /// The end of the back-off.
        until: Millis,
    },
    /// The record is not the one that was judged: look again.
    RecordChanged,
}
