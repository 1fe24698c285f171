//! Records, leases and epochs in SQLite, for several processes of one machine.

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
use crate::stores::embedded::sqlite::anew::{Column, Schema};
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

/// Columns that stores of earlier versions lack.
const ADDED: [Column; 2] = [
    Column { table: "pages", name: "demanded", kind: "INTEGER" },
    Column { table: "tags", name: "gone", kind: "INTEGER NOT NULL DEFAULT 0" },
];

/// The [`Pages`] of one machine.
#[derive(Clone)]
pub struct SqlitePages {
    db: Arc<Db>,
    build: Arc<str>,
    /// Noted by this process.
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

/// Gives a ticket a lease from now on.
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

/// The keys of a route with parameters: all begin with its pattern and a bar; `}` is the next character.
fn keys_of(route: &str) -> (String, String) {
    (format!("{route}|"), format!("{route}}}"))
}

impl Pages for SqlitePages {
    /// A store that went on without what was damaged does not, until they are published again; then no page counts as one
    /// that is not listed.
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
    use crate::ports::error::StoreErrorKind;
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
    /// A store of many pages of which some cannot be read any more, and a process that has it open.
    async fn half_lost() -> (tempfile::TempDir, SqlitePages, Vec<PageKey>, Ticket) {
        let folder = tempfile::tempdir().unwrap();
        let open = || SqlitePages::open(folder.path(), "b".into(), Arc::new(SystemClock));
        let pages = open();
        let keys: Vec<_> =
            (100..400).map(|i| crate::ports::suite::pages::kit::page(&format!("p{i}"))).collect();
        let (request, record) = crate::ports::suite::pages::kit::lease_request_and_record();
        let mut commits = Vec::new();
        for page in &keys {
            let LeaseDecision::Granted(generation) = pages.begin(page, request).await.unwrap() else {
                panic!("refused")
            };
            let epoch = pages.invalidate(&["tag:x".to_owned()], Stamp::Stale).await.unwrap();
            commits.push((page.clone(), Record { generation, epoch, ..record.clone() }, Inline::default()));
        }
        pages.publish(&commits, &keys).await.unwrap();
        let LeaseDecision::Granted(under_way) = pages
            .begin(&keys[0], LeaseRequest { seen: None, urgency: Urgency::Overriding, ..request })
            .await
            .unwrap()
        else {
            panic!("refused")
        };
        // Closed, so that all is in one file.
        drop(pages);
        let path = folder.path().join("pages.db");
        let mut bytes = std::fs::read(&path).unwrap();
        // Where pages are, not where it is noted which of them visitors have wanted.
        let holds = |block: &[u8], text: &[u8]| block.windows(text.len()).any(|found| found == text);
        let middle =
            bytes.chunks(4096).rposition(|b| holds(b, b"p250") && !holds(b, b"#/suite")).unwrap() * 4096;
        bytes[middle..middle + 4096].fill(0xa5);
        std::fs::write(&path, bytes).unwrap();
        let pages = open();
        (folder, pages, keys, under_way)
    }

    #[tokio::test]
    async fn of_a_damaged_store_what_can_be_read_is_stale_and_the_rest_missing() {
        let (_folder, pages, keys, _) = half_lost().await;
        let mut saved = 0;
        for page in &keys {
            let snapshot = pages.read(page, Wanted::default()).await.unwrap();
            saved += usize::from(snapshot.record.is_some());
        }
        // From where the damage was met on.
        assert!((1..keys.len()).contains(&saved), "{saved}");
        for page in &keys {
            let snapshot = pages.read(page, Wanted::default()).await.unwrap();
            assert!(snapshot.generation > 300 && snapshot.epochs.newest > 300, "numbers go on: {snapshot:?}");
            if let Some(record) = snapshot.record {
                assert!(record.generation == snapshot.generation && record.epoch < snapshot.epochs.newest);
            }
            assert!(snapshot.listed, "whether it was cannot be told");
        }
        let stranger = crate::ports::suite::pages::kit::page("stranger");
        assert!(
            pages.read(&stranger, Wanted::default()).await.unwrap().listed
                && !pages.knows_listed().await.unwrap()
        );
        pages.publish(&[], &keys).await.unwrap();
        assert!(pages.knows_listed().await.unwrap());
        assert!(pages.read(&keys[0], Wanted::default()).await.unwrap().listed);
        assert!(!pages.read(&stranger, Wanted::default()).await.unwrap().listed);
    }

    #[tokio::test]
    async fn a_render_from_before_the_damage_is_refused_and_later_ones_are_kept() {
        let (_folder, pages, keys, under_way) = half_lost().await;
        for page in &keys {
            pages.read(page, Wanted::default()).await.unwrap();
        }
        let (request, record) = crate::ports::suite::pages::kit::lease_request_and_record();
        let late = Record { generation: under_way, ..record.clone() };
        let none = Inline::default();
        let error = pages.commit(&keys[0], &late, &none).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
        pages.publish(&[(keys[0].clone(), late, none.clone())], &[]).await.unwrap_err();
        assert_eq!(pages.resume(&keys[0], under_way, request.lease, request.now).await.unwrap(), None);
        assert!(!pages.extend(&keys[0], under_way, request.lease, request.now).await.unwrap());
        let stranger = crate::ports::suite::pages::kit::page("stranger");
        for page in [&keys[0], &keys[150], &stranger] {
            let seen = pages.read(page, Wanted::default()).await.unwrap();
            let request = LeaseRequest { seen: Some(seen.generation), ..request };
            let LeaseDecision::Granted(ticket) = pages.begin(page, request).await.unwrap() else {
                panic!("refused")
            };
            let epoch = pages.prepare(page, ticket).await.unwrap().epoch;
            let record = Record { generation: ticket, epoch, ..record.clone() };
            pages.commit(page, &record, &none).await.unwrap();
            let shown = pages.read(page, Wanted::default()).await.unwrap();
            assert_eq!((shown.generation, shown.epochs.newest), (ticket, epoch), "fresh");
        }
    }

    #[tokio::test]
    async fn after_damage_a_page_nobody_knew_is_forgotten_and_not_held_back() {
        let (_folder, pages, keys, _) = half_lost().await;
        for page in &keys {
            pages.read(page, Wanted::default()).await.unwrap();
        }
        let before = pages.list("", None, 1000).await.unwrap().len();
        let (request, _) = crate::ports::suite::pages::kit::lease_request_and_record();
        let request = LeaseRequest { seen: None, urgency: Urgency::Missing, ..request };
        let stranger = crate::ports::suite::pages::kit::page("stranger");
        let LeaseDecision::Granted(ticket) = pages.begin(&stranger, request).await.unwrap() else {
            panic!("refused")
        };
        pages.release(&stranger, ticket).await.unwrap();
        assert_eq!(pages.list("", None, 1000).await.unwrap().len(), before, "random paths fill no store");
        let LeaseDecision::Granted(ticket) = pages.begin(&stranger, request).await.unwrap() else {
            panic!("refused")
        };
        let failed = Failed { message: "no".into(), retry_after: None, now: request.now };
        pages.fail(&stranger, ticket, failed).await.unwrap().unwrap();
        assert!(
            matches!(pages.begin(&stranger, request).await.unwrap(), LeaseDecision::Granted(_)),
            "nothing to show"
        );
    }

    #[tokio::test]
    async fn failed_first_renders_are_forgotten_but_for_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let pages = SqlitePages::open(folder.path(), "b".into(), Arc::new(SystemClock));
        let (request, record) = crate::ports::suite::pages::kit::lease_request_and_record();
        let page = |n: usize| crate::ports::suite::pages::kit::page(&format!("p{n}"));
        let fail = async |n: usize, at: u64| {
            let request =
                LeaseRequest { seen: None, urgency: Urgency::Overriding, now: Millis(at), ..request };
            let LeaseDecision::Granted(ticket) = pages.begin(&page(n), request).await.unwrap() else {
                panic!("refused")
            };
            let failed = Failed { message: "no".into(), retry_after: None, now: Millis(at) };
            pages.fail(&page(n), ticket, failed).await.unwrap().unwrap();
        };
        for n in 0..9 {
            fail(n, 1_000 + n as u64).await;
        }
        // Asked for again; shown; listed; under way; and one of whose renders another may still be.
        fail(0, 2_000).await;
        let shown = Record { generation: 9, ..record };
        pages.commit(&page(1), &shown, &Inline::default()).await.unwrap();
        fail(1, 1_000).await;
        pages.publish(&[], &[page(2)]).await.unwrap();
        let urgent = LeaseRequest { seen: None, urgency: Urgency::Overriding, ..request };
        pages.begin(&page(3), urgent).await.unwrap();
        pages.begin(&page(4), urgent).await.unwrap();
        fail(4, 1_000).await;
        let forget = |tx: &rusqlite::Transaction<'_>| forget_failed_firsts(tx, "b", 3);
        assert_eq!(pages.db.write(Durable::No, forget).await.unwrap(), 2);
        let left = pages.list("", None, 100).await.unwrap();
        let left: Vec<_> = left.iter().map(|(key, _)| &key[key.len() - 1..]).collect();
        assert_eq!(left, ["0", "1", "2", "3", "4", "7", "8"]);
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

    /// How many pages the test of scale has; 1,000,000 takes a minute.
    #[allow(clippy::disallowed_methods, reason = "a setting of this test alone")]
    fn pages_of_scale() -> u64 {
        std::env::var("SCALE_PAGES").ok().and_then(|n| n.parse().ok()).unwrap_or(50_000)
    }

    /// `SCALE_PAGES=1000000 cargo test --release -p perennial --lib for_any_number -- --nocapture` prints what a tag, the
    /// first read after it and the first look of its renewal cost beside 1,000 pages.
    #[tokio::test]
    #[allow(clippy::print_stdout, reason = "a measurement is printed")]
    #[allow(clippy::disallowed_methods, reason = "it takes less than the clock port's milliseconds")]
    async fn a_tag_costs_the_same_for_any_number_of_pages() {
        use std::time::Instant;
        let (_, record) = crate::ports::suite::pages::kit::lease_request_and_record();
        let bytes = Record { generation: 1, ..record }.to_bytes();
        let mut costs = Vec::new();
        for count in [1_000, pages_of_scale()] {
            let folder = tempfile::tempdir().unwrap();
            let pages = SqlitePages::open(folder.path(), "b".into(), Arc::new(SystemClock));
            let record = bytes.clone();
            let fill = move |tx: &rusqlite::Transaction<'_>| {
                let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)";
                let page = "'/suite/{name}|' || i";
                let sql = format!(
                    "INSERT INTO pages (build, page, record, generation) {numbers} SELECT 'b', {page}, ?2, 1 FROM n"
                );
                tx.execute(&sql, params![signed(count), record])?;
                let sql = format!(
                    "INSERT INTO warmth {numbers} SELECT 'b', {page}, '/suite/{{name}}', printf('%08d#%s', i % 99, {page}) FROM n"
                );
                tx.execute(&sql, [signed(count)])
            };
            pages.db.write(Durable::No, fill).await.unwrap();
            let mut fastest = [std::time::Duration::MAX; 3];
            for _ in 0..20 {
                let began = Instant::now();
                let epoch = pages.invalidate(&["tag:t".into()], Stamp::Stale).await.unwrap();
                let one = crate::ports::suite::pages::kit::page("7");
                let marked = Instant::now();
                let seen = pages.read(&one, Wanted::default()).await.unwrap().epochs.newest;
                let read = Instant::now();
                assert_eq!(seen, epoch, "seen by the next read");
                let warm = pages.warmest("/suite/{name}", None, 100).await.unwrap();
                assert_eq!(warm.pages.len(), 100);
                let took = [marked - began, read - marked, read.elapsed()];
                fastest = std::array::from_fn(|n| fastest[n].min(took[n]));
            }
            println!(
                "{count} pages: a tag {:?}, the next read {:?}, 100 warmest {:?}",
                fastest[0], fastest[1], fastest[2]
            );
            let plan = pages.db.read(|c| {
                let mut plan = c.prepare(&format!("EXPLAIN QUERY PLAN {}", warmth::warmest_sql()))?;
                let rows =
                    plan.query_map(params!["b", "/suite/{name}", None::<String>, 100], |row| row.get(3))?;
                rows.collect::<rusqlite::Result<Vec<String>>>()
            });
            costs.push(plan.await.unwrap());
        }
        let plan = costs[0].join("; ");
        assert!(
            !plan.contains("SCAN") && !plan.contains("TEMP B-TREE"),
            "no look goes through all pages: {plan}"
        );
        assert_eq!(costs[0], costs[1]);
    }
}
