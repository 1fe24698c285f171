//! Replaces a damaged database by a new one with all rows that can still be read.
//!
//! No file is renamed: a process with the old file open would remove the new file's log, by its name, when it closes the old
//! one. The new database has the next name instead, `pages-1.db` after `pages.db`. Its existence tells processes that the old
//! database was replaced. Writers hold [`Changes`], so that no write goes to a replaced file.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, Transaction};

use crate::stores::embedded::folder::Access;
use crate::stores::embedded::sqlite::changes::{Changes, LOST};

/// The schema of a database, and the way to save its rows.
pub(crate) struct Schema {
    /// SQL that makes missing tables and indexes.
    pub(crate) sql: &'static str,
    /// The columns that databases of earlier versions lack.
    pub(crate) added: &'static [Column],
    /// Copies the readable rows of a damaged database into the new one, whose numbers then go on above `above`. Returns
    /// the number of saved rows.
    pub(crate) save: fn(old: &Connection, new: &Transaction<'_>, above: u64) -> rusqlite::Result<usize>,
}

/// A column that is added to tables of earlier versions.
pub(crate) struct Column {
    pub(crate) table: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
}

impl Schema {
    pub(super) fn add_columns(&self, connection: &Connection) -> rusqlite::Result<()> {
        for Column { table, name, kind } in self.added {
            if !has_column(connection, table, name)? {
                let added =
                    connection.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {name} {kind}"));
                // Another process may have added the column meanwhile.
                if !has_column(connection, table, name)? {
                    added?;
                }
            }
        }
        Ok(())
    }
}

fn has_column(connection: &Connection, table: &str, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM pragma_table_info(?1) WHERE name = ?2";
    connection.query_row(sql, [table, name], |row| row.get(0))
}

/// Copies the readable rows of a table: from both ends, up to the damage.
pub(crate) fn save_rows(old: &Connection, new: &Transaction<'_>, table: &str) -> rusqlite::Result<usize> {
    let mut saved = 0;
    for order in ["ASC", "DESC"] {
        let Ok(mut statement) = old.prepare(&format!("SELECT * FROM {table} ORDER BY 1 {order}")) else {
            break;
        };
        let names = statement.column_names().collect::<Vec<_>>().join(", ");
        let count = statement.column_count();
        let places = (1..=count).map(|i| format!("?{i}")).collect::<Vec<_>>().join(", ");
        let insert = format!("INSERT OR IGNORE INTO {table} ({names}) VALUES ({places})");
        let Ok(mut rows) = statement.query([]) else { break };
        loop {
            let Ok(row) = rows.next() else { break };
            // The whole table was read.
            let Some(row) = row else { return Ok(saved) };
            let values = (0..count).map(|i| row.get::<_, rusqlite::types::Value>(i));
            let Ok(values) = values.collect::<rusqlite::Result<Vec<_>>>() else { continue };
            match new.execute(&insert, rusqlite::params_from_iter(values))? {
                // The reads from both ends have met.
                0 => return Ok(saved),
                _ => saved += 1,
            }
        }
    }
    Ok(saved)
}

/// The files of a database: the first one, and its replacements.
pub(super) struct Files {
    folder: PathBuf,
    name: String,
}

impl Files {
    pub(super) fn of(path: &Path) -> Self {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Self { folder, name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned() }
    }

    /// The folder of the files.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes a missing database file with the owner's permissions alone; SQLite would use the umask. SQLite gives its log files
    /// the same mode.
    pub(super) fn create(&self, path: &Path) {
        // An existing file is not opened: closing it would end SQLite's locks on it (`fcntl`, POSIX). If the file cannot be
        // made, SQLite's own error says so.
        let _ = Access::of(&self.folder).create_new(path);
    }

    /// Removes other users' permissions, which earlier versions left.
    pub(super) fn tighten(&self) {
        let access = Access::of(&self.folder);
        let database = self.path(self.newest());
        for side in ["", "-wal", "-shm"] {
            let mut name = database.clone().into_os_string();
            name.push(side);
            access.tighten_file(Path::new(&name));
        }
        access.tighten_file(&self.folder.join(format!("{}.changes", self.name)));
    }

    pub(super) fn path(&self, number: u64) -> PathBuf {
        let name = &self.name;
        self.folder.join(if number == 0 { format!("{name}.db") } else { format!("{name}-{number}.db") })
    }

    /// The number of the newest database in the folder.
    pub(super) fn newest(&self) -> u64 {
        let number = |file: &str| -> Option<u64> {
            file.strip_prefix(&*self.name)?.strip_prefix('-')?.strip_suffix(".db")?.parse().ok()
        };
        let found = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        found.filter_map(|entry| number(entry.file_name().to_str()?)).max().unwrap_or(0)
    }

    /// Opens a database as a file that does not change. `None` if a log beside the file shows that a process may be writing.
    pub(super) fn open_at_rest(&self, number: u64) -> Option<Connection> {
        let path = self.path(number).to_str()?.to_owned();
        if fs::metadata(format!("{path}-wal")).is_ok_and(|log| log.len() > 0) {
            return None;
        }
        let path = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        Connection::open_with_flags(format!("file:{path}?immutable=1"), flags).ok()
    }

    /// Makes the database after `number`. It appears whole or not at all. The caller holds [`Changes`] with `Kind::Replace`.
    pub(super) fn begin_after(
        &self,
        number: u64,
        schema: &Schema,
        changes: &Changes,
    ) -> Result<usize, Box<dyn std::error::Error + Send + Sync>> {
        let above = changes.above_all().unwrap_or(LOST);
        let part = self.folder.join(format!("{}.part", self.name));
        let journal = self.folder.join(format!("{}.part-journal", self.name));
        for left in [&part, &journal] {
            // A killed process may have left these files.
            let _ = fs::remove_file(left);
        }
        let made = self.make(&part, number, schema, above);
        if made.is_err() {
            // The incomplete file would only take space.
            let _ = fs::remove_file(&part).and(fs::remove_file(&journal));
        }
        let saved = made?;
        // The counter is odd while the new database appears, so that no process reuses earlier reads.
        let change = changes.begin_above(above);
        let appeared = fs::rename(&part, self.path(number + 1));
        changes.end(change);
        appeared?;
        if let Some(before) = number.checked_sub(1) {
            // Only the last damaged database is kept, for a diagnosis. An older one is emptied; its name stays, and tells
            // processes that sleep since then that it was replaced.
            let _ = fs::write(self.path(before), "");
            for side in ["-wal", "-shm"] {
                let mut name = self.path(before).into_os_string();
                name.push(side);
                let _ = fs::remove_file(name);
            }
        }
        Ok(saved)
    }

    fn make(&self, part: &Path, number: u64, schema: &Schema, above: u64) -> rusqlite::Result<usize> {
        self.create(part);
        let mut new = Connection::open(part)?;
        let tx = new.transaction()?;
        tx.execute_batch(schema.sql)?;
        let saved = (schema.save)(&self.old(number)?, &tx, above)?;
        tx.commit()?;
        Ok(saved)
    }

    /// Opens a damaged database for reading. If that fails, returns an empty one.
    fn old(&self, number: u64) -> rusqlite::Result<Connection> {
        Connection::open_with_flags(self.path(number), OpenFlags::SQLITE_OPEN_READ_ONLY)
            .or_else(|_| Connection::open_in_memory())
    }
}

/// Whether an error means that the database cannot be opened, because the disk is not writable: SQLite's readers need
/// files that they share with writers.
pub(super) fn is_out_of_reach(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, DiskFull, ReadOnly, SystemIoFailure};
    matches!(error.sqlite_error_code(), Some(CannotOpen | DiskFull | ReadOnly | SystemIoFailure))
}

/// Whether an error means that the database is damaged.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

/// Whether an error means that the database lacks the tables that every database has before its first read.
pub(super) fn is_emptied(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(_, Some(message)) if message.starts_with("no such table"))
}

/// The error for a database without tables that must have some.
pub(super) fn emptied(error: rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::QueryReturnedNoRows => rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some("it was emptied".to_owned()),
        ),
        other => other,
    }
}
