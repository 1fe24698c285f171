//! What a publisher wants, in the words that calls, jobs and the journal share. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;

/// How pages are revalidated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Mark, render, then answer. Pages found by tag, route or site are rendered by the queue.
    #[default]
    Now,
    /// Mark, then answer: the next visitor gets the old page and has it renewed.
    Stale,
    /// The page is gone at once, and rendered anew for its next visitor.
    Delete,
}

impl Mode {
    /// `now`, `stale` or `delete`.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Now => "now",
            Mode::Stale => "stale",
            Mode::Delete => "delete",
        }
    }
}

/// Who wants it, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publisher {
    /// Which secret opened the door: a short name that does not tell it.
    pub key_id: String,
    /// Whose kind of signature it was; none for a call with a plain secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// What a signed delivery calls itself. It comes again under the same name when it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<String>,
}

/// What tells a signed delivery from every other: what its sender has signed. The fields around that, with the delivery's
/// id, may be another's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// SHA-256 of all that is signed, in hexadecimal.
    pub digest: String,
    /// For how long a delivery with the same fingerprint is taken for the same delivery.
    pub kept: Duration,
}

/// What is wanted, read and found to be possible.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishRequest {
    /// How.
    #[serde(default)]
    pub mode: Mode,
    /// Leave pages alone that nobody has generated.
    #[serde(default)]
    pub only_generated: bool,
    /// Paths, each with the pages that it may mean.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<RequestedPath>,
    /// Tags as the store knows them: of pages, routes, the site.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Render its pages once more after as many seconds, for a source whose interface lags behind its webhooks. Only a
    /// change is then published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look_again_after_s: Option<u32>,
}

/// A wish that waits for its time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledPublish {
    /// Its name in the journal.
    pub id: String,
    /// When the call arrived.
    pub at: Millis,
    /// When it is to be carried out.
    pub due: Millis,
    /// Whose it is.
    pub who: Publisher,
    /// What is wanted.
    pub wish: PublishRequest,
}

/// A path of a [`PublishRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestedPath {
    /// As it was given.
    pub path: String,
    /// Keys of the pages that it may mean, the most exact route's first.
    pub keys: Vec<String>,
}
