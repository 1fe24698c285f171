//! One SQLite database in WAL mode, shared by several processes of one machine.
//!
//! Reads run where they are called: a point read of a warm database takes microseconds. Writes run one at a time
//! in each process, on a thread where waiting for other processes' locks is allowed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::store::StoreError;

/// How long a call waits for another process's lock.
const BUSY_TIMEOUT_MS: u64 = 5_000;

/// Open readers that are kept for the next read.
const READERS_KEPT_MAX: usize = 16;

/// Whether a commit must survive a power cut before it is acknowledged. All commits survive a killed process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    Yes,
    No,
}

/// A column that came after its table: added where a table of an earlier version lacks it.
pub(crate) struct Column {
    pub(crate) table: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
}

pub(crate) struct Db {
    path: PathBuf,
    schema: &'static str,
    added: &'static [Column],
    writer: Arc<tokio::sync::Mutex<Option<Connection>>>,
    readers: Mutex<Vec<Connection>>,
    changes: Changes,
}

impl Db {
    /// Opens or creates the database. One that cannot be opened now is tried again on each call, so that a full
    /// disk or a read-only one does not keep a server from starting.
    pub(crate) fn open(path: &Path, schema: &'static str, added: &'static [Column]) -> Arc<Self> {
        if let Some(folder) = path.parent() {
            // If it cannot be made, opening the files fails and says so.
            let _ = std::fs::create_dir_all(folder);
        }
        let db = Arc::new(Self {
            path: path.to_owned(),
            schema,
            added,
            writer: Arc::default(),
            readers: Mutex::default(),
            changes: Changes::open(&path.with_extension("changes")),
        });
        if let Err(error) = db.open_writer() {
            if is_corrupt(&error) {
                db.set_aside(&error);
            } else {
                let path = path.display();
                tracing::error!(
                    "the store {path} cannot be written: {error}. What it holds is served; nothing new is kept."
                );
            }
        }
        db
    }

    /// See [`Changes::now`].
    pub(crate) fn version(&self) -> Option<u64> {
        self.changes.now()
    }

    /// Runs a few point reads as of one instant.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let kept = lock(&self.readers).pop();
        let connection = match kept {
            Some(connection) => connection,
            None => self.open_reader().map_err(|e| self.refused("read", &e))?,
        };
        let result = connection.unchecked_transaction().and_then(|tx| {
            let value = work(&tx)?;
            tx.commit()?;
            Ok(value)
        });
        match result {
            Ok(value) => {
                let mut readers = lock(&self.readers);
                if readers.len() < READERS_KEPT_MAX {
                    readers.push(connection);
                }
                Ok(value)
            }
            Err(error) => Err(self.refused("read", &error)),
        }
    }

    /// Runs `work` in a transaction that no other writer overlaps.
    pub(crate) async fn write<T: Send + 'static>(
        self: &Arc<Self>,
        durable: Durable,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        // Queued here, not on threads: a writer that waits for another process holds up one thread and no reader.
        let mut writer = self.writer.clone().lock_owned().await;
        let db = self.clone();
        let written = tokio::task::spawn_blocking(move || {
            let mut connection = match writer.take() {
                Some(connection) => connection,
                None => db.open_writer().map_err(|e| db.refused("write", &e))?,
            };
            let result = db.transact(&mut connection, durable, work);
            // A connection that met an error may hold a broken file handle: the next call opens a new one.
            if result.is_ok() {
                *writer = Some(connection);
            }
            result
        });
        let interrupted =
            |e| StoreError::Unsure(format!("writing {} was interrupted: {e}", self.path.display()));
        written.await.map_err(interrupted)?
    }

    fn transact<T>(
        &self,
        connection: &mut Connection,
        durable: Durable,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let level = if durable == Durable::Yes { "FULL" } else { "NORMAL" };
        let refused = |e: rusqlite::Error| self.refused("write", &e);
        connection.pragma_update(None, "synchronous", level).map_err(refused)?;
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(refused)?;
        let before = tx.total_changes();
        let value = work(&tx).map_err(refused)?;
        if tx.total_changes() == before {
            return Ok(value);
        }
        let change = self.changes.begin();
        let committed = tx.commit();
        self.changes.end(change);
        committed.map_err(|e| StoreError::Unsure(format!("cannot write {}: {e}", self.path.display())))?;
        Ok(value)
    }

    fn open_writer(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open(&self.path)?;
        connection.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.execute_batch(self.schema)?;
        for Column { table, name, kind } in self.added {
            if !has_column(&connection, table, name)? {
                let added =
                    connection.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {name} {kind}"));
                // Another process may have been faster.
                if !has_column(&connection, table, name)? {
                    added?;
                }
            }
        }
        Ok(connection)
    }

    fn open_reader(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(connection)
    }

    /// A file that is no database is renamed and a new one begun: pages heal by being rendered again.
    fn set_aside(&self, error: &rusqlite::Error) {
        let aside = self.path.with_extension("damaged");
        let moved = std::fs::rename(&self.path, &aside);
        for side in ["-wal", "-shm"] {
            let mut name = self.path.clone().into_os_string();
            name.push(side);
            // There may be none.
            let _ = std::fs::remove_file(name);
        }
        let (path, aside) = (self.path.display(), aside.display());
        match moved.map_err(|e| e.to_string()).and_then(|()| self.open_writer().map_err(|e| e.to_string())) {
            Ok(_) => tracing::error!(
                "the store {path} is damaged ({error}): it was moved to {aside}, and a new one begun"
            ),
            Err(e) => {
                tracing::error!("the store {path} is damaged ({error}) and cannot be moved to {aside}: {e}");
            }
        }
    }

    fn refused(&self, verb: &str, error: &rusqlite::Error) -> StoreError {
        StoreError::Refused(format!("cannot {verb} {}: {error}", self.path.display()))
    }
}

fn has_column(connection: &Connection, table: &str, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM pragma_table_info(?1) WHERE name = ?2";
    connection.query_row(sql, [table, name], |row| row.get(0))
}

fn is_corrupt(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A counter in a file beside the database that tells readers of all processes, with one small read, whether
/// anything was committed since they last looked.
///
/// The low bit says that a commit is under way. A writer, holding the database's write lock, sets the next odd
/// number before it commits, and the even one after it, before its caller is answered. So a reader that notes an
/// even number before it reads the database may reuse what it read for as long as the number stays. A process
/// killed between the two leaves an odd number: readers then ask the database each time, until the next commit.
struct Changes {
    file: Option<File>,
}

impl Changes {
    fn open(path: &Path) -> Self {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
        Self { file: file.ok() }
    }

    /// A number that stays only while nothing is committed; `None` while something may be.
    fn now(&self) -> Option<u64> {
        self.get().filter(|number| number % 2 == 0)
    }

    fn get(&self) -> Option<u64> {
        let mut bytes = [0; 8];
        let read = self.file.as_ref()?.read_at(&mut bytes, 0).ok()?;
        (read == 8).then(|| u64::from_le_bytes(bytes))
    }

    fn set(&self, number: u64) {
        if let Some(file) = &self.file {
            // Its failure shows as an odd or missing number, or as the old one while the commit fails as well:
            // both live on the same disk, and overwriting eight bytes in place needs no space.
            let _ = file.write_at(&number.to_le_bytes(), 0);
        }
    }

    fn begin(&self) -> u64 {
        let odd = self.get().unwrap_or(0).wrapping_add(2) | 1;
        self.set(odd);
        odd
    }

    /// Only the writer that set the odd number ends it: another's, later, is another commit under way.
    fn end(&self, odd: u64) {
        if self.get() == Some(odd) {
            self.set(odd.wrapping_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_never_comes_back_and_is_odd_during_a_commit() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = [0, 1].map(|_| Changes::open(&folder.path().join("changes")));
        let first = a.begin();
        assert_eq!(b.now(), None);
        a.end(first);
        let seen = b.now().unwrap();
        let slow = a.begin();
        let other = b.begin();
        a.end(slow);
        assert_eq!(a.now(), None, "another commit is under way");
        b.end(other);
        assert!(a.now().unwrap() > seen);
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pages.db");
        std::fs::write(&path, vec![7; 5000]).unwrap();
        let db = Db::open(&path, "CREATE TABLE IF NOT EXISTS t (x)", &[]);
        db.write(Durable::Yes, |tx| tx.execute("INSERT INTO t VALUES (1)", [])).await.unwrap();
        assert_eq!(
            db.read(|c| c.query_row("SELECT count(*) FROM t", [], |r| r.get::<_, i64>(0))).unwrap(),
            1
        );
        assert_eq!(std::fs::read(folder.path().join("pages.damaged")).unwrap(), vec![7; 5000]);
    }
}
