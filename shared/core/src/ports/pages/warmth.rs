//! Which pages visitors have wanted last, as far as commits tell.

use crate::ports::pages::snapshot::Snapshot;
#[cfg(any(feature = "aws", feature = "embedded"))]
use crate::record::page_record::Record;
#[cfg(any(feature = "aws", feature = "embedded"))]
use crate::record::reason::Reason;

/// A page among those of its route, by how long ago a visitor has wanted it.
#[derive(Clone, Debug)]
pub struct Warm {
    /// Where it is: to go on from.
    pub place: String,
    /// Its key's text.
    pub page: String,
    /// What is stored of it.
    pub snapshot: Snapshot,
}

/// Some of the pages of a route.
#[derive(Clone, Debug, Default)]
pub struct Warmest {
    /// Warmest first.
    pub pages: Vec<Warm>,
    /// The place to go on from; none after the last.
    pub next: Option<String>,
}

/// What is noted of a page that no visitor has wanted, as far as the store knows.
#[cfg(any(feature = "aws", feature = "embedded"))]
pub(crate) const COLD: u64 = 0;

/// What a commit tells of visitors: the hour in which one has wanted the page; none if it was not for one.
#[cfg(any(feature = "aws", feature = "embedded"))]
pub(crate) fn wanted_in_hour(record: &Record) -> Option<u64> {
    let by_visitor = matches!(record.reason, Reason::First | Reason::Stale);
    by_visitor.then_some(record.started_at.0 / 3_600_000)
}

/// The place of a page that was wanted in that hour. Warmer ones have greater texts.
#[cfg(any(feature = "aws", feature = "embedded"))]
pub(crate) fn place(hour: u64, page: &str) -> String {
    format!("{hour:08}#{page}")
}
