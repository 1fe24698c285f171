//! Jobs: the messages of the queue.

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::record::page_record::Ticket;
use crate::record::publish_request::ScheduledPublish;
use crate::record::reason::Reason;

/// One job. Its JSON is the message in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Version of the message; this is 1.
    pub v: u32,
    /// The build that sent the job; empty for a job of any build. A program of another build carries out jobs for publishers
    /// and removals. A renewal for a visitor is carried out by its own build alone.
    pub build: String,
    /// The page's key; empty for a job of many pages.
    pub key: String,
    /// The work to do.
    #[serde(flatten)]
    pub task: Task,
}

/// The work of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Task {
    /// Render the page under this ticket.
    Refresh {
        /// The ticket that the sender was granted.
        ticket: Ticket,
        /// The reason of the render.
        reason: Reason,
    },
    /// Renew the pages that an invalidation has marked. The job's key is empty.
    Walk(Walk),
    /// Remove the stored content of deleted pages. The job's key is empty.
    Remove(Removal),
    /// Carry out a publish that was scheduled. The job's key and build are empty.
    Publish(ScheduledPublish),
    /// Render the page once more, unless a render has begun since the instant `due`. The stored name is `again`.
    #[serde(rename = "again")]
    SecondLook {
        /// The instant of the second look.
        due: Millis,
    },
    /// Remove a body that the page's record no longer names.
    RemoveBody {
        /// The body's name.
        sha256: String,
        /// When the body was replaced.
        replaced_at: Millis,
    },
}

/// A walk over the pages that an invalidation has marked, and its progress. Each step of the walk sends the next step as a
/// job with its own progress, so that any process can go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Walk {
    /// The id of its publish in the journal.
    pub publish: String,
    /// Until when the journal keeps the publish.
    pub kept_until: Millis,
    /// The epoch of the invalidation.
    pub epoch: u64,
    /// The route whose pages the walk renews. `None`: the job starts a walk for each route.
    pub route: Option<String>,
    /// The place of the last page that was looked at; `None` at the start.
    pub after: Option<String>,
    /// When the walk began.
    pub began_at: Millis,
    /// Pages that were looked at.
    pub looked: u64,
    /// Pages that were rendered.
    pub renewed: u64,
    /// Renders that failed.
    pub failed: u64,
    /// Pauses in a row without a renewed page between them.
    pub pauses: u32,
    /// The end of the present pause.
    pub waits_until: Option<Millis>,
    /// Makes this walk a second look at pages that have been renewed. The stored name is `again`.
    #[serde(rename = "again", skip_serializing_if = "Option::is_none")]
    pub second_look: Option<SecondLook>,
}

impl Walk {
    /// The same walk over another build's pages, from their beginning.
    pub(crate) fn of_another_build(&self) -> Self {
        let Self { publish, kept_until, epoch, route, began_at, waits_until, second_look, .. } = self.clone();
        Self { publish, kept_until, epoch, route, began_at, waits_until, second_look, ..Self::default() }
    }
}

/// A removal of the pages that a deletion has marked, and its progress, in steps like a [`Walk`]. It removes pages of the build
/// that sent the job, even if a program of another build carries the job out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Removal {
    /// The id of its publish in the journal; empty if the removal notes no progress.
    pub publish: String,
    /// Until when the journal keeps the publish.
    pub kept_until: Millis,
    /// The epoch of the deletion.
    pub epoch: u64,
    /// The prefix of its pages' keys; empty for all pages.
    pub prefix: String,
    /// The key of the last page that was looked at; `None` at the start of a pass.
    pub after: Option<String>,
    /// When the deletion began.
    pub began_at: Millis,
    /// Pages that were looked at.
    pub looked: u64,
    /// Pages that were removed.
    pub removed: u64,
    /// Pages that this pass has left to the last pass, because they were being rendered.
    pub passed_over: u64,
    /// Whether this is the last pass. It begins when all renders from before the deletion have ended.
    pub is_last: bool,
    /// When the last pass begins.
    pub waits_until: Option<Millis>,
}

/// A second look at the pages of some tags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecondLook {
    /// The tags, with their prefixes.
    pub tags: Vec<String>,
    /// The instant of the second look. Pages whose render began later are left alone.
    pub due: Millis,
}

/// Why a message is no job of this program.
#[derive(Debug, thiserror::Error)]
pub enum BadJob {
    /// A newer version of Perennial sent the message.
    #[error("the job has version {0}; this program reads version 1")]
    Version(u32),
    /// The message is no job.
    #[error("the message is not a job: {0}")]
    Damaged(#[from] serde_json::Error),
}

impl Job {
    /// The message's JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a job has string keys and no failing parts")
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`BadJob`]: the message is of a newer version, or no job.
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
        let golden = r#"{"v":1,"build":"b1","key":"","task":"walk","publish":"9","kept_until":8,"epoch":9,"route":"/a","after":"x","began_at":1,"looked":7,"renewed":5,"failed":2,"pauses":1,"waits_until":6}"#;
        assert_eq!(Job::from_json(golden).unwrap().to_json(), golden);
        let least = r#"{"v":1,"build":"b1","key":"","task":"walk","epoch":9}"#;
        assert!(matches!(
            Job::from_json(least).unwrap().task,
            Task::Walk(Walk { epoch: 9, route: None, .. })
        ));
        let golden = r#"{"v":1,"build":"b1","key":"","task":"walk","publish":"","kept_until":0,"epoch":9,"route":null,"after":null,"began_at":8,"looked":0,"renewed":0,"failed":0,"pauses":0,"waits_until":8,"again":{"tags":["tag:t"],"due":8}}"#;
        assert_eq!(Job::from_json(golden).unwrap().to_json(), golden);
        let golden = r#"{"v":1,"build":"b1","key":"","task":"remove","publish":"9","kept_until":8,"epoch":9,"prefix":"/a","after":"/a|x","began_at":1,"looked":7,"removed":5,"passed_over":1,"is_last":true,"waits_until":6}"#;
        assert_eq!(Job::from_json(golden).unwrap().to_json(), golden);
        let golden = r#"{"v":1,"build":"","key":"","task":"publish","id":"p5-ab","at":5,"due":9,"who":{"key_id":"7692c3ad"},"wish":{"mode":"now","only_generated":false,"paths":[{"path":"/a","keys":["/a"]}],"tags":["tag:t"],"look_again_after_s":3}}"#;
        assert_eq!(Job::from_json(golden).unwrap().to_json(), golden);
        let golden = r#"{"v":1,"build":"b1","key":"/","task":"again","due":9}"#;
        assert_eq!(Job::from_json(golden).unwrap().to_json(), golden);
        assert!(matches!(Job::from_json(&golden.replace("\"v\":1", "\"v\":2")), Err(BadJob::Version(2))));
        assert!(matches!(Job::from_json(&golden.replace("again", "dance")), Err(BadJob::Damaged(_))));
        assert!(matches!(Job::from_json("{}"), Err(BadJob::Damaged(_))));
    }
}
