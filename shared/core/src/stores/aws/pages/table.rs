//! The table, with the build whose records are read and written.

use std::sync::Arc;

use crate::base::clock::Clock;
use crate::key::page_key::PageKey;
use crate::ports::error::StoreError;
use crate::stores::aws::dynamodb::{Request, Table};
use crate::stores::aws::errors::{Failure, write_error};
use crate::stores::aws::item::{Item, name, s};
use crate::stores::aws::pages::batch::Reads;
use crate::stores::aws::pages::item::{Keys, SlotItem};
use crate::stores::aws::retries::Retries;

/// How long a slot without a commit is kept after its last lease request.
pub(super) const UNCOMMITTED_KEPT_MS: u64 = 24 * 60 * 60 * 1000;

/// The `expires` of items without an end, in seconds since 1970: the year 2200. DynamoDB's time to live removes expired items.
pub(super) const NEVER_EXPIRES_S: u64 = 7_258_118_400;

/// The most concurrent writes of one call.
pub(super) const WRITES_AT_ONCE: usize = 16;

/// A table and the build whose records are read and written in it.
#[derive(Clone)]
pub(super) struct PagesTable {
    pub(super) table: Table,
    pub(super) build: Arc<str>,
    pub(super) reads: Reads,
}

impl PagesTable {
    /// The records of `build`. The clock limits the rate of log lines.
    pub(super) fn new(table: Table, build: Arc<str>, clock: Arc<dyn Clock>, retries: Retries) -> Self {
        Self { reads: Reads::new(table.clone(), clock, retries), table, build }
    }

    pub(super) fn keys(&self) -> Keys<'_> {
        Keys { build: &self.build }
    }

    pub(super) fn update(&self, key: Item) -> Request {
        self.table.update_item(key)
    }

    /// Carries out a conditional update. `None`: the condition did not hold.
    pub(super) async fn update_if(&self, update: Request) -> Result<Option<Item>, StoreError> {
        write_if(update, "dynamodb:UpdateItem", "write a record").await
    }

    pub(super) async fn read_slot(&self, page: &PageKey) -> Result<SlotItem, StoreError> {
        let key = self.keys().slot(page);
        let found = self.reads.get_all(vec![key.clone()]).await?;
        Ok(found.get(&key).map(SlotItem::read).unwrap_or_default())
    }
}

/// Carries out a conditional write. `None`: the condition did not hold.
pub(super) async fn write_if(write: Request, action: &str, what: &str) -> Result<Option<Item>, StoreError> {
    match write.send().await {
        Ok(done) => Ok(Some(done.attributes.unwrap_or_default())),
        Err(Failure::Refused(_)) => Ok(None),
        Err(error) => Err(write_error(action, what, &error)),
    }
}

/// The condition [`supersedes`](crate::ports::pages::slot::supersedes).
pub(super) const SUPERSEDES: &str = "attribute_not_exists(generation) OR generation < :generation";

/// The part of an update that every write of a slot has: the page's key, and its place in the index.
pub(super) const LISTED: &str = "SET page = :page, lpk = :lpk, lsk = :lsk";

pub(super) fn listed_item(update: Request, keys: &Keys<'_>, page: &PageKey) -> Request {
    update
        .expression_attribute_values(":page", s(page.as_str()))
        .expression_attribute_values(":lpk", s(keys.shard_of(page)))
        .expression_attribute_values(":lsk", s(name(page.as_str())))
}
