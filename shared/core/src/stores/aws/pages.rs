//! Records, leases and epochs in one DynamoDB table; `item` has its layout.
//!
//! Each decision is one conditional write of one item. The slot's item decides about leases. It repeats the shown
//! generation, so that a grant need not read the record. The record's item decides about commits. If a process dies between
//! the two writes of a commit, the lease expires.
//!
//! A call whose answer was lost is repeated, and finds its own first write. Leases therefore carry the name of the call that
//! wrote them, and a commit recognises its own record.

mod batch;
mod begin;
mod commit;
mod item;
mod list;
mod table;
mod tags;
mod warmth;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::base::clock::{Clock, Millis};
use crate::freshness::Epochs;
use crate::key::page_key::PageKey;
use crate::key::tags::{page_tags, user_tag};
use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::grant::{Committed, Failed, Grant};
use crate::ports::pages::slot::{FailureNote, LeaseDecision, LeaseRequest};
use crate::ports::pages::snapshot::{Inline, Snapshot, Stamp, Wanted};
use crate::ports::pages::warmth::Warmest;
use crate::record::page_record::{Epoch, Form, Record, Ticket};
use crate::stores::aws::dynamodb::Table;
use crate::stores::aws::errors::read_error;
use crate::stores::aws::item::{AttributeValue, n, number, s};
use crate::stores::aws::pages::begin::{IS_CURRENT, exchange, forget, give_back, grant};
use crate::stores::aws::pages::commit::{note_commit, put_body, put_record, tidy_bodies};
use crate::stores::aws::pages::item::{SlotItem, body as body_of, epoch, epoch_key, record, tag_key};
use crate::stores::aws::pages::list::{count_gone, count_slots, list_pages, publish_listing};
use crate::stores::aws::pages::table::{PagesTable, WRITES_AT_ONCE};
use crate::stores::aws::pages::tags::mark;
use crate::stores::aws::pages::warmth::warmest_pages;
use crate::stores::aws::retries::Retries;

/// The [`Pages`] of an AWS account.
#[derive(Clone)]
pub struct DynamoPages(PagesTable);

impl DynamoPages {
    /// The records of `build` in a table. The clock limits the rate of log lines.
    pub(crate) fn new(table: Table, build: Arc<str>, clock: Arc<dyn Clock>, retries: Retries) -> Self {
        Self(PagesTable::new(table, build, clock, retries))
    }

    /// Reads an item that does not exist, to open a connection: the cheapest call, half a read unit.
    pub(crate) async fn read_nothing(&self) -> Result<(), StoreError> {
        let nothing = ["pk", "sk"].map(|name| (name.to_owned(), AttributeValue::S("nothing".into())));
        let asked = self.0.table.get_item(nothing.into()).send().await;
        asked.map(drop).map_err(|e| read_error("dynamodb:GetItem", "read the table", &e))
    }
}

impl Pages for DynamoPages {
    fn version(&self) -> Option<u64> {
        None
    }

    fn of_build(&self, build: &Arc<str>) -> Self {
        Self(PagesTable { build: build.clone(), ..self.0.clone() })
    }

    async fn read(&self, page: &PageKey, wanted: Wanted<'_>) -> Result<Snapshot, StoreError> {
        let keys = self.0.keys();
        let (record_key, slot_key) = (keys.record(page), keys.slot(page));
        let body_key = wanted.body.map(|form| (form, keys.body(page, form)));
        let tag_keys = page_tags(page).into_iter().chain(wanted.tags.iter().map(|t| user_tag(t)));
        let tag_keys: Vec<_> = tag_keys.map(|tag| tag_key(&tag)).collect();
        let mut all = vec![record_key.clone(), slot_key.clone()];
        all.extend(body_key.iter().map(|(_, key)| key.clone()));
        all.extend_from_slice(&tag_keys);
        let mut found = self.0.reads.get_some(all).await?;
        // The record is needed; without a record, the slot is.
        let needs_slot = found.get(&record_key).is_none();
        if found.is_unread(&record_key) || (needs_slot && found.is_unread(&slot_key)) {
            return Err(found.throttled());
        }
        let slot = found.get(&slot_key).map(SlotItem::read).unwrap_or_default();
        let (generation, record) = match found.get(&record_key) {
            Some(item) => (number(item, "generation").unwrap_or(0), record(item)),
            // If the record was lost, the slot still has the generation above which the next ticket must be.
            None => (slot.shown, None),
        };
        let epochs = found.epochs(&tag_keys);
        let unread_tags = record.iter().flat_map(|r| &r.tags).filter(|tag| !wanted.tags.contains(tag));
        let unread_tags = unread_tags.cloned().collect();
        let body = body_key.and_then(|(form, key)| {
            let sha256 = &record.as_ref()?.stored.body(form)?.sha256;
            body_of(found.take(&key)?, sha256)
        });
        let (listed, slot) = (slot.listed, slot.slot(generation));
        Ok(Snapshot { record, generation, slot, epochs, unread_tags, body, listed })
    }

    async fn epochs(&self, tags: &[String]) -> Result<Epochs, StoreError> {
        let keys: Vec<_> = tags.iter().map(|tag| tag_key(&user_tag(tag))).collect();
        Ok(self.0.reads.get_some(keys.clone()).await?.epochs(&keys))
    }

    async fn begin(&self, page: &PageKey, request: LeaseRequest) -> Result<LeaseDecision, StoreError> {
        grant(&self.0, page, request).await
    }

    async fn resume(
        &self,
        page: &PageKey,
        ticket: Ticket,
        lease: Duration,
        now: Millis,
    ) -> Result<Option<Ticket>, StoreError> {
        exchange(&self.0, page, ticket, lease, now).await
    }

    async fn prepare(&self, page: &PageKey, ticket: Ticket) -> Result<Grant, StoreError> {
        let (epoch_key, record_key) = (epoch_key(), self.0.keys().record(page));
        let found = self.0.reads.get_all(vec![epoch_key.clone(), record_key.clone()]).await?;
        let replaces = found.get(&record_key).and_then(record);
        Ok(Grant { ticket, epoch: epoch(found.get(&epoch_key)), replaces })
    }

    async fn extend(
        &self,
        page: &PageKey,
        ticket: Ticket,
        lease: Duration,
        now: Millis,
    ) -> Result<bool, StoreError> {
        let update = self
            .0
            .update(self.0.keys().slot(page))
            .update_expression("SET lease_from = :now, lease_until = :until")
            .condition_expression(IS_CURRENT)
            .expression_attribute_values(":ticket", n(ticket))
            .expression_attribute_values(":now", n(now.0))
            .expression_attribute_values(":until", n(now.plus(lease).0));
        Ok(self.0.update_if(update).await?.is_some())
    }

    async fn commit(
        &self,
        page: &PageKey,
        record: &Record,
        inline: &Inline,
    ) -> Result<Committed, StoreError> {
        let (html, data) = tokio::join!(
            put_body(&self.0, page, Form::Html, record, inline.html.as_ref()),
            put_body(&self.0, page, Form::Data, record, inline.data.as_ref()),
        );
        html.and(data)?;
        let Some(replaced) = put_record(&self.0, page, record).await? else {
            give_back(&self.0, page, record.generation).await?;
            return Ok(Committed::Superseded);
        };
        // From here on the record is shown, even if the next write fails.
        if let Err(error) = note_commit(&self.0, page, record.generation).await {
            tracing::warn!(page = %page.address(), "the page's lease cannot be given back and will expire: {error}");
        }
        if let Some(replaced) = &replaced {
            tidy_bodies(&self.0, page, replaced, record, inline).await;
        }
        Ok(Committed::Stored { replaced })
    }

    async fn fail(
        &self,
        page: &PageKey,
        ticket: Ticket,
        failed: Failed,
    ) -> Result<Option<FailureNote>, StoreError> {
        let there = self.0.read_slot(page).await?;
        let shown = there.shown;
        let slot = there.slot(0);
        if !slot.is_current(ticket, shown) {
            return Ok(None);
        }
        let note = slot.failed(page.as_str(), ticket, failed);
        let update = self.0.update(self.0.keys().slot(page))
            .update_expression(
                "SET failed_ticket = :ticket, failures = :count, failed_at = :at, retry_at = :retry_at, #error = :error \
                 REMOVE lease_from, lease_until",
            )
            .condition_expression(IS_CURRENT)
            .expression_attribute_names("#error", "error")
            .expression_attribute_values(":ticket", n(ticket))
            .expression_attribute_values(":count", n(note.count.into()))
            .expression_attribute_values(":at", n(note.at.0))
            .expression_attribute_values(":retry_at", n(note.retry_at.0))
            .expression_attribute_values(":error", s(&*note.message));
        Ok(self.0.update_if(update).await?.map(|_| note))
    }

    async fn release(&self, page: &PageKey, ticket: Ticket) -> Result<(), StoreError> {
        give_back(&self.0, page, ticket).await?;
        // The page's first ticket: no process holds another one, so that the numbers may start again.
        if ticket == 1 { forget(&self.0, page).await } else { Ok(()) }
    }

    async fn invalidate(&self, tags: &[String], how: Stamp) -> Result<Epoch, StoreError> {
        mark(&self.0, tags, how).await
    }

    async fn epoch(&self) -> Result<Epoch, StoreError> {
        let key = epoch_key();
        Ok(epoch(self.0.reads.get_all(vec![key.clone()]).await?.get(&key)))
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Snapshot)>, StoreError> {
        list_pages(&self.0, prefix, after, limit).await
    }

    async fn warmest(&self, route: &str, after: Option<&str>, limit: usize) -> Result<Warmest, StoreError> {
        warmest_pages(&self.0, route, after, limit).await
    }

    async fn count_not_found(&self, route: &str, most: usize) -> Result<usize, StoreError> {
        count_gone(&self.0, route, most).await
    }

    async fn count_stored(&self, route: &str, most: usize) -> Result<usize, StoreError> {
        count_slots(&self.0, route, most).await
    }

    async fn publish(
        &self,
        records: &[(PageKey, Record, Inline)],
        listed: &[PageKey],
    ) -> Result<(), StoreError> {
        for some in records.chunks(WRITES_AT_ONCE) {
            let mut commits = JoinSet::new();
            for (page, record, inline) in some {
                let (this, page, record, inline) =
                    (self.clone(), page.clone(), record.clone(), inline.clone());
                commits.spawn(async move { this.commit(&page, &record, &inline).await.map(drop) });
            }
            commits.join_all().await.into_iter().collect::<Result<(), _>>()?;
        }
        publish_listing(&self.0, listed).await
    }
}
