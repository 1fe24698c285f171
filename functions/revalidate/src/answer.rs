//! Answers to publishers, as JSON, and the addresses that are answered.

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use perennial_core::look::body::Body;
use perennial_core::publish::carriers::Uncarried;
use perennial_core::publish::outcome::PublishError;
use serde_json::{Value, json};

/// Where publishers call.
pub const ENDPOINT: &str = perennial_core::site::addresses::ENDPOINT;

/// Below the endpoint: what was published.
pub(crate) const LOG: &str = "log";

/// What was asked for, and how it went.
pub(crate) struct Done {
    pub(crate) status: StatusCode,
    pub(crate) answer: Value,
}

/// Tags that no page carries, with those that were meant perhaps.
pub(crate) fn unknown_tags(uncarried: &[Uncarried]) -> Value {
    uncarried.iter().map(|unknown| json!({"tag": unknown.tag, "nearest": unknown.nearest})).collect()
}

/// The number of an invalidation is a number in JSON too.
pub(crate) fn shown_id(id: &str) -> Value {
    id.parse::<u64>().map_or_else(|_| id.into(), Value::from)
}

pub(crate) fn json_response(request: &Parts, done: &Done) -> Response<Body> {
    let Done { status, answer } = done;
    let status = *status;
    let text = format!("{answer}\n");
    let mut response = Response::new(Body::default());
    *response.status_mut() = status;
    let head = response.headers_mut();
    head.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    head.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    head.insert(CONTENT_LENGTH, text.len().into());
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let path = request.uri.path().trim_end_matches('/');
        let is_publish = path.find(ENDPOINT).is_some_and(|at| publish_id(&path[at..]).is_some());
        let allowed = if is_publish { "GET, HEAD, POST, DELETE" } else { "GET, HEAD, POST" };
        head.insert(ALLOW, HeaderValue::from_static(allowed));
    }
    if request.method != Method::HEAD {
        *response.body_mut() = text.into();
    }
    response
}

/// What follows the endpoint: the id in `/api/revalidate/<id>`.
pub(crate) fn below_endpoint(path: &str) -> Option<&str> {
    path.strip_prefix(ENDPOINT)?.strip_prefix('/').filter(|id| !id.is_empty())
}

pub(crate) fn publish_id(path: &str) -> Option<&str> {
    below_endpoint(path).filter(|id| *id != LOG)
}

/// What a caller is told whom no secret and no signature lets in, whatever the reason.
pub(crate) fn unauthorized() -> Done {
    Done { status: StatusCode::UNAUTHORIZED, answer: json!({"message": "Invalid token"}) }
}

pub(crate) fn refused(status: StatusCode, message: &str) -> Done {
    Done { status, answer: json!({"revalidated": false, "message": message}) }
}

/// The caller has shown a secret: the cause helps, and tells nobody else anything.
pub(crate) fn failed(undone: &PublishError, mut answer: Value) -> Done {
    answer["revalidated"] = false.into();
    answer["message"] = "Error revalidating".into();
    answer["error"] = undone.to_string().into();
    Done { status: StatusCode::INTERNAL_SERVER_ERROR, answer }
}
