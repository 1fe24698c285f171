//! The journal of publishes and the progress of each, for callers with a secret.

use http::StatusCode;
use http::request::Parts;
use perennial_core::base::text::read;
use perennial_core::engine::Engine;
use perennial_core::ports::journal::{Publish, RouteProgress};
use perennial_core::ports::stores::Stores;
use perennial_core::publish::progress::Progress;
use perennial_core::publish::schedule::Cancel;
use perennial_core::record::publish_request::Mode;
use serde_json::{Value, json};

use crate::answer::{Done, failed, refused, shown_id, unknown_tags};
use crate::layers;

/// The default of `limit`.
const ENTRIES_DEFAULT: usize = 50;

/// The largest `limit`: entries in one answer.
const ENTRIES_MAX: usize = 500;

/// `GET /api/revalidate/log?limit=50&after=…`: entries, newest first, and the place after the last one.
pub(crate) async fn list<S: Stores>(engine: &Engine<S>, request: &Parts) -> Done {
    let (mut limit, mut after) = (ENTRIES_DEFAULT, None);
    for (name, value) in form_urlencoded::parse(request.uri.query().unwrap_or("").as_bytes()) {
        match &*name {
            "limit" => match read("limit", &value) {
                Ok(entries @ 1..=ENTRIES_MAX) => limit = entries,
                Ok(entries) => {
                    let message = format!("limit is {entries}: give 1 to {ENTRIES_MAX}");
                    return refused(StatusCode::BAD_REQUEST, &message);
                }
                Err(message) => return refused(StatusCode::BAD_REQUEST, &message),
            },
            "after" => after = Some(value.into_owned()),
            _ => {}
        }
    }
    match engine.entries(after.as_deref(), limit).await {
        Ok(entries) => {
            let next = entries.last().filter(|_| entries.len() == limit).map(Publish::place);
            Done { status: StatusCode::OK, answer: json!({"publishes": entries, "next": next}) }
        }
        Err(error) => {
            tracing::error!("the journal of publishes cannot be read: {error}");
            refused(StatusCode::SERVICE_UNAVAILABLE, "the journal cannot be read")
        }
    }
}

/// `GET /api/revalidate/<id>`: the progress of a publish.
pub(crate) async fn progress<S: Stores>(engine: &Engine<S>, id: &str) -> Done {
    match engine.progress(id).await {
        Ok(Some(progress)) => {
            let mut answer = progress_json(id, &progress);
            if let Some(publish) = &progress.publish {
                answer["publish"] = json!(publish);
            }
            Done { status: StatusCode::OK, answer }
        }
        Ok(None) => refused(StatusCode::NOT_FOUND, &unknown(id)),
        Err(error) => failed(&error.into(), json!({})),
    }
}

/// `DELETE /api/revalidate/<id>`: cancels a scheduled publish.
pub(crate) async fn cancel<S: Stores>(engine: &Engine<S>, id: &str, key_id: &str) -> Done {
    let not_cancelled =
        |status, message: String| Done { status, answer: json!({"cancelled": false, "message": message}) };
    match engine.cancel(id).await {
        Ok(Cancel::Cancelled(publish)) => {
            tracing::info!(publish = publish.id, key_id, "a publish is cancelled");
            Done { status: StatusCode::OK, answer: json!({"cancelled": true, "id": id, "publish": publish}) }
        }
        Ok(Cancel::Begun) => not_cancelled(StatusCode::CONFLICT, has_begun(id)),
        Ok(Cancel::Unknown) => not_cancelled(StatusCode::NOT_FOUND, unknown(id)),
        Err(error) => {
            tracing::error!("a publish cannot be cancelled: {error}");
            not_cancelled(
                StatusCode::SERVICE_UNAVAILABLE,
                "the journal cannot be read or written: call again".into(),
            )
        }
    }
}

/// The message for a publish that cannot be cancelled, because it has begun.
pub fn has_begun(id: &str) -> String {
    format!(
        "the publish `{}` has begun already: only what waits for its time can be cancelled",
        id.escape_debug()
    )
}

/// The message for an id that neither the journal nor the store knows.
pub fn unknown(id: &str) -> String {
    let why = match id.parse::<u64>() {
        Ok(_) => "no call was given that number",
        Err(_) => {
            "no call was given that name, or the journal has forgotten it (PERENNIAL_PUBLISHES_KEPT_DAYS)"
        }
    };
    format!("no publish `{}` is known: {why}", id.escape_debug())
}

/// The JSON of a progress. All its counts are of the same time.
pub(crate) fn progress_json(id: &str, progress: &Progress) -> Value {
    let sum = |count: fn(&RouteProgress) -> u64| progress.routes.iter().map(count).sum::<u64>();
    let mut answer = json!({
        "id": shown_id(id),
        "done": progress.is_done(),
        "ended": progress.has_ended(),
        "left": progress.left,
        "left_is": if progress.is_exact { "exact" } else { "at least" },
        "failing": progress.failing,
        "renewed": sum(|route| route.renewed),
        "failed": sum(|route| route.failed),
        "looked_at": sum(|route| route.looked),
        "layers": layers::of_progress(progress),
    });
    let removed = sum(|route| route.removed);
    let deletes = progress.publish.as_ref().is_some_and(|publish| publish.mode == Mode::Delete.as_str());
    if deletes || removed > 0 {
        answer["removed"] = removed.into();
    }
    if let Some(total) = progress.total.filter(|_| !deletes) {
        answer["total"] = total.into();
    }
    // After a deletion no page carries its tags: they are not unknown.
    if !progress.uncarried.is_empty() && !deletes {
        answer["unknown_tags"] = unknown_tags(&progress.uncarried);
    }
    if !progress.failures.is_empty() {
        answer["failures"] = json!(progress.failures);
    }
    if let Some(rate) = progress.rate() {
        answer["per_second"] = ((rate * 10.0).round() / 10.0).into();
    }
    let waiting = progress.routes.iter().filter(|route| route.waits_until.is_some());
    let waiting: Vec<_> =
        waiting.map(|route| json!({"route": route.route, "until_ms": route.waits_until})).collect();
    if !waiting.is_empty() {
        answer["waiting"] = waiting.into();
    }
    if progress.routes.iter().any(|route| route.left_out) {
        answer["left_to_visitors"] = true.into();
    }
    answer
}
