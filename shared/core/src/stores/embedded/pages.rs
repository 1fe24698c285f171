//! Records, leases and epochs in SQLite, for the processes of one machine.

mod failed;
mod number;
mod row;
mod save;
mod tags;
mod warmth;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use crate::base::clock::{Clock, Millis};
use crate::freshness::Epochs;
use crate::key::page_key::PageKey;
use crate::key::tags::user_tag;
use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::grant::{Committed, Failed, Grant};
use crate::ports::pages::slot::{FailureNote, LeaseDecision, LeaseRequest, supersedes};
use crate::ports::pages::snapshot::{Inline, Snapshot, Stamp, Wanted};
use crate::ports::pages::warmth::Warmest;
use crate::record::page_record::{Epoch, Record, Stored, Ticket};
use crate::stores::embedded::pages::failed::{FAILED_FIRSTS_MAX, FORGET_EVERY, forget_failed_firsts};
use crate::stores::embedded::pages::number::signed;
use crate::stores::embedded::pages::row::{COLUMNS, PageRow, above, knows_listed};
use crate::stores::embedded::pages::tags::{epoch, epochs, mark};
use crate::stores::embedded::pages::warmth::{note_warmth, warmest};
use crate::stores::embedded::sqlite::rebuild::{Column, Schema};
use crate::stores::embedded::sqlite::{Db, Durable};

const SCHEMA: Schema = Schema { sql: TABLES, added: &ADDED, save: save::save };

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS pages (
  build TEXT NOT NULL, page TEXT NOT NULL,
  record BLOB, generation INTEGER NOT NULL DEFAULT 0, not_found INTEGER NOT NULL DEFAULT 0, listed INTEGER NOT NULL DEFAULT 0,
  ticket INTEGER NOT NULL DEFAULT 0, lease_from INTEGER, lease_until INTEGER,
  failed_ticket INTEGER, failures INTEGER, failed_at INTEGER, retry_at INTEGER, error TEXT, demanded INTEGER,
  PRIMARY KEY (build, page)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pages_not_found ON pages (build, page) WHERE not_found = 1;
CREATE INDEX IF NOT EXISTS pages_never_shown ON pages (build, failed_at) WHERE generation = 0 AND listed = 0 AND failures = ticket;
CREATE TABLE IF NOT EXISTS warmth (
  build TEXT NOT NULL, page TEXT NOT NULL, route TEXT NOT NULL, place TEXT NOT NULL, PRIMARY KEY (build, page)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS warmth_places ON warmth (build, route, place);
CREATE TABLE IF NOT EXISTS tags (
  tag TEXT PRIMARY KEY, epoch INTEGER NOT NULL, gone INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS epoch (one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL);
INSERT OR IGNORE INTO epoch VALUES (1, 0);
CREATE TABLE IF NOT EXISTS above (one INTEGER PRIMARY KEY CHECK (one = 1), ticket INTEGER NOT NULL);
INSERT OR IGNORE INTO above VALUES (1, 0);
CREATE TABLE IF NOT EXISTS published (build TEXT PRIMARY KEY) WITHOUT ROWID;
";

/// The columns that stores of earlier versions lack.
const ADDED: [Column; 2] = [
    Column { table: "pages", name: "demanded", kind: "INTEGER" },
    Column { table: "tags", name: "gone", kind: "INTEGER NOT NULL DEFAULT 0" },
];

/// The [`Pages`] of one machine.
#[derive(Clone)]
pub struct SqlitePages {
    db: Arc<Db>,
    build: Arc<str>,
    /// The failed first renders that this process has noted.
    failed_firsts: Arc<AtomicU32>,
}

impl SqlitePages {
    /// The records of `build` in the store at `folder`.
    pub fn open(folder: &Path, build: Arc<str>, clock: Arc<dyn Clock>) -> Self {
        let db = Db::open(&folder.join("pages.db"), &SCHEMA, clock);
        Self { db, build, failed_firsts: Arc::default() }
    }

    pub(crate) fn wait_for_locks(&self, most: Duration) {
        self.db.wait_for_locks(most);
    }

    async fn count(&self, route: &str, which: &str, most: usize) -> Result<usize, StoreError> {
        let (first, end) = keys_of(route);
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM pages
             WHERE {which} AND build = ?1 AND page >= ?2 AND page < ?3 LIMIT ?4)"
        );
        let read = self.db.read(|c| {
            let of = params![self.build, first, end, most];
            let count = c.prepare_cached(&sql)?.query_row(of, |row| row.get::<_, i64>(0))?;
            Ok(usize::try_from(count).unwrap_or(0))
        });
        read.await
    }

    fn row(&self, connection: &Connection, page: &str) -> rusqlite::Result<PageRow> {
        let sql = format!("SELECT {COLUMNS} FROM pages WHERE build = ?1 AND page = ?2");
        let row =
            connection.prepare_cached(&sql)?.query_row([&*self.build, page], PageRow::read).optional()?;
        Ok(row.unwrap_or_default().above(above(connection)?))
    }
}

fn store(tx: &Connection, build: &str, page: &str, record: &Record) -> rusqlite::Result<()> {
    let not_found = matches!(record.stored, Stored::NotFound { .. });
    tx.execute(
        "INSERT INTO pages (build, page, record, generation, not_found) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET record = ?3, generation = ?4, not_found = ?5,
           failed_ticket = NULL, failures = NULL, failed_at = NULL, retry_at = NULL, error = NULL",
        params![build, page, record.to_bytes(), signed(record.generation), not_found],
    )?;
    note_warmth(tx, build, page, record)?;
    release(tx, build, page, record.generation)
}

fn release(tx: &Connection, build: &str, page: &str, ticket: Ticket) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE pages SET lease_from = NULL, lease_until = NULL
         WHERE build = ?1 AND page = ?2 AND ticket = ?3 AND lease_until IS NOT NULL",
        params![build, page, signed(ticket)],
    )?;
    Ok(())
}

/// Writes a ticket with its lease.
fn grant(
    tx: &Connection,
    build: &str,
    page: &str,
    (ticket, demanded): (Ticket, Epoch),
    lease: Duration,
    now: Millis,
) -> rusqlite::Result<()> {
    let (from, until) = (signed(now.0), signed(now.plus(lease).0));
    tx.execute(
        "INSERT INTO pages (build, page, ticket, lease_from, lease_until, demanded) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET ticket = ?3, lease_from = ?4, lease_until = ?5, demanded = ?6",
        params![build, page, signed(ticket), from, until, signed(demanded)],
    )?;
    Ok(())
}

/// The range of the keys of a route with parameters. The keys begin with the route's pattern and `|`; the next character is `}`.
fn keys_of(route: &str) -> (String, String) {
    (format!("{route}|"), format!("{route}}}"))
}

impl Pages for SqlitePages {
    /// `false` in a database that has replaced a damaged one, until the list is published again. Until then every page counts as
    /// listed.
    async fn knows_listed(&self) -> Result<bool, StoreError> {
        self.db.read(|c| knows_listed(c, &self.build)).await
    }

    fn version(&self) -> Option<u64> {
        self.db.version()
    }

    fn of_build(&self, build: &Arc<str>) -> Self {
        Self { build: build.clone(), ..self.clone() }
    }

    async fn read(&self, page: &PageKey, _: Wanted<'_>) -> Result<Snapshot, StoreError> {
        let read = self.db.read(|c| {
            let mut snapshot = self.row(c, page.as_str())?.snapshot(c, page)?;
            snapshot.listed = snapshot.listed || !knows_listed(c, &self.build)?;
            Ok(snapshot)
        });
        read.await
    }

    async fn epochs(&self, tags: &[String]) -> Result<Epochs, StoreError> {
        self.db.read(|c| epochs(c, tags.iter().map(|t| user_tag(t)))).await
    }

    async fn begin(&self, page: &PageKey, request: LeaseRequest) -> Result<LeaseDecision, StoreError> {
        let (this, page) = (self.clone(), page.shared());
        let begin = move |tx: &rusqlite::Transaction<'_>| {
            let row = this.row(tx, &page)?;
            if let Err(refusal) = row.slot.may_begin(row.generation, &request) {
                return Ok(refusal);
            }
            let ticket = row.slot.next_ticket(row.generation);
            grant(tx, &this.build, &page, (ticket, request.urgency.demanded()), request.lease, request.now)?;
            Ok(LeaseDecision::Granted(ticket))
        };
        self.db.write(Durable::No, begin).await
    }

    async fn resume(
        &self,
        page: &PageKey,
        ticket: Ticket,
        length: Duration,
        now: Millis,
    ) -> Result<Option<Ticket>, StoreError> {
        let (this, page) = (self.clone(), page.shared());
        let resume = move |tx: &rusqlite::Transaction<'_>| {
            let row = this.row(tx, &page)?;
            if !row.slot.is_current(ticket, row.generation) {
                return Ok(None);
            }
            let next = row.slot.next_ticket(row.generation);
            grant(tx, &this.build, &page, (next, 0), length, now)?;
            Ok(Some(next))
        };
        self.db.write(Durable::No, resume).await
    }

    async fn prepare(&self, page: &PageKey, ticket: Ticket) -> Result<Grant, StoreError> {
        let read = self.db.read(|c| {
            let epoch = epoch(c)?;
            Ok(Grant { ticket, epoch, replaces: self.row(c, page.as_str())?.record(page.as_str()) })
        });
        read.await
    }

    async fn extend(
        &self,
        page: &PageKey,
        ticket: Ticket,
        length: Duration,
        now: Millis,
    ) -> Result<bool, StoreError> {
        let (this, page) = (self.clone(), page.shared());
        let renew = move |tx: &rusqlite::Transaction<'_>| {
            let row = this.row(tx, &page)?;
            let current = row.slot.is_current(ticket, row.generation);
            if current {
                grant(tx, &this.build, &page, (ticket, row.slot.demanded), length, now)?;
            }
            Ok(current)
        };
        self.db.write(Durable::No, renew).await
    }

    async fn commit(&self, page: &PageKey, record: &Record, _: &Inline) -> Result<Committed, StoreError> {
        let (this, page, record) = (self.clone(), page.shared(), record.clone());
        let commit = move |tx: &rusqlite::Transaction<'_>| {
            let row = this.row(tx, &page)?;
            if row.is_from_before(record.generation) {
                return Ok(None);
            }
            if !supersedes(record.generation, row.generation) {
                release(tx, &this.build, &page, record.generation)?;
                return Ok(Some(Committed::Superseded));
            }
            store(tx, &this.build, &page, &record)?;
            Ok(Some(Committed::Stored { replaced: row.record(&page) }))
        };
        self.db.write(Durable::Yes, commit).await?.ok_or_else(save::from_before)
    }

    async fn fail(
        &self,
        page: &PageKey,
        ticket: Ticket,
        failed: Failed,
    ) -> Result<Option<FailureNote>, StoreError> {
        let (this, page) = (self.clone(), page.shared());
        let fail = move |tx: &rusqlite::Transaction<'_>| {
            let row = this.row(tx, &page)?;
            if !row.slot.is_current(ticket, row.generation) {
                return Ok(None);
            }
            let note = row.slot.failed(&page, ticket, failed.clone());
            tx.execute(
                "UPDATE pages SET failed_ticket = ?3, failures = ?4, failed_at = ?5, retry_at = ?6, error = ?7
                 WHERE build = ?1 AND page = ?2",
                params![
                    this.build,
                    page,
                    signed(ticket),
                    note.count,
                    signed(note.at.0),
                    signed(note.retry_at.0),
                    note.message
                ],
            )?;
            release(tx, &this.build, &page, ticket)?;
            let is_first = row.generation == 0 && !row.listed;
            if is_first && this.failed_firsts.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == 0 {
                forget_failed_firsts(tx, &this.build, FAILED_FIRSTS_MAX)?;
            }
            Ok(Some(note))
        };
        self.db.write(Durable::No, fail).await
    }

    async fn release(&self, page: &PageKey, ticket: Ticket) -> Result<(), StoreError> {
        let (this, page) = (self.clone(), page.shared());
        let undo = move |tx: &rusqlite::Transaction<'_>| {
            let row = this.row(tx, &page)?;
            if !row.listed && row.is_forgotten(ticket) {
                tx.execute("DELETE FROM pages WHERE build = ?1 AND page = ?2", [&*this.build, &*page])?;
                return Ok(());
            }
            release(tx, &this.build, &page, ticket)
        };
        self.db.write(Durable::No, undo).await
    }

    async fn invalidate(&self, tags: &[String], how: Stamp) -> Result<Epoch, StoreError> {
        let tags = tags.to_vec();
        let invalidate = move |tx: &rusqlite::Transaction<'_>| mark(tx, &tags, how);
        self.db.write(Durable::Yes, invalidate).await
    }

    async fn epoch(&self) -> Result<Epoch, StoreError> {
        self.db.read(epoch).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Snapshot)>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = self.db.read(|c| {
            let above = above(c)?;
            let sql = format!(
                "SELECT {COLUMNS}, page FROM pages
                 WHERE build = ?1 AND page >= ?2 AND page > ?3 AND substr(page, 1, length(?2)) = ?2
                 ORDER BY page LIMIT ?4"
            );
            let mut statement = c.prepare_cached(&sql)?;
            let rows = statement
                .query_map(params![self.build, prefix, after.unwrap_or(""), limit], |row| {
                    Ok((row.get::<_, String>(12)?, PageRow::read(row)?))
                })?;
            rows.map(|row| {
                let (text, row) = row?;
                let row = row.above(above);
                let snapshot = match PageKey::from_stored(&text) {
                    Some(page) => row.snapshot(c, &page)?,
                    None => {
                        let record = row.record(&text);
                        row.alone(record)
                    }
                };
                Ok((text, snapshot))
            })
            .collect()
        });
        read.await
    }

    async fn warmest(&self, route: &str, after: Option<&str>, limit: usize) -> Result<Warmest, StoreError> {
        let read = self.db.read(|c| warmest(c, &self.build, route, after, limit));
        read.await
    }

    async fn count_not_found(&self, route: &str, most: usize) -> Result<usize, StoreError> {
        self.count(route, "not_found = 1", most).await
    }

    async fn count_stored(&self, route: &str, most: usize) -> Result<usize, StoreError> {
        self.count(route, "generation > 0", most).await
    }

    async fn publish(
        &self,
        records: &[(PageKey, Record, Inline)],
        listed: &[PageKey],
    ) -> Result<(), StoreError> {
        let records: Vec<_> =
            records.iter().map(|(page, record, _)| (page.shared(), record.clone())).collect();
        let listed: Vec<_> = listed.iter().map(PageKey::shared).collect();
        let this = self.clone();
        let publish = move |tx: &rusqlite::Transaction<'_>| {
            for (page, record) in &records {
                let row = this.row(tx, page)?;
                if row.is_from_before(record.generation) {
                    return Ok(None);
                }
                if supersedes(record.generation, row.generation) {
                    store(tx, &this.build, page, record)?;
                }
            }
            tx.execute("UPDATE pages SET listed = 0 WHERE build = ?1", [&*this.build])?;
            for page in &listed {
                tx.execute(
                    "INSERT INTO pages (build, page, listed) VALUES (?1, ?2, 1)
                     ON CONFLICT DO UPDATE SET listed = 1",
                    params![this.build, page],
                )?;
            }
            tx.execute("INSERT OR IGNORE INTO published VALUES (?1)", [&*this.build])?;
            Ok(Some(()))
        };
        self.db.write(Durable::Yes, publish).await?.ok_or_else(save::from_before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SystemClock;
    use crate::ports::pages::urgency::Urgency;

    #[tokio::test]
    async fn keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let open = |build: &str| SqlitePages::open(folder.path(), build.into(), Arc::new(SystemClock));
        crate::ports::suite::pages::run(open).await;
        crate::ports::suite::pages::run_undisturbed(&open("b")).await;
    }

    #[tokio::test]
    async fn a_damaged_record_counts_as_missing_and_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let pages = SqlitePages::open(folder.path(), "b".into(), Arc::new(SystemClock));
        let page = crate::ports::suite::pages::kit::page("damaged");
        let (request, record) = crate::ports::suite::pages::kit::lease_request_and_record();
        let LeaseDecision::Granted(ticket) = pages.begin(&page, request).await.unwrap() else {
            panic!("refused")
        };
        let none = Inline::default();
        pages.commit(&page, &Record { generation: ticket, ..record.clone() }, &none).await.unwrap();
        let break_it = |tx: &rusqlite::Transaction<'_>| tx.execute("UPDATE pages SET record = x'00'", []);
        pages.db.write(Durable::No, break_it).await.unwrap();
        let damaged = pages.read(&page, Wanted::default()).await.unwrap();
        assert!(damaged.record.is_none() && damaged.generation == ticket);
        let request = LeaseRequest { seen: Some(damaged.generation), ..request };
        let LeaseDecision::Granted(again) = pages.begin(&page, request).await.unwrap() else {
            panic!("refused")
        };
        assert!(again > ticket, "tickets never restart");
        pages.commit(&page, &Record { generation: again, ..record }, &none).await.unwrap();
        assert_eq!(pages.read(&page, Wanted::default()).await.unwrap().record.unwrap().generation, again);
    }
    #[tokio::test]
    async fn a_store_of_an_earlier_version_is_read_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let earlier = Connection::open(folder.path().join("pages.db")).unwrap();
        earlier.execute_batch(&TABLES.replace(", demanded INTEGER", "")).unwrap();
        let page = crate::ports::suite::pages::kit::page("earlier");
        let leased = "INSERT INTO pages (build, page, ticket, lease_from, lease_until) VALUES ('b', ?1, 4, 1000000, 1010000)";
        earlier.execute(leased, [page.as_str()]).unwrap();
        let pages = SqlitePages::open(folder.path(), "b".into(), Arc::new(SystemClock));
        let slot = pages.read(&page, Wanted::default()).await.unwrap().slot;
        assert_eq!((slot.ticket, slot.demanded), (4, 0));
        let (request, _) = crate::ports::suite::pages::kit::lease_request_and_record();
        let request = LeaseRequest { urgency: Urgency::Demand(1), ..request };
        assert!(matches!(pages.begin(&page, request).await.unwrap(), LeaseDecision::Granted(5)));
        assert!(matches!(pages.begin(&page, request).await.unwrap(), LeaseDecision::Busy(_)));
        let again = SqlitePages::open(folder.path(), "b".into(), Arc::new(SystemClock));
        assert_eq!(again.read(&page, Wanted::default()).await.unwrap().slot.demanded, 1);
    }
}
