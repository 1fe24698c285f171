//! The stores of one machine: SQLite and files in one folder.

pub mod bodies;
pub(crate) mod folder;
pub mod journal;
pub mod pages;
pub mod queue;
pub mod secret;
pub(crate) mod sqlite;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Clock;
use crate::ports::edge::NoEdge;
use crate::ports::stores::Ports;
use crate::stores::embedded::bodies::FileBodies;
use crate::stores::embedded::folder::prepare;
use crate::stores::embedded::journal::SqliteJournal;
use crate::stores::embedded::pages::SqlitePages;
use crate::stores::embedded::queue::SqliteQueue;

/// The stores of one machine: SQLite and files in one folder. Any number of processes may share them.
pub type EmbeddedStores = Ports<SqlitePages, FileBodies, SqliteQueue, NoEdge, SqliteJournal>;

/// Opens or creates the stores at `folder` for one build. A call waits for `lock_wait` at most for a database's lock that another
/// process holds ([`Limits::store_lock_wait`](crate::base::limits::Limits)). If the
/// folder cannot be written, the log says so, and the stored pages are served.
///
/// Afterwards only its owner can open the folder (`0700`), unless the folder was made for a group (`2770`).
pub fn open(folder: &Path, build: &Arc<str>, clock: Arc<dyn Clock>, lock_wait: Duration) -> EmbeddedStores {
    // If the folder cannot be made, opening the databases fails, too, and that error is logged.
    let _ = prepare(folder);
    let stores = Ports {
        pages: SqlitePages::open(folder, build.clone(), clock.clone()),
        bodies: FileBodies::open(folder, build),
        queue: SqliteQueue::open(folder, build.clone(), clock.clone()),
        edge: NoEdge,
        journal: SqliteJournal::open(folder, clock),
        build: build.clone(),
        are_local: true,
    };
    stores.pages.wait_for_locks(lock_wait);
    stores.queue.wait_for_locks(lock_wait);
    stores.journal.wait_for_locks(lock_wait);
    stores
}

/// Whether there is a store at `folder`. Makes nothing.
pub fn is_there(folder: &Path) -> bool {
    // A damaged database that was set aside keeps its file.
    folder.join("pages.db").exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::manual_clock::ManualClock;
    use crate::engine::Engine;
    use crate::ports::queue::{DELIVERIES_MAX, RETRY_MAX};
    use crate::ports::stores::Stores as _;
    use crate::run::settings::Settings;
    use crate::site::Site;

    #[tokio::test]
    async fn a_job_of_a_newer_version_waits_for_a_program_that_can_read_it() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), ManualClock::default());
        let limits = Settings::default().limits;
        let stores = open(folder.path(), &"b".into(), Arc::new(clock.clone()), limits.store_lock_wait);
        let site = Arc::new(Site::new().ready(None, None).unwrap());
        let engine = Engine::new(site, stores, Arc::new(clock.clone()), limits);
        let jobs = engine.stores().queue().unguarded();
        jobs.send_text(r#"{"v":9,"build":"","key":"","task":"unheard_of"}"#).await;
        for _ in 1..DELIVERIES_MAX {
            assert!(engine.work_next().await.unwrap());
            assert_eq!(jobs.len().unwrap(), 1, "it is kept");
            clock.advance(RETRY_MAX);
        }
        assert!(engine.work_next().await.unwrap());
        assert!(jobs.is_empty().unwrap(), "it is dropped in the end");
    }
}
