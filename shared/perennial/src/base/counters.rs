//! Counters by route and outcome.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted of a route. The names are those of logs and response headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Answered with a stored, fresh page.
    Hit,
    /// Answered with a stored, stale page.
    Stale,
    /// Answered with a page that was generated for this visitor.
    Miss,
    /// Answered with a page that was too old to be shown and was renewed first.
    Revalidated,
    /// Answered with a page rendered for this request alone.
    Bypass,
    /// Answered with the route's shell.
    Shell,
    /// Answered with an error page.
    Error,
    /// A render became the page.
    Stored,
    /// A render gave what is stored already.
    Unchanged,
    /// A render ended after a newer one.
    Superseded,
    /// A render could not be stored.
    Unsaved,
    /// A render failed.
    Failed,
    /// A render asked to keep what there is.
    Kept,
}

/// Outcomes of answers.
pub(crate) const ANSWERS: [(Event, &str); 7] = [
    (Event::Hit, "hit"),
    (Event::Stale, "stale"),
    (Event::Miss, "miss"),
    (Event::Revalidated, "revalidated"),
    (Event::Bypass, "bypass"),
    (Event::Shell, "shell"),
    (Event::Error, "error"),
];

/// Outcomes of renders.
pub(crate) const RENDERS: [(Event, &str); 6] = [
    (Event::Stored, "stored"),
    (Event::Unchanged, "unchanged"),
    (Event::Superseded, "superseded"),
    (Event::Unsaved, "unsaved"),
    (Event::Failed, "failed"),
    (Event::Kept, "kept"),
];

/// One route's counters, since the process started.
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; ANSWERS.len() + RENDERS.len()]);

impl Counters {
    /// Counts one event.
    pub fn count(&self, event: Event) {
        self.0[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often an event was counted.
    pub fn get(&self, event: Event) -> u64 {
        self.0[event as usize].load(Ordering::Relaxed)
    }
}
