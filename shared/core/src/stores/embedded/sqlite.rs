//! A SQLite database in WAL mode, shared by the processes of one machine.
//!
//! Reads run on the calling thread: a point read of a warm database takes microseconds. Writes run one at a time in each
//! process, on a thread that may block on other processes' locks.

mod changes;
mod heal;
mod kinds;
mod patience;
mod place;
pub(crate) mod rebuild;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::base::clock::Clock;
use crate::ports::error::{StoreError, StoreErrorKind};
use crate::stores::embedded::folder::Access;
use crate::stores::embedded::sqlite::changes::{Changes, Identity, Kind};
use crate::stores::embedded::sqlite::kinds::{is_locked, kind_of};
use crate::stores::embedded::sqlite::patience::Patience;
use crate::stores::embedded::sqlite::rebuild::{Files, Schema, emptied, is_emptied, is_out_of_reach};

/// The longest wait of a call for another process's lock, unless [`Db::wait_for_locks`] sets another.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// The pause between two tries to read a locked database.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// The most open connections that are kept for later reads.
const READERS_KEPT_MAX: usize = 16;

/// Whether a commit must survive a power cut before it is acknowledged. All commits survive a killed process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    Yes,
    No,
}

pub(crate) struct Db {
    files: Files,
    schema: &'static Schema,
    clock: Arc<dyn Clock>,
    writer: Arc<tokio::sync::Mutex<Option<Opened>>>,
    readers: Mutex<Vec<Opened>>,
    changes: Changes,
    newest: AtomicU64,
    not_replaced_at: AtomicU64,
    reading: Patience,
    writing: Patience,
    /// The number of times that other files have taken the store's path.
    life: AtomicU64,
    looked_at: AtomicU64,
    /// The number and the file of the database that was opened last for writing.
    written: Mutex<Option<(u64, Identity)>>,
}

/// A connection to the database with this number, in this life of the store.
struct Opened {
    connection: Connection,
    number: u64,
    life: u64,
}

/// A failed call: the error, the number of its database, and whether a write may have landed.
struct Broken {
    error: rusqlite::Error,
    number: u64,
    unsure: bool,
}

impl Db {
    /// Opens or creates the database. If that fails, each call tries again: a server can start on a full or read-only disk.
    pub(crate) fn open(path: &Path, schema: &'static Schema, clock: Arc<dyn Clock>) -> Arc<Self> {
        if let Some(folder) = path.parent() {
            // If the folder cannot be made, opening the files fails, too, and that error is logged.
            let _ = Access::of(folder).make_folder(folder);
        }
        let files = Files::of(path);
        files.tighten();
        let db = Arc::new(Self {
            newest: AtomicU64::new(files.newest()),
            files,
            schema,
            clock,
            writer: Arc::default(),
            readers: Mutex::default(),
            changes: Changes::open(path.with_extension("changes")),
            not_replaced_at: AtomicU64::new(0),
            reading: Patience::new(LOCK_WAIT),
            writing: Patience::new(LOCK_WAIT),
            life: AtomicU64::new(0),
            looked_at: AtomicU64::new(0),
            written: Mutex::default(),
        });
        if let Err(Broken { error, number, .. }) = db.open_writer() {
            if db.is_damage(&error) {
                // If another process writes now, the first call that meets the damage tries again.
                db.changes
                    .try_hold(Kind::Replace)
                    .into_iter()
                    .for_each(|held| db.replace(number, &error, held));
            } else {
                let path = db.path(number);
                let path = path.display();
                tracing::error!(
                    "the store {path} cannot be written: {error}. What it holds is served; nothing new is kept."
                );
            }
        }
        db
    }

    /// Sets the longest wait of a call for another process's lock. After that the call fails.
    pub(crate) fn wait_for_locks(&self, most: Duration) {
        self.reading.set(most);
        self.writing.set(most);
    }

    /// The version of the database: [`Changes::now`].
    pub(crate) fn version(&self) -> Option<u64> {
        self.changes.now()
    }

    /// Runs a few point reads in one transaction.
    pub(crate) async fn read<T>(
        self: &Arc<Self>,
        work: impl Fn(&Connection) -> rusqlite::Result<T> + Send + Sync,
    ) -> Result<T, StoreError> {
        self.look().await;
        match self.read_patiently(&work).await {
            Err(broken) if self.is_damage(&broken.error) => {
                self.heal(&broken).await;
                self.read_patiently(&work).await
            }
            Err(_) if self.is_elsewhere() => {
                self.go_on_there().await;
                self.read_patiently(&work).await
            }
            Err(broken) if is_emptied(&broken.error) => {
                self.make_tables().await;
                self.read_patiently(&work).await
            }
            read => read,
        }
        .map_err(|broken| self.failed("read", broken))
    }

    /// Reads, and tries again while another process's lock keeps readers out. The wait blocks no thread.
    async fn read_patiently<T>(
        &self,
        work: impl Fn(&Connection) -> rusqlite::Result<T> + Send + Sync,
    ) -> Result<T, Broken> {
        let mut read = self.try_read(&work);
        let is_locked_out =
            |read: &Result<T, Broken>| matches!(read, Err(broken) if is_locked(&broken.error));
        if is_locked_out(&read) {
            let wait = self.reading.left(self.clock.now()).unwrap_or_default();
            // Counts pauses, because the clock may be set back meanwhile.
            for _ in 0..wait.as_millis() / READ_AGAIN_AFTER.as_millis() {
                self.clock.sleep(READ_AGAIN_AFTER).await;
                read = self.try_read(&work);
                if !is_locked_out(&read) {
                    break;
                }
            }
        }
        match is_locked_out(&read) {
            true => self.reading.note_in_vain(self.clock.now()),
            false => self.reading.note_got(),
        }
        read
    }

    /// Like [`Db::read`], without repair: a damaged or locked database is an error.
    pub(crate) fn read_now<T>(
        &self,
        work: impl Fn(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.try_read(work).map_err(|broken| self.failed("read", broken))
    }

    fn try_read<T>(&self, work: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T, Broken> {
        let number = self.newest();
        let kept = {
            let mut readers = lock(&self.readers);
            readers.retain(|reader| self.is_current(reader, number));
            readers.pop()
        };
        let broken = |error| Broken { error, number, unsure: false };
        let reader = match kept {
            Some(reader) => reader,
            None => self.open_reader(number).map_err(broken)?,
        };
        match read(&reader.connection, &work) {
            Ok(value) => {
                let mut readers = lock(&self.readers);
                if readers.len() < READERS_KEPT_MAX {
                    readers.push(reader);
                }
                Ok(value)
            }
            Err(error) if is_out_of_reach(&error) => match self.files.open_at_rest(number) {
                // The connection is not kept: by the next read another process may write.
                Some(at_rest) => read(&at_rest, &work).map_err(broken),
                None => Err(broken(error)),
            },
            Err(error) => Err(broken(error)),
        }
    }

    /// Runs `work` in a transaction that no other writer overlaps. If the database is damaged, replaces it and runs `work` again.
    pub(crate) async fn write<T: Send + 'static>(
        self: &Arc<Self>,
        durable: Durable,
        work: impl Fn(&Transaction<'_>) -> rusqlite::Result<T> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let work = Arc::new(work);
        if self.is_elsewhere() {
            self.go_on_there().await;
        }
        let written = match self.try_write(durable, work.clone()).await? {
            Err(broken) if self.is_damage(&broken.error) => {
                self.heal(&broken).await;
                self.try_write(durable, work).await?
            }
            written => written,
        };
        written.map_err(|broken| self.failed("write", broken))
    }

    async fn try_write<T: Send + 'static>(
        self: &Arc<Self>,
        durable: Durable,
        work: Arc<impl Fn(&Transaction<'_>) -> rusqlite::Result<T> + Send + Sync + 'static>,
    ) -> Result<Result<T, Broken>, StoreError> {
        // Writers wait here and not on threads: only one thread blocks on another process's lock.
        let mut writer = self.writer.clone().lock_owned().await;
        let Some(wait) = self.writing.left(self.clock.now()) else { return Err(self.locked("write")) };
        // While this is held, no process replaces the database.
        let Some(held) = self.changes.hold(Kind::Write, wait, &*self.clock).await else {
            self.writing.note_in_vain(self.clock.now());
            return Err(self.locked("write"));
        };
        let db = self.clone();
        let written = tokio::task::spawn_blocking(move || {
            let _held = held;
            let number = db.newest();
            let mut opened = match writer.take().filter(|writer| db.is_current(writer, number)) {
                Some(writer) => writer,
                None => db.open_writer_within(wait)?,
            };
            let result = db.transact(&mut opened, durable, wait, &*work);
            // A connection that met an error may hold a broken file handle: the next call opens a new one.
            if result.is_ok() {
                *writer = Some(opened);
            }
            result
        });
        let written =
            written.await.map_err(|e| StoreError::unsure(format!("writing was interrupted: {e}")))?;
        match &written {
            Err(broken) if is_locked(&broken.error) => self.writing.note_in_vain(self.clock.now()),
            _ => self.writing.note_got(),
        }
        Ok(written)
    }

    fn transact<T>(
        &self,
        opened: &mut Opened,
        durable: Durable,
        wait: Duration,
        work: impl Fn(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Broken> {
        let level = if durable == Durable::Yes { "FULL" } else { "NORMAL" };
        let number = opened.number;
        let refused = |error| Broken { error, number, unsure: false };
        opened.connection.busy_timeout(wait).map_err(refused)?;
        opened.connection.pragma_update(None, "synchronous", level).map_err(refused)?;
        let tx =
            opened.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(refused)?;
        let before = tx.total_changes();
        let value = work(&tx).map_err(refused)?;
        if tx.total_changes() == before {
            return Ok(value);
        }
        let change = self.changes.begin();
        let committed = tx.commit();
        self.changes.end(change);
        committed.map_err(|error| Broken { error, number, unsure: true })?;
        Ok(value)
    }

    /// The number of the newest database. Another process may have made a newer one since the last call.
    fn newest(&self) -> u64 {
        let known = self.newest.load(Ordering::Relaxed);
        if !self.path(known + 1).exists() {
            return known;
        }
        let newest = self.files.newest();
        self.newest.fetch_max(newest, Ordering::Relaxed).max(newest)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.files.path(number)
    }

    fn is_current(&self, opened: &Opened, number: u64) -> bool {
        opened.number == number && opened.life == self.life.load(Ordering::Relaxed)
    }

    fn open_writer(&self) -> Result<Opened, Broken> {
        self.open_writer_within(LOCK_WAIT)
    }

    fn open_writer_within(&self, wait: Duration) -> Result<Opened, Broken> {
        let number = self.newest();
        let life = self.life.load(Ordering::Relaxed);
        let open = || {
            self.note_file(number);
            let connection = Connection::open(self.path(number))?;
            connection.busy_timeout(wait)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            // A database that was written before has tables. Without them it counts as damaged: its numbers must not start
            // again.
            if self.changes.above_all().is_some() {
                connection
                    .query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |_| Ok(()))
                    .map_err(emptied)?;
            }
            connection.execute_batch(self.schema.sql)?;
            self.schema.add_columns(&connection)?;
            Ok(Opened { connection, number, life })
        };
        open().map_err(|error| Broken { error, number, unsure: false })
    }

    fn open_reader(&self, number: u64) -> rusqlite::Result<Opened> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let life = self.life.load(Ordering::Relaxed);
        let connection = Connection::open_with_flags(self.path(number), flags)?;
        // Reads run on the calling thread and must not block it: see `Db::read_patiently`.
        connection.busy_timeout(Duration::ZERO)?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(Opened { connection, number, life })
    }

    fn locked(&self, verb: &str) -> StoreError {
        let path = self.path(self.newest());
        StoreError::new(StoreErrorKind::Busy, format!("cannot {verb} {}: {LOCKED}", path.display()))
    }

    fn message(&self, verb: &str, broken: &Broken) -> String {
        if is_locked(&broken.error) {
            return format!("cannot {verb} {}: {LOCKED}", self.path(broken.number).display());
        }
        format!("cannot {verb} {}: {}", self.path(broken.number).display(), broken.error)
    }

    fn failed(&self, verb: &str, broken: Broken) -> StoreError {
        let text = self.message(verb, &broken);
        let kind = if broken.unsure { StoreErrorKind::Unsure } else { kind_of(&broken.error) };
        StoreError::new(kind, text).caused_by(Arc::new(broken.error))
    }
}

/// The end of the error text for a locked database.
const LOCKED: &str = "another process holds its lock for longer than PERENNIAL_STORE_LOCK_WAIT_MS; see who has it open (`fuser`), and end that process";

/// Runs reads in one transaction, so that all see the same state.
fn read<T>(
    connection: &Connection,
    work: impl Fn(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let tx = connection.unchecked_transaction()?;
    let value = work(&tx)?;
    tx.commit()?;
    Ok(value)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SystemClock;

    const T: Schema = Schema {
        sql: "CREATE TABLE IF NOT EXISTS t (x)",
        added: &[],
        save: |_, new, above| new.execute("INSERT INTO t VALUES (?1)", [above as i64]).map(|_| 0),
    };

    pub(super) fn open(folder: &Path) -> Arc<Db> {
        Db::open(&folder.join("pages.db"), &T, Arc::new(SystemClock))
    }

    pub(super) async fn add(db: &Arc<Db>, number: i64) -> Result<usize, StoreError> {
        db.write(Durable::Yes, move |tx| tx.execute("INSERT INTO t VALUES (?1)", [number])).await
    }

    pub(super) async fn all(db: &Arc<Db>) -> Vec<i64> {
        let read = db.read(|c| c.prepare("SELECT x FROM t")?.query_map([], |row| row.get(0))?.collect());
        read.await.unwrap()
    }

    #[tokio::test]
    async fn a_lock_that_another_process_holds_delays_one_call_only() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path());
        add(&db, 1).await.unwrap();
        db.wait_for_locks(Duration::from_millis(20));
        let other = Connection::open(db.path(0)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        for _ in 0..3 {
            let refused = add(&db, 2).await.unwrap_err().to_string();
            assert!(refused.contains("PERENNIAL_STORE_LOCK_WAIT_MS"), "{refused}");
            assert_eq!(db.writing.left(SystemClock.now()), None, "the next one does not wait");
            assert_eq!(all(&db).await, [1], "what is stored can be read");
        }
        other.execute_batch("ROLLBACK").unwrap();
        until_written(&db).await;
        assert!(db.writing.left(SystemClock.now()).is_some());
    }

    async fn until_written(db: &Arc<Db>) {
        while add(db, 3).await.is_err() {
            SystemClock.sleep(Duration::from_millis(20)).await;
        }
    }

    /// This test has one thread: a wait for a lock that blocked the thread would stop the other task.
    #[tokio::test]
    async fn a_lock_against_readers_stops_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path());
        add(&db, 1).await.unwrap();
        drop(db);
        let other = Connection::open(folder.path().join("pages.db")).unwrap();
        other
            .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; INSERT INTO t VALUES (2)")
            .unwrap();
        let db = open(folder.path());
        db.wait_for_locks(Duration::from_millis(100));
        let ticks = async {
            for _ in 0..5 {
                SystemClock.sleep(Duration::from_millis(1)).await;
            }
        };
        let read = db.read(|c| c.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)));
        let (read, ()) = tokio::join!(read, ticks);
        let error = read.unwrap_err();
        assert!(error.to_string().contains("another process"), "{error}");
        assert_eq!(error.kind(), StoreErrorKind::Busy);
        assert_eq!(db.reading.left(SystemClock.now()), None, "the next one does not wait");
    }

    #[tokio::test]
    async fn a_new_store_begins_at_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path());
        assert!(all(&db).await.is_empty() && db.newest() == 0);
    }
}
