//! Results of renders.

use std::sync::Arc;
use std::time::Duration;

use crate::memory::Entry;

/// The message of a render whose lease was given back.
pub(crate) const STOPPING: &str = "the process is stopping";

/// The result of a render under a lease.
#[derive(Clone, Debug)]
pub enum Refreshed {
    /// The render was committed.
    Stored(Arc<Entry>),
    /// The content is the stored one: only the page's freshness was written.
    Unchanged(Arc<Entry>),
    /// A newer render was committed first.
    Superseded,
    /// The render succeeded and was not stored: the store failed, or a limit on stored pages is reached.
    Unsaved(Arc<Entry>),
    /// The render succeeded and was not stored, because the process is stopping and has given the lease back.
    GivenBack(Arc<Entry>),
    /// The render failed; the stored page stays.
    Failed {
        /// The error.
        message: Arc<str>,
        /// The pause that the upstream asked for (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// The page asked to keep the stored page (`Outcome::keep_stale`).
    KeptStale,
}

/// An error in place of a page.
#[derive(Clone, Debug)]
pub struct VisitError {
    /// 500 for a failed render, 503 for a reached limit.
    pub status: u16,
    /// The error, for the log, and in `dev` for the author. Visitors never see it.
    pub message: Arc<str>,
}

impl VisitError {
    pub(crate) fn new(status: u16, message: impl Into<Arc<str>>) -> Self {
        Self { status, message: message.into() }
    }
}
