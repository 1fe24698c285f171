//! A row of the table `pages`.

use std::sync::Arc;

use rusqlite::{Connection, Row};

use crate::base::clock::Millis;
use crate::key::page_key::PageKey;
use crate::key::tags::{page_tags, user_tag};
use crate::ports::pages::slot::{FailureNote, Lease, Slot};
use crate::ports::pages::snapshot::Snapshot;
use crate::record::page_record::{Record, Ticket};
use crate::stores::embedded::pages::number::unsigned;
use crate::stores::embedded::pages::tags::epochs;

pub(super) const COLUMNS: &str = "record, generation, listed, ticket, lease_from, lease_until, \
                       failed_ticket, failures, failed_at, retry_at, error, demanded";

#[derive(Default)]
pub(super) struct PageRow {
    record: Option<Vec<u8>>,
    /// The generation of the newest commit, or the number above which tickets go on.
    pub(super) generation: Ticket,
    pub(super) listed: bool,
    pub(super) slot: Slot,
    committed: Ticket,
    above: Ticket,
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
            committed: unsigned(row, 1)?.unwrap_or(0),
            above: 0,
        })
    }

    /// The row in a database that has replaced a damaged one, where tickets go on above `above`. A page that could not
    /// be saved is like one with a damaged record.
    pub(super) fn above(self, above: Ticket) -> Self {
        Self { generation: self.generation.max(above), above, ..self }
    }

    /// Whether the damaged database granted this ticket.
    pub(super) fn is_from_before(&self, ticket: Ticket) -> bool {
        ticket <= self.above
    }

    /// [`Slot::is_forgotten`], with the numbers of this database, which may begin above 1.
    pub(super) fn is_forgotten(&self, ticket: Ticket) -> bool {
        let slot = Slot { ticket: self.slot.ticket.saturating_sub(self.above), ..self.slot.clone() };
        slot.is_forgotten(ticket.saturating_sub(self.above), self.committed)
    }

    /// The record. `None` for a damaged record, which the next render replaces.
    pub(super) fn record(&self, page: &str) -> Option<Arc<Record>> {
        match Record::from_bytes(self.record.as_deref()?) {
            Ok(record) => Some(Arc::new(record)),
            Err(error) => {
                tracing::warn!(page, "a stored record cannot be read and counts as missing: {error}");
                None
            }
        }
    }

    /// The snapshot without the epochs of tags.
    pub(super) fn alone(self, record: Option<Arc<Record>>) -> Snapshot {
        let Self { generation, listed, slot, .. } = self;
        Snapshot { record, generation, slot, listed, ..Snapshot::default() }
    }

    pub(super) fn snapshot(self, connection: &Connection, page: &PageKey) -> rusqlite::Result<Snapshot> {
        let record = self.record(page.as_str());
        let tags = record.as_ref().map_or(&[][..], |r| &r.tags);
        let tags = page_tags(page).into_iter().chain(tags.iter().map(|t| user_tag(t)));
        let epochs = epochs(connection, tags)?;
        Ok(Snapshot { epochs, ..self.alone(record) })
    }
}

/// The number above which tickets go on: 0, except in a database that has replaced a damaged one.
pub(super) fn above(connection: &Connection) -> rusqlite::Result<Ticket> {
    let above =
        connection.prepare_cached("SELECT ticket FROM above")?.query_row([], |row| unsigned(row, 0))?;
    Ok(above.unwrap_or(0))
}

/// Implements [`Pages::knows_listed`](crate::ports::pages::Pages::knows_listed).
pub(super) fn knows_listed(connection: &Connection, build: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT ticket = 0 OR EXISTS (SELECT 1 FROM published WHERE build = ?1) FROM above";
    connection.prepare_cached(sql)?.query_row([build], |row| row.get(0))
}
