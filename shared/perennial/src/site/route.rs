//! A route: a pattern, its page, and its options.

use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::base::blocking::run_blocking;
use crate::base::counters::Counters;
use crate::base::panics::guarded_async;
use crate::key::page_key::PageKey;
use crate::key::params::Params;
use crate::key::pattern::Pattern;
use crate::site::page::{Context, Failure, Kind, Meta, Page};

/// What a visitor gets of a path that nobody has generated (getStaticPaths' `fallback`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// `false`: only listed paths exist, all others are 404 without asking for data.
    NotFound,
    /// `true`: a person gets the route's shell at once, and its data request generates the page; bots wait.
    Shell,
    /// `"blocking"`: the visitor waits for the page.
    #[default]
    Blocking,
}

/// A declared query parameter: part of the page's identity, with a bounded set of values.
#[derive(Clone, Debug)]
pub struct Query {
    pub(crate) name: String,
    allowed: Allowed,
}

#[derive(Clone, Debug)]
enum Allowed {
    Int(RangeInclusive<u32>),
    OneOf(Vec<String>),
}

impl Query {
    /// A whole number within the range, written without sign or leading zeros.
    pub fn int(name: impl Into<String>, range: RangeInclusive<u32>) -> Self {
        Self { name: name.into(), allowed: Allowed::Int(range) }
    }

    /// One of these texts.
    pub fn one_of(name: impl Into<String>, values: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { name: name.into(), allowed: Allowed::OneOf(values.into_iter().map(Into::into).collect()) }
    }

    /// Whether the text is an allowed value in its one canonical spelling.
    pub(crate) fn allows(&self, value: &str) -> bool {
        match &self.allowed {
            Allowed::Int(range) => {
                value.parse().is_ok_and(|n: u32| range.contains(&n) && n.to_string() == value)
            }
            Allowed::OneOf(values) => values.iter().any(|v| v == value),
        }
    }
}

/// A pattern, its page, and its options.
pub struct Route {
    pub(crate) pattern_text: String,
    pub(crate) page: Arc<dyn AnyPage>,
    pub(crate) options: RouteOptions,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct RouteOptions {
    pub(crate) fallback: Fallback,
    pub(crate) max_stale: Option<Duration>,
    pub(crate) stale_on_error: bool,
    pub(crate) missing_when_expired: bool,
    pub(crate) render_timeout: Option<Duration>,
    pub(crate) max_concurrent_renders: Option<usize>,
    pub(crate) max_stored: Option<usize>,
    pub(crate) query: Vec<Query>,
    pub(crate) dynamic: bool,
}

impl Route {
    /// A route for the paths that fit `pattern`: literal segments, `{name}` for one, `{*name}` for all that are left.
    /// The most exact route wins: literal before `{name}` before `{*name}`.
    pub fn new(pattern: impl Into<String>, page: impl Page) -> Self {
        let options = RouteOptions { stale_on_error: true, ..RouteOptions::default() };
        Self { pattern_text: pattern.into(), page: Arc::new(page), options }
    }

    /// What visitors of ungenerated paths get. Default: [`Fallback::Blocking`]. A path that a route with
    /// [`Fallback::NotFound`] does not list may be taken by a less exact route.
    pub fn fallback(mut self, fallback: Fallback) -> Self {
        self.options.fallback = fallback;
        self
    }

    /// A page that has been stale for longer than this is renewed before it is answered. Default: no limit.
    pub fn max_stale(mut self, limit: Duration) -> Self {
        self.options.max_stale = Some(limit);
        self
    }

    /// With [`Route::max_stale`]: an error instead of the old page when that renewal fails.
    pub fn error_beyond_max_stale(mut self) -> Self {
        self.options.stale_on_error = false;
        self
    }

    /// A page whose `expires_at` has passed counts as never generated, instead of as stale.
    pub fn missing_when_expired(mut self) -> Self {
        self.options.missing_when_expired = true;
        self
    }

    /// Time limit of one render. Default: the site's (`PERENNIAL_RENDER_TIMEOUT_MS`).
    pub fn render_timeout(mut self, limit: Duration) -> Self {
        self.options.render_timeout = Some(limit);
        self
    }

    /// How many pages of this route one process renders at once. Default: the process's limit alone.
    pub fn max_concurrent_renders(mut self, limit: usize) -> Self {
        self.options.max_concurrent_renders = Some(limit);
        self
    }

    /// How many pages of this route, about, visitors may fill the store with: beyond that a page that nobody has generated
    /// is rendered for whoever asks, and not kept. For routes whose `props` gives a page for any path. What a build lists
    /// or a publisher asks for is always kept. Default: no limit; results that are not found have one of their own
    /// (`PERENNIAL_MAX_STORED_NOT_FOUND`).
    pub fn max_stored(mut self, pages: usize) -> Self {
        self.options.max_stored = Some(pages);
        self
    }

    /// Declares a query parameter. Each allowed value is a page of its own; all other parameters are ignored. Its name is
    /// of letters, digits, `-`, `.`, `_` and `~`, which have one spelling in URLs.
    pub fn query(mut self, query: Query) -> Self {
        self.options.query.push(query);
        self
    }

    /// Rendered for every request and never stored.
    pub fn dynamic(mut self) -> Self {
        self.options.dynamic = true;
        self
    }
}

/// A route that has been checked and takes part in a site.
pub struct ReadyRoute {
    pub(crate) pattern: Pattern,
    /// The key of its only page, if it has neither parameters nor query.
    pub(crate) only: Option<PageKey>,
    pub(crate) page: Arc<dyn AnyPage>,
    pub(crate) options: RouteOptions,
    pub(crate) shell: String,
    pub(crate) counters: Counters,
}

impl ReadyRoute {
    /// The route's id: its pattern.
    pub fn id(&self) -> &str {
        self.pattern.as_str()
    }

    /// What visitors of ungenerated paths get.
    pub fn fallback(&self) -> Fallback {
        self.options.fallback
    }

    /// Rendered for every request and never stored.
    pub fn is_dynamic(&self) -> bool {
        self.options.dynamic
    }

    /// Whether a page is missing once its `expires_at` has passed.
    pub fn is_missing_when_expired(&self) -> bool {
        self.options.missing_when_expired
    }

    /// The route's `max_stale`.
    pub fn max_stale(&self) -> Option<Duration> {
        self.options.max_stale
    }

    /// Whether the old page is answered when a renewal beyond `max_stale` fails.
    pub fn serves_stale_on_error(&self) -> bool {
        self.options.stale_on_error
    }

    /// The HTML for persons while a page of this route is generated.
    pub fn shell(&self) -> &str {
        &self.shell
    }

    /// What has happened on this route since the process started.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether some of the page's identity is in the query.
    pub fn has_query(&self) -> bool {
        !self.options.query.is_empty()
    }

    /// The pages this route lists, in the listing's order without repetitions.
    ///
    /// # Errors
    /// The page's own failure, its panic among them, or what is wrong with a listed path.
    pub async fn paths(self: &Arc<Self>) -> Result<Vec<Resolved>, Failure> {
        if !self.pattern.is_dynamic() {
            return Ok(vec![self.resolve(Params::new(), Vec::new())]);
        }
        let mut pages: Vec<Resolved> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for given in guarded_async(self.page.paths()).await.map_err(Failure::new)?? {
            let params = self.pattern.arrange(&given).map_err(Failure::new)?;
            let page = self.resolve(params, Vec::new());
            if seen.insert(page.key.clone()) {
                pages.push(page);
            }
        }
        Ok(pages)
    }

    pub(crate) fn resolve(self: &Arc<Self>, params: Params, query: Vec<(String, String)>) -> Resolved {
        let key = match &self.only {
            Some(only) => only.clone(),
            None => PageKey::new(&self.pattern, &params, &query),
        };
        Resolved { route: self.clone(), params, query, key }
    }

    /// The allowed values of declared query parameters in a raw query string, by name. Names count as they are declared,
    /// to the letter: a shared cache in front does not decode them, and would keep the answer to `p%61ge=2` for the page
    /// without `page`.
    pub(crate) fn declared_query(&self, raw: Option<&str>) -> Vec<(String, String)> {
        let declared = &self.options.query;
        let Some(raw) = raw.filter(|_| !declared.is_empty()) else { return Vec::new() };
        let mut found: Vec<(String, String)> = Vec::new();
        for pair in raw.split('&') {
            let spelt = pair.split('=').next().unwrap_or(pair);
            let Some(query) = declared.iter().find(|q| q.name == spelt) else { continue };
            let Some((name, value)) = form_urlencoded::parse(pair.as_bytes()).next() else { continue };
            if query.allows(&value) && !found.iter().any(|(n, _)| *n == name) {
                found.push((name.into_owned(), value.into_owned()));
            }
        }
        found.sort();
        found
    }
}

impl std::fmt::Debug for ReadyRoute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Route({})", self.id())
    }
}

/// One page of a site: its route, parameters and key.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub(crate) route: Arc<ReadyRoute>,
    pub(crate) params: Params,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) key: PageKey,
}

impl Resolved {
    /// The page's route.
    pub fn route(&self) -> &Arc<ReadyRoute> {
        &self.route
    }

    /// The page's identity.
    pub fn key(&self) -> &PageKey {
        &self.key
    }

    /// The page's decoded path, as renders and logs see it: `/blog/café`.
    pub fn decoded_path(&self) -> String {
        crate::key::encode::readable_path(self.key.path())
    }

    /// Whether its route lists it now: in `dev`, where no build has written that down.
    ///
    /// # Errors
    /// The listing's.
    pub async fn is_listed(&self) -> Result<bool, Failure> {
        let listed = self.route.paths().await?;
        Ok(listed.iter().any(|other| other.key.path() == self.key.path()))
    }
}

/// What a page's data function and template gave, with the props already turned into HTML and JSON.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) kind: Kind<Documents>,
    pub(crate) meta: Meta,
}

/// The two forms of one page, made from one value.
#[derive(Debug)]
pub(crate) struct Documents {
    pub(crate) html: String,
    pub(crate) data: String,
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// [`Page`] with its `Props` type erased: what the engine renders.
pub(crate) trait AnyPage: Send + Sync + 'static {
    fn paths(&self) -> BoxFuture<'_, Result<Vec<Params>, Failure>>;
    fn render(self: Arc<Self>, cx: Context) -> BoxFuture<'static, Result<Rendered, Failure>>;
    fn shell(&self) -> String;
}

impl<P: Page> AnyPage for P {
    fn paths(&self) -> BoxFuture<'_, Result<Vec<Params>, Failure>> {
        // Called in the future, so that a panic before the first wait is one of the future.
        Box::pin(async { Page::paths(self).await })
    }

    fn render(self: Arc<Self>, cx: Context) -> BoxFuture<'static, Result<Rendered, Failure>> {
        Box::pin(async move {
            let outcome = self.props(&cx).await?;
            let kind = match outcome.kind {
                Kind::NotFound => Kind::NotFound,
                Kind::Redirect(to) => Kind::Redirect(to),
                Kind::KeepStale { retry_after } => Kind::KeepStale { retry_after },
                Kind::Page(props) => {
                    // A template is synchronous and may be slow: it must not hold up other requests.
                    let documents = run_blocking(move || documents(&*self, &props, &cx));
                    match documents.await {
                        Ok(documents) => Kind::Page(documents?),
                        Err(joined) => std::panic::resume_unwind(joined.into_panic()),
                    }
                }
            };
            Ok(Rendered { kind, meta: outcome.meta })
        })
    }

    fn shell(&self) -> String {
        Page::shell(self)
    }
}

fn documents<P: Page>(page: &P, props: &P::Props, cx: &Context) -> Result<Documents, Failure> {
    #[derive(serde::Serialize)]
    struct Data<'a, T> {
        props: &'a T,
    }
    let data = serde_json::to_string(&Data { props })
        .map_err(|e| Failure::new(format!("the props of {} cannot be written as JSON: {e}", cx.path())))?;
    Ok(Documents { html: page.render(props, cx)?, data })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Text;

    #[test]
    fn only_canonical_values_of_a_declared_parameter_are_allowed() {
        let page = Query::int("page", 1..=20);
        assert!(page.allows("1") && page.allows("20"));
        for bad in ["0", "21", "01", "+1", " 1", "", "x", "1.0", "99999999999999999999"] {
            assert!(!page.allows(bad), "{bad}");
        }
        let sort = Query::one_of("sort", ["asc", "desc"]);
        assert!(sort.allows("asc") && !sort.allows("ASC"));
    }

    #[test]
    fn a_parameter_counts_under_its_own_name_to_the_letter() {
        let route =
            Route::new("/", Text).query(Query::int("page", 1..=20)).query(Query::one_of("q", ["a b", "é"]));
        let site = crate::site::Site::new().route(route).ready(None, None).unwrap();
        for (raw, key) in [
            ("page=2", "/?page=2"),
            ("x&&page=2&page=3&", "/?page=2"),
            ("page=99&page=3", "/?page=3"),
            ("page=%32", "/?page=2"),
            ("q=a+b&page=2", "/?page=2&q=a%20b"),
            ("q=%C3%A9", "/?q=%C3%A9"),
            ("p%61ge=2", "/"),
            ("%70age=2", "/"),
            ("page%3D2", "/"),
            ("PAGE=2", "/"),
            ("page[]=2", "/"),
            ("page+=2", "/"),
            ("x=1;page=2", "/"),
            ("x=%26page=2", "/"),
            ("page", "/"),
        ] {
            let page = site.candidates(&[], Some(raw)).next().unwrap();
            assert_eq!(page.key().as_str(), key, "{raw}");
        }
    }
}
