//! A row of the table of pages, read.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};

use crate::clock::Millis;
use crate::key::PageKey;
use crate::pages::{FailureNote, Lease, Slot, Snapshot};
use crate::record::{Epoch, Record, Ticket};
use crate::tags::{page_tags, user_tag};

pub(super) const COLUMNS: &str = "record, generation, listed, ticket, lease_from, lease_until, \
                       failed_ticket, failures, failed_at, retry_at, error, demanded";

#[derive(Default)]
pub(super) struct PageRow {
    record: Option<Vec<u8>>,
    pub(super) generation: Ticket,
    pub(super) listed: bool,
    pub(super) slot: Slot,
}

impl PageRow {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let ticket = unsigned(row, 3)?.unwrap_or(0);
        let lease = match (unsigned(row, 4)?, unsigned(row, 5)?) {
            (Some(from), Some(until)) => Some(Lease { ticket, from: Millis(from), until: Millis(until) }),
            _ => None,
        };
        let failure = match unsigned(row, 6)? {
            Some(ticket) => Some(FailureNote {
                ticket,
                count: unsigned(row, 7)?.and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
                at: Millis(unsigned(row, 8)?.unwrap_or(0)),
                retry_at: Millis(unsigned(row, 9)?.unwrap_or(0)),
                message: row.get::<_, Option<String>>(10)?.unwrap_or_default(),
            }),
            None => None,
        };
        let slot = Slot { ticket, lease, demanded: unsigned(row, 11)?.unwrap_or(0), failure };
        Ok(Self {
            record: row.get(0)?,
            generation: unsigned(row, 1)?.unwrap_or(0),
            listed: row.get(2)?,
            slot,
        })
    }

    /// The record, unless it is damaged: then there is none, and the next render replaces it.
    pub(super) fn record(&self, page: &str) -> Option<Arc<Record>> {
        match Record::from_bytes(self.record.as_deref()?) {
            Ok(record) => Some(Arc::new(record)),
            Err(error) => {
                tracing::warn!(page, "a stored record cannot be read and counts as missing: {error}");
                None
            }
        }
    }

    /// What the row says by itself, without the tags.
    pub(super) fn alone(self, record: Option<Arc<Record>>) -> Snapshot {
        let Self { generation, listed, slot, .. } = self;
        Snapshot { record, generation, slot, listed, ..Snapshot::default() }
    }

    pub(super) fn snapshot(self, connection: &Connection, page: &PageKey) -> rusqlite::Result<Snapshot> {
        let record = self.record(page.as_str());
        let tags = record.as_ref().map_or(&[][..], |r| &r.tags);
        let tags = page_tags(page).into_iter().chain(tags.iter().map(|t| user_tag(t)));
        let newest_epoch = newest_epoch(connection, tags)?;
        Ok(Snapshot { newest_epoch, ..self.alone(record) })
    }
}

pub(super) fn newest_epoch(
    connection: &Connection,
    tags: impl Iterator<Item = String>,
) -> rusqlite::Result<Epoch> {
    let mut statement = connection.prepare_cached("SELECT epoch FROM tags WHERE tag = ?1")?;
    let mut newest = 0;
    for tag in tags {
        let epoch = statement.query_row([tag], |row| unsigned(row, 0)).optional()?.flatten();
        newest = newest.max(epoch.unwrap_or(0));
    }
    Ok(newest)
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(|n| u64::try_from(n).unwrap_or(0)))
}

pub(super) fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
