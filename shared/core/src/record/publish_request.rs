//! A publisher's request, in the form that calls, jobs and the journal share. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;

/// The way in which pages are revalidated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Invalidate, render, then answer. The queue renders pages that were named by tag, route or site.
    #[default]
    Now,
    /// Invalidate, then answer. The next visitor gets the stale page, and triggers its renewal.
    Stale,
    /// Delete the page at once. Its next visitor waits for a new render.
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

/// The author of a request, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publisher {
    /// A short name of the secret that authenticated the call; the secret cannot be derived from this name.
    pub key_id: String,
    /// The webhook provider whose signature the call carried; none for a call with a plain secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The id that a signed delivery carries. A retry of the delivery has the same id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<String>,
}

/// The identity of a signed delivery: a hash of all that its sender has signed. The delivery's id is often outside of
/// the signature, so that an attacker could change the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// SHA-256 of the signed bytes, in hexadecimal.
    pub digest: String,
    /// For how long a delivery with the same fingerprint counts as a repetition.
    pub kept: Duration,
}

/// A publisher's request, after it was parsed and checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishRequest {
    /// The way in which the pages are revalidated.
    #[serde(default)]
    pub mode: Mode,
    /// Whether pages without a stored render are skipped (Next.js's `unstable_onlyGenerated`).
    #[serde(default)]
    pub only_generated: bool,
    /// Paths, each with the pages that the path may mean.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<RequestedPath>,
    /// Stored tags, with their prefixes: own tags, and implicit ones of routes and the site.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Seconds after which the pages are rendered a second time, for a source whose API lags behind its webhooks. The
    /// second render is published only if it has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look_again_after_s: Option<u32>,
}

/// A request that is to be carried out later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledPublish {
    /// The publish's id in the journal.
    pub id: String,
    /// When the call arrived.
    pub at: Millis,
    /// When the request is due.
    pub due: Millis,
    /// The request's author.
    pub who: Publisher,
    /// The request. The stored name of this field is `wish`.
    #[serde(rename = "wish")]
    pub request: PublishRequest,
}

/// A path of a [`PublishRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestedPath {
    /// The path as the publisher wrote it.
    pub path: String,
    /// Keys of the pages that the path may mean, the most specific route's first.
    pub keys: Vec<String>,
}
