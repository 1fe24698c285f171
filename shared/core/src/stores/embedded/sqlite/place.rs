//! Notices that the store's files were removed or replaced while processes have them open.
//!
//! Otherwise each process would go on with its open files, apart from all others. Each write therefore checks that the open files
//! are still those at the store's path; reads check once a second. If they are not, the process opens the files that are there
//! now, or makes them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::config::DbConfig;

use crate::base::clock::Millis;
use crate::stores::embedded::folder::Access;
use crate::stores::embedded::sqlite::changes::{has_path, identity};
use crate::stores::embedded::sqlite::{Db, Opened, lock};

/// The pause between two checks by reads.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Db {
    /// Checks the files, unless a read has just done so.
    pub(super) async fn look(self: &Arc<Self>) {
        let now = self.clock.now();
        let last = Millis(self.looked_at.load(Ordering::Relaxed));
        if last <= now && now.since(last) < LOOK_EVERY {
            return;
        }
        self.looked_at.store(now.0, Ordering::Relaxed);
        if self.is_elsewhere() {
            self.go_on_there().await;
        }
    }

    /// Whether the open files are no longer those at the store's path.
    pub(super) fn is_elsewhere(&self) -> bool {
        let written = *lock(&self.written);
        self.changes.is_replaced()
            || written.is_some_and(|(number, file)| !has_path(&self.path(number), file))
    }

    /// Remembers the file that is about to be opened for writing, and makes it if it is missing.
    pub(super) fn note_file(&self, number: u64) {
        let path = self.path(number);
        self.files.create(&path);
        *lock(&self.written) = std::fs::metadata(path).ok().map(|file| (number, identity(&file)));
    }

    /// Opens the files that are at the store's path now, unless another call has done so.
    pub(super) async fn go_on_there(self: &Arc<Self>) {
        let mut writer = self.writer.clone().lock_owned().await;
        let db = self.clone();
        let work = move || {
            if db.is_elsewhere() {
                writer.take().into_iter().for_each(let_go);
                *writer = db.open_there();
            }
        };
        // If this panics, the next call tries again.
        let _ = tokio::task::spawn_blocking(work).await;
    }

    /// Makes the tables of a database whose file another process has just made.
    pub(super) async fn make_tables(self: &Arc<Self>) {
        let mut writer = self.writer.clone().lock_owned().await;
        let db = self.clone();
        let work = move || {
            if let Ok(opened) = db.open_writer() {
                *writer = Some(opened);
            }
        };
        // If this panics, the next call tries again.
        let _ = tokio::task::spawn_blocking(work).await;
    }

    fn open_there(&self) -> Option<Opened> {
        let folder = self.files.folder();
        // If the folder cannot be made, opening fails, too, and that error is logged.
        let _ = Access::of(folder).make_folder(folder);
        self.life.fetch_add(1, Ordering::Relaxed);
        lock(&self.readers).clear();
        self.changes.reopen();
        self.newest.store(self.files.newest(), Ordering::Relaxed);
        *lock(&self.written) = None;
        let opened = self.open_writer();
        let path = self.path(self.newest());
        let path = path.display();
        match opened {
            Ok(opened) => {
                tracing::error!(
                    "the store was removed or replaced while it was open: this process goes on with {path} as it is now"
                );
                Some(opened)
            }
            // The next call meets the damage, too, and replaces the database.
            Err(broken) if self.is_damage(&broken.error) => None,
            Err(broken) => {
                tracing::error!(
                    "the store was removed or replaced while it was open, and {path} cannot be opened: {}. What is in \
                     memory is served; bring the folder back, and this process goes on with it.",
                    broken.error
                );
                None
            }
        }
    }
}

/// Closes a connection to a file that may have been removed, without touching the file that now has its name.
fn let_go(opened: Opened) {
    // Otherwise closing the last connection could remove the new file's log, by its name. SQLite checks that, too; this does not
    // rely on it.
    let _ = opened.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::stores::embedded::sqlite::tests::{add, all, open};

    #[tokio::test]
    async fn processes_whose_folder_is_made_anew_meet_again() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("store");
        let [a, b] = [0, 1].map(|_| open(&folder));
        add(&a, 1).await.unwrap();
        assert_eq!(all(&b).await, [1]);
        for (round, moved) in [true, false, true].into_iter().enumerate() {
            if moved {
                fs::rename(&folder, root.path().join(format!("moved-{round}"))).unwrap();
            } else {
                fs::remove_dir_all(&folder).unwrap();
            }
            // One process starts now, one writes, and one only reads.
            let c = if round == 0 { Some(open(&folder)) } else { None };
            add(&a, 2).await.unwrap();
            b.looked_at.store(0, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(all(&b).await, [2], "{round}");
            add(&b, 3).await.unwrap();
            for db in [Some(&a), c.as_ref()].into_iter().flatten() {
                assert_eq!(all(db).await, [2, 3], "{round}");
            }
            assert_eq!(a.version(), b.version());
            if moved {
                let old = open(&root.path().join(format!("moved-{round}")));
                assert!(!all(&old).await.is_empty(), "what was moved away is whole");
            }
        }
    }

    #[tokio::test]
    async fn a_database_that_has_no_tables_yet_gets_them_from_its_reader() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("store");
        let db = open(&folder);
        fs::remove_dir_all(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        db.go_on_there().await;
        // The state in which another process leaves the folder when it has just made the file.
        drop(db.writer.lock().await.take());
        for side in ["-wal", "-shm"] {
            let _ = fs::remove_file(folder.join(format!("pages.db{side}")));
        }
        fs::File::options().write(true).open(folder.join("pages.db")).unwrap().set_len(0).unwrap();
        assert!(all(&db).await.is_empty());
    }

    #[tokio::test]
    async fn a_database_in_the_place_of_another_is_used() {
        let root = tempfile::tempdir().unwrap();
        let (folder, other) = (root.path().join("store"), root.path().join("other"));
        let db = open(&folder);
        add(&db, 1).await.unwrap();
        add(&open(&other), 5).await.unwrap();
        for side in ["-wal", "-shm"] {
            let _ = fs::remove_file(folder.join(format!("pages.db{side}")));
        }
        fs::rename(other.join("pages.db"), folder.join("pages.db")).unwrap();
        add(&db, 6).await.unwrap();
        assert_eq!(all(&db).await, [5, 6]);
    }

    #[tokio::test]
    async fn a_removed_database_is_replaced_by_one_with_greater_numbers() {
        let root = tempfile::tempdir().unwrap();
        let [a, b] = [0, 1].map(|_| open(root.path()));
        add(&a, 1).await.unwrap();
        let counter = i64::try_from(a.changes.get().unwrap()).unwrap();
        for side in ["", "-wal", "-shm"] {
            fs::remove_file(root.path().join(format!("pages.db{side}"))).unwrap();
        }
        add(&a, 2).await.unwrap();
        let found = all(&b).await;
        assert!(found[0] > counter && found[1..] == [2], "{found:?} after {counter}");
    }
}
