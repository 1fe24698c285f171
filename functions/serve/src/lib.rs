//! The serve function: an HTTP request in, a page out. A request goes from [`Serve::handle`] to
//! `Serve::answer_from_store`, which looks the page up, decides and acts.

pub mod decide;
pub mod front;
#[cfg(feature = "lambda")]
pub mod function;
pub mod health;
pub mod reply;
pub mod request;
mod services;

use std::borrow::Cow;
use std::collections::HashSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use http::header::USER_AGENT;
use http::request::Parts;
use perennial_core::base::counters::Event;
use perennial_core::base::log_limits::Line;
use perennial_core::engine::Engine;
use perennial_core::freshness::{State, state};
use perennial_core::look::body::Body;
use perennial_core::look::view::{BodyWanted, PageView};
use perennial_core::memory::Entry;
use perennial_core::ports::edge::Edge as _;
use perennial_core::ports::stores::Stores;
use perennial_core::record::page_record::{BodyRef, Coding, Form};
use perennial_core::record::reason::Reason;
use perennial_core::render::outcome::VisitError;
use perennial_core::render::pool::NOT_FOUND_DATA;
use perennial_core::run::preview::{Drafts, has_draft_cookie};
use perennial_core::run::secrets::LiveSecrets;
use perennial_core::site::escape;
use perennial_core::site::page::SHELL_DATA_URL;
use perennial_core::site::route::Fallback;
use perennial_core::site::route::Resolved;
use perennial_core::site::tables::Sent;

use crate::decide::{Action, Circumstances, decide};
use crate::reply::{Label, PageAnswer, Reply};
use crate::request::Target;

/// Lookups per request: after a lookup, another process may have rendered or deleted the page.
const LOOKS_MAX: usize = 3;

/// When the renewal of a stale page is triggered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// In a task, concurrently with the answer: the visitor does not wait.
    Beside,
    /// Before the answer, because Lambda may freeze the process after the answer.
    Before,
}

/// Answers visitors.
pub struct Serve<S: Stores> {
    engine: Arc<Engine<S>>,
    renewal: Renewal,
    drafts: Option<LiveSecrets<Drafts>>,
    /// How long a shared cache may keep a page without a period, in seconds.
    endless_s: u64,
    /// Keys of pages whose data a shell or a bot has requested in `dev`.
    requested_in_dev: Mutex<HashSet<Arc<str>>>,
}

impl<S: Stores> Serve<S> {
    /// Answers from the engine's store. An engine in `dev` renders every request, stores nothing, and shows errors in
    /// the page.
    pub fn new(engine: Arc<Engine<S>>, renewal: Renewal) -> Self {
        let endless_s = match engine.stores().edge().exists() {
            true => reply::YEAR_S,
            false => engine.limits().edge_max_age_s.into(),
        };
        Self { engine, renewal, drafts: None, endless_s, requested_in_dev: Mutex::default() }
    }

    /// Serves drafts to editors whose cookie is signed with one of these secrets.
    pub fn with_drafts(mut self, secrets: LiveSecrets<Drafts>) -> Self {
        self.drafts = Some(secrets);
        self
    }

    /// Whether the request has a valid draft cookie.
    async fn is_draft(&self, request: &Parts) -> bool {
        let Some(drafts) = &self.drafts else { return false };
        let now = self.engine.now();
        match drafts.get(now).await {
            Ok(drafts) => drafts.admit(&request.headers, now),
            Err(error) => {
                self.engine.log(Line::NoSecrets, |left_out| {
                    tracing::error!(
                        left_out,
                        "drafts cannot be served, because their secrets cannot be read: {error}"
                    );
                });
                false
            }
        }
    }

    /// Answers one request.
    pub async fn handle(&self, request: &Parts) -> Reply {
        let (site, limits) = (self.engine.site(), self.engine.limits());
        let target = request::target(request, site, self.engine.build(), limits);
        if let Target::Page(form, segments) = &target
            && let Some(sent) = site.tables().send(segments)
        {
            // Boxed like the other rare ways: a hit needs no room for them.
            let mut reply = Box::pin(self.answer_sent(request, *form, sent)).await;
            site.tables().add_headers(Some(segments), reply.headers_mut());
            return reply;
        }
        let mut reply = match &target {
            // This arm comes first because most requests have no cookies.
            Target::Page(form, segments) if !has_draft_cookie(&request.headers) => {
                self.page(request, *form, segments, false).await
            }
            Target::Page(form, segments) => self.page_for_cookie(request, *form, segments).await,
            Target::Elsewhere(path) => reply::canonical_redirect(request, path.clone()),
            Target::Nothing => self.not_found(request, Form::Html),
            Target::Method => reply::method_not_allowed(request),
            Target::Malformed(bad) => self.malformed(request, *bad),
            Target::PathTooLong => reply::path_too_long(request),
            Target::HeadTooLong => reply::head_too_large(request),
        };
        let segments = match &target {
            Target::Page(_, segments) => Some(&segments[..]),
            _ => None,
        };
        site.tables().add_headers(segments, reply.headers_mut());
        reply
    }

    /// Answers a request whose path one of the site's tables sends to another one.
    async fn answer_sent(&self, request: &Parts, form: Form, sent: Sent) -> Reply {
        let segments = match sent {
            Sent::Elsewhere(to) => return reply::redirect_of_table(request, form, to, self.engine.site()),
            Sent::To(segments) => segments,
        };
        match has_draft_cookie(&request.headers) {
            true => self.page_for_cookie(request, form, &segments).await,
            false => self.page(request, form, &segments, false).await,
        }
    }

    /// Answers a request that has a draft cookie, valid or not. Without a type of its own, because the compiler limits how
    /// deeply futures nest.
    fn page_for_cookie<'a>(
        &'a self,
        request: &'a Parts,
        form: Form,
        segments: &'a [Cow<'_, str>],
    ) -> Pin<Box<dyn Future<Output = Reply> + Send + 'a>> {
        Box::pin(async move {
            let draft = self.is_draft(request).await;
            let reply = self.page(request, form, segments, draft).await;
            // A shared cache has an entry per value of the cookie. It must not store the published page for an invalid
            // cookie, which may become valid once this process has read a new secret.
            if draft { reply } else { reply::uncacheable(reply) }
        })
    }

    async fn page(&self, request: &Parts, form: Form, segments: &[Cow<'_, str>], draft: bool) -> Reply {
        for page in self.engine.site().candidates(segments, request.uri.query()) {
            let reply = if form == Form::Data && page.route().is_resource() {
                Box::pin(self.no_data(request, &page, draft)).await
            } else if draft || self.engine.is_dev() || page.route().is_dynamic() {
                Box::pin(self.answer_from_render(request, &page, form, draft)).await
            } else {
                self.engine.visiting(self.answer_from_store(request, &page, form)).await
            };
            if let Some(reply) = reply {
                return reply;
            }
        }
        self.not_found(request, form)
    }

    /// Answers a request for the data JSON of a resource, which has none: 404. `None` if the resource does not exist on
    /// this route: a less specific route may have a page there.
    async fn no_data(&self, request: &Parts, page: &Resolved, draft: bool) -> Option<Reply> {
        let is_here = if draft || page.route().fallback() != Fallback::NotFound {
            true
        } else if self.engine.is_dev() {
            page.is_listed().await.unwrap_or(true)
        } else {
            let wants =
                |_: &BodyRef| BodyWanted { coding: Coding::Identity, is_not_modified: true, is_head: true };
            match self.engine.visiting(self.engine.look(page, Form::Html, wants)).await {
                Ok(view) => self.decide(request, page, Form::Html, &view) != Action::NotHere,
                Err(error) => return Some(self.error(request, Form::Data, 503, &error.to_string())),
            }
        };
        is_here.then(|| self.not_found(request, Form::Data))
    }

    /// Looks the page up, decides and acts. `None` if the page does not exist on this route.
    async fn answer_from_store(&self, request: &Parts, page: &Resolved, form: Form) -> Option<Reply> {
        let wants = |body: &BodyRef| reply::wants(request, body, self.engine.limits());
        for _ in 0..LOOKS_MAX {
            let view = match self.engine.look(page, form, wants).await {
                Ok(view) => view,
                // Without the store, nobody knows whether this route lists the page.
                Err(error) if page.route().fallback() == Fallback::NotFound => {
                    return Some(self.error(request, form, 503, &error.to_string()));
                }
                Err(_) => PageView::missing(0, true),
            };
            if view.is_over_budget {
                return Some(self.error(request, form, 503, "PERENNIAL_STREAM_MEMORY_BYTES is used up"));
            }
            let action = self.decide(request, page, form, &view);
            let stream = view.stream;
            match (action, view.entry) {
                (Action::NotHere, _) => return None,
                (Action::Shell, _) => return Some(self.shell(request, page)),
                (Action::Answer, Some(entry)) => {
                    let is_fresh = matches!(view.state, State::Fresh { .. });
                    let label = if is_fresh { Label::Hit } else { Label::Stale };
                    return Some(self.page_reply(request, page, form, (&entry, stream), label, false));
                }
                (Action::AnswerAndRenew, Some(entry)) => {
                    self.renew(page, &entry).await;
                    return Some(self.page_reply(request, page, form, (&entry, stream), Label::Stale, false));
                }
                (Action::Render { stale_on_error }, stale) => {
                    // The stream's memory and its store connection are not held during the render.
                    drop(stream);
                    let (reason, label) = match stale {
                        Some(_) => (Reason::Stale, Label::Revalidated),
                        None => (Reason::First, Label::Miss),
                    };
                    let rendered = Box::pin(self.engine.render_missing(page, reason, view.generation)).await;
                    match (rendered, stale.filter(|_| stale_on_error)) {
                        ((Ok(Some(entry)), joined), _) => {
                            return Some(self.page_reply(request, page, form, (&entry, None), label, joined));
                        }
                        ((Ok(None), _), _) => {}
                        ((Err(error), _), stale) => {
                            if let Some(stale) = stale
                                && let Some(stream) =
                                    Box::pin(self.engine.open_again(page, form, &stale, wants)).await
                            {
                                let stale = (&*stale, stream);
                                return Some(self.page_reply(
                                    request,
                                    page,
                                    form,
                                    stale,
                                    Label::Stale,
                                    false,
                                ));
                            }
                            page.route().counters().count(Event::Error);
                            return Some(self.visit_error(request, form, &error));
                        }
                    }
                }
                (Action::Answer | Action::AnswerAndRenew, None) => {}
            }
        }
        Some(self.error(request, form, 503, "the page changed faster than it could be read"))
    }

    fn decide(&self, request: &Parts, page: &Resolved, form: Form, view: &PageView) -> Action {
        decide(Circumstances {
            state: view.state,
            fallback: page.route().fallback(),
            known: view.known,
            max_stale: page.route().max_stale(),
            stale_on_error: page.route().serves_stale_on_error(),
            // The user agent is matched only for missing pages, because the match costs more than a hit.
            takes_shell: view.entry.is_none() && self.takes_shell(request, page, form),
        })
    }

    async fn renew(&self, page: &Resolved, entry: &Arc<Entry>) {
        match self.renewal {
            // Boxed like the other rare ways of `answer_from_store`: a hit needs no room for them.
            Renewal::Before => Box::pin(self.engine.trigger(page, entry)).await,
            Renewal::Beside if self.engine.may_trigger(entry) => {
                let (engine, page, entry) = (self.engine.clone(), page.clone(), entry.clone());
                self.engine.tasks().spawn(async move { engine.trigger(&page, &entry).await });
            }
            Renewal::Beside => {}
        }
    }

    /// Answers with a render for this request alone: drafts, dynamic routes, and every page in `dev`. `None` if the
    /// page does not exist on this route.
    async fn answer_from_render(
        &self,
        request: &Parts,
        page: &Resolved,
        form: Form,
        draft: bool,
    ) -> Option<Reply> {
        let fallback = page.route().fallback();
        if self.engine.is_dev() && !draft && fallback != Fallback::Blocking && !self.was_requested(page) {
            let takes_shell = self.takes_shell(request, page, form);
            let listed = page.is_listed().await.map_err(|failure| failure.message().to_owned());
            match (listed, fallback) {
                (Ok(true), _) => {}
                (Ok(false), Fallback::NotFound) => return None,
                (Err(message), Fallback::NotFound) => {
                    return Some(self.error(request, form, 500, &message));
                }
                // Without a listing, every page of the route counts as never generated.
                (Ok(false) | Err(_), _) if takes_shell => return Some(self.shell(request, page)),
                (Ok(false) | Err(_), _) => self.note_requested(page),
            }
        }
        Some(match self.engine.render_only(page, Reason::Stale, draft).await {
            Ok(entry) => self.page_reply(request, page, form, (&entry, None), Label::Bypass, false),
            Err(error) => self.visit_error(request, form, &error),
        })
    }

    /// Whether the data of this page was requested before. In `dev` nothing is stored, so this process remembers the
    /// data request of a shell: the next request for the document gets the page instead of the shell.
    fn was_requested(&self, page: &Resolved) -> bool {
        self.requested_in_dev.lock().unwrap_or_else(PoisonError::into_inner).contains(page.key().as_str())
    }

    fn note_requested(&self, page: &Resolved) {
        self.requested_in_dev.lock().unwrap_or_else(PoisonError::into_inner).insert(page.key().shared());
    }

    /// The answer with a page. `collapsed`: the render was shared with another visitor (RFC 9211 section 2.6).
    fn page_reply(
        &self,
        request: &Parts,
        page: &Resolved,
        form: Form,
        (entry, stream): (&Entry, Option<Body>),
        label: Label,
        collapsed: bool,
    ) -> Reply {
        let now = self.engine.now();
        let edge_stale_s = match page.route().max_stale() {
            // A page that is missing after `expires_at` must not be served stale by a shared cache either.
            _ if entry.record.expires_at.is_some() && page.route().is_missing_when_expired() => 0,
            Some(limit) => limit.as_secs(),
            None => self.engine.limits().edge_stale_s.into(),
        };
        let state = state(&entry.record, entry.snapshot.epochs, now, false);
        let base_path = self.engine.site().base_path();
        let is_resource = page.route().is_resource();
        page.route().counters().count(label.event());
        let (page, tag_header) = (page.key(), self.engine.stores().edge().tag_header());
        let limits = self.engine.limits();
        let page_answer = PageAnswer {
            entry,
            form,
            is_resource,
            state,
            label,
            collapsed,
            now,
            edge_stale_s,
            endless_s: self.endless_s,
            base_path,
            page,
            limits,
            tag_header,
        };
        reply::page(request, &page_answer, stream)
    }

    fn shell(&self, request: &Parts, page: &Resolved) -> Reply {
        let url = perennial_core::key::url::data_url(
            self.engine.site().base_path(),
            self.engine.build(),
            page.key().path(),
        );
        page.route().counters().count(Event::Shell);
        let html = page.route().shell().replace(SHELL_DATA_URL, &escape(&url));
        reply::html(request, StatusCode::OK, html, Some(Label::Miss))
    }

    /// Whether the route has a shell and the request is a person's for the HTML document.
    fn takes_shell(&self, request: &Parts, page: &Resolved, form: Form) -> bool {
        let is_bot = |agent: &http::HeaderValue| self.engine.site().is_bot(agent.as_bytes());
        page.route().fallback() == Fallback::Shell
            && form == Form::Html
            && !request.headers.get(USER_AGENT).is_some_and(is_bot)
    }

    fn not_found(&self, request: &Parts, form: Form) -> Reply {
        if form == Form::Data {
            return reply::json(request, StatusCode::NOT_FOUND, NOT_FOUND_DATA);
        }
        match self.engine.site().not_found_html(&decoded_path(request)) {
            Ok(html) => reply::html(request, StatusCode::NOT_FOUND, html, None),
            Err(message) => self.error(request, form, 500, &message),
        }
    }

    fn malformed(&self, request: &Parts, bad: perennial_core::key::encode::BadPath) -> Reply {
        tracing::debug!("refused a path: {bad}");
        reply::plain(request, StatusCode::BAD_REQUEST, "The path is malformed.\n")
    }

    fn visit_error(&self, request: &Parts, form: Form, error: &VisitError) -> Reply {
        self.error(request, form, error.status, &error.message)
    }

    fn error(&self, request: &Parts, form: Form, status: u16, message: &str) -> Reply {
        let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if form == Form::Data {
            return reply::json(request, code, "{\"message\":\"Internal Server Error\"}");
        }
        let error = self.engine.is_dev().then_some(message);
        reply::html(request, code, self.engine.site().error_html(status, &decoded_path(request), error), None)
    }
}

/// The request's decoded path for an error page, which escapes it.
fn decoded_path(request: &Parts) -> String {
    perennial_core::key::encode::readable_path(request.uri.path())
}
