//! The start and the end of a render: the grant, the answer to a commit, and a failure.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Millis;
use crate::record::page_record::{Epoch, Record, Ticket};

/// The state from which a granted render starts.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The render's ticket.
    pub ticket: Ticket,
    /// The site's epoch, read after the grant.
    pub epoch: Epoch,
    /// The record that the render will replace; `None` for a page without one.
    pub replaces: Option<Arc<Record>>,
}

/// The answer to a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// The record is now the page's.
    Stored {
        /// The replaced record. `None` if there was none, or if the store's first answer was lost and the call was repeated.
        replaced: Option<Arc<Record>>,
    },
    /// A newer render was committed before: nothing was written.
    Superseded,
}

/// A failed render.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The error's message.
    pub message: String,
    /// The pause that the upstream asked for (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// The time of the failure.
    pub now: Millis,
}
