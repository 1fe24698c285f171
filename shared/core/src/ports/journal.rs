//! The port to the journal of publishes: who had what renewed, when, and how it went. Visitors never touch it, and what
//! is published never depends on it.

use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::ports::error::StoreError;
use crate::record::page_record::Epoch;

/// Paths, tags and results that one entry keeps.
pub const ITEMS_KEPT_MAX: usize = 100;

/// Longer texts in an entry are cut: its whole must fit one item of DynamoDB, 400 KB.
pub const TEXT_KEPT_BYTES: usize = 256;

/// How long a delivery that was carried out is known: longer than any signature is taken, and than providers try again.
pub const DELIVERY_KEPT: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// The journal. It is shared by all builds and processes. Nothing in it is needed to answer a visitor, or to carry out a
/// publish: whoever cannot write it logs that and goes on. A publish for later alone asks it whether it was cancelled.
pub trait Journal: Send + Sync + 'static {
    /// Keeps an entry in the place of an older one of the same id, until [`Publish::kept_until`].
    fn put(&self, publish: &Publish) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// An entry and how far its renewal is, by id.
    fn get(&self, id: &str) -> impl Future<Output = Result<Option<Kept>, StoreError>> + Send;

    /// Entries, newest first, after the one that [`Publish::place`] named; at most `limit`.
    fn list(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Publish>, StoreError>> + Send;

    /// Notes how far the renewal of an entry's pages of one route is, in the place of what was noted before. The entry
    /// itself need not be there.
    fn mark(
        &self,
        id: &str,
        mark: &Mark,
        kept_until: Millis,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Decides what becomes of a scheduled publish, once for all: the first call does, and every call is told what was
    /// decided. It outlives a crash, and is kept until then at least. The entry itself need not be there, and stays as it is.
    fn settle(
        &self,
        id: &str,
        fate: Fate,
        kept_until: Millis,
    ) -> impl Future<Output = Result<Fate, StoreError>> + Send;

    /// The id of the publish by which a delivery of this name was carried out; none if it was not, or is forgotten.
    fn carried_out(
        &self,
        delivery: &str,
        now: Millis,
    ) -> impl Future<Output = Result<Option<String>, StoreError>> + Send;

    /// Notes that a delivery was carried out; forgotten after [`DELIVERY_KEPT`].
    fn note_carried_out(
        &self,
        delivery: &str,
        id: &str,
        now: Millis,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// One publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// Version of the entry; this is 1.
    pub v: u32,
    /// Its name: the number of its invalidation, or a text that begins with a letter if nothing was invalidated as a
    /// whole.
    pub id: String,
    /// When the call arrived.
    pub at: Millis,
    /// When it is forgotten.
    pub kept_until: Millis,
    /// The build that was called.
    pub build: String,
    /// Which secret opened the door: a short name that does not tell it.
    pub key_id: String,
    /// Whose kind of signature it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// What a signed delivery calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<String>,
    /// `now`, `stale` or `delete`.
    pub mode: String,
    /// Paths, as they were given: the first [`ITEMS_KEPT_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Tags as the store knows them, of pages, routes, the site: the first [`ITEMS_KEPT_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The invalidation of its tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// The instant that it waits for, or has waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Millis>,
    /// How it went.
    pub went: Went,
    /// How far the renewal of its tags' pages is, or how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<Renewal>,
    /// Each path's result, in the order of the paths; none before there is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<Item>,
    /// Why it failed as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Milliseconds from its arrival, or from when it was due, until visitors could see what it has changed: all of it was
    /// stored, or gone, and the cache in front had accepted the order to forget. None before that, and where nothing is
    /// changed until a visitor comes (mode `stale`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visible_ms: Option<u64>,
}

/// How a publish went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Went {
    /// It waits for its time.
    Scheduled,
    /// It was begun. An entry that stays so is of a process that died.
    Begun,
    /// Its tags are marked, and the queue is to renew their pages.
    Accepted,
    /// The queue renews the pages of its tags. Never stored: [`Engine::entries`](crate::engine::Engine::entries) finds out.
    Renewing,
    /// All of it is done.
    Done,
    /// The queue has done what it does, and pages of its tags have failed: they are stale, and tried again by their
    /// visitors.
    #[serde(rename = "done_with_failures")]
    DoneWithFailures,
    /// Some of it is not: see its results.
    Failed,
    /// It was for later, and will not be carried out.
    Cancelled,
}

impl std::fmt::Display for Went {
    /// For people.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Went::Scheduled => "scheduled",
            Went::Begun => "begun",
            Went::Accepted => "accepted",
            Went::Renewing => "renewing",
            Went::Done => "done",
            Went::DoneWithFailures => "done with failures",
            Went::Failed => "failed",
            Went::Cancelled => "cancelled",
        })
    }
}

/// How far the renewal of all pages of a publish's tags is. All numbers were counted at the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// Pages that belong to its tags.
    pub total: usize,
    /// Those of them that have not been rendered since, for whatever reason.
    pub left: usize,
    /// Those of the latter whose last render failed.
    pub failing: usize,
    /// Whether the store holds more pages than were counted: then all numbers are at least.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
    /// The first pages that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Item>,
}

/// What was decided of a scheduled publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was begun when it was due, and is begun again if whoever did that died.
    Begun,
    /// It is never begun.
    Cancelled,
}

impl Fate {
    /// As it is stored.
    #[cfg(any(feature = "aws", feature = "embedded"))]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Fate::Begun => "begun",
            Fate::Cancelled => "cancelled",
        }
    }

    /// Reads what is stored. What is not known here was decided by a newer version.
    #[cfg(any(feature = "aws", feature = "embedded"))]
    pub(crate) fn read(text: &str) -> Result<Self, StoreError> {
        [Fate::Begun, Fate::Cancelled].into_iter().find(|fate| fate.as_str() == text).ok_or_else(|| {
            StoreError::refused(format!(
                "what was decided of a publish cannot be read: {}",
                text.escape_debug()
            ))
        })
    }
}

/// What became of one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The path.
    pub path: String,
    /// Why it is not done; none if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How far the renewal of a route's pages is, or the removal of deleted ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The route; of a removal, what the keys of its pages begin with.
    pub route: String,
    /// When its first page was begun.
    pub began_at: Millis,
    /// When this was noted.
    pub at: Millis,
    /// Pages that were looked at.
    pub looked: u64,
    /// Pages that were rendered.
    pub renewed: u64,
    /// Renders that failed.
    pub failed: u64,
    /// Pages of which nothing is stored any more, after a deletion.
    #[serde(default, skip_serializing_if = "is_none")]
    pub removed: u64,
    /// Until when its upstream has asked to be left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_until: Option<Millis>,
    /// Whether it has come to its end.
    pub ended: bool,
    /// Whether it ended before all pages were looked at: the others are renewed by their next visitors.
    pub left_out: bool,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

/// An entry with its marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The entry; none if it was not written, or is forgotten.
    pub publish: Option<Publish>,
    /// In the order of the routes' ids.
    pub marks: Vec<Mark>,
}

impl Publish {
    /// Where it is in the list: later ones have greater texts.
    pub fn place(&self) -> String {
        format!("{:015}#{}", self.at.0, self.id)
    }

    /// Cuts it down to what is kept.
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

    /// As it is stored.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an entry has string keys and no failing parts")
    }

    /// Reads what is stored. An entry that a newer version wrote may not be readable: it is left out, and that is logged.
    pub fn from_json(text: &str) -> Option<Self> {
        let read = serde_json::from_str(text);
        read.inspect_err(|error| tracing::warn!("an entry of the journal cannot be read: {error}")).ok()
    }
}

impl Mark {
    /// As it is stored.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a mark has string keys and no failing parts")
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
        assert_eq!(entry.went, Went::Failed);
        let golden = r#"{"v":1,"id":"7","at":5,"kept_until":9000,"build":"b","key_id":"7692c3ad","mode":"now","tags":["tag:t"],"epoch":7,"went":"done_with_failures","renewal":{"total":5,"left":1,"failing":1,"failures":[{"path":"/a","error":"no"}]}}"#;
        assert_eq!(Publish::from_json(golden).unwrap().to_json(), golden);
        let accepted = r#"{"v":1,"id":"7","at":5,"kept_until":9000,"build":"b","key_id":"k","mode":"now","went":"accepted"}"#;
        assert_eq!(Publish::from_json(accepted).unwrap().to_json(), accepted);
        assert!(Publish::from_json("{}").is_none());
    }

    #[test]
    fn an_entry_is_bounded_whatever_was_asked_for() {
        let long = "é".repeat(5_000);
        let items = vec![Item { path: long.clone(), error: Some(long.clone()) }; 500];
        let (paths, tags) = (vec![long.clone(); 500], vec![long.clone(); 500]);
        let large = Publish { paths, tags, results: items, delivery_id: Some(long), ..publish("1", 1) };
        assert!(large.cut().to_json().len() < 120_000);
    }
}
