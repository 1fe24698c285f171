//! The port to records, leases and epochs: all coordination goes through it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Millis;
use crate::freshness::{Epochs, back_off, holds, is_shown};
use crate::key::PageKey;
use crate::record::{Epoch, Form, Record, Stored, Ticket};
use crate::store::StoreError;

mod course;
#[cfg(feature = "aws")]
pub mod dynamodb;
#[cfg(feature = "embedded")]
pub mod sqlite;
#[cfg(any(test, feature = "testing"))]
pub mod suite;
mod urgency;
mod warmth;

pub use course::{Committed, Failed, Grant};
pub use urgency::Urgency;
#[cfg(any(feature = "aws", feature = "embedded"))]
pub(crate) use warmth::{COLD, place, wanted_in_hour};
pub use warmth::{Warm, Warmest};

/// Records, leases and epochs of one build. Tags and their epochs are shared by all builds.
///
/// Every method is one atomic step as far as its contract says, and every reader sees a write from the moment
/// its call returns. An error that is [`StoreError::Unsure`] may have been carried out; repeating is harmless.
pub trait Pages: Send + Sync + 'static {
    /// A number that differs from every earlier one once any process has changed anything; cheap enough for every
    /// request. `None` if the store cannot tell: then nothing read may be used again.
    fn version(&self) -> Option<u64>;

    /// The same store, as a process of another build sees it.
    #[must_use]
    fn of_build(&self, build: &Arc<str>) -> Self
    where
        Self: Sized;

    /// The page's record, its slot and the newest epoch of its tags. Each is at least as new as the call. A record
    /// that is damaged counts as none, and is logged. One round trip: a store that learns of tags only by reading
    /// the record leaves those that were not `wanted` to [`Pages::epochs`].
    ///
    /// A store that could read the record, and not all that is beside it, says what it has: then the epochs are
    /// [`partial`](Epochs::partial), the slot is as if nobody had ever asked to render, or there is no body.
    fn read(
        &self,
        page: &PageKey,
        wanted: Wanted<'_>,
    ) -> impl Future<Output = Result<Snapshot, StoreError>> + Send;

    /// The newest epochs of these [`Snapshot::unread_tags`]; [`partial`](Epochs::partial) if only some could be read.
    fn epochs(&self, tags: &[String]) -> impl Future<Output = Result<Epochs, StoreError>> + Send;

    /// Asks for the right to render. Granted iff no lease and no back-off holds (see [`Urgency`]) and the record is
    /// still the one that was judged. A grant increments the ticket and writes the lease in one conditional write; a
    /// refusal writes nothing.
    fn begin(&self, page: &PageKey, ask: Ask) -> impl Future<Output = Result<Begun, StoreError>> + Send;

    /// Takes up a ticket that somebody else got and passed on: exchanges it for the next one and a new lease. `None`
    /// if a newer ticket has been handed out or this one is already committed; so of all deliveries of one job, one
    /// renders.
    fn resume(
        &self,
        page: &PageKey,
        ticket: Ticket,
        lease: Duration,
        now: Millis,
    ) -> impl Future<Output = Result<Option<Ticket>, StoreError>> + Send;

    /// What the render of a granted ticket starts from. Called after the grant and before any content is fetched, so
    /// that an invalidation since then finds the render's epoch older.
    fn prepare(
        &self,
        page: &PageKey,
        ticket: Ticket,
    ) -> impl Future<Output = Result<Grant, StoreError>> + Send;

    /// Extends the lease of this ticket. `false` if it is no longer the newest.
    fn renew(
        &self,
        page: &PageKey,
        ticket: Ticket,
        lease: Duration,
        now: Millis,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Makes `record` the page's iff its generation (the ticket) is above the stored one's, and then forgets past
    /// failures. Releases the lease of that ticket.
    fn commit(
        &self,
        page: &PageKey,
        record: &Record,
        inline: &Inline,
    ) -> impl Future<Output = Result<Committed, StoreError>> + Send;

    /// Notes that the render of this ticket failed, and releases its lease; tells what was noted. Ignored if a newer
    /// ticket was handed out. `retry_at` holds renders back only where there is a record to show.
    fn fail(
        &self,
        page: &PageKey,
        ticket: Ticket,
        failed: Failed,
    ) -> impl Future<Output = Result<Option<FailureNote>, StoreError>> + Send;

    /// Gives the lease of this ticket back, as if it had not been granted: a page nobody knew is forgotten. Ignored
    /// if it is not the newest.
    fn release(&self, page: &PageKey, ticket: Ticket) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Advances the site's epoch, then stamps every tag with it, then returns it. Whatever number of pages carry a
    /// tag, it is one write, or two for those that are to be gone. Tags are those of
    /// [`page_tags`](crate::tags::page_tags) and [`user_tag`](crate::tags::user_tag).
    fn invalidate(
        &self,
        tags: &[String],
        how: Stamp,
    ) -> impl Future<Output = Result<Epoch, StoreError>> + Send;

    /// The site's epoch: no invalidation has been given a greater number; 0 before the first.
    fn epoch(&self) -> impl Future<Output = Result<Epoch, StoreError>> + Send;

    /// Pages in the order of their keys' texts: those that begin with `prefix` and come after `after`, with no unread
    /// tags. A page that became known a moment ago may be left out.
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(String, Snapshot)>, StoreError>> + Send;

    /// Pages of a route that have a record, those first that a visitor has wanted last, as far as the store knows: it notes
    /// the hour of each commit whose reason is a visitor's ([`Reason::First`](crate::page::Reason::First),
    /// [`Reason::Stale`](crate::page::Reason::Stale)), and keeps it through commits for publishers and builds. From after
    /// the place of an earlier answer on, with no unread tags. A page whose place changes meanwhile may be left out.
    fn warmest(
        &self,
        route: &str,
        after: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Warmest, StoreError>> + Send;

    /// How many pages of a route are stored as not found, counted up to `most`.
    fn count_not_found(
        &self,
        route: &str,
        most: usize,
    ) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// How many pages of a route are stored while one more of them is rendered, counted up to `most`. Others that are
    /// rendered for the first time may count.
    fn count_stored(
        &self,
        route: &str,
        most: usize,
    ) -> impl Future<Output = Result<usize, StoreError>> + Send {
        async move { Ok(self.list(&format!("{route}|"), None, most).await?.len()) }
    }

    /// Commits a build: its records, and then which pages its routes list. Records older than what is stored are left
    /// out. In one step where the store has such steps; where it has not, repeating completes what failed.
    fn publish(
        &self,
        records: &[(PageKey, Record, Inline)],
        listed: &[PageKey],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// What becomes of pages that carry a tag and were rendered before it was stamped: in all builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// They are shown until they are renewed.
    Stale,
    /// They are not shown any more.
    Gone,
}

/// What a reader knows already and what it needs, so that one round trip brings it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// User tags the record had when it was read last.
    pub tags: &'a [String],
    /// The form whose body is wanted, if the store keeps it beside the record.
    pub body: Option<Form>,
}

/// Bodies small enough to be kept beside the record as well, so that a hit is one round trip. A store whose bodies are
/// as near as its records keeps none.
#[derive(Clone, Debug, Default)]
pub struct Inline {
    /// The HTML's stored bytes; `None` leaves what is kept.
    pub html: Option<Bytes>,
    /// The data JSON's stored bytes; `None` leaves what is kept.
    pub data: Option<Bytes>,
}

/// What [`Pages::read`] found.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The record, unless there is none or it cannot be read.
    pub record: Option<Arc<Record>>,
    /// The number of the newest commit, even of a record that cannot be read; 0 for none.
    pub generation: Ticket,
    /// Who may render.
    pub slot: Slot,
    /// The newest epochs of the page's implicit tags and of those of its record that are not unread.
    pub epochs: Epochs,
    /// Tags of the record whose epochs are not among these yet.
    pub unread_tags: Vec<String>,
    /// The stored bytes of the wanted body, if they are kept beside the record.
    pub body: Option<Bytes>,
    /// Whether the build listed this page.
    pub listed: bool,
}

impl Snapshot {
    /// The record, if there is something to show in it, as far as the epochs are known.
    pub fn shown(&self) -> Option<&Arc<Record>> {
        self.record.as_ref().filter(|record| is_shown(record, self.epochs))
    }

    /// Whether something is stored that was deleted, and is not shown any more.
    pub fn is_gone(&self) -> bool {
        self.record.as_ref().is_some_and(|r| r.stored != Stored::Deleted && !is_shown(r, self.epochs))
    }
}

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

    /// The decision of [`Pages::begin`]: in these words for a store that holds a slot and its record in one place, and
    /// to tell why for one that decides by a conditional write.
    pub fn may_begin(&self, generation: Ticket, ask: &Ask) -> Result<(), Begun> {
        if ask.judged.is_some_and(|judged| judged != generation) {
            return Err(Begun::Unneeded);
        }
        let lease = match ask.urgency {
            Urgency::Ordinary | Urgency::Missing => self.lease_at(ask.now),
            Urgency::Demand(_) => self.demand_at(ask.now),
            Urgency::Overriding => None,
        };
        if let Some(lease) = lease {
            return Err(Begun::Busy(lease));
        }
        let held_back = generation > 0 && ask.urgency == Urgency::Ordinary;
        match self.backed_off_until(ask.now).filter(|_| held_back) {
            Some(until) => Err(Begun::BackedOff { until }),
            None => Ok(()),
        }
    }

    /// The ticket of a grant: above every one before it, and above what is shown even if the slot was lost.
    pub fn next_ticket(&self, generation: Ticket) -> Ticket {
        self.ticket.max(generation) + 1
    }

    /// The condition of [`Pages::resume`], [`Pages::renew`] and [`Pages::fail`]: the ticket is the newest, and was not
    /// committed.
    pub fn is_current(&self, ticket: Ticket, generation: Ticket) -> bool {
        self.is_newest(ticket) && supersedes(ticket, generation)
    }

    /// The condition of [`Pages::release`]: nobody was granted a lease since.
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
    pub fn beside(self, generation: Ticket) -> Self {
        let lease = self.lease.filter(|lease| supersedes(lease.ticket, generation));
        let failure = self.failure.filter(|failure| supersedes(failure.ticket, generation));
        Self { lease, failure, ..self }
    }
}

/// The condition of [`Pages::commit`]: a render is shown only in the place of one with an older ticket.
pub fn supersedes(ticket: Ticket, generation: Ticket) -> bool {
    ticket > generation
}

/// A wish to render.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// The generation the caller saw (0 for none); `None` if it does not matter.
    pub judged: Option<Ticket>,
    /// Whose leases and back-offs hold it up.
    pub urgency: Urgency,
    /// How long the lease is to last.
    pub lease: Duration,
    /// The present.
    pub now: Millis,
}

/// Answer to a wish to render.
#[derive(Clone, Debug)]
pub enum Begun {
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
    Unneeded,
}
