//! A render's course: the right to it, and what it came to.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Millis;
use crate::record::page_record::{Epoch, Record, Ticket};

/// The right to render, and what is known as it starts.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The render's number.
    pub ticket: Ticket,
    /// The site's epoch, read after the grant.
    pub epoch: Epoch,
    /// The record that will be replaced.
    pub replaces: Option<Arc<Record>>,
}

/// Answer to a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is the page's record now.
    Stored {
        /// The record it replaced. None for none, and if the answer that told was lost.
        replaced: Option<Arc<Record>>,
    },
    /// A newer render was committed before.
    Superseded,
}

/// How a render failed.
#[derive(Clone, Debug)]
pub struct Failed {
    /// What it said.
    pub message: String,
    /// What the upstream said about when to come back.
    pub retry_after: Option<Duration>,
    /// The present.
    pub now: Millis,
}
