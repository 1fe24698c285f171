//! The revalidate endpoint: verifies a request, decides what to do, does it, and answers.

use std::sync::Arc;

use http::request::Parts;
use http::{Method, Response, StatusCode};
use perennial_core::base::clock::Millis;
use perennial_core::base::log_limits::Line;
use perennial_core::base::rfc3339::to_rfc3339;
use perennial_core::engine::Engine;
use perennial_core::look::body::Body;
use perennial_core::ports::stores::Stores;
use perennial_core::publish::carry_out::Published;
use perennial_core::publish::outcome::{Invalidation, PublishError, Revalidation};
use perennial_core::record::publish_request::{Fingerprint, Mode, PublishRequest, Publisher};
use perennial_core::run::secrets::LiveSecrets;
use perennial_core::site::addresses::{CLOSE_DRAFT, OPEN_DRAFT};
use perennial_core::webhooks::outcome::RuleOutcome;
use serde_json::{Value, json};

use crate::answer::{
    Done, ENDPOINT, LOG, below_endpoint, failed, json_response, publish_id, refused, shown_id, unauthorized,
    unknown_tags,
};
use crate::auth::Secrets;
use crate::console::query::PagesQuery;
use crate::console::watch::Watch;
use crate::console::{CONSOLE, CONSOLE_EVENTS, CONSOLE_PAGES, is_local_dev_page, message_answer};
use crate::decide::{Decision, NOTHING_MATCHED, PlannedPublish, Refused, check_size, decide};
use crate::delivery::Delivery;
use crate::payload_plans::PayloadPlans;
use crate::{console, draft, journal, layers};

/// The most log lines about one payload.
const LEFT_OUT_LOGGED_MAX: usize = 10;

/// The most reasons in the answer to one payload.
const LEFT_OUT_TOLD_MAX: usize = 20;

/// The revalidate endpoint, and the addresses that belong to it.
pub struct Revalidate<S: Stores> {
    engine: Arc<Engine<S>>,
    secrets: LiveSecrets<Secrets>,
}

impl<S: Stores> Revalidate<S> {
    /// The endpoint for callers with one of these secrets.
    pub fn new(engine: Arc<Engine<S>>, secrets: LiveSecrets<Secrets>) -> Self {
        Self { engine, secrets }
    }

    /// Whether a request shows one of the secrets, or needs none.
    pub async fn admits(&self, request: &Parts) -> bool {
        self.dev_delivery(request).is_some()
            || self.secrets.get(self.engine.now()).await.is_ok_and(|secrets| secrets.admit(request))
    }

    /// Whether the server must read the body of a request: the request shows a right secret, or has a signature that depends on
    /// the body.
    pub async fn reads_body(&self, request: &Parts) -> bool {
        if self.dev_delivery(request).is_some() {
            return true;
        }
        match self.secrets.get(self.engine.now()).await {
            Ok(secrets) if Secrets::is_signed(request) => {
                secrets.depends_on_body(request, self.engine.site().base_path(), self.engine.now())
            }
            Ok(secrets) => request.method == Method::POST && secrets.admit(request),
            Err(_) => false,
        }
    }

    /// Whether a path belongs to this function: the endpoint itself, the progress of a publish, the journal, drafts, the
    /// publishing page. A slash at the end is tolerated, because a redirect would repeat a secret in the query.
    pub fn owns(&self, path: &str) -> bool {
        let path = self.own_path(path);
        [ENDPOINT, OPEN_DRAFT, CLOSE_DRAFT, CONSOLE, CONSOLE_PAGES, CONSOLE_EVENTS].contains(&path)
            || below_endpoint(path).is_some()
    }

    /// Answers a request, once everything that it asks for is done or, where the answer says so, queued. A path that
    /// [`Revalidate::owns`] refuses counts as the endpoint's: behind a function URL the endpoint may have any path.
    pub async fn handle(&self, request: &Parts, body: &[u8]) -> Response<Body> {
        let (site, limits) = (self.engine.site(), self.engine.limits());
        let path = self.own_path(request.uri.path());
        let secrets = match self.secrets.get(self.engine.now()).await {
            Ok(secrets) => secrets,
            Err(error) => {
                self.engine.log(Line::NoSecrets, |left_out| {
                    tracing::error!(
                        left_out,
                        "the secrets cannot be read, so that no publisher is recognised: {error}"
                    );
                });
                return json_response(request, &refused(StatusCode::SERVICE_UNAVAILABLE, "try again"));
            }
        };
        let looks = request.method == Method::GET || request.method == Method::HEAD;
        if path == CONSOLE && looks {
            return console::document(request, self.engine.is_dev());
        }
        let answered = if path == CLOSE_DRAFT {
            draft::close(request, site, limits).map_err(|m| refused(StatusCode::BAD_REQUEST, &m))
        } else if path == OPEN_DRAFT
            && let Some(key_id) = secrets.shown(request)
        {
            let opened = draft::open(request, (secrets.drafts(), key_id), site, limits, self.engine.now());
            opened.map_err(|m| refused(StatusCode::BAD_REQUEST, &m))
        } else {
            Err(self.answer(request, body, &secrets).await)
        };
        answered.unwrap_or_else(|done| json_response(request, &done))
    }

    /// The path without the base path, and without a slash at its end.
    fn own_path<'a>(&self, path: &'a str) -> &'a str {
        let below = path.strip_prefix(self.engine.site().base_path());
        let path = below.filter(|rest| rest.starts_with('/')).unwrap_or(path);
        path.strip_suffix('/').unwrap_or(path)
    }

    async fn answer(&self, request: &Parts, body: &[u8], secrets: &Secrets) -> Done {
        let path = self.own_path(request.uri.path());
        let cancels = request.method == Method::DELETE && publish_id(path).is_some();
        if !cancels && ![Method::GET, Method::HEAD, Method::POST].contains(&request.method) {
            return Done {
                status: StatusCode::METHOD_NOT_ALLOWED,
                answer: json!({"message": "Use GET, HEAD or POST, or DELETE for the id of a publish"}),
            };
        }
        // A function URL accepts 6 MB from anybody, and verifying a signature hashes all of them.
        if let Err(Refused { status, message }) = check_size(body, self.engine.limits()) {
            return refused(status, &message);
        }
        let base = self.engine.site().base_path();
        let from_dev_page = self.dev_delivery(request).map(Ok);
        let verify = || secrets.verify(request, body, base, self.engine.now());
        let delivery = match from_dev_page.unwrap_or_else(verify) {
            Ok(delivery) => delivery,
            Err(refusal) => {
                // Only the log has the reason, because it would help an attacker.
                self.engine.log(refusal.line(), |left_out| {
                    tracing::warn!(left_out, "a call of the revalidate endpoint was refused: {refusal}");
                });
                return unauthorized();
            }
        };
        // A signature does not cover the address: an attacker who has seen a delivery could send it here.
        if is_reading(path, &request.method) && delivery.is_signed() {
            self.engine.log(Line::RefusedCall, |left_out| {
                tracing::warn!(left_out, "a signed call was refused at an address that needs a secret");
            });
            return unauthorized();
        }
        match below_endpoint(path) {
            Some(LOG) => return journal::list(&self.engine, request).await,
            // A signature does not cover the method.
            Some(_) if cancels && delivery.is_signed() => {
                return refused(StatusCode::BAD_REQUEST, "to cancel a publish needs a secret");
            }
            Some(id) if cancels => return journal::cancel(&self.engine, id, &delivery.key_id).await,
            Some(id) => return journal::progress(&self.engine, id).await,
            None => {}
        }
        match path {
            CONSOLE_PAGES => return console::pages(&self.engine, request).await,
            CONSOLE_EVENTS => return console::no_events(),
            _ => {}
        }
        let (site, limits) = (self.engine.site(), self.engine.limits());
        match decide(request, body, &delivery, site, limits, self.engine.now()) {
            Ok(decided) => self.carry_out(decided, &delivery).await,
            Err(Refused { status, message }) => {
                tracing::warn!(provider = delivery.provider.name, "a request is not carried out: {message}");
                refused(status, &message)
            }
        }
    }

    /// Carries out a call, or the publishes that the site's rules make of a payload.
    async fn carry_out(&self, decided: Decision<'_>, delivery: &Delivery) -> Done {
        let Decision { rules, publishes, accepted } = decided;
        let is_nothing = publishes.is_empty();
        if let Some(by_rules) = &rules {
            log_rules(by_rules, delivery, is_nothing);
        }
        let mut all: Vec<Done> = Vec::new();
        for planned in publishes {
            let mut done = self.act(planned, delivery).await;
            if done.status == StatusCode::ACCEPTED {
                done.status = accepted;
            }
            all.push(done);
        }
        let Some(by_rules) = rules else { return combined(all) };
        let mut done = match is_nothing {
            true => refused(StatusCode::OK, NOTHING_MATCHED),
            false => combined(all),
        };
        if !is_nothing {
            done.answer["rules"] = by_rules.counting().collect::<Vec<_>>().into();
        }
        if !by_rules.left_out.is_empty() {
            done.answer["left_out"] = first_reasons(&by_rules.left_out).into();
        }
        done
    }

    async fn act(&self, planned: PlannedPublish, delivery: &Delivery) -> Done {
        let (request, who, signed) = (&planned.request, delivery.publisher(), delivery.fingerprint.as_ref());
        if let Some(id) = self.engine.carried_out(request, &who, signed).await {
            // The sender has missed the first answer, or an attacker repeats the delivery.
            let answer = json!({"revalidated": true, "duplicate": true, "id": shown_id(&id)});
            return Done { status: StatusCode::OK, answer };
        }
        if let Some(at) = planned.at {
            return self.schedule(request, at, who, signed).await;
        }
        match self.engine.publish(request, who.clone()).await {
            Ok(published) => {
                if published.failure().is_none() {
                    self.engine.note_carried_out(request, &who, signed, &published.id).await;
                }
                answer(request, &published)
            }
            Err(error) => failed(&error, json!({"layers": layers::of_unmarked(&error)})),
        }
    }
}

impl<S: Stores> Revalidate<S> {
    /// Admits a call from the publishing page of a site under development without a secret. Drafts need a secret all the same:
    /// their cookies are valid for other servers, too.
    pub(crate) fn dev_delivery(&self, request: &Parts) -> Option<Delivery> {
        let is_draft = self.own_path(request.uri.path()) == OPEN_DRAFT;
        let is_admitted = self.engine.is_dev() && !is_draft && is_local_dev_page(request);
        is_admitted.then(|| Delivery::with_secret(&request.headers, "development"))
    }

    /// Whether a request asks for events. A server that can stream answers such a request with [`Revalidate::watch`].
    pub fn is_for_events(&self, request: &Parts) -> bool {
        request.method == Method::GET && self.own_path(request.uri.path()) == CONSOLE_EVENTS
    }

    /// The changes to send to a listener.
    ///
    /// # Errors
    /// The answer to send instead: 401 without a secret, 400 for a bad query.
    pub async fn watch(&self, request: &Parts) -> Result<Watch<S>, Response<Body>> {
        if !self.admits(request).await {
            return Err(json_response(request, &message_answer(StatusCode::UNAUTHORIZED, "Invalid token")));
        }
        match PagesQuery::read(request) {
            Ok(query) => Ok(Watch::new(self.engine.clone(), query)),
            Err(message) => Err(json_response(request, &message_answer(StatusCode::BAD_REQUEST, &message))),
        }
    }

    async fn schedule(
        &self,
        request: &PublishRequest,
        at: Millis,
        who: Publisher,
        signed: Option<&Fingerprint>,
    ) -> Done {
        match self.engine.schedule(request, who.clone(), at).await {
            Ok(id) => {
                self.engine.note_carried_out(request, &who, signed, &id).await;
                let answer = json!({"scheduled": true, "id": id, "at": to_rfc3339(at)});
                Done { status: StatusCode::ACCEPTED, answer }
            }
            Err(error) => failed(&error.into(), json!({"scheduled": false})),
        }
    }
}

/// The answer to a publish.
fn answer(request: &PublishRequest, published: &Published) -> Done {
    let results = published.results.iter();
    let shown: Vec<Value> =
        results.map(|(path, result)| path_json(request, path, result, published)).collect();
    let id = shown_id(&published.id);
    let mut answer = match (published.failure(), &shown[..]) {
        (Some(error), [only]) => return failed(error, with_id(only.clone(), id)),
        (Some(error), many) => return failed(error, with_id(json!({"results": many}), id)),
        (None, [only]) => only.clone(),
        (None, []) => json!({"revalidated": true}),
        (None, many) => json!({"revalidated": true, "results": many}),
    };
    answer["id"] = id;
    if request.mode != Mode::Now {
        answer["mode"] = request.mode.as_str().into();
    }
    if let Some(marked) = published.marked {
        if request.mode == Mode::Delete {
            answer["deleted"] = marked.queued.into();
            if marked.more {
                answer["more"] = true.into();
            }
        }
        answer["layers"] = layers::of_marked(request.mode, &marked, finds_pages(request, published, &marked));
    }
    if !published.uncarried.is_empty() {
        let sentences: Vec<_> = published.uncarried.iter().map(ToString::to_string).collect();
        answer["message"] = sentences.join("; ").into();
        answer["unknown_tags"] = unknown_tags(&published.uncarried);
    }
    if let (Mode::Now, Some(marked)) = (request.mode, published.marked) {
        answer["queued"] = marked.queued.into();
        if marked.more {
            answer["more"] = true.into();
        }
        return Done { status: StatusCode::ACCEPTED, answer };
    }
    Done { status: StatusCode::OK, answer }
}

/// Whether stored pages belong to the marked tags, as far as the call has looked.
fn finds_pages(request: &PublishRequest, published: &Published, marked: &Invalidation) -> bool {
    match request.mode {
        Mode::Now | Mode::Delete => marked.queued > 0 || marked.more,
        Mode::Stale => published.uncarried.len() < request.tags.len() || !request.paths.is_empty(),
    }
}

fn with_id(mut answer: Value, id: Value) -> Value {
    answer["id"] = id;
    answer
}

/// The JSON about one path of a call. In mode `stale` the layers are those of the invalidation.
fn path_json(
    request: &PublishRequest,
    path: &str,
    result: &Result<Revalidation, PublishError>,
    published: &Published,
) -> Value {
    let mut shown = match result {
        // The kind is told unless it is the usual one, a page.
        Ok(Revalidation::Revalidated { kind: Some(kind), .. }) if *kind != "page" => {
            json!({"revalidated": true, "path": path, "kind": kind})
        }
        Ok(Revalidation::Revalidated { .. }) => json!({"revalidated": true, "path": path}),
        Ok(Revalidation::NotGenerated) => json!({"revalidated": true, "path": path, "generated": false}),
        Err(error) => json!({"revalidated": false, "path": path, "error": error.to_string()}),
    };
    shown["layers"] = match published.marked.filter(|_| request.mode == Mode::Stale) {
        Some(marked) => layers::of_marked(request.mode, &marked, true),
        None => layers::of_page(request.mode, result),
    };
    shown
}

/// Logs the rules that count, or why none does, in the words of the rules and not of the payload.
fn log_rules(by_rules: &PayloadPlans<'_>, delivery: &Delivery, is_nothing: bool) {
    let provider = delivery.provider.name;
    for left_out in by_rules.left_out.iter().take(LEFT_OUT_LOGGED_MAX) {
        tracing::info!(provider, "left out of a payload: {left_out}");
    }
    if is_nothing {
        let why: Vec<_> = by_rules.outcomes.iter().take(LEFT_OUT_LOGGED_MAX).filter_map(mismatch).collect();
        tracing::info!(provider, "no rule of webhooks counts for a payload: {}", why.join("; "));
    } else {
        let rules: Vec<_> = by_rules.counting().collect();
        tracing::info!(provider, "a payload is carried out by {}", rules.join(", "));
    }
}

/// The first reasons, and the number of further ones.
fn first_reasons(reasons: &[String]) -> Vec<String> {
    let mut told: Vec<_> = reasons.iter().take(LEFT_OUT_TOLD_MAX).cloned().collect();
    if let more @ 1.. = reasons.len().saturating_sub(LEFT_OUT_TOLD_MAX) {
        told.push(format!("and {more} more"));
    }
    told
}

/// The reason why a rule does not count.
fn mismatch(outcome: &RuleOutcome<'_>) -> Option<String> {
    Some(format!("{}: {}", outcome.rule, outcome.result.as_ref().err()?))
}

/// The answer to several publishes. It tells a failure if one of them failed.
fn combined(mut all: Vec<Done>) -> Done {
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

/// Whether a request only reads: the journal, the progress of a publish, the publishing page's pages or events.
fn is_reading(path: &str, method: &Method) -> bool {
    let is_of_publishes = below_endpoint(path).is_some() && method != Method::DELETE;
    is_of_publishes || [CONSOLE_PAGES, CONSOLE_EVENTS].contains(&path)
}
