//! The state of a change in each layer between a publisher and a visitor: store, queue, memory, edge. Every answer has it, so
//! that a publisher sees which layer may still show the old page.

use perennial_core::ports::edge::Purged;
use perennial_core::publish::outcome::{Invalidation, PublishError, Revalidation};
use perennial_core::publish::progress::Progress;
use serde_json::{Value, json};

use perennial_core::record::publish_request::Mode;

/// The state of the memory cache: every process checks its copy against the store, so no purge is needed.
const CHECKED: &str = "checked";

/// The layers after the revalidation of one page.
pub(crate) fn of_page(mode: Mode, result: &Result<Revalidation, PublishError>) -> Value {
    let success = if mode == Mode::Delete { "deleted" } else { "stored" };
    let (store, edge) = match result {
        Ok(Revalidation::Revalidated { edge: purged, .. }) => (success, Some(edge(*purged))),
        Ok(Revalidation::NotGenerated) | Err(PublishError::NotListed | PublishError::Dynamic) => {
            ("untouched", None)
        }
        Err(PublishError::Failed(_) | PublishError::KeptStale) => ("stale", None),
        Err(PublishError::Store(_)) => ("failed", None),
        Err(PublishError::Edge(_)) => (success, Some("failed")),
    };
    json!({"store": store, "queue": 0, "memory": CHECKED, "edge": edge})
}

/// The layers after an invalidation or a deletion. `untouched` if no stored page carries the tags.
pub(crate) fn of_marked(mode: Mode, invalidation: &Invalidation, carries_page: bool) -> Value {
    let store = match mode {
        _ if !carries_page => "untouched",
        Mode::Delete => "deleted",
        Mode::Now | Mode::Stale => "stale",
    };
    json!({"store": store, "queue": invalidation.queued, "memory": CHECKED, "edge": edge(invalidation.edge)})
}

/// The layers after an invalidation that failed, in the store or at the shared cache.
pub(crate) fn of_unmarked(error: &PublishError) -> Value {
    let (store, edge) = match error {
        PublishError::Edge(_) => ("stale", Some("failed")),
        _ => ("failed", None),
    };
    json!({"store": store, "queue": Value::Null, "memory": CHECKED, "edge": edge})
}

/// The layers while the queue renews pages, and after that. Without `edge`: the purge was answered with the call.
pub(crate) fn of_progress(progress: &Progress) -> Value {
    let deletes = progress.publish.as_ref().is_some_and(|publish| publish.mode == Mode::Delete.as_str());
    let store = match progress.left {
        _ if deletes => "deleted",
        0 if progress.total == Some(0) && progress.is_exact => "untouched",
        0 if progress.is_done() => "stored",
        _ => "stale",
    };
    let queue = if progress.has_ended() { 0 } else { progress.left };
    json!({"store": store, "queue": queue, "memory": CHECKED})
}

fn edge(purged: Purged) -> &'static str {
    match purged {
        Purged::Accepted => "accepted",
        Purged::NoCache => "none",
    }
}
