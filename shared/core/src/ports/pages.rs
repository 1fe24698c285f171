//! The port to records, leases and epochs. Processes coordinate through this port alone.

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
/// Each method is atomic unless its contract says otherwise. Once a write has returned, every reader sees the write. A call
/// that fails with [`StoreErrorKind::Unsure`] may have been carried out; repeating the call is harmless.
pub trait Pages: Send + Sync + 'static {
    /// The store's version: a new number after any change by any process. The call is cheap enough for every request. `None`
    /// if the store has no version, or cannot read it: then no earlier read may be used again.
    fn version(&self) -> Option<u64>;

    /// The same store, as a process of another build sees it.
    #[must_use]
    fn of_build(&self, build: &Arc<str>) -> Self
    where
        Self: Sized;

    /// Reads the page's record, its slot and the newest epochs of its tags, each as of this call or later. A damaged record
    /// is logged and counts as none. The call takes one round trip: a store that knows the tags only from the record reads
    /// the epochs of the `wanted` tags, and leaves the others to [`Pages::epochs`].
    ///
    /// A store that has read the record and fails to read the rest returns the record: then the epochs are
    /// [`partial`](Epochs::partial), the slot is that of a new page, or the body is missing.
    fn read(
        &self,
        page: &PageKey,
        wanted: Wanted<'_>,
    ) -> impl Future<Output = Result<Snapshot, StoreError>> + Send;

    /// The newest epochs of these [`Snapshot::unread_tags`]; [`partial`](Epochs::partial) if only some could be read.
    fn epochs(&self, tags: &[String]) -> impl Future<Output = Result<Epochs, StoreError>> + Send;

    /// Requests the lease to render a page. The store grants it if no lease and no back-off holds (which of them count, the
    /// [`Urgency`](crate::ports::pages::urgency::Urgency) tells) and the page still has the generation that the caller has
    /// seen. A grant increments the ticket and writes the lease in one conditional write. A refusal writes nothing.
    fn begin(
        &self,
        page: &PageKey,
        request: LeaseRequest,
    ) -> impl Future<Output = Result<LeaseDecision, StoreError>> + Send;

    /// Exchanges the ticket of a job for the next ticket and a new lease. `None` if a newer ticket was granted, or if this one
    /// is committed: of all deliveries of one job, only one renders.
    fn resume(
        &self,
        page: &PageKey,
        ticket: Ticket,
        lease: Duration,
        now: Millis,
    ) -> impl Future<Output = Result<Option<Ticket>, StoreError>> + Send;

    /// Reads the state from which a granted render starts. The caller fetches content only afterwards, so that any later
    /// invalidation has a newer epoch than the render.
    fn prepare(
        &self,
        page: &PageKey,
        ticket: Ticket,
    ) -> impl Future<Output = Result<Grant, StoreError>> + Send;

    /// Extends the lease of this ticket. `false` if the ticket is no longer the newest, or is committed.
    fn extend(
        &self,
        page: &PageKey,
        ticket: Ticket,
        lease: Duration,
        now: Millis,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Stores `record` if its generation (the ticket) is above the stored one. A commit ends the leases and forgets the failures
    /// of that ticket and of older ones.
    fn commit(
        &self,
        page: &PageKey,
        record: &Record,
        inline: &Inline,
    ) -> impl Future<Output = Result<Committed, StoreError>> + Send;

    /// Notes the failed render of this ticket, releases its lease, and returns the note. `None`, and no effect, if a newer
    /// ticket was granted or this one is committed. The back-off of the note applies only to pages with a record.
    fn fail(
        &self,
        page: &PageKey,
        ticket: Ticket,
        failed: Failed,
    ) -> impl Future<Output = Result<Option<FailureNote>, StoreError>> + Send;

    /// Gives back the lease of this ticket. A page of which the store knew nothing before the grant is forgotten again. No
    /// effect if the ticket is not the newest.
    fn release(&self, page: &PageKey, ticket: Ticket) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Advances the site's epoch, stamps every tag with the new epoch, and returns the epoch. A tag takes one write (two with
    /// [`Stamp::Gone`]), whatever number of pages carry the tag. Tags have the spelling of
    /// [`page_tags`](crate::key::tags::page_tags) and [`user_tag`](crate::key::tags::user_tag).
    fn invalidate(
        &self,
        tags: &[String],
        how: Stamp,
    ) -> impl Future<Output = Result<Epoch, StoreError>> + Send;

    /// The site's epoch: that of the newest invalidation; 0 before the first.
    fn epoch(&self) -> impl Future<Output = Result<Epoch, StoreError>> + Send;

    /// At most `limit` pages whose keys begin with `prefix`, in the order of their keys, from behind the key `after`. Their
    /// snapshots have no unread tags. A page that was stored a moment ago may be missing.
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(String, Snapshot)>, StoreError>> + Send;

    /// At most `limit` pages of a route that have a record, warmest first, from behind the place `after`
    /// ([`Warmest::next`] of an earlier call). A page is as warm as the last hour in which a commit had a visitor's reason
    /// ([`Reason::First`](crate::record::reason::Reason::First), [`Reason::Stale`](crate::record::reason::Reason::Stale));
    /// commits for publishers and builds do not change that hour. Snapshots have no unread tags. A page whose place changes
    /// between two calls may be missing.
    fn warmest(
        &self,
        route: &str,
        after: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Warmest, StoreError>> + Send;

    /// The number of pages of a route that are stored as not found; `most` if there are more.
    fn count_not_found(
        &self,
        route: &str,
        most: usize,
    ) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// The number of stored pages of a route; `most` if there are more. Pages that are being rendered for the first time may
    /// count, too.
    fn count_stored(
        &self,
        route: &str,
        most: usize,
    ) -> impl Future<Output = Result<usize, StoreError>> + Send {
        async move { Ok(self.list(&format!("{route}|"), None, most).await?.len()) }
    }

    /// Whether the store knows the pages that the build's routes list. A damaged store may have lost them; a server of the
    /// build then publishes the list again.
    fn knows_listed(&self) -> impl Future<Output = Result<bool, StoreError>> + Send {
        async { Ok(true) }
    }

    /// Commits a build: first its records, then the list of pages of its routes. Records that are older than the stored ones
    /// are left out. The call is atomic where the store has transactions; elsewhere a repetition completes a failed call.
    fn publish(
        &self,
        records: &[(PageKey, Record, Inline)],
        listed: &[PageKey],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
