//! Reads of many items in one round trip.

use std::time::Duration;

use super::DynamoPages;
use super::item::{Item, PK, SK, text};
use crate::aws::errors::read_error;
use crate::store::StoreError;

/// Keys in one BatchGetItem
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>).
const BATCH_KEYS_MAX: usize = 100;

/// What was left unread because of throttling is asked for again as often, after pauses that double.
const ROUNDS_MAX: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// Items that were found, in the order of their keys.
pub(super) struct Found(Vec<Item>);

fn order(item: &Item) -> (Option<&str>, Option<&str>) {
    (text(item, PK), text(item, SK))
}

impl Found {
    /// The item of a key.
    pub(super) fn get(&self, key: &Item) -> Option<&Item> {
        self.0.binary_search_by(|item| order(item).cmp(&order(key))).ok().map(|at| &self.0[at])
    }

    /// The same, taken out.
    pub(super) fn take(&mut self, key: &Item) -> Option<Item> {
        self.0.binary_search_by(|item| order(item).cmp(&order(key))).ok().map(|at| self.0.remove(at))
    }
}

impl DynamoPages {
    /// Reads items, each strongly consistent and once.
    pub(super) async fn get_all(&self, mut keys: Vec<Item>) -> Result<Found, StoreError> {
        // One key twice is an error of the whole call.
        keys.sort_by(|a, b| order(a).cmp(&order(b)));
        keys.dedup();
        let mut found = Vec::with_capacity(keys.len());
        for batch in keys.chunks(BATCH_KEYS_MAX) {
            self.get_batch(batch.to_vec(), &mut found).await?;
        }
        found.sort_by(|a, b| order(a).cmp(&order(b)));
        Ok(Found(found))
    }

    async fn get_batch(&self, mut keys: Vec<Item>, found: &mut Vec<Item>) -> Result<(), StoreError> {
        let mut pause = FIRST_PAUSE;
        for _ in 0..ROUNDS_MAX {
            let answer = self.table.get_some(keys).await;
            let (items, left) = answer.map_err(|e| read_error("dynamodb:BatchGetItem", "read pages", &e))?;
            found.extend(items);
            keys = left;
            if keys.is_empty() {
                return Ok(());
            }
            self.clock.sleep(pause).await;
            pause *= 2;
        }
        Err(StoreError::Refused(format!(
            "DynamoDB left {} items unread {ROUNDS_MAX} times: the table is throttled, raise its throughput limits",
            keys.len()
        )))
    }
}
