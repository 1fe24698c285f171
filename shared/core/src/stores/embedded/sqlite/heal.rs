//! Replaces a damaged database while its processes run.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::clock::Millis;
use crate::stores::embedded::sqlite::changes::{Held, Kind};
use crate::stores::embedded::sqlite::rebuild::{is_damage, is_emptied};
use crate::stores::embedded::sqlite::{Broken, Db};

/// The longest wait for running writes before a damaged database is replaced.
const REPLACE_TIMEOUT: Duration = Duration::from_secs(1);

/// The pause after a failed replacement.
const REPLACE_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Db {
    /// Whether an error means that the database is damaged, and not only unreachable.
    pub(super) fn is_damage(&self, error: &rusqlite::Error) -> bool {
        is_damage(error) || (is_emptied(error) && self.changes.above_all().is_some())
    }

    /// Replaces a damaged database, unless another process has done so.
    pub(super) async fn heal(self: &Arc<Self>, met: &Broken) {
        let last = Millis(self.not_replaced_at.load(Ordering::Relaxed));
        let now = self.clock.now();
        if last <= now && now.since(last) < REPLACE_AGAIN_AFTER {
            return;
        }
        let Some(held) = self.changes.hold(Kind::Replace, REPLACE_TIMEOUT, &*self.clock).await else {
            return;
        };
        let (db, number, error) = (self.clone(), met.number, met.error.to_string());
        // If it panics, the database is as damaged as before.
        let _ = tokio::task::spawn_blocking(move || db.replace(number, &error, held)).await;
    }

    pub(super) fn replace(&self, number: u64, error: &dyn std::fmt::Display, _alone: Held) {
        if self.newest() != number {
            return;
        }
        let (path, next) = (self.path(number), self.path(number + 1));
        let (path, next) = (path.display(), next.display());
        match self.files.begin_after(number, self.schema, &self.changes) {
            Ok(saved) => tracing::error!(
                "the store {path} is damaged ({error}): it is set aside, and {next} goes on with what could be saved, {saved} rows"
            ),
            Err(e) => {
                self.not_replaced_at.store(self.clock.now().0, Ordering::Relaxed);
                tracing::error!(
                    "the store {path} is damaged ({error}), and {next} cannot be made in its place: {e}"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crate::stores::embedded::sqlite::changes;
    use crate::stores::embedded::sqlite::lock;
    use crate::stores::embedded::sqlite::tests::{add, all, open};

    fn damage(path: PathBuf) {
        let bytes = std::fs::metadata(&path).map_or(0, |file| file.len());
        // Overwrites the file in place, like a failing disk: processes with open connections see the damage.
        let file = std::fs::File::options().write(true).open(path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &vec![7; bytes as usize], 0).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pages.db"), vec![7; 5000]).unwrap();
        let db = open(folder.path());
        add(&db, 1).await.unwrap();
        let lost = i64::try_from(changes::LOST).unwrap();
        assert_eq!(
            all(&db).await,
            [lost, 1],
            "without a counter numbers go on above all there can have been"
        );
        assert_eq!(std::fs::read(folder.path().join("pages.db")).unwrap(), vec![7; 5000], "it is kept");
        assert_eq!(all(&open(folder.path())).await, [lost, 1]);
    }

    #[tokio::test]
    async fn damage_that_is_met_heals_for_all_processes_and_nobody_writes_to_what_was_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = [0, 1, 2].map(|_| open(folder.path()));
        for db in [&a, &b, &c] {
            add(db, 1).await.unwrap();
        }
        assert_eq!(all(&c).await, [1, 1, 1]);
        for round in 0..3 {
            let (version, counter) = (c.version().unwrap(), a.changes.get().unwrap());
            for side in ["", "-wal"] {
                let mut name = a.path(round).into_os_string();
                name.push(side);
                damage(name.into());
            }
            // One process reads, one writes, the third does nothing yet. Pages in SQLite's own caches are not damaged.
            lock(&a.readers).clear();
            drop(b.writer.lock().await.take());
            let (read, written) = tokio::join!(all(&a), add(&b, 2));
            written.unwrap();
            let above = i64::try_from(counter).unwrap();
            assert!(read[0] > above, "{read:?} after {counter}");
            assert_ne!(c.version().unwrap(), version, "what it holds in memory counts no more");
            let kept = std::fs::read(a.path(round)).unwrap();
            add(&c, 3).await.unwrap();
            assert_eq!(all(&a).await[1..], [2, 3]);
            assert_eq!(all(&b).await, all(&c).await);
            assert!(std::fs::read(a.path(round)).unwrap() == kept, "written to what was set aside");
        }
        assert_eq!(std::fs::read(a.path(1)).unwrap(), b"", "only the last damaged one is kept");
    }

    #[tokio::test]
    async fn an_emptied_database_does_not_begin_its_numbers_again() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path());
        add(&db, 1).await.unwrap();
        let counter = i64::try_from(db.changes.get().unwrap()).unwrap();
        drop(db);
        for gone in [false, true] {
            let path = open(folder.path()).path(u64::from(gone));
            if gone { std::fs::remove_file(path) } else { std::fs::write(path, "") }.unwrap();
            assert!(all(&open(folder.path())).await[0] > counter, "gone: {gone}");
        }
    }
}
