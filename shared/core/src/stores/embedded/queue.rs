//! The queue in SQLite: durable, and shared by the processes of the machine.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{OptionalExtension, params};
use tokio::sync::Notify;

use crate::base::clock::{Clock, Millis};
use crate::ports::error::StoreError;
use crate::ports::job::Job;
use crate::ports::queue::{Delivery, Queue};
use crate::stores::embedded::sqlite::rebuild::{Column, Schema, save_rows};
use crate::stores::embedded::sqlite::{Db, Durable};

/// Jobs that a damaged database loses were for pages that are still stale: their next visits send new jobs.
const SCHEMA: Schema = Schema { sql: TABLES, added: &ADDED, save: |old, new, _| save_rows(old, new, "jobs") };

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS jobs (
  id INTEGER PRIMARY KEY, build TEXT NOT NULL, due INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
  message TEXT NOT NULL, returned INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS jobs_due ON jobs (build, due);
CREATE INDEX IF NOT EXISTS jobs_left ON jobs (due);
";

/// The columns that queues of earlier versions lack.
const ADDED: [Column; 1] = [Column { table: "jobs", name: "returned", kind: "INTEGER NOT NULL DEFAULT 0" }];

/// The most deliveries of a job that end with the death of its worker. Then the job is dropped.
const TRIES_MAX: u32 = 5;

/// How long a due job waits for a process of its own build. Afterwards any build's process takes the job: its build was
/// probably replaced.
const LEFT_AFTER: Duration = Duration::from_secs(60);

/// The pause after which a waiting call looks again for jobs of other processes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The condition for jobs that a process may take: those of its build, those of no build, and those that other builds have left
/// ([`LEFT_AFTER`]).
const TAKES: &str = "((build IN (?1, '') AND due <= ?2) OR due <= ?3)";

/// The queue of one machine.
#[derive(Clone)]
pub struct SqliteQueue {
    db: Arc<Db>,
    build: Arc<str>,
    clock: Arc<dyn Clock>,
    arrived: Arc<Notify>,
}

impl SqliteQueue {
    /// The queue in the store at `folder`, for jobs of `build`.
    pub fn open(folder: &Path, build: Arc<str>, clock: Arc<dyn Clock>) -> Self {
        let db = Db::open(&folder.join("jobs.db"), &SCHEMA, clock.clone());
        Self { db, build, clock, arrived: Arc::default() }
    }

    pub(crate) fn wait_for_locks(&self, most: Duration) {
        self.db.wait_for_locks(most);
    }

    /// Takes the job that has been due for the longest time; `None` if no job is due.
    async fn take_due(&self, hidden: Duration) -> Result<Option<Delivery>, StoreError> {
        let now = self.clock.now();
        // Mostly no job is due: a read finds that out without a write lock.
        if self.due(now).await?.is_none() {
            return Ok(None);
        }
        let (build, until, left) = (self.build.clone(), now.plus(hidden), left_before(now));
        let take = move |tx: &rusqlite::Transaction<'_>| {
            let dropped = tx.execute(
                &format!("DELETE FROM jobs WHERE tries >= {TRIES_MAX} AND {TAKES}"),
                params![build, ms(now), ms(left)],
            )?;
            if dropped > 0 {
                tracing::error!(dropped, "jobs were dropped: their workers died {TRIES_MAX} times each");
            }
            tx.query_row(
                &format!(
                    "UPDATE jobs SET due = ?4, tries = tries + 1 WHERE id =
                       (SELECT id FROM jobs WHERE {TAKES} ORDER BY due, id LIMIT 1)
                     RETURNING id, message, returned + tries"
                ),
                params![build, ms(now), ms(left), ms(until)],
                |row| {
                    let (id, message, deliveries) = (row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?);
                    Ok(Delivery { message, receipt: id.to_string(), deliveries })
                },
            )
            .optional()
        };
        self.db.write(Durable::No, take).await
    }

    /// The number of jobs that wait or are being carried out, delayed ones included.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn len(&self) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM jobs WHERE build IN (?1, '')";
        self.db
            .read_now(|c| c.query_row(sql, [&*self.build], |row| row.get::<_, i64>(0)))
            .map(i64::unsigned_abs)
    }

    /// Whether [`SqliteQueue::len`] is 0.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        self.len().map(|n| n == 0)
    }

    /// Sends any text as a message.
    #[cfg(test)]
    pub(crate) async fn send_text(&self, message: &'static str) {
        let sql = "INSERT INTO jobs (build, due, message) VALUES ('', 0, ?1)";
        let send = move |tx: &rusqlite::Transaction<'_>| tx.execute(sql, [message]);
        self.db.write(Durable::No, send).await.unwrap();
    }

    async fn due(&self, now: Millis) -> Result<Option<i64>, StoreError> {
        let sql = format!("SELECT id FROM jobs WHERE {TAKES} LIMIT 1");
        let read = self.db.read(|c| {
            let asked = params![self.build, ms(now), ms(left_before(now))];
            c.prepare_cached(&sql)?.query_row(asked, |row| row.get(0)).optional()
        });
        read.await
    }
}

/// The number of the job's row, which is its receipt.
fn id_of(receipt: &str) -> Result<i64, StoreError> {
    receipt
        .parse()
        .map_err(|_| StoreError::refused(format!("`{}` is no receipt of this queue", receipt.escape_debug())))
}

/// The time at which a job of another build must have been due for this process to take it.
fn left_before(now: Millis) -> Millis {
    Millis(now.0.saturating_sub(LEFT_AFTER.as_millis() as u64))
}

fn ms(instant: Millis) -> i64 {
    i64::try_from(instant.0).unwrap_or(i64::MAX)
}

impl Queue for SqliteQueue {
    async fn send(&self, job: &Job, delay: Duration) -> Result<(), StoreError> {
        let (build, message, due) = (job.build.clone(), job.to_json(), self.clock.now().plus(delay));
        let send = move |tx: &rusqlite::Transaction<'_>| {
            tx.execute(
                "INSERT INTO jobs (build, due, message) VALUES (?1, ?2, ?3)",
                params![build, ms(due), message],
            )
        };
        self.db.write(Durable::No, send).await?;
        self.arrived.notify_one();
        Ok(())
    }

    /// Notices jobs of this process at once. Jobs of other processes, and jobs whose worker has died, are noticed after half a
    /// second.
    async fn take(&self, hidden: Duration, wait: Duration) -> Result<Option<Delivery>, StoreError> {
        // Counts pauses, because the clock may be set back meanwhile.
        let looks = wait.as_millis().div_ceil(LOOK_EVERY.as_millis());
        for _ in 0..looks {
            if let Some(delivery) = self.take_due(hidden).await? {
                return Ok(Some(delivery));
            }
            tokio::select! {
                () = self.arrived.notified() => {}
                () = self.clock.sleep(LOOK_EVERY) => {}
            }
        }
        self.take_due(hidden).await
    }

    async fn keep(&self, delivery: &Delivery, hidden: Duration) -> Result<(), StoreError> {
        let (id, until) = (id_of(&delivery.receipt)?, self.clock.now().plus(hidden));
        let hide = move |tx: &rusqlite::Transaction<'_>| {
            tx.execute("UPDATE jobs SET due = ?2 WHERE id = ?1", params![id, ms(until)])
        };
        self.db.write(Durable::No, hide).await.map(drop)
    }

    async fn finish(&self, delivery: Delivery) -> Result<(), StoreError> {
        let id = id_of(&delivery.receipt)?;
        let finish = move |tx: &rusqlite::Transaction<'_>| tx.execute("DELETE FROM jobs WHERE id = ?1", [id]);
        self.db.write(Durable::No, finish).await.map(drop)
    }

    /// Resets the count of deliveries towards `TRIES_MAX`: the job's worker has not died.
    async fn give_back(&self, receipt: &str, delay: Duration) -> Result<(), StoreError> {
        let id = id_of(receipt)?;
        let due = self.clock.now().plus(delay);
        let give_back = move |tx: &rusqlite::Transaction<'_>| {
            let sql = "UPDATE jobs SET due = ?2, tries = 0, returned = returned + 1 WHERE id = ?1";
            tx.execute(sql, params![id, ms(due)])
        };
        self.db.write(Durable::No, give_back).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SystemClock;
    use crate::base::manual_clock::ManualClock;
    use crate::ports::job::Task;

    #[tokio::test]
    async fn keeps_the_contract() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), ManualClock::default());
        let open = || SqliteQueue::open(folder.path(), "b".into(), Arc::new(clock.clone()));
        crate::ports::suite::queue::run(open, async |time| clock.advance(time)).await;
    }

    #[tokio::test]
    async fn a_job_comes_back_until_it_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let open = |build: &str| SqliteQueue::open(folder.path(), build.into(), Arc::new(SystemClock));
        let (jobs, other) = (open("b"), open("c"));
        let job = Job { v: 1, build: "b".into(), key: "/".into(), task: Task::SecondLook { due: Millis(1) } };
        jobs.send(&job, Duration::ZERO).await.unwrap();
        jobs.send(&job, Duration::from_secs(60)).await.unwrap();
        assert!(other.take(Duration::ZERO, Duration::ZERO).await.unwrap().is_none(), "another build's");
        jobs.send(&Job { build: String::new(), ..job.clone() }, Duration::ZERO).await.unwrap();
        let anyones =
            other.take(Duration::from_secs(60), Duration::ZERO).await.unwrap().expect("any build's");
        other.finish(anyones).await.unwrap();
        let taken = jobs.take(Duration::ZERO, Duration::ZERO).await.unwrap().unwrap();
        assert_eq!(Job::from_json(&taken.message).unwrap(), job);
        let again = jobs.take(Duration::from_secs(60), Duration::ZERO).await.unwrap().unwrap();
        assert_eq!(again.receipt, taken.receipt);
        assert!(
            jobs.take(Duration::ZERO, Duration::ZERO).await.unwrap().is_none(),
            "one is hidden, the other not due"
        );
        jobs.finish(again).await.unwrap();
        assert_eq!(jobs.len().unwrap(), 1);
    }

    #[tokio::test]
    async fn a_job_that_is_given_back_comes_again_after_its_pause_however_often() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), ManualClock::default());
        let jobs = SqliteQueue::open(folder.path(), "b".into(), Arc::new(clock.clone()));
        let job = Job { v: 1, build: "b".into(), key: "/".into(), task: Task::SecondLook { due: Millis(1) } };
        jobs.send(&job, Duration::ZERO).await.unwrap();
        for returned in 0..3 * TRIES_MAX {
            let taken =
                jobs.take(Duration::from_secs(60), Duration::ZERO).await.unwrap().expect("it is kept");
            assert_eq!(taken.deliveries, returned + 1);
            jobs.give_back(&taken.receipt, Duration::from_secs(5)).await.unwrap();
            clock.advance(Duration::from_secs(4));
            assert!(jobs.take(Duration::ZERO, Duration::ZERO).await.unwrap().is_none(), "a second too early");
            clock.advance(Duration::from_secs(1));
        }
        assert!(jobs.give_back("x", Duration::ZERO).await.is_err());
    }

    #[tokio::test]
    async fn what_another_build_has_left_behind_is_anybodys() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), ManualClock::default());
        let open = |build: &str| SqliteQueue::open(folder.path(), build.into(), Arc::new(clock.clone()));
        let (old, new) = (open("b"), open("c"));
        let job = Job { v: 1, build: "b".into(), key: "/".into(), task: Task::SecondLook { due: Millis(1) } };
        old.send(&job, Duration::from_secs(10)).await.unwrap();
        clock.advance(Duration::from_secs(10) + LEFT_AFTER - Duration::from_millis(1));
        assert!(
            new.take(Duration::ZERO, Duration::ZERO).await.unwrap().is_none(),
            "its own build may still take it"
        );
        clock.advance(Duration::from_millis(1));
        let taken = new.take(Duration::from_secs(60), Duration::ZERO).await.unwrap().expect("left behind");
        assert_eq!(Job::from_json(&taken.message).unwrap(), job);
        assert!(old.take(Duration::ZERO, Duration::ZERO).await.unwrap().is_none(), "taken");
    }

    /// A queue of a version that could not give jobs back.
    #[tokio::test]
    async fn jobs_of_an_earlier_version_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        let old = rusqlite::Connection::open(folder.path().join("jobs.db")).unwrap();
        old.execute_batch(
            "CREATE TABLE jobs (id INTEGER PRIMARY KEY, build TEXT NOT NULL, due INTEGER NOT NULL,
               tries INTEGER NOT NULL DEFAULT 0, message TEXT NOT NULL);
             CREATE INDEX jobs_due ON jobs (build, due);
             INSERT INTO jobs (build, due, message) VALUES ('b', 1, 'kept');",
        )
        .unwrap();
        drop(old);
        let jobs = SqliteQueue::open(folder.path(), "b".into(), Arc::new(SystemClock));
        let taken = jobs.take(Duration::ZERO, Duration::ZERO).await.unwrap().expect("the old job");
        assert_eq!((&*taken.message, taken.deliveries), ("kept", 1));
    }

    #[tokio::test]
    async fn of_a_damaged_queue_the_jobs_are_kept_that_can_be_read() {
        const JOBS: u64 = 500;
        let folder = tempfile::tempdir().unwrap();
        let open = || SqliteQueue::open(folder.path(), "b".into(), Arc::new(SystemClock));
        let jobs = open();
        for i in 0..JOBS {
            let job = Job {
                v: 1,
                build: "b".into(),
                key: format!("/job-{i}"),
                task: Task::SecondLook { due: Millis(1) },
            };
            jobs.send(&job, Duration::ZERO).await.unwrap();
        }
        drop(jobs);
        let path = folder.path().join("jobs.db");
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.windows(8).position(|text| text == b"/job-250").unwrap() / 4096 * 4096;
        bytes[middle..middle + 4096].fill(0xa5);
        std::fs::write(&path, bytes).unwrap();
        let jobs = open();
        let (mut first, mut last) = (None, None);
        while let Some(taken) = jobs.take(Duration::from_secs(60), Duration::ZERO).await.unwrap() {
            let key = Job::from_json(&taken.message).unwrap().key;
            first.get_or_insert(key.clone());
            last = Some(key);
        }
        assert_eq!((first.as_deref(), last), (Some("/job-0"), Some(format!("/job-{}", JOBS - 1))));
        assert!((JOBS / 2..JOBS).contains(&jobs.len().unwrap()), "{}", jobs.len().unwrap());
    }

    #[tokio::test]
    async fn a_job_that_kills_its_workers_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = SqliteQueue::open(folder.path(), "b".into(), Arc::new(SystemClock));
        let job = Job { v: 1, build: "b".into(), key: "/".into(), task: Task::SecondLook { due: Millis(1) } };
        jobs.send(&job, Duration::ZERO).await.unwrap();
        for _ in 0..TRIES_MAX {
            assert!(jobs.take(Duration::ZERO, Duration::ZERO).await.unwrap().is_some());
        }
        assert!(jobs.take(Duration::ZERO, Duration::ZERO).await.unwrap().is_none());
        assert!(jobs.is_empty().unwrap());
    }
}
