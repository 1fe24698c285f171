//! The result of reading a page, and what the caller wants of it.

use std::sync::Arc;

use bytes::Bytes;

use crate::freshness::{Epochs, is_shown};
use crate::ports::pages::slot::Slot;
use crate::record::page_record::{Form, Record, Stored, Ticket};

/// The effect of a stamped tag on pages that carry it and were rendered before: in all builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// The pages are shown, as stale, until they are renewed.
    Stale,
    /// The pages are not shown any more.
    Gone,
}

/// The caller's knowledge and needs, so that one round trip suffices.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// The record's own tags at the last read. The store reads their epochs together with the record.
    pub tags: &'a [String],
    /// The form whose inline body is wanted.
    pub body: Option<Form>,
}

/// Inline bodies: bodies that are small enough to be stored with the record as well, so that a hit takes one round trip. A
/// store whose bodies are as near as its records ignores them.
#[derive(Clone, Debug, Default)]
pub struct Inline {
    /// The HTML's stored bytes; `None` leaves the stored ones.
    pub html: Option<Bytes>,
    /// The data JSON's stored bytes; `None` leaves the stored ones.
    pub data: Option<Bytes>,
}

/// The result of [`Pages::read`](crate::ports::pages::Pages::read).
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The record; `None` if there is none, or if it is damaged.
    pub record: Option<Arc<Record>>,
    /// The generation of the newest commit, also of a damaged record; 0 for none.
    pub generation: Ticket,
    /// Tickets, lease and failure of the page.
    pub slot: Slot,
    /// The newest epochs of the page's implicit tags, and of the record's tags but for [`Snapshot::unread_tags`].
    pub epochs: Epochs,
    /// Tags of the record whose epochs have not been read: see [`Pages::epochs`](crate::ports::pages::Pages::epochs).
    pub unread_tags: Vec<String>,
    /// The wanted inline body, if the store has it.
    pub body: Option<Bytes>,
    /// Whether a route of the build lists this page.
    pub listed: bool,
}

impl Snapshot {
    /// The record, if visitors may be shown its page. Unread epochs do not count.
    pub fn shown(&self) -> Option<&Arc<Record>> {
        self.record.as_ref().filter(|record| is_shown(record, self.epochs))
    }

    /// Whether the page was deleted by tag, so that its stored content is not shown any more.
    pub fn is_gone(&self) -> bool {
        self.record.as_ref().is_some_and(|r| r.stored != Stored::Deleted && !is_shown(r, self.epochs))
    }
}
