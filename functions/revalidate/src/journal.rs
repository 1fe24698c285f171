//! What was published, and how far a renewal is: for those who know a secret.

use http::StatusCode;
use http::request::Parts;
use perennial::demand::Progress;
use perennial::publishes::{Publish, Publishes as _};
use perennial::{Engine, Stores};
use serde_json::json;

use crate::{Done, failed, refused};

/// Entries in one answer unless the call says otherwise.
const ENTRIES_DEFAULT: usize = 50;

/// Entries in one answer.
const ENTRIES_MAX: usize = 500;

/// `GET /api/revalidate/log?limit=50&after=…`: entries, newest first, and where to go on.
pub(crate) async fn list<S: Stores>(engine: &Engine<S>, request: &Parts) -> Done {
    let (mut limit, mut after) = (ENTRIES_DEFAULT, None);
    for (name, value) in form_urlencoded::parse(request.uri.query().unwrap_or("").as_bytes()) {
        match &*name {
            "limit" => match value.parse() {
                Ok(given @ 1..=ENTRIES_MAX) => limit = given,
                _ => {
                    let message = format!("limit is `{}`: give 1 to {ENTRIES_MAX}", value.escape_debug());
                    return refused(StatusCode::BAD_REQUEST, &message);
                }
            },
            "after" => after = Some(value.into_owned()),
            _ => {}
        }
    }
    match engine.stores().publishes().list(after.as_deref(), limit).await {
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

/// `GET /api/revalidate/<id>`.
pub(crate) async fn progress<S: Stores>(engine: &Engine<S>, id: &str) -> Done {
    let Ok(epoch) = id.parse() else {
        return refused(StatusCode::NOT_FOUND, "no call has that id");
    };
    match engine.progress(epoch).await {
        Ok(Progress { left, failing }) => {
            let answer = json!({"id": epoch, "left": left, "failing": failing, "done": left == 0});
            Done { status: StatusCode::OK, answer }
        }
        Err(undone) => failed(&undone, json!({})),
    }
}
