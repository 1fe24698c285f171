//! The journal in the DynamoDB table of the pages.
//!
//! | `pk` | `sk` | holds |
//! |---|---|---|
//! | `publishes` | `TIME#ID` | an entry, in the order of arrival |
//! | `publish#ID` | `publish` | the same entry, by its id |
//! | | `mark#ROUTE` | the progress on a route |
//! | | `fate` | the decision about a scheduled publish: begun or cancelled |
//! | `delivery#ID` | `delivery` | the publish that carried out a delivery |
//!
//! Every item has `expires`. DynamoDB removes an expired item within days.

use std::sync::Arc;

use crate::base::clock::{Clock, Millis};
use crate::ports::error::StoreError;
use crate::ports::journal::{DELIVERY_KEPT, Journal, JournalEntry, Publish, RouteProgress, ScheduleDecision};
use crate::stores::aws::dynamodb::Table;
use crate::stores::aws::errors::{Failure, read_error, write_error};
use crate::stores::aws::item::{Item, key, n, name, number, s, text};

/// The [`Journal`] of an AWS account.
#[derive(Clone)]
pub struct DynamoJournal {
    table: Table,
    clock: Arc<dyn Clock>,
}

fn entries() -> String {
    "publishes".to_owned()
}

fn entry(id: &str) -> String {
    format!("publish#{}", name(id))
}

fn delivery_key(delivery: &str) -> Item {
    key(format!("delivery#{}", name(delivery)), "delivery")
}

/// An item that is kept until an instant. The attribute of DynamoDB's time to live is in seconds.
fn item(mut key: Item, until: Millis, what: &str, json: String) -> Item {
    key.insert("expires".into(), n(until.0.div_ceil(1000)));
    key.insert("until".into(), n(until.0));
    key.insert(what.into(), s(json));
    key
}

impl DynamoJournal {
    pub(crate) fn new(table: Table, clock: Arc<dyn Clock>) -> Self {
        Self { table, clock }
    }

    async fn write(&self, item: Item) -> Result<(), StoreError> {
        let written = self.table.put_item(item).send().await;
        written.map(drop).map_err(|e| write_error("dynamodb:PutItem", "write the journal", &e))
    }

    /// Whether an item has expired. DynamoDB removes it only later.
    fn is_expired(item: &Item, now: Millis) -> bool {
        number(item, "until").is_none_or(|until| until <= now.0)
    }
}

impl Journal for DynamoJournal {
    async fn put(&self, publish: &Publish) -> Result<(), StoreError> {
        let write = |key| self.write(item(key, publish.kept_until, "publish", publish.to_json()));
        let by_id = write(key(entry(&publish.id), "publish"));
        let (listed, found) = tokio::join!(write(key(entries(), &publish.place())), by_id);
        listed.and(found)
    }

    async fn get(&self, id: &str) -> Result<Option<JournalEntry>, StoreError> {
        let (mut found, mut start, now) = (Vec::new(), None, self.clock.now());
        loop {
            let query = self.table.query_items("pk = :pk").expression_attribute_values(":pk", s(entry(id)));
            let answer = query.set_exclusive_start_key(start).send().await;
            let answer = answer.map_err(|e| read_error("dynamodb:Query", "read the journal", &e))?;
            found.extend(answer.items);
            start = answer.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        found.retain(|item| !Self::is_expired(item, now));
        let routes = found.iter().filter_map(|item| serde_json::from_str(text(item, "mark")?).ok());
        let routes: Vec<RouteProgress> = routes.collect();
        let publish = found.iter().find_map(|item| Publish::from_json(text(item, "publish")?));
        Ok((publish.is_some() || !routes.is_empty()).then_some(JournalEntry { publish, routes }))
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<Publish>, StoreError> {
        let (mut found, mut start, now) = (Vec::new(), None, self.clock.now());
        while found.len() < limit {
            let query = match after {
                Some(after) => self
                    .table
                    .query_items("pk = :pk AND sk < :after")
                    .expression_attribute_values(":after", s(after)),
                None => self.table.query_items("pk = :pk"),
            };
            let query = query.expression_attribute_values(":pk", s(entries())).backwards();
            let query = query.limit((limit - found.len()).max(1)).set_exclusive_start_key(start);
            let answer = query.send().await;
            let answer = answer.map_err(|e| read_error("dynamodb:Query", "read the journal", &e))?;
            let kept = answer.items.iter().filter(|item| !Self::is_expired(item, now));
            found.extend(kept.filter_map(|item| Publish::from_json(text(item, "publish")?)));
            start = answer.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        Ok(found)
    }

    async fn note_progress(
        &self,
        id: &str,
        progress: &RouteProgress,
        kept_until: Millis,
    ) -> Result<(), StoreError> {
        let key = key(entry(id), &format!("mark#{}", name(&progress.route)));
        self.write(item(key, kept_until, "mark", progress.to_json())).await
    }

    async fn settle(
        &self,
        id: &str,
        decision: ScheduleDecision,
        kept_until: Millis,
    ) -> Result<ScheduleDecision, StoreError> {
        let fate_key = key(entry(id), "fate");
        let put =
            self.table.put_item(item(fate_key.clone(), kept_until, "fate", decision.as_str().to_owned()));
        match put.condition_expression("attribute_not_exists(pk)").send().await {
            Ok(_) => return Ok(decision),
            Err(Failure::Refused(_)) => {}
            Err(error) => return Err(write_error("dynamodb:PutItem", "write the journal", &error)),
        }
        // The stored decision is another call's, or this call's own, whose first answer was lost.
        let asked = self.table.get_item(fate_key).consistent().send().await;
        let answer = asked.map_err(|e| read_error("dynamodb:GetItem", "read the journal", &e))?;
        ScheduleDecision::read(answer.item.as_ref().and_then(|item| text(item, "fate")).unwrap_or_default())
    }

    async fn carried_out(&self, delivery: &str, now: Millis) -> Result<Option<String>, StoreError> {
        let asked = self.table.get_item(delivery_key(delivery)).consistent().send().await;
        let answer = asked.map_err(|e| read_error("dynamodb:GetItem", "read the journal", &e))?;
        let item = answer.item.filter(|item| !Self::is_expired(item, now));
        Ok(item.and_then(|item| text(&item, "id").map(str::to_owned)))
    }

    async fn note_carried_out(&self, delivery: &str, id: &str, now: Millis) -> Result<(), StoreError> {
        let until = now.plus(DELIVERY_KEPT);
        self.write(item(delivery_key(delivery), until, "id", id.to_owned())).await
    }
}
