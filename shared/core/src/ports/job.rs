//! Messages of the queue.

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::record::page_record::Ticket;
use crate::record::publish_request::ScheduledPublish;
use crate::record::reason::Reason;

/// One piece of work. Its JSON is the message in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Version of the message; this is 1.
    pub v: u32,
    /// The build that sent it; empty if that does not matter. A program of another build carries out what was promised
    /// to a publisher, and removes what that build has stored; renewals for visitors are that build's alone.
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
    /// Renew the pages that an invalidation has marked. It belongs to no page: the job's key is empty.
    Walk(Walk),
    /// Remove what is stored of pages that are gone. It belongs to no page: the job's key is empty.
    Remove(Removal),
    /// Carry out what was wished for that time. It belongs to no page and no build: the job's key and build are empty.
    Publish(ScheduledPublish),
    /// Render the page once more, unless it has been since that instant.
    #[serde(rename = "again")]
    SecondLook {
        /// When its source is asked again.
        due: Millis,
    },
    /// Remove a body that the page no longer shows.
    RemoveBody {
        /// Its name.
        sha256: String,
        /// When it was replaced.
        replaced_at: Millis,
    },
}

/// How far the renewal of what an invalidation has marked is: one job after the other, each with what the one before it
/// has come to, so that it goes on in any process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Walk {
    /// The publish it belongs to, in the journal.
    pub publish: String,
    /// Until when the journal keeps it.
    pub kept_until: Millis,
    /// The epoch of the invalidation.
    pub epoch: u64,
    /// The route whose pages it renews; none: all routes, each by a walk of its own.
    pub route: Option<String>,
    /// The place of the last page that was dealt with; none at the start.
    pub after: Option<String>,
    /// When it began.
    pub began_at: Millis,
    /// Pages that were looked at.
    pub looked: u64,
    /// Pages that were rendered.
    pub renewed: u64,
    /// Renders that failed.
    pub failed: u64,
    /// Pauses in a row in which nothing was renewed.
    pub pauses: u32,
    /// It pauses until then.
    pub waits_until: Option<Millis>,
    /// It looks a second time at pages that have been renewed.
    #[serde(rename = "again", skip_serializing_if = "Option::is_none")]
    pub second_look: Option<SecondLook>,
}

impl Walk {
    /// The same walk over another build's pages: how far it was says nothing about them.
    pub(crate) fn of_another_build(&self) -> Self {
        let Self { publish, kept_until, epoch, route, began_at, waits_until, second_look, .. } = self.clone();
        Self { publish, kept_until, epoch, route, began_at, waits_until, second_look, ..Self::default() }
    }
}

/// How far the removal of what a deletion has marked is: one job after the other, as a [`Walk`] is. What it removes is of
/// the build that has sent it, whichever program carries it out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Removal {
    /// The publish it belongs to, in the journal; empty if it tells the journal nothing.
    pub publish: String,
    /// Until when the journal keeps it.
    pub kept_until: Millis,
    /// The epoch of the deletion.
    pub epoch: u64,
    /// What the keys of its pages begin with; empty for all pages.
    pub prefix: String,
    /// The key of the last page that was looked at; none at the start of a pass.
    pub after: Option<String>,
    /// When the deletion came.
    pub began_at: Millis,
    /// Pages that were looked at.
    pub looked: u64,
    /// Pages that were removed.
    pub removed: u64,
    /// Pages that this pass has left to the last one, because somebody rendered them.
    pub passed_over: u64,
    /// Whether this is the last pass: no render is under way any more that began before the deletion.
    pub is_last: bool,
    /// The last pass waits until then.
    pub waits_until: Option<Millis>,
}

/// A second look at the pages of tags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecondLook {
    /// Tags as the store knows them.
    pub tags: Vec<String>,
    /// When their source is asked again: what was rendered since is left alone.
    pub due: Millis,
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
