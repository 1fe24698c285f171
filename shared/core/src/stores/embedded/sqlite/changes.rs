//! The file beside a database that tells of changes, and by which its processes keep out of one another's way.

use std::fs::{File, TryLockError};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use crate::base::clock::Clock;
use crate::stores::embedded::folder::Access;

/// A counter in a file beside the database that tells readers of all processes, with one small read, whether
/// anything was committed since they last looked.
///
/// The low bit says that a commit is under way. A writer, holding the database's write lock, sets the next odd
/// number before it commits, and the even one after it, before its caller is answered. So a reader that notes an
/// even number before it reads the database may reuse what it read for as long as the number stays. A process
/// killed between the two leaves an odd number: readers then ask the database each time, until the next commit.
pub(super) struct Changes {
    path: PathBuf,
    file: RwLock<Option<File>>,
}

fn open(path: &Path) -> std::io::Result<File> {
    let opened = Access::of(path.parent().unwrap_or(path)).open(path);
    // Where nothing can be written, it tells of changes all the same.
    opened.or_else(|_| File::open(path))
}

/// What tells a file from all others of the machine while it is open: its device and its number there.
pub(super) type Identity = (u64, u64);

pub(super) fn identity(file: &std::fs::Metadata) -> Identity {
    (file.dev(), file.ino())
}

/// Whether this file has the path.
pub(super) fn has_path(path: &Path, file: Identity) -> bool {
    std::fs::metadata(path).is_ok_and(|there| identity(&there) == file)
}

/// Held until it is dropped. Given back by the system if its process dies.
pub(super) struct Held {
    _file: Option<File>,
}

/// Who may hold it at the same time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Other writers.
    Write,
    /// Nobody: the database is replaced.
    Replace,
}

/// The pause between two tries to get hold of it.
const TRY_EVERY: Duration = Duration::from_millis(2);

impl Changes {
    pub(super) fn open(path: PathBuf) -> Self {
        let file = RwLock::new(open(&path).ok());
        Self { path, file }
    }

    /// Goes on with the file that has the path now, or with a new one.
    pub(super) fn reopen(&self) {
        let file = open(&self.path).ok();
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = file;
    }

    /// Whether the file that has the path is another than the one that is open, or is gone.
    pub(super) fn is_replaced(&self) -> bool {
        match &*self.file() {
            Some(file) => file.metadata().is_ok_and(|open| !has_path(&self.path, identity(&open))),
            // It could not be opened so far.
            None => File::open(&self.path).is_ok(),
        }
    }

    fn file(&self) -> RwLockReadGuard<'_, Option<File>> {
        self.file.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that stays only while nothing is committed; `None` while something may be.
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
            // Its failure shows as an odd or missing number, or as the old one while the commit fails as well:
            // both live on the same disk, and overwriting eight bytes in place needs no space.
            let _ = file.write_at(&number.to_le_bytes(), 0);
        }
    }

    pub(super) fn begin(&self) -> u64 {
        self.begin_above(self.get().unwrap_or(0))
    }

    /// [`Changes::begin`] where the counter itself may be lost.
    pub(super) fn begin_above(&self, number: u64) -> u64 {
        let odd = number.wrapping_add(2) | 1;
        self.set(odd);
        odd
    }

    /// Only the writer that set the odd number ends it: another's, later, is another commit under way.
    pub(super) fn end(&self, odd: u64) {
        if self.get() == Some(odd) {
            self.set(odd.wrapping_add(1));
        }
    }

    /// A number above every ticket and every epoch that was ever handed out: each of them was a commit, and so counted
    /// here. `None` if there was no commit yet.
    pub(super) fn above_all(&self) -> Option<u64> {
        self.get().filter(|number| (1..MOST).contains(number)).map(|number| number + 1)
    }

    /// Holds the file, to write the database or to replace it. `None` if others do now.
    pub(super) fn try_hold(&self, kind: Kind) -> Option<Held> {
        // A file of its own each time: a lock belongs to an opened file, not to whoever asks.
        let Ok(file) = open(&self.path) else {
            // Where no file can be made, no database can be replaced either.
            return Some(Held { _file: None });
        };
        let locked = match kind {
            Kind::Write => file.try_lock_shared(),
            Kind::Replace => file.try_lock(),
        };
        match locked {
            Err(TryLockError::WouldBlock) => None,
            // A file system without such locks is one machine's problem, not a reason not to write.
            Ok(()) | Err(TryLockError::Error(_)) => Some(Held { _file: Some(file) }),
        }
    }

    /// The same, waiting for others for so long.
    pub(super) async fn hold(&self, kind: Kind, wait: Duration, clock: &dyn Clock) -> Option<Held> {
        // Counted, since a clock may be set back meanwhile.
        for _ in 0..wait.as_millis() / TRY_EVERY.as_millis() {
            if let Some(held) = self.try_hold(kind) {
                return Some(held);
            }
            clock.sleep(TRY_EVERY).await;
        }
        self.try_hold(kind)
    }
}

/// More than any store has ever handed out: where the counter is lost, numbers go on above it.
pub(super) const LOST: u64 = 1 << 52;

/// A counter beyond this is damage; numbers have to fit the database's, with room to grow.
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
