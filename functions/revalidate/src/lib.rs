//! Revalidate: a publisher's call in, renewed pages out. Verify, plan, act.

pub mod auth;
pub mod plan;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use perennial::demand::{Demand, Undone};
use perennial::{Engine, Resolved, Stores};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::auth::Secrets;
use crate::plan::{Mode, Plan};

/// Answers publishers.
pub struct Revalidate<S: Stores> {
    engine: Arc<Engine<S>>,
    secrets: Secrets,
}

/// What was asked for, and how it went.
struct Done {
    status: StatusCode,
    answer: Value,
}

impl<S: Stores> Revalidate<S> {
    /// Answers calls that carry one of the secrets.
    pub fn new(engine: Arc<Engine<S>>, secrets: Secrets) -> Self {
        Self { engine, secrets }
    }

    /// Whether a request carries one of the secrets.
    pub fn admits(&self, request: &Parts) -> bool {
        self.secrets.admit(request)
    }

    /// Answers one call. It returns when everything it asks for is done, or queued where it says so.
    pub async fn handle(&self, request: &Parts, body: &[u8]) -> Response<Full<Bytes>> {
        let Done { status, answer } = self.answer(request, body).await;
        let text = format!("{answer}\n");
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        let head = response.headers_mut();
        head.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        head.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        head.insert(CONTENT_LENGTH, text.len().into());
        if status == StatusCode::METHOD_NOT_ALLOWED {
            head.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
        }
        if request.method != Method::HEAD {
            *response.body_mut() = Full::new(text.into());
        }
        response
    }

    async fn answer(&self, request: &Parts, body: &[u8]) -> Done {
        if ![Method::GET, Method::HEAD, Method::POST].contains(&request.method) {
            return Done {
                status: StatusCode::METHOD_NOT_ALLOWED,
                answer: json!({"message": "Use GET, HEAD or POST"}),
            };
        }
        if !self.secrets.admit(request) {
            return Done { status: StatusCode::UNAUTHORIZED, answer: json!({"message": "Invalid token"}) };
        }
        match plan::plan(request, body, self.engine.site(), self.engine.limits()) {
            Ok(plan) => self.act(&plan).await,
            Err(message) => refused(StatusCode::BAD_REQUEST, &message),
        }
    }

    async fn act(&self, plan: &Plan) -> Done {
        // All paths are read before anything is done: a call with a mistake in it does nothing.
        let mut pages = Vec::new();
        for path in &plan.paths {
            match plan::pages(path, self.engine.site(), self.engine.limits()) {
                Ok(found) => pages.push((path.clone(), found)),
                Err(message) => return refused(StatusCode::BAD_REQUEST, &message),
            }
        }
        let queued = match self.invalidate(plan, &pages).await {
            Ok(queued) => queued,
            Err(undone) => return failed(&undone, json!({})),
        };
        let results = self.each(plan, pages).await;
        let failure = results.iter().find_map(|(_, result)| result.as_ref().err());
        let shown: Vec<Value> = results.iter().map(|(path, result)| shown(path, result)).collect();
        let mut answer = match (failure, &shown[..]) {
            (Some(undone), [only]) => return failed(undone, only.clone()),
            (Some(undone), many) => return failed(undone, json!({"results": many})),
            (None, [only]) => only.clone(),
            (None, []) => json!({"revalidated": true}),
            (None, many) => json!({"revalidated": true, "results": many}),
        };
        if plan.mode != Mode::Now {
            answer["mode"] = plan.mode.as_str().into();
        }
        if plan.mode == Mode::Now && !plan.tags.is_empty() {
            answer["queued"] = queued.into();
            return Done { status: StatusCode::ACCEPTED, answer };
        }
        Done { status: StatusCode::OK, answer }
    }

    /// Marks what is marked as a whole: tags always, paths where marking is all that is asked for.
    async fn invalidate(&self, plan: &Plan, pages: &[(String, Vec<Resolved>)]) -> Result<usize, Undone> {
        let mut tags = plan.tags.clone();
        if plan.mode == Mode::Stale {
            let paths = pages.iter().filter_map(|(_, found)| found.first());
            tags.extend(paths.map(|page| perennial::pages::path_tag(page.key().path())));
        }
        if tags.is_empty() { Ok(0) } else { self.engine.invalidate(&tags, plan.mode == Mode::Now).await }
    }

    async fn each(
        &self,
        plan: &Plan,
        pages: Vec<(String, Vec<Resolved>)>,
    ) -> Vec<(String, Result<Demand, Undone>)> {
        let mut running = JoinSet::new();
        for (index, (path, candidates)) in pages.into_iter().enumerate() {
            let (engine, mode, only_generated) = (self.engine.clone(), plan.mode, plan.only_generated);
            running.spawn(async move {
                let result = match mode {
                    Mode::Now => demand(&engine, &candidates, only_generated).await,
                    Mode::Stale => Ok(Demand::Revalidated),
                    Mode::Delete => delete(&engine, &candidates).await,
                };
                (index, path, result)
            });
        }
        let mut results = running.join_all().await;
        results.sort_by_key(|(index, ..)| *index);
        results.into_iter().map(|(_, path, result)| (path, result)).collect()
    }
}

/// The first route that has the page; a route that serves listed pages only leaves the others to less exact ones.
async fn demand<S: Stores>(
    engine: &Arc<Engine<S>>,
    pages: &[Resolved],
    only_generated: bool,
) -> Result<Demand, Undone> {
    let mut result = Err(Undone::NotListed);
    for page in pages {
        result = engine.demand(page, only_generated).await;
        if !matches!(result, Err(Undone::NotListed)) {
            break;
        }
    }
    if let Err(undone) = &result
        && !matches!(undone, Undone::Kept)
    {
        let path = pages.first().map(|p| p.key().path()).unwrap_or_default();
        tracing::error!(page = path, "not revalidated: {undone}");
    }
    result
}

async fn delete<S: Stores>(engine: &Engine<S>, pages: &[Resolved]) -> Result<Demand, Undone> {
    for page in pages {
        engine.delete(page).await?;
    }
    Ok(Demand::Revalidated)
}

fn shown(path: &str, result: &Result<Demand, Undone>) -> Value {
    match result {
        Ok(Demand::Revalidated) => json!({"revalidated": true, "path": path}),
        Ok(Demand::NotGenerated) => json!({"revalidated": true, "path": path, "generated": false}),
        Err(undone) => json!({"revalidated": false, "path": path, "error": undone.to_string()}),
    }
}

fn refused(status: StatusCode, message: &str) -> Done {
    Done { status, answer: json!({"revalidated": false, "message": message}) }
}

/// The caller has shown a secret: the cause helps, and tells nobody else anything.
fn failed(undone: &Undone, mut answer: Value) -> Done {
    answer["revalidated"] = false.into();
    answer["message"] = "Error revalidating".into();
    answer["error"] = undone.to_string().into();
    Done { status: StatusCode::INTERNAL_SERVER_ERROR, answer }
}
