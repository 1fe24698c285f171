//! What a store says of a page in one read.

use std::sync::Arc;

use bytes::Bytes;

use crate::freshness::{Epochs, is_shown};
use crate::ports::pages::slot::Slot;
use crate::record::page_record::{Form, Record, Stored, Ticket};

/// What becomes of pages that carry a tag and were rendered before it was stamped: in all builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// They are shown until they are renewed.
    Stale,
    /// They are not shown any more.
    Gone,
}

/// What a reader knows already and what it needs, so that one round trip brings it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// User tags the record had when it was read last.
    pub tags: &'a [String],
    /// The form whose body is wanted, if the store keeps it beside the record.
    pub body: Option<Form>,
}

/// Bodies small enough to be kept beside the record as well, so that a hit is one round trip. A store whose bodies are
/// as near as its records keeps none.
#[derive(Clone, Debug, Default)]
pub struct Inline {
    /// The HTML's stored bytes; `None` leaves what is kept.
    pub html: Option<Bytes>,
    /// The data JSON's stored bytes; `None` leaves what is kept.
    pub data: Option<Bytes>,
}

/// What [`Pages::read`](crate::ports::pages::Pages::read) found.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The record, unless there is none or it cannot be read.
    pub record: Option<Arc<Record>>,
    /// The number of the newest commit, even of a record that cannot be read; 0 for none.
    pub generation: Ticket,
    /// Who may render.
    pub slot: Slot,
    /// The newest epochs of the page's implicit tags and of those of its record that are not unread.
    pub epochs: Epochs,
    /// Tags of the record whose epochs are not among these yet.
    pub unread_tags: Vec<String>,
    /// The stored bytes of the wanted body, if they are kept beside the record.
    pub body: Option<Bytes>,
    /// Whether the build listed this page.
    pub listed: bool,
}

impl Snapshot {
    /// The record, if there is something to show in it, as far as the epochs are known.
    pub fn shown(&self) -> Option<&Arc<Record>> {
        self.record.as_ref().filter(|record| is_shown(record, self.epochs))
    }

    /// Whether something is stored that was deleted, and is not shown any more.
    pub fn is_gone(&self) -> bool {
        self.record.as_ref().is_some_and(|r| r.stored != Stored::Deleted && !is_shown(r, self.epochs))
    }
}
