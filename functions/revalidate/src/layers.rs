//! What each layer between a publisher and a visitor has of a change: said in every answer, so that nobody has to guess
//! which of them still shows the old page.

use perennial::parts::ports::edge::Purged;
use perennial::parts::publish::outcome::{Invalidation, PublishError, Revalidation};
use perennial::parts::publish::progress::Progress;
use serde_json::{Value, json};

use crate::plan::Mode;

/// Memory needs no order: every process asks the store before it uses its copy.
const CHECKED: &str = "checked";

/// After a call for one page.
pub(crate) fn of_page(mode: Mode, result: &Result<Revalidation, PublishError>) -> Value {
    let done = if mode == Mode::Delete { "deleted" } else { "stored" };
    let (store, edge) = match result {
        Ok(Revalidation::Revalidated { edge: purged, .. }) => (done, Some(edge(*purged))),
        Ok(Revalidation::NotGenerated) | Err(PublishError::NotListed | PublishError::Dynamic) => {
            ("untouched", None)
        }
        Err(PublishError::Failed(_) | PublishError::Kept) => ("stale", None),
        Err(PublishError::Store(_)) => ("failed", None),
        Err(PublishError::Edge(_)) => (done, Some("failed")),
    };
    json!({"store": store, "queue": 0, "memory": CHECKED, "edge": edge})
}

/// After pages were marked, or all that carry a tag removed. Where nothing is stored that carries it, nothing has changed.
pub(crate) fn of_marked(mode: Mode, marked: &Invalidation, has_found: bool) -> Value {
    let store = match mode {
        _ if !has_found => "untouched",
        Mode::Delete => "deleted",
        Mode::Now | Mode::Stale => "stale",
    };
    json!({"store": store, "queue": marked.queued, "memory": CHECKED, "edge": edge(marked.edge)})
}

/// After pages could not be marked, or the shared cache not be told of it.
pub(crate) fn of_unmarked(undone: &PublishError) -> Value {
    let (store, edge) = match undone {
        PublishError::Edge(_) => ("stale", Some("failed")),
        _ => ("failed", None),
    };
    json!({"store": store, "queue": Value::Null, "memory": CHECKED, "edge": edge})
}

/// While the queue renews what was marked, and after it. What the shared cache was told does not change by that.
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
