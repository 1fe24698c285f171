//! Leases and tickets of a page: the conditions of the protocol. Pure.

use std::time::Duration;

use crate::base::clock::Millis;
use crate::freshness::{back_off, holds};
use crate::ports::pages::grant::Failed;
use crate::ports::pages::urgency::Urgency;
use crate::record::page_record::{Epoch, Ticket};

/// The state of a page's renders: the newest ticket, its lease, and the newest failure.
///
/// The methods are the conditions of the protocol; `tests/proof` runs them through every order of events. A store decides
/// with these methods, or with conditional writes of the same meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Slot {
    /// The newest granted ticket; 0 for none.
    pub ticket: Ticket,
    /// The lease of that ticket; `None` once released. The lease may have expired: see [`Slot::lease_at`].
    pub lease: Option<Lease>,
    /// The epoch of the [`Urgency::Demand`] for which the ticket was granted; its render began at this epoch or later. 0 for any
    /// other urgency.
    pub demanded: Epoch,
    /// The newest failure since the last commit.
    pub failure: Option<FailureNote>,
}

/// The right to render a page until an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The ticket of the render.
    pub ticket: Ticket,
    /// When the lease was granted or last extended.
    pub from: Millis,
    /// When the lease expires.
    pub until: Millis,
}

/// The note of a failed render.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FailureNote {
    /// The ticket of the render.
    pub ticket: Ticket,
    /// The number of failures in a row.
    pub count: u32,
    /// The time of the failure.
    pub at: Millis,
    /// The end of the back-off: the next render begins no earlier.
    pub retry_at: Millis,
    /// The error's message.
    pub message: String,
}

impl Slot {
    /// The lease, unless it has expired.
    pub fn lease_at(&self, now: Millis) -> Option<Lease> {
        self.lease.filter(|l| holds(l.from, l.until, now))
    }

    /// The end of the lease, unless it has expired.
    pub fn leased_until(&self, now: Millis) -> Option<Millis> {
        self.lease_at(now).map(|l| l.until)
    }

    /// The lease, if a publisher's call holds it and it has not expired.
    pub fn demand_at(&self, now: Millis) -> Option<Lease> {
        self.lease_at(now).filter(|_| self.demanded > 0)
    }

    /// Whether the shown record answers a publisher's call of that epoch, without another render. `shown` is the epoch at which
    /// the record's render began. While a newer ticket exists the record does not count: the newer ticket's render may have
    /// begun earlier, and would replace the record.
    pub fn answers_demand(&self, epoch: Epoch, generation: Ticket, shown: Epoch) -> bool {
        shown >= epoch && generation >= self.ticket
    }

    /// The failure of a render that would have answered a publisher's call of that epoch.
    pub fn failed_demand(&self, epoch: Epoch) -> Option<&FailureNote> {
        self.failure.as_ref().filter(|failure| self.is_newest(failure.ticket) && self.demanded >= epoch)
    }

    /// The end of the back-off, unless it has passed.
    pub fn backed_off_until(&self, now: Millis) -> Option<Millis> {
        self.failure.as_ref().filter(|f| holds(f.at, f.retry_at, now)).map(|f| f.retry_at)
    }

    /// The note of a further failed render, with the count in a row and the end of the back-off.
    pub fn failed(self, page: &str, ticket: Ticket, failed: Failed) -> FailureNote {
        let count = self.failure.map_or(1, |f| f.count.saturating_add(1));
        // A hash of the page (FNV-1a) spreads the back-offs of pages that failed together.
        let seed = page.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let retry_at = failed.now.plus(back_off(count, failed.retry_after, ticket ^ seed));
        FailureNote { ticket, count, at: failed.now, retry_at, message: failed.message }
    }

    /// The decision of [`Pages::begin`](crate::ports::pages::Pages::begin). A store that decides with a conditional write
    /// calls this afterwards, to find the reason of a refusal.
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

    /// The ticket of the next grant: above all earlier tickets, and above the shown generation even if the slot was lost.
    pub fn next_ticket(&self, generation: Ticket) -> Ticket {
        self.ticket.max(generation) + 1
    }

    /// The condition of [`Pages::resume`](crate::ports::pages::Pages::resume),
    /// [`Pages::extend`](crate::ports::pages::Pages::extend) and [`Pages::fail`](crate::ports::pages::Pages::fail): the
    /// ticket is the newest, and was not committed.
    pub fn is_current(&self, ticket: Ticket, generation: Ticket) -> bool {
        self.is_newest(ticket) && supersedes(ticket, generation)
    }

    /// The condition of [`Pages::release`](crate::ports::pages::Pages::release): no newer ticket was granted.
    pub fn is_newest(&self, ticket: Ticket) -> bool {
        self.ticket == ticket
    }

    /// Whether the job with this ticket has ended: a render with this or a newer ticket was committed, or has failed.
    pub fn has_ended(&self, ticket: Ticket, generation: Ticket) -> bool {
        let failed = self.failure.as_ref().is_some_and(|failure| failure.ticket >= ticket);
        failed || !supersedes(ticket, generation)
    }

    /// Whether releasing this ticket leaves nothing to remember of the page. The ticket was the page's first, so that no
    /// process holds another one, and the numbers may start again.
    pub fn is_forgotten(&self, ticket: Ticket, generation: Ticket) -> bool {
        ticket == 1 && self.is_newest(ticket) && generation == 0 && self.failure.is_none()
    }

    /// The slot without the leases and failures that the commit of that generation has ended: those of its own ticket and of
    /// older ones. For a store that writes the record and the slot one after the other.
    pub fn reconciled(self, generation: Ticket) -> Self {
        let lease = self.lease.filter(|lease| supersedes(lease.ticket, generation));
        let failure = self.failure.filter(|failure| supersedes(failure.ticket, generation));
        Self { lease, failure, ..self }
    }
}

/// The condition of [`Pages::commit`](crate::ports::pages::Pages::commit): a render replaces only renders with older tickets.
pub fn supersedes(ticket: Ticket, generation: Ticket) -> bool {
    ticket > generation
}

/// A request for the lease to render a page.
#[derive(Clone, Copy, Debug)]
pub struct LeaseRequest {
    /// The generation that the caller has seen (0 for no record). The request is refused if the page has another one by now.
    /// `None` accepts any generation.
    pub seen: Option<Ticket>,
    /// Decides which leases and back-offs refuse the request.
    pub urgency: Urgency,
    /// The length of the lease.
    pub lease: Duration,
    /// The caller's time.
    pub now: Millis,
}

/// The answer to a [`LeaseRequest`].
#[derive(Clone, Debug)]
pub enum LeaseDecision {
    /// The caller renders, with this ticket.
    Granted(Ticket),
    /// Another render holds this lease.
    Busy(Lease),
    /// The last render failed, and its back-off has not ended.
    BackedOff {
        /// The end of the back-off.
        until: Millis,
    },
    /// The page's generation is not [`LeaseRequest::seen`]: read the page again.
    RecordChanged,
}
