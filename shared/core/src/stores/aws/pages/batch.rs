//! Reads many items in one round trip. The table may leave some of them unread.
//!
//! One key takes 3,000 reads a second, whatever the table's limits are
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html>). A call for such a hot key
//! and others is answered without the hot key.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::{Clock, Rarely, SystemClock};
use crate::freshness::Epochs;
use crate::ports::error::{COMPLAIN_EVERY, StoreError, StoreErrorKind};
use crate::stores::aws::call::some_of;
use crate::stores::aws::dynamodb::{Attempts, Table};
use crate::stores::aws::errors::read_error;
use crate::stores::aws::item::{Item, PK, SK, text};
use crate::stores::aws::pages::item::epochs;
use crate::stores::aws::retries::Retries;

/// Keys in one BatchGetItem
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>).
const BATCH_KEYS_MAX: usize = 100;

/// The most calls for the same keys by a caller that needs all of them: a render or a job, never every visitor.
const ROUNDS_MAX: u32 = 5;

/// The most calls for the same keys by a caller that can do without some of them. The retry budget must allow each.
const VISITOR_ROUNDS_MAX: u32 = 3;

/// The longest pause before the second call; doubled before each call after that.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// The items that were found, in the order of their keys, and the keys that the table has left unread.
pub(super) struct BatchAnswer {
    items: Vec<Item>,
    unread: Vec<Item>,
}

fn order(item: &Item) -> (Option<&str>, Option<&str>) {
    (text(item, PK), text(item, SK))
}

impl BatchAnswer {
    /// The item with a key.
    pub(super) fn get(&self, key: &Item) -> Option<&Item> {
        self.items.binary_search_by(|item| order(item).cmp(&order(key))).ok().map(|at| &self.items[at])
    }

    /// The item with a key, moved out.
    pub(super) fn take(&mut self, key: &Item) -> Option<Item> {
        self.items.binary_search_by(|item| order(item).cmp(&order(key))).ok().map(|at| self.items.remove(at))
    }

    /// The newest epochs of these tags, as far as the table has read them.
    pub(super) fn epochs(&self, tag_keys: &[Item]) -> Epochs {
        let of_tag = |key| if self.is_unread(key) { Epochs::UNKNOWN } else { epochs(self.get(key)) };
        tag_keys.iter().map(of_tag).fold(Epochs::default(), Epochs::max)
    }

    /// Whether the table has left the key unread, so that its item is unknown.
    pub(super) fn is_unread(&self, key: &Item) -> bool {
        self.unread.iter().any(|unread| order(unread) == order(key))
    }

    /// Whether only keys that many pages share are unread, and the table has read other keys of the same call.
    fn is_hot(&self) -> bool {
        let mut keys = self.unread.iter().filter_map(|key| text(key, PK));
        !self.items.is_empty() && keys.all(|key| key.starts_with("tag#") || key == "epoch")
    }

    /// The error for a caller that needs the unread keys.
    pub(super) fn throttled(&self) -> StoreError {
        let text = self.advice();
        let kind = if self.is_hot() { StoreErrorKind::Busy } else { StoreErrorKind::Throttled };
        StoreError::new(kind, text)
    }

    /// What the table has left unread, and what to do about that.
    fn advice(&self) -> String {
        let keys: Vec<_> = self.unread.iter().filter_map(|key| text(key, PK)).collect();
        let keys = keys.join("`, `");
        if self.is_hot() {
            format!(
                "DynamoDB reads other items, but not `{keys}`: one key takes 3,000 reads a second, whatever the table's limits: \
                 have the shared cache in front answer more visitors (longer periods), or give fewer pages that tag"
            )
        } else {
            format!("DynamoDB left `{keys}` unread: the table is throttled, raise its throughput limits")
        }
    }
}

/// Reads many items at once.
#[derive(Clone)]
pub(super) struct Reads {
    table: Table,
    clock: Arc<dyn Clock>,
    /// The retry budget of visitors' reads.
    retries: Retries,
    complaints: Arc<Rarely>,
}

impl Reads {
    /// Reads of this table. The clock limits the rate of log lines.
    pub(super) fn new(table: Table, clock: Arc<dyn Clock>, retries: Retries) -> Self {
        Self { table, clock, retries, complaints: Arc::new(Rarely::every(COMPLAIN_EVERY)) }
    }

    /// Reads items, strongly consistent.
    ///
    /// # Errors
    /// The table cannot be read, or leaves some items unread.
    pub(super) async fn get_all(&self, keys: Vec<Item>) -> Result<BatchAnswer, StoreError> {
        let found = self.get(keys, ROUNDS_MAX).await?;
        if found.unread.is_empty() { Ok(found) } else { Err(found.throttled()) }
    }

    /// Reads items for a caller that can do without some of them.
    ///
    /// # Errors
    /// No item can be read.
    pub(super) async fn get_some(&self, keys: Vec<Item>) -> Result<BatchAnswer, StoreError> {
        let found = self.get(keys, VISITOR_ROUNDS_MAX).await?;
        if !found.unread.is_empty() && self.complaints.is_due(self.clock.now()) {
            tracing::warn!(
                "pages are answered as stale, because nobody can tell whether they are: {}",
                found.advice()
            );
        }
        Ok(found)
    }

    async fn get(&self, mut keys: Vec<Item>, rounds_max: u32) -> Result<BatchAnswer, StoreError> {
        // DynamoDB refuses a call with one key twice.
        keys.sort_by(|a, b| order(a).cmp(&order(b)));
        keys.dedup();
        let mut found = BatchAnswer { items: Vec::with_capacity(keys.len()), unread: Vec::new() };
        if keys.is_empty() {
            // DynamoDB refuses a call without keys (`Keys` of KeysAndAttributes: 1 to 100 items).
            return Ok(found);
        }
        if keys.len() <= BATCH_KEYS_MAX {
            self.get_batch(keys, rounds_max, &mut found).await?;
        } else {
            for batch in keys.chunks(BATCH_KEYS_MAX) {
                self.get_batch(batch.to_vec(), rounds_max, &mut found).await?;
            }
        }
        found.items.sort_by(|a, b| order(a).cmp(&order(b)));
        Ok(found)
    }

    async fn get_batch(
        &self,
        keys: Vec<Item>,
        rounds_max: u32,
        found: &mut BatchAnswer,
    ) -> Result<(), StoreError> {
        let answer = self.table.get_some(keys, Attempts::Several).await;
        let (items, mut left) = answer.map_err(|e| read_error("dynamodb:BatchGetItem", "read pages", &e))?;
        found.items.extend(items);
        if left.is_empty() {
            self.retries.earn();
            return Ok(());
        }
        let mut pause = FIRST_PAUSE;
        for _ in 1..rounds_max {
            // Only visitors' reads need the budget: other reads are few, and have their own limit of rounds.
            if rounds_max == VISITOR_ROUNDS_MAX && !self.retries.spend() {
                break;
            }
            SystemClock.sleep(some_of(pause)).await;
            pause *= 2;
            // DynamoDB refuses a call for hot keys alone. This loop repeats that, too.
            if let Ok((items, still)) = self.table.get_some(left.clone(), Attempts::One).await {
                found.items.extend(items);
                left = still;
            }
            if left.is_empty() {
                break;
            }
        }
        found.unread.append(&mut left);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::aws::item::key;
    use crate::stores::aws::pages::item::{epoch_key, tag_key};

    #[test]
    fn a_hot_key_is_told_from_a_table_that_is_throttled() {
        let record = || key("page#b#00".into(), "record");
        let told = |items, unread| BatchAnswer { items, unread }.advice();
        let hot = told(vec![record()], vec![tag_key("site"), epoch_key()]);
        assert!(hot.contains("`tag#site`, `epoch`") && hot.contains("3,000 reads a second"), "{hot}");
        for (items, unread) in [
            (vec![], vec![record(), tag_key("site")]),
            (vec![tag_key("site")], vec![record()]),
            (vec![], vec![tag_key("site")]),
        ] {
            let all = told(items, unread);
            assert!(all.contains("raise its throughput limits"), "{all}");
        }
    }
}
