//! What publishers' calls come to.

use std::sync::Arc;

use crate::ports::edge::Purged;
use crate::ports::error::StoreError;
use crate::ports::pages::snapshot::Snapshot;
use crate::record::page_record::{Epoch, Stored};

/// Pages looked at in one read of the store.
pub(crate) const LIST_BATCH: usize = 500;

/// A publisher's call for one page.
pub type RevalidationResult = Result<Revalidation, PublishError>;

/// What a publisher's call for one page came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revalidation {
    /// The page was rendered after the call came, and is what everybody sees.
    Revalidated {
        /// What the shared cache was told.
        edge: Purged,
        /// What it is now, as [`Stored::name`] has it: `page`, `not-found` or `redirect`; none if that cannot be told.
        kind: Option<&'static str>,
    },
    /// The page had not been generated, and was to be left alone.
    NotGenerated,
}

/// Why a publisher's call was not carried out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// The route lists its pages, and this is none of them.
    #[error(
        "no such page: its route serves listed paths only, and this one was not listed when the site was built"
    )]
    NotListed,
    /// The route is never stored.
    #[error("pages of this route are rendered for every request: there is nothing to revalidate")]
    Dynamic,
    /// The render failed. The last good page stays, is stale, and is tried again.
    #[error("{0}")]
    Failed(Arc<str>),
    /// The page itself asked to be left as it is for now. It is stale, and is tried again.
    #[error("the page asked to keep what there is")]
    Kept,
    /// The store failed.
    #[error("{0}")]
    Store(Arc<str>),
    /// The store has it all, but the shared cache may go on with its copies until they get old.
    #[error("the shared cache was not told what changed, call again: {0}")]
    Edge(Arc<str>),
}

/// What an invalidation has marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Invalidation {
    /// Its number, to ask [`Engine::progress`] with.
    pub epoch: Epoch,
    /// Pages that the queue renews, or removes: of the first [`LOOKED_AT_FIRST`](crate::work::walk::LOOKED_AT_FIRST) that the store lists.
    pub queued: usize,
    /// Whether the store lists more.
    pub more: bool,
    /// What the shared cache was told.
    pub edge: Purged,
}

/// Whether a page is shown that was rendered before an invalidation that concerns it.
pub(crate) fn is_marked(snapshot: &Snapshot, epoch: Epoch) -> bool {
    let shown = snapshot.record.as_ref().filter(|r| r.stored != Stored::Deleted);
    snapshot.epochs.newest >= epoch && shown.is_some_and(|r| r.epoch < epoch)
}

impl From<StoreError> for PublishError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string().into())
    }
}
