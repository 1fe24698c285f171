//! The port to records, leases and epochs: all coordination goes through it.

pub mod grant;
pub mod slot;
pub mod snapshot;
pub mod urgency;
pub mod warmth;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Millis;
use crate::freshness::Epochs;
use crate::key::page_key::PageKey;
use crate::ports::error::StoreError;
#[cfg(doc)]
use crate::ports::error::StoreErrorKind;
use crate::ports::pages::grant::{Committed, Failed, Grant};
use crate::ports::pages::slot::{FailureNote, LeaseDecision, LeaseRequest};
use crate::ports::pages::snapshot::{Inline, Snapshot, Stamp, Wanted};
use crate::ports::pages::warmth::Warmest;
use crate::record::page_record::{Epoch, Record, Ticket};

/// Records, leases and epochs of one build. Tags and their epochs are shared by all builds.
///
/// Every method is one atomic step as far as its contract says, and every reader sees a write from the moment
/// its call returns. A call whose error is [`StoreErrorKind::Unsure`] may have been carried out; repeating it is harmless.
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

    /// Asks for the right to render. Granted iff no lease and no back-off holds (see [`Urgency`](crate::ports::pages::urgency::Urgency)) and the record is
    /// still the one that was judged. A grant increments the ticket and writes the lease in one conditional write; a
    /// refusal writes nothing.
    fn begin(
        &self,
        page: &PageKey,
        request: LeaseRequest,
    ) -> impl Future<Output = Result<LeaseDecision, StoreError>> + Send;

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
    fn extend(
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
    /// [`page_tags`](crate::key::tags::page_tags) and [`user_tag`](crate::key::tags::user_tag).
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
    /// the hour of each commit whose reason is a visitor's ([`Reason::First`](crate::record::reason::Reason::First),
    /// [`Reason::Stale`](crate::record::reason::Reason::Stale)), and keeps it through commits for publishers and builds. From after
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

    /// Whether the store knows which pages the build's routes list. One that was damaged may have lost it: then any server
    /// of the build tells it again.
    fn knows_listed(&self) -> impl Future<Output = Result<bool, StoreError>> + Send {
        async { Ok(true) }
    }

    /// Commits a build: its records, and then which pages its routes list. Records older than what is stored are left
    /// out. In one step where the store has such steps; where it has not, repeating completes what failed.
    fn publish(
        &self,
        records: &[(PageKey, Record, Inline)],
        listed: &[PageKey],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
