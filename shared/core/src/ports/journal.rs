//! The port to the journal of publishes. An entry tells who published what, when, and with which result. Visitors never
//! need the journal.

use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::ports::error::StoreError;
use crate::record::page_record::Epoch;

/// The most paths, tags or results that one entry keeps.
pub const ITEMS_KEPT_MAX: usize = 100;

/// The longest text that an entry keeps, in bytes. Longer texts are cut, so that an entry fits an item of DynamoDB (400 KB).
pub const TEXT_KEPT_BYTES: usize = 256;

/// How long the journal knows a delivery that was carried out: longer than any signature is accepted, and longer than
/// providers retry.
pub const DELIVERY_KEPT: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// The journal, shared by all builds and processes. A process that cannot write an entry logs that and goes on. Only a
/// scheduled publish depends on the journal: the process that begins it first asks whether the publish was cancelled.
pub trait Journal: Send + Sync + 'static {
    /// Stores an entry until [`Publish::kept_until`], and replaces an older entry with the same id.
    fn put(&self, publish: &Publish) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The entry with this id, and the progress of its renewal. `None` if neither is stored.
    fn get(&self, id: &str) -> impl Future<Output = Result<Option<JournalEntry>, StoreError>> + Send;

    /// At most `limit` entries, newest first. `after` is the [`Publish::place`] of the last entry of an earlier answer: the
    /// list goes on behind that entry.
    fn list(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Publish>, StoreError>> + Send;

    /// Stores the progress of a publish on one route, and replaces the route's earlier progress. The publish need not have
    /// an entry.
    fn note_progress(
        &self,
        id: &str,
        progress: &RouteProgress,
        kept_until: Millis,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Decides once and for all whether a scheduled publish begins or is cancelled. The first call's decision holds, and
    /// every call returns that decision. The decision survives a crash, and is kept until `kept_until` at least. The publish
    /// need not have an entry; an existing entry does not change.
    fn settle(
        &self,
        id: &str,
        decision: ScheduleDecision,
        kept_until: Millis,
    ) -> impl Future<Output = Result<ScheduleDecision, StoreError>> + Send;

    /// The id of the publish that carried out the delivery with this name. `None` if no publish did, or if the journal has
    /// forgotten the delivery.
    fn carried_out(
        &self,
        delivery: &str,
        now: Millis,
    ) -> impl Future<Output = Result<Option<String>, StoreError>> + Send;

    /// Stores that the publish `id` carried out a delivery. The journal forgets the delivery after [`DELIVERY_KEPT`].
    fn note_carried_out(
        &self,
        delivery: &str,
        id: &str,
        now: Millis,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// One publish: an entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// Version of the entry; this is 1.
    pub v: u32,
    /// The publish's id: the epoch of its invalidation, or a text that begins with a letter if no tag was invalidated.
    pub id: String,
    /// When the call arrived.
    pub at: Millis,
    /// When the journal forgets the entry.
    pub kept_until: Millis,
    /// The build that received the call.
    pub build: String,
    /// A short name of the secret that authenticated the call; the secret cannot be derived from this name.
    pub key_id: String,
    /// The webhook provider whose signature the call carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The id that a signed delivery carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<String>,
    /// `now`, `stale` or `delete`.
    pub mode: String,
    /// The first [`ITEMS_KEPT_MAX`] paths, as the publisher wrote them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// The first [`ITEMS_KEPT_MAX`] stored tags, with their prefixes: own tags, and implicit ones of routes and the site.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The epoch at which the tags were invalidated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// The instant for which the publish was scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Millis>,
    /// The state of the publish. The stored name of this field is `went`.
    #[serde(rename = "went")]
    pub status: PublishStatus,
    /// The progress, or the result, of the renewal of the tags' pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<RenewalProgress>,
    /// The results of the paths, in the order of the paths; empty until all are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<PathResult>,
    /// The error of a publish that failed as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Milliseconds until visitors could see the whole change, from the call's arrival or from the due time. By then every
    /// page is stored or gone, and the shared cache has accepted the purge. `None` before that, and in mode `stale`, which
    /// changes nothing until a visitor comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visible_ms: Option<u64>,
}

/// The state of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PublishStatus {
    /// The publish waits for its due time.
    Scheduled,
    /// The publish has begun. If an entry stays in this state, the process that carried it out has died.
    Begun,
    /// The tags are marked, and the queue has the job to renew their pages.
    Accepted,
    /// The queue is renewing the pages of the tags. This state is never stored:
    /// [`Engine::entries`](crate::engine::Engine::entries) derives it from the progress.
    Renewing,
    /// Everything is done.
    Done,
    /// The queue has finished, and some renders failed. Those pages are stale; visits of them trigger new renders.
    #[serde(rename = "done_with_failures")]
    DoneWithFailures,
    /// Something was not done: see the results and the error.
    Failed,
    /// The publish was scheduled, and will not be carried out.
    Cancelled,
}

impl std::fmt::Display for PublishStatus {
    /// The state's name, for people.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            PublishStatus::Scheduled => "scheduled",
            PublishStatus::Begun => "begun",
            PublishStatus::Accepted => "accepted",
            PublishStatus::Renewing => "renewing",
            PublishStatus::Done => "done",
            PublishStatus::DoneWithFailures => "done with failures",
            PublishStatus::Failed => "failed",
            PublishStatus::Cancelled => "cancelled",
        })
    }
}

/// The progress of renewing all pages that carry a publish's tags. All numbers were counted at the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalProgress {
    /// Pages that carry the tags.
    pub total: usize,
    /// Those of [`RenewalProgress::total`] that have not been rendered since the publish.
    pub left: usize,
    /// Those of [`RenewalProgress::left`] whose last render failed.
    pub failing: usize,
    /// Whether the store holds more pages than were counted: all numbers are then lower bounds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
    /// The first pages that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<PathResult>,
}

/// The decision about a scheduled publish. Its stored name is `fate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleDecision {
    /// The publish begins. If the process that carries it out dies, another one begins it again.
    Begun,
    /// The publish never begins.
    Cancelled,
}

impl ScheduleDecision {
    /// The stored text.
    #[cfg(any(feature = "aws", feature = "embedded"))]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ScheduleDecision::Begun => "begun",
            ScheduleDecision::Cancelled => "cancelled",
        }
    }

    /// Reads the stored text. An unknown text was written by a newer version.
    #[cfg(any(feature = "aws", feature = "embedded"))]
    pub(crate) fn read(text: &str) -> Result<Self, StoreError> {
        [ScheduleDecision::Begun, ScheduleDecision::Cancelled]
            .into_iter()
            .find(|decision| decision.as_str() == text)
            .ok_or_else(|| {
                StoreError::refused(format!(
                    "the decision about a publish cannot be read: {}",
                    text.escape_debug()
                ))
            })
    }
}

/// The result of one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathResult {
    /// The path.
    pub path: String,
    /// Why the path was not done; `None` if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The progress of renewing the pages of one route, or of removing deleted pages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteProgress {
    /// The route; for a removal, the prefix of its pages' keys.
    pub route: String,
    /// When the first page was begun.
    pub began_at: Millis,
    /// When this progress was stored.
    pub at: Millis,
    /// Pages that were looked at.
    pub looked: u64,
    /// Pages that were rendered.
    pub renewed: u64,
    /// Renders that failed.
    pub failed: u64,
    /// Deleted pages whose content has been removed from the store.
    #[serde(default, skip_serializing_if = "is_none")]
    pub removed: u64,
    /// The end of the pause that the route's upstream asked for (`Retry-After`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_until: Option<Millis>,
    /// Whether the renewal or removal has ended.
    pub ended: bool,
    /// Whether it ended before all pages were looked at. The next visits of the other pages trigger their renewal.
    pub left_out: bool,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

/// An entry of the journal, with its progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// The entry; `None` if it was not written, or was forgotten.
    pub publish: Option<Publish>,
    /// The progress on each route, in the order of the routes' ids.
    pub routes: Vec<RouteProgress>,
}

impl Publish {
    /// The entry's place in the list. Newer entries have greater places.
    pub fn place(&self) -> String {
        format!("{:015}#{}", self.at.0, self.id)
    }

    /// The entry within the limits [`ITEMS_KEPT_MAX`] and [`TEXT_KEPT_BYTES`].
    #[must_use]
    pub fn cut(mut self) -> Self {
        self.paths.truncate(ITEMS_KEPT_MAX);
        self.tags.truncate(ITEMS_KEPT_MAX);
        self.results.truncate(ITEMS_KEPT_MAX);
        let failures = self.renewal.iter_mut().flat_map(|renewal| &mut renewal.failures);
        let results = self.results.iter_mut().chain(failures);
        let results = results.flat_map(|item| [Some(&mut item.path), item.error.as_mut()]);
        let texts = self.paths.iter_mut().chain(&mut self.tags).chain(results.flatten());
        let texts = texts.chain(&mut self.delivery_id).chain(&mut self.error);
        for text in texts {
            text.truncate(text.floor_char_boundary(TEXT_KEPT_BYTES));
        }
        self
    }

    /// The stored JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an entry has string keys and no failing parts")
    }

    /// Reads the stored JSON. `None` for an unreadable entry, which a newer version may have written; that is logged.
    pub fn from_json(text: &str) -> Option<Self> {
        let read = serde_json::from_str(text);
        read.inspect_err(|error| tracing::warn!("an entry of the journal cannot be read: {error}")).ok()
    }
}

impl RouteProgress {
    /// The stored JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a progress has string keys and no failing parts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::suite::journal::publish;

    #[test]
    fn version_1_is_golden() {
        let golden = r#"{"v":1,"id":"7","at":5,"kept_until":9000,"build":"b","key_id":"7692c3ad","provider":"p","delivery_id":"d","mode":"now","paths":["/a"],"tags":["tag:t"],"epoch":7,"went":"failed","results":[{"path":"/a","error":"no"}],"visible_ms":12}"#;
        let entry: Publish = serde_json::from_str(golden).unwrap();
        assert_eq!(entry.to_json(), golden);
        assert_eq!(entry.status, PublishStatus::Failed);
        let golden = r#"{"v":1,"id":"7","at":5,"kept_until":9000,"build":"b","key_id":"7692c3ad","mode":"now","tags":["tag:t"],"epoch":7,"went":"done_with_failures","renewal":{"total":5,"left":1,"failing":1,"failures":[{"path":"/a","error":"no"}]}}"#;
        assert_eq!(Publish::from_json(golden).unwrap().to_json(), golden);
        let accepted = r#"{"v":1,"id":"7","at":5,"kept_until":9000,"build":"b","key_id":"k","mode":"now","went":"accepted"}"#;
        assert_eq!(Publish::from_json(accepted).unwrap().to_json(), accepted);
        assert!(Publish::from_json("{}").is_none());
    }

    #[test]
    fn an_entry_is_bounded_whatever_was_asked_for() {
        let long = "é".repeat(5_000);
        let items = vec![PathResult { path: long.clone(), error: Some(long.clone()) }; 500];
        let (paths, tags) = (vec![long.clone(); 500], vec![long.clone(); 500]);
        let large = Publish { paths, tags, results: items, delivery_id: Some(long), ..publish("1", 1) };
        assert!(large.cut().to_json().len() < 120_000);
    }
}
