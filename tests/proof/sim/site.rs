//! The site under simulation, as an author writes one: every kind of route, its data from the [upstream](crate::upstream).

use std::sync::Arc;
use std::time::Duration;

use perennial::parts::base::clock::Clock;
use perennial::{Context, Failure, Fallback, Outcome, Page, Params, Query, ReadySite, Redirect, Route, Site};
use serde::Serialize;

use crate::gate::{Link, Op};
use crate::upstream::{Kind, Mood, Version};

/// A page of the site; a route lists these slugs.
struct SimPage {
    link: Link,
    listed: &'static [&'static str],
}

/// What a page shows.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) version: usize,
    pub(crate) build: String,
    pub(crate) padding: String,
    #[serde(skip)]
    mood: Mood,
}

impl Shown {
    pub(crate) fn new(path: &str, query: &str, version: usize, build: &str, large: bool) -> Self {
        let padding = if large { "perennial ".repeat(30) } else { String::new() };
        let (path, query, build) = (path.to_owned(), query.to_owned(), build.to_owned());
        Self { path, query, version, build, padding, mood: Mood::Well }
    }

    pub(crate) fn html(&self) -> String {
        let Self { path, query, version, build, padding, .. } = self;
        format!("<!doctype html><p>{path} {query} v{version} of {build}</p>{padding}")
    }

    pub(crate) fn data(&self) -> String {
        serde_json::json!({ "props": self }).to_string()
    }
}

/// One render, for as long as its data are fetched.
struct Fetching {
    link: Link,
    render: usize,
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.link.sim.lock().history.renders[self.render].ended = true;
    }
}

/// Declared query parameters as they stand in a page.
pub(crate) fn query_text(query: &[(String, String)]) -> String {
    query.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

impl Page for SimPage {
    type Props = Shown;

    async fn paths(&self) -> Result<Vec<Params>, Failure> {
        Ok(self.listed.iter().map(|slug| Params::new().with("slug", *slug)).collect())
    }

    async fn props(&self, cx: &Context) -> Result<Outcome<Shown>, Failure> {
        let render = self.link.sim.lock().render_begins(self.link.node, cx);
        let fetching = Fetching { link: self.link.clone(), render };
        let fetch = self.link.call(Op::Fetch, cx.path(), |world| world.fetch(render)).await;
        let (number, version, mood, large) = fetch.map_err(|e| Failure::new(e.to_string()))?;
        let mut outcome = match mood {
            Mood::Fails => return Err(Failure::new("the upstream answers 500")),
            Mood::FailsFor(s) => {
                return Err(Failure::new("the upstream answers 503").retry_after(Duration::from_secs(s)));
            }
            Mood::Hangs => std::future::pending().await,
            Mood::KeepsStale => return Ok(Outcome::keep_stale(None)),
            // Without the message on the screen that a panic prints.
            Mood::Panics => std::panic::resume_unwind(Box::new("on purpose")),
            _ => self.outcome(cx, number, &version, mood, large),
        };
        if mood == Mood::GivesNonsense {
            outcome = outcome.revalidate(0);
        }
        drop(fetching);
        Ok(outcome.tag(format!("r{render}")).header("x-version", number.to_string()))
    }

    fn render(&self, shown: &Shown, _: &Context) -> Result<String, Failure> {
        match shown.mood {
            Mood::TemplateFails => Err(Failure::new("the template fails")),
            Mood::GivesNothing => Ok(String::new()),
            Mood::GivesTooMuch => Ok("x".repeat(BODY_BYTES_MAX + 1)),
            _ => Ok(shown.html()),
        }
    }
}

/// The limit of a body here.
pub(crate) const BODY_BYTES_MAX: usize = 2_000;

impl SimPage {
    fn outcome(
        &self,
        cx: &Context,
        number: usize,
        version: &Version,
        mood: Mood,
        large: bool,
    ) -> Outcome<Shown> {
        let query = query_text(cx.queries());
        let shown = Shown { mood, ..Shown::new(cx.path(), &query, number, cx.build(), large) };
        let mut outcome = match version.kind {
            Kind::Page => Outcome::page(shown),
            Kind::NotFound => Outcome::not_found(),
            Kind::Redirect => Outcome::redirect(Redirect::temporary(format!("/to/v{number}"))),
        };
        if let Some(seconds) = version.period_s {
            outcome = outcome.revalidate(seconds);
        }
        if let Some(after) = version.ends_after {
            outcome = outcome.expires_at(self.link.now().plus(after).to_system());
        }
        outcome.tags(version.tags.iter().copied())
    }
}

/// A route's limit of staleness, where it has one.
pub(crate) const MAX_STALE: Duration = Duration::from_secs(3);

/// The site as one process has it.
pub(crate) fn site(link: &Link) -> Arc<ReadySite> {
    let page = |listed| SimPage { link: link.clone(), listed };
    let site = Site::new()
        .route(Route::new("/", page(&[])))
        .route(Route::new("/never", page(&[])))
        .route(Route::new("/blog/{slug}", page(&["a"])))
        .route(Route::new("/listed/{slug}", page(&["a", "b"])).fallback(Fallback::NotFound))
        .route(Route::new("/shell/{slug}", page(&[])).fallback(Fallback::Shell))
        .route(Route::new("/list", page(&[])).query(Query::int("page", 1..=2)))
        .route(Route::new("/strict/{slug}", page(&[])).max_stale(MAX_STALE))
        .route(Route::new("/hard/{slug}", page(&[])).max_stale(MAX_STALE).error_beyond_max_stale())
        .route(Route::new("/event", page(&[])).missing_when_expired());
    Arc::new(site.ready(None, None).expect("a site"))
}
