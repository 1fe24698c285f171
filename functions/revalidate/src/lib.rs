//! Revalidate: a publisher's call in, renewed pages out. Verify, plan, act.

pub mod auth;
mod contentful;
mod draft;
#[cfg(feature = "lambda")]
pub mod function;
mod layers;
pub mod mapped;
pub mod plan;
mod schemes;
pub mod webhook;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use perennial::demand::{Demand, Marked, Progress, Undone};
use perennial::draft::{CLOSE_DRAFT, OPEN_DRAFT};
use perennial::edge::Purged;
use perennial::secrets::LiveSecrets;
use perennial::webhooks::Read;
use perennial::{Engine, Resolved, Stores};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::auth::Secrets;
use crate::mapped::{Over, mapped};
use crate::plan::{Asked, Mode, Plan};
use crate::webhook::{Delivery, Vouched};

/// Where publishers call.
pub const ENDPOINT: &str = "/api/revalidate";

/// Lines of the log about one payload.
const LEFT_OUT_LOGGED_MAX: usize = 10;

/// Answers publishers.
pub struct Revalidate<S: Stores> {
    engine: Arc<Engine<S>>,
    secrets: LiveSecrets<Secrets>,
}

/// What was asked for, and how it went.
struct Done {
    status: StatusCode,
    answer: Value,
}

impl<S: Stores> Revalidate<S> {
    /// Answers calls that carry one of the secrets.
    pub fn new(engine: Arc<Engine<S>>, secrets: LiveSecrets<Secrets>) -> Self {
        Self { engine, secrets }
    }

    /// Whether a request carries one of the secrets.
    pub async fn admits(&self, request: &Parts) -> bool {
        self.secrets.get(self.engine.now()).await.is_ok_and(|secrets| secrets.admit(request))
    }

    /// Whether a path is one of this function's: the endpoint itself, the progress of a call, drafts.
    pub fn owns(&self, path: &str) -> bool {
        let path = self.without_base(path);
        path == ENDPOINT || path == OPEN_DRAFT || path == CLOSE_DRAFT || progress_id(path).is_some()
    }

    /// Answers one call. It returns when everything it asks for is done, or queued where it says so. A path that is
    /// not one of [`Revalidate::owns`] is taken for the endpoint: behind an address of its own it has any.
    pub async fn handle(&self, request: &Parts, body: &[u8]) -> Response<Full<Bytes>> {
        let (site, limits) = (self.engine.site(), self.engine.limits());
        let path = self.without_base(request.uri.path());
        let secrets = match self.secrets.get(self.engine.now()).await {
            Ok(secrets) => secrets,
            Err(error) => {
                tracing::error!("no publisher can be told from a stranger: {error}");
                return json_response(request, &refused(StatusCode::SERVICE_UNAVAILABLE, "try again"));
            }
        };
        let answered = if path == CLOSE_DRAFT {
            draft::close(request, site, limits).map_err(|m| refused(StatusCode::BAD_REQUEST, &m))
        } else if path == OPEN_DRAFT && secrets.admit(request) {
            let opened = draft::open(request, secrets.drafts(), site, limits, self.engine.now());
            opened.map_err(|m| refused(StatusCode::BAD_REQUEST, &m))
        } else {
            Err(self.answer(request, body, &secrets).await)
        };
        answered.unwrap_or_else(|done| json_response(request, &done))
    }

    fn without_base<'a>(&self, path: &'a str) -> &'a str {
        let below = path.strip_prefix(self.engine.site().base_path());
        below.filter(|rest| rest.starts_with('/')).unwrap_or(path)
    }

    async fn answer(&self, request: &Parts, body: &[u8], secrets: &Secrets) -> Done {
        if ![Method::GET, Method::HEAD, Method::POST].contains(&request.method) {
            return Done {
                status: StatusCode::METHOD_NOT_ALLOWED,
                answer: json!({"message": "Use GET, HEAD or POST"}),
            };
        }
        // A function's URL takes 6 MB of anybody, and a signature is over all of it.
        if body.len() > self.engine.limits().max_webhook_bytes {
            return refused(
                StatusCode::PAYLOAD_TOO_LARGE,
                "The body is too large (PERENNIAL_MAX_WEBHOOK_BYTES)",
            );
        }
        let base = self.engine.site().base_path();
        let delivery = match secrets.verify(request, body, base, self.engine.now()) {
            Ok(delivery) => delivery,
            Err(refusal) => {
                // Who calls is told nothing: why helps strangers as well.
                tracing::warn!("a call of the revalidate endpoint was refused: {refusal}");
                return Done {
                    status: StatusCode::UNAUTHORIZED,
                    answer: json!({"message": "Invalid token"}),
                };
            }
        };
        if let Some(id) = progress_id(self.without_base(request.uri.path())) {
            return self.progress(id).await;
        }
        match plan::plan(request, body, self.engine.site(), self.engine.limits()) {
            // A signature covers the body, not the URL: who has seen a delivery could send it with another one, and
            // have pages rendered, but not have them removed.
            Ok(
                Asked::Plan(Plan { mode: Mode::Delete, .. })
                | Asked::Payload(_, Over { mode: Some(Mode::Delete), .. }),
            ) if delivery.vouched != Vouched::Request => refused(
                StatusCode::BAD_REQUEST,
                "mode delete needs a secret: a signature does not cover the URL",
            ),
            Ok(Asked::Plan(plan)) => self.act(&plan).await,
            Ok(Asked::Payload(payload, over)) => {
                self.act_by_rules(&delivery, &request.headers, &payload, over).await
            }
            Err(message) => refused(StatusCode::BAD_REQUEST, &message),
        }
    }

    /// Does what the site's rules make of a publisher's payload.
    async fn act_by_rules(
        &self,
        delivery: &Delivery,
        headers: &HeaderMap,
        payload: &Value,
        over: Over,
    ) -> Done {
        let provider = delivery.provider.as_str();
        let (site, limits) = (self.engine.site(), self.engine.limits());
        let mapped = match mapped(site, limits, delivery, headers, payload, over) {
            Ok(mapped) => mapped,
            Err(message) => {
                tracing::error!(provider, "a payload cannot be carried out: {message}");
                return refused(StatusCode::BAD_REQUEST, &message);
            }
        };
        for left_out in mapped.left_out.iter().take(LEFT_OUT_LOGGED_MAX) {
            tracing::info!(provider, "left out of a payload: {left_out}");
        }
        if mapped.plans.is_empty() {
            let why: Vec<_> = mapped.rules.iter().take(LEFT_OUT_LOGGED_MAX).filter_map(unfit).collect();
            tracing::info!(provider, "no rule of webhooks counts for a payload: {}", why.join("; "));
            return refused(StatusCode::ACCEPTED, "nothing matched");
        }
        let rules: Vec<_> = mapped.counting().collect();
        tracing::info!(provider, "a payload is carried out by {}", rules.join(", "));
        let mut all: Vec<Done> = Vec::new();
        for plan in &mapped.plans {
            all.push(self.act(plan).await);
        }
        let mut done = together(all);
        done.answer["rules"] = rules.into();
        done
    }

    async fn progress(&self, id: &str) -> Done {
        let Ok(epoch) = id.parse() else {
            return refused(StatusCode::NOT_FOUND, "no call has that id");
        };
        match self.engine.progress(epoch).await {
            Ok(Progress { left, failing }) => {
                let answer = json!({"id": epoch, "left": left, "failing": failing, "done": left == 0});
                Done { status: StatusCode::OK, answer }
            }
            Err(undone) => failed(&undone, json!({})),
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
        let marked = match self.invalidate(plan, &pages).await {
            Ok(marked) => marked,
            Err(undone) => return failed(&undone, json!({"layers": layers::of_unmarked(&undone)})),
        };
        let results = self.each(plan, pages).await;
        let failure = results.iter().find_map(|(_, result)| result.as_ref().err());
        let shown: Vec<Value> =
            results.iter().map(|(path, result)| shown(plan.mode, path, result, marked)).collect();
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
        if let Some(marked) = marked {
            answer["id"] = marked.epoch.into();
            answer["layers"] = layers::of_marked(&marked);
        }
        if let (Mode::Now, Some(marked)) = (plan.mode, marked) {
            answer["queued"] = marked.queued.into();
            return Done { status: StatusCode::ACCEPTED, answer };
        }
        Done { status: StatusCode::OK, answer }
    }

    /// Marks what is marked as a whole: tags always, paths where marking is all that is asked for.
    async fn invalidate(
        &self,
        plan: &Plan,
        pages: &[(String, Vec<Resolved>)],
    ) -> Result<Option<Marked>, Undone> {
        let mut tags = plan.tags.clone();
        if plan.mode == Mode::Stale {
            let paths = pages.iter().filter_map(|(_, found)| found.first());
            tags.extend(paths.map(|page| perennial::tags::path_tag(page.key().path())));
        }
        if tags.is_empty() {
            return Ok(None);
        }
        self.engine.invalidate(&tags, plan.mode == Mode::Now).await.map(Some)
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
                    Mode::Stale => Ok(Demand::Revalidated(Purged::NoCache)),
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

fn json_response(request: &Parts, done: &Done) -> Response<Full<Bytes>> {
    let Done { status, answer } = done;
    let status = *status;
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

/// The id in `/api/revalidate/<id>`.
fn progress_id(path: &str) -> Option<&str> {
    path.strip_prefix(ENDPOINT)?.strip_prefix('/').filter(|id| !id.is_empty())
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

async fn delete<S: Stores>(engine: &Arc<Engine<S>>, pages: &[Resolved]) -> Result<Demand, Undone> {
    let mut purged = Purged::NoCache;
    for page in pages {
        purged = engine.delete(page).await?;
    }
    Ok(Demand::Revalidated(purged))
}

/// One path of a call; where the path is only marked, the layers are those of the mark.
fn shown(mode: Mode, path: &str, result: &Result<Demand, Undone>, marked: Option<Marked>) -> Value {
    let mut shown = match result {
        Ok(Demand::Revalidated(_)) => json!({"revalidated": true, "path": path}),
        Ok(Demand::NotGenerated) => json!({"revalidated": true, "path": path, "generated": false}),
        Err(undone) => json!({"revalidated": false, "path": path, "error": undone.to_string()}),
    };
    shown["layers"] = match marked.filter(|_| mode == Mode::Stale) {
        Some(marked) => layers::of_marked(&marked),
        None => layers::of_page(mode, result),
    };
    shown
}

/// Why a rule does not count.
fn unfit(read: &Read<'_>) -> Option<String> {
    Some(format!("{}: {}", read.rule, read.result.as_ref().err()?))
}

/// Several calls as one: it fails if one fails.
fn together(mut all: Vec<Done>) -> Done {
    if all.len() == 1 {
        return all.remove(0);
    }
    let status = all.iter().map(|done| done.status).max().unwrap_or(StatusCode::OK);
    let revalidated = all.iter().all(|done| done.answer["revalidated"] == true);
    let calls: Vec<_> = all.into_iter().map(|done| done.answer).collect();
    let mut answer = json!({"revalidated": revalidated, "calls": calls});
    if !revalidated {
        answer["message"] = "Error revalidating".into();
    }
    Done { status, answer }
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
