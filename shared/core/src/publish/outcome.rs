//! Results and errors of on-demand revalidation.

use std::sync::Arc;

use crate::ports::edge::Purged;
use crate::ports::error::StoreError;
use crate::ports::pages::snapshot::Snapshot;
use crate::record::page_record::{Epoch, Stored};

/// Pages in one read of the store.
pub(crate) const LIST_BATCH: usize = 500;

/// The result of revalidating one page.
pub type RevalidationResult = Result<Revalidation, PublishError>;

/// The effect of revalidating one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revalidation {
    /// All visitors get a page whose render began after the call.
    Revalidated {
        /// What the purge of the shared cache came to.
        edge: Purged,
        /// What the page is now, as [`Stored::name`] names it: `page`, `not-found` or `redirect`; `None` if unknown.
        kind: Option<&'static str>,
    },
    /// The page had not been generated, and the call asked to leave such pages alone.
    NotGenerated,
}

/// Why a page or a tag was not revalidated.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// The route serves listed pages only, and this page is not listed.
    #[error(
        "no such page: its route serves listed paths only, and this one was not listed when the site was built"
    )]
    NotListed,
    /// Pages of a dynamic route are never stored.
    #[error("pages of this route are rendered for every request: there is nothing to revalidate")]
    Dynamic,
    /// The render failed. The last good page stays, stale, and is rendered again later.
    #[error("{0}")]
    Failed(Arc<str>),
    /// The page's own code asked to keep the stored page. That page is stale, and is rendered again later.
    #[error("the page asked to keep what there is")]
    KeptStale,
    /// The store failed.
    #[error("{0}")]
    Store(Arc<str>),
    /// The store has the change, but the shared cache may serve its copies until they expire.
    #[error("the shared cache was not told what changed, call again: {0}")]
    Edge(Arc<str>),
}

/// The effect of an invalidation or a deletion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Invalidation {
    /// Its epoch: the id for [`Engine::progress`](crate::engine::Engine::progress).
    pub epoch: Epoch,
    /// Pages that the queue renews or removes, among the first 100 that the store lists.
    pub queued: usize,
    /// Whether the store lists more pages than those.
    pub more: bool,
    /// What the purge of the shared cache came to.
    pub edge: Purged,
}

/// Whether visitors still get a page that was rendered before the invalidation of this epoch, which concerns that page.
pub(crate) fn is_marked(snapshot: &Snapshot, epoch: Epoch) -> bool {
    let shown = snapshot.record.as_ref().filter(|r| r.stored != Stored::Deleted);
    snapshot.epochs.newest >= epoch && shown.is_some_and(|r| r.epoch < epoch)
}

impl From<StoreError> for PublishError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string().into())
    }
}
