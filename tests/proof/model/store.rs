//! The port `Pages`, for one page: every call one step, as its contract says. On AWS a commit is two, and an
//! invalidation too. The conditions are the product's own.

use std::time::Duration;

use perennial::Reason;
use perennial::parts::base::clock::Millis;
use perennial::parts::freshness;
use perennial::parts::freshness::State;
use perennial::parts::ports::pages::grant::Failed;
use perennial::parts::ports::pages::slot::{Lease, LeaseDecision, LeaseRequest, Slot, supersedes};
use perennial::parts::record::page_record::{Epoch, Record, Stored, Ticket};

use super::Mistake;

/// As in the default settings.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
/// The period of the page's content, in seconds.
const PERIOD_S: u32 = 10;

/// Where the page is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One process's or machine's: every call is one transaction.
    Embedded,
    /// Record, slot and tag are items of their own, and calls are repeated when their answer is lost.
    Aws,
}

/// A record, as far as the protocol looks at it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Shown {
    pub(crate) generation: Ticket,
    pub(crate) epoch: Epoch,
    pub(crate) started_at: Millis,
    /// The upstream's version that it shows, or that it was deleted at.
    pub(crate) content: u8,
    pub(crate) deleted: bool,
}

impl Shown {
    /// The product's judgement.
    pub(crate) fn state(&self, newest_epoch: Epoch, now: Millis) -> State {
        let stored = match self.deleted {
            true => Stored::Deleted,
            false => Stored::Redirect { destination: String::new(), status: 307, base_path: false },
        };
        let record = Record {
            generation: self.generation,
            epoch: self.epoch,
            started_at: self.started_at,
            period_s: (!self.deleted).then_some(PERIOD_S),
            expires_at: None,
            modified_at: self.started_at,
            reason: Reason::First,
            tags: Vec::new(),
            headers: std::collections::BTreeMap::new(),
            stored,
        };
        freshness::state(&record, newest_epoch, now, false)
    }
}

/// What is stored of the page and its tag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    pub(crate) record: Option<Shown>,
    pub(crate) slot: Slot,
    /// On AWS: the newest commit that the slot knows of.
    pub(crate) noted: Ticket,
    /// On AWS: who wrote the lease, as long as they do not know that they did.
    pub(crate) holder: Option<usize>,
    /// The site's.
    pub(crate) epoch: Epoch,
    /// The newest of the page's tag.
    pub(crate) tag: Epoch,
}

/// Answer to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    /// It is shown; on AWS the slot is yet to be told.
    Stored,
    /// Something newer is.
    Superseded,
}

/// The rules a store goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) kind: Kind,
    pub(crate) mistake: Option<Mistake>,
}

impl Rules {
    pub(crate) fn has(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    pub(crate) fn is_aws(&self) -> bool {
        self.kind == Kind::Aws
    }
}

impl Store {
    pub(crate) fn generation(&self) -> Ticket {
        self.record.as_ref().map_or(0, |record| record.generation)
    }

    /// The generation by which slots are judged: on AWS the item of the slot knows only what it was told.
    fn known(&self, rules: Rules) -> Ticket {
        if rules.is_aws() { self.noted } else { self.generation() }
    }

    /// The slot as a reader sees it beside the record.
    pub(crate) fn seen_slot(&self, rules: Rules) -> Slot {
        match rules.kind {
            Kind::Embedded => self.slot.clone(),
            Kind::Aws => self.slot.clone().reconciled(self.noted.max(self.generation())),
        }
    }

    pub(crate) fn state(&self, now: Millis) -> State {
        self.record.as_ref().map_or(State::Missing, |record| record.state(self.tag, now))
    }

    pub(crate) fn begin(&mut self, rules: Rules, request: &LeaseRequest) -> LeaseDecision {
        let generation = match rules.kind {
            Kind::Embedded => self.generation(),
            Kind::Aws => self.noted.max(request.seen.unwrap_or(0)),
        };
        let mut slot = self.slot.clone();
        if rules.is_aws() {
            slot = slot.reconciled(generation);
        }
        let far = Millis(u64::MAX);
        match rules.mistake {
            Some(Mistake::IgnoresLeases) => slot.lease = None,
            Some(Mistake::LeasesNeverEnd) => slot.lease = slot.lease.map(|l| Lease { until: far, ..l }),
            Some(Mistake::BackOffsNeverEnd) => {
                slot.failure.iter_mut().for_each(|failure| failure.retry_at = far);
            }
            _ => {}
        }
        if rules.has(Mistake::DemandsOvertakeEachOther) {
            slot.demanded = 0;
        }
        if let Err(refusal) = slot.may_begin(generation, request) {
            return refusal;
        }
        // On AWS the record is another item: it is looked at only if the slot knows of no ticket.
        let floor = match request.seen {
            _ if !rules.is_aws() => generation,
            Some(seen) => seen,
            None if self.slot.ticket == 0 && !rules.has(Mistake::LostTicketsRestart) => self.generation(),
            None => 0,
        };
        let mut ticket = self.slot.next_ticket(floor);
        if rules.has(Mistake::TicketsStandStill) {
            ticket = self.slot.ticket.max(1);
        }
        self.lease(ticket, request.now, request.urgency.demanded());
        LeaseDecision::Granted(ticket)
    }

    fn lease(&mut self, ticket: Ticket, now: Millis, demanded: Epoch) {
        (self.slot.ticket, self.slot.demanded) = (ticket, demanded);
        self.slot.lease = Some(Lease { ticket, from: now, until: now.plus(LEASE) });
        self.holder = None;
    }

    pub(crate) fn resume(&mut self, rules: Rules, ticket: Ticket, now: Millis) -> Option<Ticket> {
        let known = self.known(rules);
        if rules.has(Mistake::ResumesAnyTicket) && self.slot.ticket > ticket {
            return Some(self.slot.ticket);
        }
        if !self.slot.is_current(ticket, known) {
            return None;
        }
        let next = match rules.has(Mistake::ResumesWithoutExchange) {
            true => ticket,
            false => self.slot.next_ticket(known),
        };
        self.lease(next, now, 0);
        Some(next)
    }

    pub(crate) fn extend(&mut self, rules: Rules, ticket: Ticket, now: Millis) -> bool {
        let current = self.slot.is_current(ticket, self.known(rules));
        if current {
            self.lease(ticket, now, self.slot.demanded);
        }
        current
    }

    /// Writes the record; in an embedded store also all that follows from it.
    pub(crate) fn commit(&mut self, rules: Rules, record: Shown) -> Committed {
        let ticket = record.generation;
        if rules.has(Mistake::TicketsRestartAfterDelete) && record.deleted {
            (self.record, self.slot, self.noted) = (None, Slot::default(), 0);
            return Committed::Stored;
        }
        let ours = rules.is_aws() && self.record.as_ref() == Some(&record);
        if !supersedes(ticket, self.generation()) && !ours && !rules.has(Mistake::CommitsAnyTicket) {
            self.give_back(rules, ticket);
            return Committed::Superseded;
        }
        self.record = Some(record);
        if !rules.is_aws() {
            self.slot.failure = None;
            self.give_back(rules, ticket);
        }
        Committed::Stored
    }

    /// On AWS: tells the slot what is shown.
    pub(crate) fn note(&mut self, generation: Ticket) {
        if supersedes(generation, self.noted) {
            self.noted = generation;
        }
    }

    pub(crate) fn fail(&mut self, rules: Rules, ticket: Ticket, now: Millis) {
        let known = self.known(rules);
        if !self.slot.is_current(ticket, known) {
            return;
        }
        let failed = Failed { message: String::new(), retry_after: None, now };
        let slot = if rules.is_aws() { self.slot.clone().reconciled(known) } else { self.slot.clone() };
        self.slot.failure = Some(slot.failed("/page", ticket, failed));
        self.slot.lease = None;
        if rules.has(Mistake::FailureErasesTheRecord) {
            self.record = None;
        }
    }

    /// Gives a lease back. On AWS, forgetting the page is a step of its own.
    pub(crate) fn release(&mut self, rules: Rules, ticket: Ticket) {
        self.give_back(rules, ticket);
        if !rules.is_aws() || rules.has(Mistake::ForgetsAtOnce) {
            self.forget(rules, ticket);
        }
    }

    pub(crate) fn forget(&mut self, rules: Rules, ticket: Ticket) {
        let known = self.known(rules);
        let any = rules.has(Mistake::ForgetsOtherTickets) && self.slot.is_current(ticket, 0) && known == 0;
        // On AWS a first ticket that came after this one was given back may be found here.
        let given_back = self.slot.lease.is_none() || rules.has(Mistake::ForgetsAtOnce);
        if given_back && (any || self.slot.is_forgotten(ticket, known)) {
            (self.slot, self.holder) = (Slot::default(), None);
        }
    }

    fn give_back(&mut self, rules: Rules, ticket: Ticket) {
        if self.slot.is_newest(ticket) || rules.has(Mistake::ReleasesAnyLease) {
            self.slot.lease = None;
        }
    }

    /// On AWS: a slot that never heard of a commit is removed a day after anybody asked for it.
    pub(crate) fn may_expire(&self, rules: Rules) -> bool {
        rules.is_aws() && self.noted == 0 && self.slot.ticket > 0
    }

    pub(crate) fn advance(&mut self) -> Epoch {
        self.epoch += 1;
        self.epoch
    }

    pub(crate) fn stamp(&mut self, rules: Rules, epoch: Epoch) {
        let old = rules.has(Mistake::StampsTheOldEpoch);
        self.tag = self.tag.max(if old { epoch - 1 } else { epoch });
    }
}
