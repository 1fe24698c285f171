//! The journal in SQLite. It is a database of its own, so that its writes do not hold up those of pages.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use crate::base::clock::{Clock, Millis};
use crate::ports::error::StoreError;
use crate::ports::journal::{DELIVERY_KEPT, Journal, JournalEntry, Publish, RouteProgress, ScheduleDecision};
use crate::stores::embedded::sqlite::rebuild::{Schema, save_rows};
use crate::stores::embedded::sqlite::{Db, Durable};

const SCHEMA: Schema =
    Schema { sql: TABLES, added: &[], save: |old, new, _| KEPT.iter().map(|t| save_rows(old, new, t)).sum() };

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS publishes (
  id TEXT PRIMARY KEY, place TEXT NOT NULL, kept_until INTEGER NOT NULL, publish TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS publishes_place ON publishes (place);
CREATE TABLE IF NOT EXISTS marks (
  id TEXT NOT NULL, route TEXT NOT NULL, kept_until INTEGER NOT NULL, mark TEXT NOT NULL, PRIMARY KEY (id, route)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fates (
  id TEXT PRIMARY KEY, fate TEXT NOT NULL, kept_until INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS deliveries (
  delivery TEXT PRIMARY KEY, id TEXT NOT NULL, kept_until INTEGER NOT NULL
) WITHOUT ROWID;
";

/// The database's tables, each with a column `kept_until`.
const KEPT: [&str; 4] = ["publishes", "marks", "fates", "deliveries"];

/// The most entries on one machine. Older ones are removed even before their time.
pub const ENTRIES_MAX: usize = 10_000;

/// The [`Journal`] of one machine.
#[derive(Clone)]
pub struct SqliteJournal {
    db: Arc<Db>,
    clock: Arc<dyn Clock>,
}

impl SqliteJournal {
    /// The journal in the store at `folder`.
    pub fn open(folder: &Path, clock: Arc<dyn Clock>) -> Self {
        Self { db: Db::open(&folder.join("publishes.db"), &SCHEMA, clock.clone()), clock }
    }

    pub(crate) fn wait_for_locks(&self, most: Duration) {
        self.db.wait_for_locks(most);
    }
}

fn ms(instant: Millis) -> i64 {
    i64::try_from(instant.0).unwrap_or(i64::MAX)
}

/// Removes expired rows, and the oldest entries beyond [`ENTRIES_MAX`].
fn forget(tx: &rusqlite::Transaction<'_>, now: Millis) -> rusqlite::Result<()> {
    for table in KEPT {
        tx.execute(&format!("DELETE FROM {table} WHERE kept_until <= ?1"), [ms(now)])?;
    }
    tx.execute(
        "DELETE FROM publishes WHERE place <= (SELECT place FROM publishes ORDER BY place DESC LIMIT 1 OFFSET ?1)",
        [i64::try_from(ENTRIES_MAX).unwrap_or(i64::MAX)],
    )?;
    Ok(())
}

impl Journal for SqliteJournal {
    async fn put(&self, publish: &Publish) -> Result<(), StoreError> {
        let (publish, now) = (publish.clone(), self.clock.now());
        let put = move |tx: &rusqlite::Transaction<'_>| {
            tx.execute(
                "INSERT OR REPLACE INTO publishes VALUES (?1, ?2, ?3, ?4)",
                params![publish.id, publish.place(), ms(publish.kept_until), publish.to_json()],
            )?;
            forget(tx, now)
        };
        self.db.write(Durable::No, put).await
    }

    async fn get(&self, id: &str) -> Result<Option<JournalEntry>, StoreError> {
        let now = ms(self.clock.now());
        let read = self.db.read(|c| {
            let sql = "SELECT publish FROM publishes WHERE id = ?1 AND kept_until > ?2";
            let publish: Option<String> = c.query_row(sql, params![id, now], |row| row.get(0)).optional()?;
            let sql = "SELECT mark FROM marks WHERE id = ?1 AND kept_until > ?2 ORDER BY route";
            let mut routes = c.prepare_cached(sql)?;
            let routes = routes.query_map(params![id, now], |row| row.get::<_, String>(0))?;
            let routes: Vec<_> = routes.collect::<Result<_, _>>()?;
            let publish = publish.and_then(|text| Publish::from_json(&text));
            let routes: Vec<RouteProgress> =
                routes.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
            Ok((publish.is_some() || !routes.is_empty()).then_some(JournalEntry { publish, routes }))
        });
        read.await
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<Publish>, StoreError> {
        let (now, limit) = (ms(self.clock.now()), i64::try_from(limit).unwrap_or(i64::MAX));
        let read = self.db.read(|c| {
            let sql = "SELECT publish FROM publishes WHERE (?1 IS NULL OR place < ?1) AND kept_until > ?2
                       ORDER BY place DESC LIMIT ?3";
            let mut entries = c.prepare_cached(sql)?;
            let entries = entries.query_map(params![after, now, limit], |row| row.get::<_, String>(0))?;
            let entries: Vec<_> = entries.collect::<Result<_, _>>()?;
            Ok(entries.iter().filter_map(|text| Publish::from_json(text)).collect())
        });
        read.await
    }

    async fn note_progress(
        &self,
        id: &str,
        progress: &RouteProgress,
        kept_until: Millis,
    ) -> Result<(), StoreError> {
        let (id, route, progress) = (id.to_owned(), progress.route.clone(), progress.to_json());
        let put = move |tx: &rusqlite::Transaction<'_>| {
            let row = params![id, route, ms(kept_until), progress];
            tx.execute("INSERT OR REPLACE INTO marks VALUES (?1, ?2, ?3, ?4)", row)
        };
        self.db.write(Durable::No, put).await.map(drop)
    }

    async fn settle(
        &self,
        id: &str,
        decision: ScheduleDecision,
        kept_until: Millis,
    ) -> Result<ScheduleDecision, StoreError> {
        let id = id.to_owned();
        let settle = move |tx: &rusqlite::Transaction<'_>| {
            let row = params![id, decision.as_str(), ms(kept_until)];
            tx.execute("INSERT OR IGNORE INTO fates VALUES (?1, ?2, ?3)", row)?;
            tx.query_row("SELECT fate FROM fates WHERE id = ?1", [&id], |row| row.get::<_, String>(0))
        };
        ScheduleDecision::read(&self.db.write(Durable::Yes, settle).await?)
    }

    async fn carried_out(&self, delivery: &str, now: Millis) -> Result<Option<String>, StoreError> {
        let read = self.db.read(|c| {
            let sql = "SELECT id FROM deliveries WHERE delivery = ?1 AND kept_until > ?2";
            c.query_row(sql, params![delivery, ms(now)], |row| row.get(0)).optional()
        });
        read.await
    }

    async fn note_carried_out(&self, delivery: &str, id: &str, now: Millis) -> Result<(), StoreError> {
        let (delivery, id) = (delivery.to_owned(), id.to_owned());
        let note = move |tx: &rusqlite::Transaction<'_>| {
            let row = params![delivery, id, ms(now.plus(DELIVERY_KEPT))];
            tx.execute("INSERT OR REPLACE INTO deliveries VALUES (?1, ?2, ?3)", row)?;
            forget(tx, now)
        };
        self.db.write(Durable::No, note).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SystemClock;
    use crate::ports::suite::journal::publish;

    fn open(folder: &Path) -> SqliteJournal {
        SqliteJournal::open(folder, Arc::new(SystemClock))
    }

    #[tokio::test]
    async fn keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        crate::ports::suite::journal::run(|| open(folder.path()), SystemClock.now()).await;
    }

    #[tokio::test]
    async fn there_are_so_many_entries_at_most() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(folder.path());
        let rows = |tx: &rusqlite::Transaction<'_>| {
            let one = publish("x", u64::MAX);
            for n in 0..ENTRIES_MAX + 5 {
                tx.execute(
                    "INSERT INTO publishes VALUES (?1, ?2, ?3, ?4)",
                    params![format!("x{n}"), format!("{n:015}#x{n}"), i64::MAX, one.to_json()],
                )?;
            }
            Ok(())
        };
        journal.db.write(Durable::No, rows).await.unwrap();
        journal.put(&publish("newest", 900_000_000_000_000)).await.unwrap();
        let count =
            journal.db.read(|c| c.query_row("SELECT count(*) FROM publishes", [], |r| r.get::<_, i64>(0)));
        assert_eq!(count.await.unwrap(), ENTRIES_MAX as i64);
        assert!(journal.get("newest").await.unwrap().is_some() && journal.get("x0").await.unwrap().is_none());
    }
}
