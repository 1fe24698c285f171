//! Counters per route and outcome, since the process started.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counted outcome of an answer or of a render on one route. Metrics use these names in lower case; the header
/// `x-perennial-cache` has its own labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Answered with a stored, fresh page.
    Hit,
    /// Answered with a stored, stale page.
    Stale,
    /// Answered with a page that was missing and was rendered while this visitor waited.
    Miss,
    /// Answered with a page that was stale beyond the route's `max_stale` and was rendered again first.
    Revalidated,
    /// Answered with a page rendered for this request alone.
    Bypass,
    /// Answered with the route's shell.
    Shell,
    /// Answered with an error page.
    Error,
    /// A render was committed.
    Stored,
    /// A render produced the stored content again.
    Unchanged,
    /// A newer render was committed first.
    Superseded,
    /// A render succeeded and could not be stored.
    Unsaved,
    /// A render failed.
    Failed,
    /// A render asked to keep the stored page (`Outcome::keep_stale`).
    KeptStale,
}

/// Outcomes of answers, with their names in metrics.
pub(crate) const ANSWERS: [(Event, &str); 7] = [
    (Event::Hit, "hit"),
    (Event::Stale, "stale"),
    (Event::Miss, "miss"),
    (Event::Revalidated, "revalidated"),
    (Event::Bypass, "bypass"),
    (Event::Shell, "shell"),
    (Event::Error, "error"),
];

/// Outcomes of renders, with their names in metrics.
pub(crate) const RENDERS: [(Event, &str); 6] = [
    (Event::Stored, "stored"),
    (Event::Unchanged, "unchanged"),
    (Event::Superseded, "superseded"),
    (Event::Unsaved, "unsaved"),
    (Event::Failed, "failed"),
    (Event::KeptStale, "kept"),
];

/// The counters of one route.
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; ANSWERS.len() + RENDERS.len()]);

impl Counters {
    /// Counts one event.
    pub fn count(&self, event: Event) {
        self.0[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The count of one event.
    pub fn get(&self, event: Event) -> u64 {
        self.0[event as usize].load(Ordering::Relaxed)
    }
}
