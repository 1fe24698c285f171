//! The stores of one machine, and the worker of its queue.

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
use crate::base::log_limits::Line;
use crate::base::panics::guarded_async;
use crate::engine::Engine;
use crate::ports::edge::NoEdge;
use crate::ports::error::StoreError;
use crate::ports::job::Job;
use crate::ports::queue::{DELIVERIES_MAX, Queue, retry_after};
use crate::ports::stores::{Ports, Stores};
use crate::stores::embedded::bodies::FileBodies;
use crate::stores::embedded::folder::prepare;
use crate::stores::embedded::journal::SqliteJournal;
use crate::stores::embedded::pages::SqlitePages;
use crate::stores::embedded::queue::{SqliteQueue, Taken};

/// SQLite and files in one folder. Any number of processes may use it at the same time.
pub type EmbeddedStores = Ports<SqlitePages, FileBodies, SqliteQueue, NoEdge, SqliteJournal>;

/// Opens or creates the store at `folder` for one build. Its calls wait for `lock_wait` at most for a lock that another
/// process holds on a database ([`Limits::store_lock_wait`](crate::base::limits::Limits)). A folder that cannot be written
/// is reported in the log; what it holds is served.
///
/// The folder is its owner's alone afterwards (`0700`), unless it gives its group access on purpose (`2770`).
pub fn open(folder: &Path, build: &Arc<str>, clock: Arc<dyn Clock>, lock_wait: Duration) -> EmbeddedStores {
    // If it cannot be made, opening the databases fails and says so.
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

/// How often an idle worker looks for jobs that another process has sent, or left behind when it died.
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl<S: Stores<Queue = SqliteQueue>> Engine<S> {
    /// Starts the workers that regenerate what this machine's processes have queued: as many as may render at once.
    /// They stop taking jobs when `stop` is cancelled; [`Engine::shut_down`] waits for those under way.
    pub fn start_workers(self: &Arc<Self>, stop: &tokio_util::sync::CancellationToken) {
        for _ in 0..self.limits().max_concurrent_renders {
            let (engine, stop) = (self.clone(), stop.clone());
            self.tasks().spawn(async move {
                while !stop.is_cancelled() {
                    match guarded_async(engine.work_next()).await {
                        Ok(Ok(true)) => continue,
                        Ok(Ok(false)) => {}
                        // Each worker meets it, again and again.
                        Ok(Err(error)) => engine.log(Line::StoreFails, |left_out| {
                            tracing::error!(left_out, "the queue cannot be read: {error}");
                        }),
                        // Without its worker the queue would stand still in the end.
                        Err(panic) => tracing::error!("a job comes again once its lease has ended: {panic}"),
                    }
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = engine.stores().queue().unguarded().arrived() => {}
                        () = engine.clock().sleep(LOOK_EVERY) => {}
                    }
                }
            });
        }
    }

    /// Carries out the next job that is due, if there is one.
    ///
    /// # Errors
    /// The queue cannot be read or written.
    pub async fn work_next(self: &Arc<Self>) -> Result<bool, StoreError> {
        let jobs = self.stores().queue().unguarded();
        // A worker that dies gives its job back as it does its page: with the end of a lease.
        let Some(taken) = jobs.take(self.limits().lease).await? else { return Ok(false) };
        let again = match Job::from_json(&taken.message) {
            Ok(job) => tokio::select! {
                again = self.work_or_retry(&job) => again,
                never = self.keep_job(&taken) => match never {},
            },
            Err(error) => {
                // A newer version of this program may be able to: there may be one soon, on the same store.
                let again = taken.returned + 1 < DELIVERIES_MAX;
                tracing::error!(again, "a job cannot be carried out: {error}");
                again
            }
        };
        if again {
            let receipt = taken.receipt();
            jobs.give_back(&receipt, retry_after(taken.returned + 1, &receipt)).await?;
        } else {
            jobs.finish(taken).await?;
        }
        Ok(true)
    }

    /// Keeps a job from other workers while its own lives.
    async fn keep_job(&self, taken: &Taken) -> std::convert::Infallible {
        loop {
            self.clock().sleep(self.limits().lease / 3).await;
            if let Err(error) = self.stores().queue().unguarded().hide(taken, self.limits().lease).await {
                tracing::warn!("a job cannot be kept, another worker may take it as well: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::manual_clock::ManualClock;
    use crate::ports::queue::RETRY_MAX;
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
