//! What renders come to.

use std::sync::Arc;
use std::time::Duration;

use crate::memory::Entry;

/// Why a lease was given back.
pub(crate) const STOPPING: &str = "the process is stopping";

/// What became of a render.
#[derive(Clone, Debug)]
pub enum Refreshed {
    /// It is the page now.
    Stored(Arc<Entry>),
    /// Its content is the page's already: only its freshness was written.
    Unchanged(Arc<Entry>),
    /// A newer render was committed before.
    Superseded,
    /// It was rendered, but the store could not keep it.
    Unsaved(Arc<Entry>),
    /// It was rendered, but the process is stopping and has given the lease back: it is not stored.
    GivenBack(Arc<Entry>),
    /// It failed; what was stored stays.
    Failed {
        /// Why.
        message: Arc<str>,
        /// What the upstream said about when to come back.
        retry_after: Option<Duration>,
    },
    /// It asked to keep what is stored.
    Kept,
}

/// Why a visitor gets no page.
#[derive(Clone, Debug)]
pub struct VisitError {
    /// 500 for a failed render, 503 for a limit that was reached.
    pub status: u16,
    /// For the log, and for the author in `dev`; never for a visitor.
    pub message: Arc<str>,
}

impl VisitError {
    pub(crate) fn new(status: u16, message: impl Into<Arc<str>>) -> Self {
        Self { status, message: message.into() }
    }
}
