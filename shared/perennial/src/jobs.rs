//! The port to the queue: work that need not be done while a visitor waits.

use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::page::Reason;
use crate::record::Ticket;
use crate::store::StoreError;

#[cfg(feature = "embedded")]
pub mod sqlite;
#[cfg(feature = "aws")]
pub mod sqs;
#[cfg(any(test, feature = "testing"))]
pub mod suite;

/// Takes jobs. Each is delivered at least once, in any order, to `regenerate`.
pub trait Jobs: Send + Sync + 'static {
    /// Accepts a job, to be delivered after `delay` (at most 15 minutes, SQS's limit).
    fn send(&self, job: &Job, delay: Duration) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// One piece of work. Its JSON is the message in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Version of the message; this is 1.
    pub v: u32,
    /// The build that sent it, and that alone can do it.
    pub build: String,
    /// The page's key.
    pub key: String,
    /// What to do.
    #[serde(flatten)]
    pub task: Task,
}

/// What a job asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Task {
    /// Render the page under this ticket.
    Refresh {
        /// The ticket the sender was granted.
        ticket: Ticket,
        /// Why.
        reason: Reason,
    },
    /// Render the page unless it has been rendered since `epoch`: part of an invalidation of many pages.
    Renew {
        /// The epoch of the invalidation.
        epoch: u64,
    },
    /// Remove a body that the page no longer shows.
    RemoveBody {
        /// Its name.
        sha256: String,
        /// When it was replaced.
        replaced_at: Millis,
    },
}

/// A message that is not a job this program knows.
#[derive(Debug, thiserror::Error)]
pub enum BadJob {
    /// Sent by a newer version of Perennial.
    #[error("the job has version {0}; this program reads version 1")]
    Version(u32),
    /// Not a job.
    #[error("the message is not a job: {0}")]
    Damaged(#[from] serde_json::Error),
}

impl Job {
    /// The message.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a job has string keys and no failing parts")
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`BadJob`].
    pub fn from_json(text: &str) -> Result<Self, BadJob> {
        #[derive(Deserialize)]
        struct Head {
            v: u32,
        }
        match serde_json::from_str::<Head>(text)?.v {
            1 => Ok(serde_json::from_str(text)?),
            newer => Err(BadJob::Version(newer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_golden() {
        let golden =
            r#"{"v":1,"build":"b1","key":"/blog/{slug}|a","task":"refresh","ticket":4,"reason":"stale"}"#;
        let job = Job {
            v: 1,
            build: "b1".into(),
            key: "/blog/{slug}|a".into(),
            task: Task::Refresh { ticket: 4, reason: Reason::Stale },
        };
        assert_eq!(job.to_json(), golden);
        assert_eq!(Job::from_json(golden).unwrap(), job);
        let golden = r#"{"v":1,"build":"b1","key":"/","task":"remove_body","sha256":"ab","replaced_at":5}"#;
        assert_eq!(Job::from_json(golden).unwrap().to_json(), golden);
        let golden = r#"{"v":1,"build":"b1","key":"/","task":"renew","epoch":9}"#;
        assert_eq!(Job::from_json(golden).unwrap().to_json(), golden);
        assert!(matches!(Job::from_json(&golden.replace("\"v\":1", "\"v\":2")), Err(BadJob::Version(2))));
        assert!(matches!(Job::from_json("{}"), Err(BadJob::Damaged(_))));
    }
}
