//! The table's items: their keys, and the attributes of a slot's item.
//!
//! | `pk` | `sk` | holds |
//! |---|---|---|
//! | `page#BUILD#HASH` | `record` | the record as JSON and its generation |
//! | | `slot` | ticket, lease, demanded epoch, newest failure, known generation, whether the page is listed |
//! | | `html`, `data` | an inline body and its generation |
//! | `tag#TAG` | `epoch` | the newest epoch of a tag, and of its deletions (`gone`) |
//! | `epoch` | `epoch` | the site's epoch |
//!
//! Records, slots and bodies are separate items, because DynamoDB bills a write by the size of the whole item.
//!
//! The index `list` has the slots under `pages#BUILD#SHARD`, not-found records under `gone#BUILD#ROUTE`, and all other records
//! under `warm#BUILD#ROUTE`, in the order of the hour of their last visitor. The index holds keys alone. A write that changes
//! no key costs nothing in the index: that is why it has hours and no exact times.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::clock::Millis;
use crate::freshness::Epochs;
use crate::key::page_key::PageKey;
use crate::ports::pages::slot::{FailureNote, Lease, Slot};
use crate::record::page_record::{Epoch, Form, Record, Ticket};
use crate::stores::aws::item::{AttributeValue, Item, key, name, number, text};

/// The index that lists pages, and its keys.
pub(super) const INDEX: &str = "list";
pub(super) const LIST_PK: &str = "lpk";
pub(super) const LIST_SK: &str = "lsk";

/// The number of index keys for the pages of one build, because one key takes 1,000 writes a second
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html>).
pub(super) const SHARDS: u8 = 8;

/// The keys of one build's pages.
pub(super) struct Keys<'a> {
    pub(super) build: &'a str,
}

impl Keys<'_> {
    fn page(&self, page: &PageKey) -> String {
        format!("page#{}#{}", self.build, page.hash())
    }

    pub(super) fn record(&self, page: &PageKey) -> Item {
        key(self.page(page), "record")
    }

    pub(super) fn slot(&self, page: &PageKey) -> Item {
        key(self.page(page), "slot")
    }

    pub(super) fn body(&self, page: &PageKey, form: Form) -> Item {
        key(self.page(page), if form == Form::Html { "html" } else { "data" })
    }

    /// The index key of one shard of the build's pages.
    pub(super) fn shard(&self, shard: u8) -> String {
        format!("pages#{}#{shard}", self.build)
    }

    /// The index key of a page's shard.
    pub(super) fn shard_of(&self, page: &PageKey) -> String {
        let first = u8::from_str_radix(&page.hash()[..2], 16).unwrap_or(0);
        self.shard(first % SHARDS)
    }

    /// The index key of a route's pages in the order of their warmth.
    pub(super) fn warm(&self, route: &str) -> String {
        format!("warm#{}#{}", self.build, name(route))
    }

    /// The index key of a route's not-found pages.
    pub(super) fn gone(&self, route: &str) -> String {
        format!("gone#{}#{}", self.build, name(route))
    }
}

pub(super) fn tag_key(tag: &str) -> Item {
    key(format!("tag#{}", name(tag)), "epoch")
}

pub(super) fn epoch_key() -> Item {
    key("epoch".into(), "epoch")
}

/// The epochs in a tag's item.
pub(super) fn epochs(item: Option<&Item>) -> Epochs {
    let gone = item.and_then(|item| number(item, "gone")).unwrap_or(0);
    Epochs { newest: epoch(item), gone, partial: false }
}

pub(super) fn epoch(item: Option<&Item>) -> Epoch {
    item.and_then(|item| number(item, "epoch")).unwrap_or(0)
}

/// The record in an item. `None` for a damaged record, which the next render replaces.
pub(super) fn record(item: &Item) -> Option<Arc<Record>> {
    match Record::from_bytes(text(item, "record")?.as_bytes()) {
        Ok(record) => Some(Arc::new(record)),
        Err(error) => {
            let page = text(item, "page");
            tracing::warn!(page, "a stored record cannot be read and counts as missing: {error}");
            None
        }
    }
}

/// The bytes of an inline body; `None` if they do not have this hash.
pub(super) fn body(item: Item, sha256: &str) -> Option<Bytes> {
    let same = text(&item, "sha256") == Some(sha256);
    let bytes = item.into_iter().find(|(name, _)| name == "body")?.1;
    match bytes {
        AttributeValue::B(bytes) if same => Some(Bytes::from(bytes.into_inner())),
        _ => None,
    }
}

/// The content of a slot's item.
#[derive(Default)]
pub(super) struct SlotItem {
    /// The slot as stored. It may still have the lease or failure of a committed ticket.
    slot: Slot,
    /// The newest generation that the slot knows of. It is behind the record if a process died between the two writes.
    pub(super) shown: Ticket,
    pub(super) listed: bool,
    /// The name of the call that wrote the lease.
    pub(super) holder: Option<String>,
}

impl SlotItem {
    pub(super) fn read(item: &Item) -> Self {
        let ticket = number(item, "ticket").unwrap_or(0);
        let lease = match (number(item, "lease_from"), number(item, "lease_until")) {
            (Some(from), Some(until)) => Some(Lease { ticket, from: Millis(from), until: Millis(until) }),
            _ => None,
        };
        let failure = number(item, "failed_ticket").map(|ticket| FailureNote {
            ticket,
            count: number(item, "failures").and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
            at: Millis(number(item, "failed_at").unwrap_or(0)),
            retry_at: Millis(number(item, "retry_at").unwrap_or(0)),
            message: text(item, "error").unwrap_or("").to_owned(),
        });
        Self {
            slot: Slot { ticket, lease, demanded: number(item, "demanded").unwrap_or(0), failure },
            shown: number(item, "shown").unwrap_or(0),
            listed: item.contains_key("listed"),
            holder: text(item, "holder").map(ToOwned::to_owned),
        }
    }

    /// The slot, given the record's generation: see [`Slot::reconciled`].
    pub(super) fn slot(self, generation: Ticket) -> Slot {
        self.slot.reconciled(self.shown.max(generation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::suite::pages::kit::page;
    use crate::stores::aws::item::n;

    #[test]
    fn pages_are_spread_over_the_index() {
        let keys = Keys { build: "b" };
        let mut shards: Vec<_> = (0..200).map(|i| keys.shard_of(&page(&i.to_string()))).collect();
        shards.sort();
        shards.dedup();
        assert_eq!(shards.len(), usize::from(SHARDS));
    }

    #[test]
    fn what_a_commit_has_ended_is_not_shown() {
        let item: Item =
            [("ticket", 5), ("lease_from", 1), ("lease_until", 9), ("failed_ticket", 4), ("shown", 3)]
                .map(|(name, value)| (name.to_owned(), n(value)))
                .into();
        let before = SlotItem::read(&item).slot(0);
        assert!(before.lease.is_some() && before.failure.is_some());
        let between = SlotItem::read(&item).slot(4);
        assert!(between.lease.is_some() && between.failure.is_none());
        let after = SlotItem::read(&item).slot(5);
        assert_eq!(after, Slot { ticket: 5, ..Slot::default() });
    }
}
