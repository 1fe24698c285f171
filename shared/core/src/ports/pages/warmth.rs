//! The order in which a walk renews pages: those first that visitors have asked for last, as far as commits tell.

use crate::ports::pages::snapshot::Snapshot;
#[cfg(any(feature = "aws", feature = "embedded"))]
use crate::record::page_record::Record;
#[cfg(any(feature = "aws", feature = "embedded"))]
use crate::record::reason::Reason;

/// One page in that order.
#[derive(Clone, Debug)]
pub struct Warm {
    /// The page's place in the order.
    pub place: String,
    /// The page's key, as text.
    pub page: String,
    /// The page as read from the store, without unread tags.
    pub snapshot: Snapshot,
}

/// Some of the pages of a route.
#[derive(Clone, Debug, Default)]
pub struct Warmest {
    /// The pages, warmest first.
    pub pages: Vec<Warm>,
    /// The `after` of the next call; `None` after the last page.
    pub next: Option<String>,
}

/// The hour that is stored for a page that no visitor has asked for.
#[cfg(any(feature = "aws", feature = "embedded"))]
pub(crate) const COLD: u64 = 0;

/// The hour since 1970 in which a visitor asked for the page; `None` if the render was for no visitor.
#[cfg(any(feature = "aws", feature = "embedded"))]
pub(crate) fn wanted_in_hour(record: &Record) -> Option<u64> {
    let by_visitor = matches!(record.reason, Reason::First | Reason::Stale);
    by_visitor.then_some(record.started_at.0 / 3_600_000)
}

/// The place of a page that a visitor asked for in that hour. Warmer pages have greater places.
#[cfg(any(feature = "aws", feature = "embedded"))]
pub(crate) fn place(hour: u64, page: &str) -> String {
    format!("{hour:08}#{page}")
}
