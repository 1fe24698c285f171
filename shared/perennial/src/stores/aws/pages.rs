//! Records, leases and epochs in one DynamoDB table; `item` has its layout.
//!
//! Every decision is one conditional write on one item. The slot's item decides who renders: it repeats the generation
//! that is shown, so that a grant need not look at the record. The record's item decides which render is shown. Between
//! the two writes of a commit a process may die: the lease then ends by itself.
//!
//! A call is repeated whose answer was lost, and the repetition meets what the first one has written. Leases
//! therefore carry the name of who wrote them, and a commit recognises its own generation.

mod batch;
mod begin;
mod item;
mod list;
mod tags;
mod warmth;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::base::clock::{Clock, Millis, Rarely};
use crate::freshness::Epochs;
use crate::key::page_key::PageKey;
use crate::key::tags::{page_tags, user_tag};
use crate::ports::error::{COMPLAIN_EVERY, StoreError};
use crate::ports::pages::Pages;
use crate::ports::pages::grant::{Committed, Failed, Grant};
use crate::ports::pages::slot::{Ask, Begun, FailureNote};
use crate::ports::pages::snapshot::{Inline, Snapshot, Stamp, Wanted};
use crate::ports::pages::warmth::Warmest;
use crate::record::page_record::{Epoch, Form, Record, Ticket};
use crate::stores::aws::dynamodb::{Request, ReturnValue, Table, blob};
use crate::stores::aws::errors::{Failure, read_error, write_error};
use crate::stores::aws::item::AttributeValue;
use crate::stores::aws::pages::batch::Found;
use crate::stores::aws::pages::item::{
    Item, Keys, SlotItem, epoch, epoch_key, epochs as epochs_of, n, name, number, record, s, tag_key,
};
use crate::stores::aws::retries::Retries;

/// A slot without a commit is forgotten this long after it was last asked for: its page has never been there.
const UNCOMMITTED_KEPT_MS: u64 = 24 * 60 * 60 * 1000;

/// `expires` of what is kept, in seconds: the year 2200. DynamoDB's time to live removes what has passed it.
const NEVER_EXPIRES_S: u64 = 7_258_118_400;

/// Writes under way at once for one call.
const WRITES_AT_ONCE: usize = 16;

/// The [`Pages`] of an AWS account.
#[derive(Clone)]
pub struct DynamoPages {
    table: Table,
    build: Arc<str>,
    clock: Arc<dyn Clock>,
    /// Of visitors' reads.
    retries: Retries,
    complaints: Arc<Rarely>,
}

impl DynamoPages {
    /// The records of `build` in a table. The clock paces what is logged.
    pub(crate) fn new(table: Table, build: Arc<str>, clock: Arc<dyn Clock>, retries: Retries) -> Self {
        let complaints = Arc::new(Rarely::every(COMPLAIN_EVERY));
        Self { table, build, clock, retries, complaints }
    }

    /// The cheapest call that goes all the way: half a read unit.
    pub(crate) async fn read_nothing(&self) -> Result<(), StoreError> {
        let nothing = ["pk", "sk"].map(|name| (name.to_owned(), AttributeValue::S("nothing".into())));
        let asked = self.table.get_item(nothing.into()).send().await;
        asked.map(drop).map_err(|e| read_error("dynamodb:GetItem", "read the table", &e))
    }

    fn keys(&self) -> Keys<'_> {
        Keys { build: &self.build }
    }

    fn update(&self, key: Item) -> Request {
        self.table.update_item(key)
    }

    /// Carries out a conditional update. `None`: the condition did not hold.
    async fn update_if(&self, update: Request) -> Result<Option<Item>, StoreError> {
        write_if(update, "dynamodb:UpdateItem", "write a record").await
    }

    async fn read_slot(&self, page: &PageKey) -> Result<SlotItem, StoreError> {
        let key = self.keys().slot(page);
        let found = self.get_all(vec![key.clone()]).await?;
        Ok(found.get(&key).map(SlotItem::read).unwrap_or_default())
    }

    /// Keeps a body beside the record, unless that of a newer commit is there.
    async fn put_body(
        &self,
        page: &PageKey,
        form: Form,
        record: &Record,
        bytes: Option<&Bytes>,
    ) -> Result<(), StoreError> {
        let (Some(bytes), Some(body)) = (bytes, record.stored.body(form)) else { return Ok(()) };
        let mut item = self.keys().body(page, form);
        item.insert("generation".into(), n(record.generation));
        item.insert("sha256".into(), s(&*body.sha256));
        item.insert("body".into(), blob(bytes));
        let put = self.table.put_item(item);
        let put = put
            .condition_expression(SUPERSEDES)
            .expression_attribute_values(":generation", n(record.generation));
        write_if(put, "dynamodb:PutItem", "keep a body beside its record").await.map(drop)
    }

    /// Makes the record the page's. `None`: a newer one is there.
    async fn put_record(
        &self,
        page: &PageKey,
        record: &Record,
    ) -> Result<Option<Option<Arc<Record>>>, StoreError> {
        let json = String::from_utf8(record.to_bytes()).expect("JSON is UTF-8");
        let put = warmth::update(self.update(self.keys().record(page)), &self.keys(), page, record)
            .condition_expression(SUPERSEDES)
            .expression_attribute_names("#record", "record")
            .expression_attribute_values(":generation", n(record.generation))
            .expression_attribute_values(":record", s(&*json))
            .expression_attribute_values(":page", s(page.as_str()))
            .return_values(ReturnValue::AllOld)
            .return_refusing_item();
        match put.send().await {
            Ok(put) => Ok(Some(put.attributes.as_ref().and_then(item::record))),
            Err(Failure::Refused(item)) => {
                // This very record: the call was repeated because the answer to the first was lost.
                let ours = item.is_some_and(|item| item::text(&item, "record") == Some(&*json));
                Ok(ours.then_some(None))
            }
            Err(error) => Err(write_error("dynamodb:UpdateItem", "write a record", &error)),
        }
    }

    /// Tells the slot what is shown: that ends the lease and forgets the failures of this commit and older ones.
    async fn note_commit(&self, page: &PageKey, generation: Ticket) -> Result<(), StoreError> {
        let update = listed_item(self.update(self.keys().slot(page)), &self.keys(), page)
            .update_expression(format!("{LISTED}, shown = :shown, keep = :never, expires = :never"))
            .condition_expression("attribute_not_exists(shown) OR shown < :shown")
            .expression_attribute_values(":shown", n(generation))
            .expression_attribute_values(":never", n(NEVER_EXPIRES_S));
        self.update_if(update).await.map(drop)
    }

    /// A body that was kept beside the record before this one must not be read in vain at each hit.
    async fn remove_body(&self, page: &PageKey, form: Form, generation: Ticket) -> Result<(), StoreError> {
        let key = self.keys().body(page, form);
        let delete = self.table.delete_item(key);
        let delete = delete
            .condition_expression("generation < :generation")
            .expression_attribute_values(":generation", n(generation));
        write_if(delete, "dynamodb:DeleteItem", "remove a body").await.map(drop)
    }

    async fn tidy_bodies(&self, page: &PageKey, replaced: &Record, record: &Record, inline: &Inline) {
        for (form, kept) in [(Form::Html, &inline.html), (Form::Data, &inline.data)] {
            let (old, new) = (replaced.stored.body(form), record.stored.body(form));
            let gone = kept.is_none() && old.is_some() && old.map(|b| &b.sha256) != new.map(|b| &b.sha256);
            if gone && let Err(error) = self.remove_body(page, form, record.generation).await {
                tracing::warn!(page = %page.path(), "a body that is no longer shown stays beside the record: {error}");
            }
        }
    }
}

/// The newest epochs of these tags, as far as the table has read them.
fn epochs_in(found: &Found, tag_keys: &[Item]) -> Epochs {
    let of_tag = |key| if found.is_unread(key) { Epochs::UNKNOWN } else { epochs_of(found.get(key)) };
    tag_keys.iter().map(of_tag).fold(Epochs::default(), Epochs::max)
}

/// Carries out a conditional write. `None`: the condition did not hold.
async fn write_if(write: Request, action: &str, what: &str) -> Result<Option<Item>, StoreError> {
    match write.send().await {
        Ok(done) => Ok(Some(done.attributes.unwrap_or_default())),
        Err(Failure::Refused(_)) => Ok(None),
        Err(error) => Err(write_error(action, what, &error)),
    }
}

/// What [`supersedes`](crate::ports::pages::slot::supersedes) says.
const SUPERSEDES: &str = "attribute_not_exists(generation) OR generation < :generation";

/// Sets what an update of a page's slot says in any case: the page and its place in the index.
const LISTED: &str = "SET page = :page, lpk = :lpk, lsk = :lsk";

fn listed_item(update: Request, keys: &Keys<'_>, page: &PageKey) -> Request {
    update
        .expression_attribute_values(":page", s(page.as_str()))
        .expression_attribute_values(":lpk", s(keys.shard_of(page)))
        .expression_attribute_values(":lsk", s(name(page.as_str())))
}

impl Pages for DynamoPages {
    fn version(&self) -> Option<u64> {
        None
    }

    fn of_build(&self, build: &Arc<str>) -> Self {
        Self { build: build.clone(), ..self.clone() }
    }

    async fn read(&self, page: &PageKey, wanted: Wanted<'_>) -> Result<Snapshot, StoreError> {
        let keys = self.keys();
        let (record_key, slot_key) = (keys.record(page), keys.slot(page));
        let body_key = wanted.body.map(|form| (form, keys.body(page, form)));
        let tag_keys = page_tags(page).into_iter().chain(wanted.tags.iter().map(|t| user_tag(t)));
        let tag_keys: Vec<_> = tag_keys.map(|tag| tag_key(&tag)).collect();
        let mut all = vec![record_key.clone(), slot_key.clone()];
        all.extend(body_key.iter().map(|(_, key)| key.clone()));
        all.extend_from_slice(&tag_keys);
        let mut found = self.get_some(all).await?;
        // Without its record, or with neither record nor slot, nothing can be told of a page.
        let needs_slot = found.get(&record_key).is_none();
        if found.is_unread(&record_key) || (needs_slot && found.is_unread(&slot_key)) {
            return Err(found.throttled());
        }
        let slot = found.get(&slot_key).map(SlotItem::read).unwrap_or_default();
        let (generation, record) = match found.get(&record_key) {
            Some(item) => (number(item, "generation").unwrap_or(0), record(item)),
            // If it was lost, the slot still knows what nobody may render below.
            None => (slot.shown, None),
        };
        let epochs = epochs_in(&found, &tag_keys);
        let unread_tags = record.iter().flat_map(|r| &r.tags).filter(|tag| !wanted.tags.contains(tag));
        let unread_tags = unread_tags.cloned().collect();
        let body = body_key.and_then(|(form, key)| {
            let sha256 = &record.as_ref()?.stored.body(form)?.sha256;
            item::body(found.take(&key)?, sha256)
        });
        let (listed, slot) = (slot.listed, slot.slot(generation));
        Ok(Snapshot { record, generation, slot, epochs, unread_tags, body, listed })
    }

    async fn epochs(&self, tags: &[String]) -> Result<Epochs, StoreError> {
        let keys: Vec<_> = tags.iter().map(|tag| tag_key(&user_tag(tag))).collect();
        Ok(epochs_in(&self.get_some(keys.clone()).await?, &keys))
    }

    async fn begin(&self, page: &PageKey, ask: Ask) -> Result<Begun, StoreError> {
        self.grant(page, ask).await
    }

    async fn resume(
        &self,
        page: &PageKey,
        ticket: Ticket,
        lease: Duration,
        now: Millis,
    ) -> Result<Option<Ticket>, StoreError> {
        self.exchange(page, ticket, lease, now).await
    }

    async fn prepare(&self, page: &PageKey, ticket: Ticket) -> Result<Grant, StoreError> {
        let (epoch_key, record_key) = (epoch_key(), self.keys().record(page));
        let found = self.get_all(vec![epoch_key.clone(), record_key.clone()]).await?;
        let replaces = found.get(&record_key).and_then(record);
        Ok(Grant { ticket, epoch: epoch(found.get(&epoch_key)), replaces })
    }

    async fn renew(
        &self,
        page: &PageKey,
        ticket: Ticket,
        lease: Duration,
        now: Millis,
    ) -> Result<bool, StoreError> {
        let update = self
            .update(self.keys().slot(page))
            .update_expression("SET lease_from = :now, lease_until = :until")
            .condition_expression(begin::IS_CURRENT)
            .expression_attribute_values(":ticket", n(ticket))
            .expression_attribute_values(":now", n(now.0))
            .expression_attribute_values(":until", n(now.plus(lease).0));
        Ok(self.update_if(update).await?.is_some())
    }

    async fn commit(
        &self,
        page: &PageKey,
        record: &Record,
        inline: &Inline,
    ) -> Result<Committed, StoreError> {
        let (html, data) = tokio::join!(
            self.put_body(page, Form::Html, record, inline.html.as_ref()),
            self.put_body(page, Form::Data, record, inline.data.as_ref()),
        );
        html.and(data)?;
        let Some(replaced) = self.put_record(page, record).await? else {
            self.give_back(page, record.generation).await?;
            return Ok(Committed::Superseded);
        };
        // It is shown from here on, whatever becomes of the rest.
        if let Err(error) = self.note_commit(page, record.generation).await {
            tracing::warn!(page = %page.path(), "its lease is not given back, it will end by itself: {error}");
        }
        if let Some(replaced) = &replaced {
            self.tidy_bodies(page, replaced, record, inline).await;
        }
        Ok(Committed::Stored { replaced })
    }

    async fn fail(
        &self,
        page: &PageKey,
        ticket: Ticket,
        failed: Failed,
    ) -> Result<Option<FailureNote>, StoreError> {
        let there = self.read_slot(page).await?;
        let shown = there.shown;
        let slot = there.slot(0);
        if !slot.is_current(ticket, shown) {
            return Ok(None);
        }
        let note = slot.failed(page.as_str(), ticket, failed);
        let update = self
            .update(self.keys().slot(page))
            .update_expression(
                "SET failed_ticket = :ticket, failures = :count, failed_at = :at, retry_at = :retry_at, #error = :error \
                 REMOVE lease_from, lease_until",
            )
            .condition_expression(begin::IS_CURRENT)
            .expression_attribute_names("#error", "error")
            .expression_attribute_values(":ticket", n(ticket))
            .expression_attribute_values(":count", n(note.count.into()))
            .expression_attribute_values(":at", n(note.at.0))
            .expression_attribute_values(":retry_at", n(note.retry_at.0))
            .expression_attribute_values(":error", s(&*note.message));
        Ok(self.update_if(update).await?.map(|_| note))
    }

    async fn release(&self, page: &PageKey, ticket: Ticket) -> Result<(), StoreError> {
        self.give_back(page, ticket).await?;
        // The page's first ticket ever: nobody else can hold one, so the numbers may start again.
        if ticket == 1 { self.forget(page).await } else { Ok(()) }
    }

    async fn invalidate(&self, tags: &[String], how: Stamp) -> Result<Epoch, StoreError> {
        self.mark(tags, how).await
    }

    async fn epoch(&self) -> Result<Epoch, StoreError> {
        let key = epoch_key();
        Ok(epoch(self.get_all(vec![key.clone()]).await?.get(&key)))
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Snapshot)>, StoreError> {
        self.list_pages(prefix, after, limit).await
    }

    async fn warmest(&self, route: &str, after: Option<&str>, limit: usize) -> Result<Warmest, StoreError> {
        self.warmest_pages(route, after, limit).await
    }

    async fn count_not_found(&self, route: &str, most: usize) -> Result<usize, StoreError> {
        self.count_gone(route, most).await
    }

    async fn count_stored(&self, route: &str, most: usize) -> Result<usize, StoreError> {
        self.count_slots(route, most).await
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
        self.publish_listing(listed).await
    }
}
