//! The file beside a database that counts its changes, and whose locks keep writers and replacements apart.

use std::fs::{File, TryLockError};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use crate::base::clock::Clock;
use crate::stores::embedded::folder::Access;

/// A counter in a file beside the database. With one small read, any process learns whether anything was committed since its
/// last look.
///
/// The counter is odd while a commit is under way. A writer holds the database's write lock, sets a greater odd number before its
/// commit, and the even number after that one afterwards, before it answers its caller. A reader that has seen an even
/// number before its read may reuse the result as long as the number stays. If a process is killed between the two, the
/// number stays odd: readers then read the database each time, until the next commit.
pub(super) struct Changes {
    path: PathBuf,
    file: RwLock<Option<File>>,
}

fn open(path: &Path) -> std::io::Result<File> {
    let opened = Access::of(path.parent().unwrap_or(path)).open(path);
    // On a read-only disk the counter can still be read.
    opened.or_else(|_| File::open(path))
}

/// The identity of an open file: its device and its inode number.
pub(super) type Identity = (u64, u64);

pub(super) fn identity(file: &std::fs::Metadata) -> Identity {
    (file.dev(), file.ino())
}

/// Whether the file at this path is the one with this identity.
pub(super) fn has_path(path: &Path, file: Identity) -> bool {
    std::fs::metadata(path).is_ok_and(|there| identity(&there) == file)
}

/// A lock, held until it is dropped. The system releases it if the process dies.
pub(super) struct Held {
    _file: Option<File>,
}

/// The kind of a lock: who else may hold one at the same time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// To write. Other writers may hold the lock, too; SQLite keeps them apart.
    Write,
    /// To replace the database. No other process may hold the lock.
    Replace,
}

/// The pause between two tries to get the lock.
const TRY_EVERY: Duration = Duration::from_millis(2);

impl Changes {
    pub(super) fn open(path: PathBuf) -> Self {
        let file = RwLock::new(open(&path).ok());
        Self { path, file }
    }

    /// Opens the file that is at the path now, or makes one.
    pub(super) fn reopen(&self) {
        let file = open(&self.path).ok();
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = file;
    }

    /// Whether the open file is no longer the one at the path.
    pub(super) fn is_replaced(&self) -> bool {
        match &*self.file() {
            Some(file) => file.metadata().is_ok_and(|open| !has_path(&self.path, identity(&open))),
            // The file could not be opened so far.
            None => File::open(&self.path).is_ok(),
        }
    }

    fn file(&self) -> RwLockReadGuard<'_, Option<File>> {
        self.file.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counter; `None` while it is odd or cannot be read.
    pub(super) fn now(&self) -> Option<u64> {
        self.get().filter(|number| number % 2 == 0)
    }

    pub(super) fn get(&self) -> Option<u64> {
        let mut bytes = [0; 8];
        let read = self.file().as_ref()?.read_at(&mut bytes, 0).ok()?;
        (read == 8).then(|| u64::from_le_bytes(bytes))
    }

    fn set(&self, number: u64) {
        if let Some(file) = &*self.file() {
            // If this write fails, the number is odd or missing, or it stays the old one. In the last case the commit fails, too:
            // both are on the same disk, and this write of eight bytes in place needs no space.
            let _ = file.write_at(&number.to_le_bytes(), 0);
        }
    }

    pub(super) fn begin(&self) -> u64 {
        self.begin_above(self.get().unwrap_or(0))
    }

    /// Like [`Changes::begin`], for a counter that may be lost: the number is above `number`.
    pub(super) fn begin_above(&self, number: u64) -> u64 {
        let odd = number.wrapping_add(2) | 1;
        self.set(odd);
        odd
    }

    /// Ends a commit. Does nothing if the number is no longer the one of this writer: then another commit is under way.
    pub(super) fn end(&self, odd: u64) {
        if self.get() == Some(odd) {
            self.set(odd.wrapping_add(1));
        }
    }

    /// A number above every ticket and every epoch so far: each of them took a commit, which this counter has counted.
    /// `None` before the first commit.
    pub(super) fn above_all(&self) -> Option<u64> {
        self.get().filter(|number| (1..MOST).contains(number)).map(|number| number + 1)
    }

    /// Takes the lock, to write or to replace the database. `None` if other processes hold it.
    pub(super) fn try_hold(&self, kind: Kind) -> Option<Held> {
        // The file is opened each time: a lock belongs to an open file, not to its holder.
        let Ok(file) = open(&self.path) else {
            // If no file can be made here, no process can replace the database either.
            return Some(Held { _file: None });
        };
        let locked = match kind {
            Kind::Write => file.try_lock_shared(),
            Kind::Replace => file.try_lock(),
        };
        match locked {
            Err(TryLockError::WouldBlock) => None,
            // A file system without locks is no reason to refuse writes.
            Ok(()) | Err(TryLockError::Error(_)) => Some(Held { _file: Some(file) }),
        }
    }

    /// Like [`Changes::try_hold`], but waits for other holders for `wait` at most.
    pub(super) async fn hold(&self, kind: Kind, wait: Duration, clock: &dyn Clock) -> Option<Held> {
        // Counts pauses, because the clock may be set back meanwhile.
        for _ in 0..wait.as_millis() / TRY_EVERY.as_millis() {
            if let Some(held) = self.try_hold(kind) {
                return Some(held);
            }
            clock.sleep(TRY_EVERY).await;
        }
        self.try_hold(kind)
    }
}

/// A number above all that any store has granted. If the counter is lost, numbers go on above this one.
pub(super) const LOST: u64 = 1 << 52;

/// The largest valid counter. Numbers must fit SQLite's, with room to grow.
const MOST: u64 = 1 << 62;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_never_comes_back_and_is_odd_during_a_commit() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = [0, 1].map(|_| Changes::open(folder.path().join("changes")));
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

    #[test]
    fn writers_hold_it_together_and_who_replaces_alone() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = [0, 1].map(|_| Changes::open(folder.path().join("changes")));
        let writers = [&a, &a, &b].map(|changes| changes.try_hold(Kind::Write).unwrap());
        assert!(a.try_hold(Kind::Replace).is_none());
        drop(writers);
        let alone = b.try_hold(Kind::Replace).unwrap();
        assert!(a.try_hold(Kind::Write).is_none() && b.try_hold(Kind::Replace).is_none());
        drop(alone);
        assert!(a.try_hold(Kind::Write).is_some());
    }
}
