//! A route: a pattern, its page or resource, and its options.

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
use crate::site::resource::{ReadyBlob, Resource};

/// The answer to a request for a path that was never generated: `fallback` of Next.js's `getStaticPaths`.
///
/// ```
/// # use perennial::{Context, Failure, Outcome, Page};
/// use perennial::{Fallback, Route};
/// # struct Post;
/// # impl Page for Post {
/// #     type Props = ();
/// #     async fn props(&self, _: &Context) -> Result<Outcome<()>, Failure> { Ok(Outcome::page(())) }
/// #     fn render(&self, (): &(), _: &Context) -> Result<String, Failure> { Ok(String::new()) }
/// # }
///
/// let route = Route::new("/blog/{slug}", Post).fallback(Fallback::NotFound);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// `false`: only listed paths exist. Other paths are 404, and no data is fetched for them.
    NotFound,
    /// `true`: a person gets the route's shell at once, whose data request generates the page. A bot waits for the
    /// page.
    Shell,
    /// `"blocking"`: the visitor waits for the page.
    #[default]
    Blocking,
}

/// A declared query parameter: part of the page's identity, with a bounded set of values.
///
/// ```
/// use perennial::Query;
///
/// let page = Query::int("page", 1..=100);
/// let order = Query::one_of("order", ["newest", "cheapest"]);
/// ```
#[derive(Clone, Debug)]
pub struct Query {
    pub(crate) name: String,
    allowed: Allowed,
    is_strict: bool,
}

#[derive(Clone, Debug)]
enum Allowed {
    Int(RangeInclusive<u32>),
    OneOf(Vec<String>),
}

impl Query {
    /// A parameter whose value is a whole number in this range, written without sign or leading zeros.
    pub fn int(name: impl Into<String>, range: RangeInclusive<u32>) -> Self {
        Self { name: name.into(), allowed: Allowed::Int(range), is_strict: false }
    }

    /// A parameter whose value is one of these texts.
    pub fn one_of(name: impl Into<String>, values: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let allowed = Allowed::OneOf(values.into_iter().map(Into::into).collect());
        Self { name: name.into(), allowed, is_strict: false }
    }

    /// Has a request with any other value answered with 404. Without it, such a value counts as none: `?page=101` of
    /// `Query::int("page", 1..=100)` shows the page without the parameter.
    pub fn or_not_found(mut self) -> Self {
        self.is_strict = true;
        self
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

/// A pattern, its page or resource, and its options.
///
/// ```
/// # use perennial::{Context, Failure, Outcome, Page};
/// use std::time::Duration;
///
/// use perennial::{Query, Route, Site};
/// # struct List;
/// # impl Page for List {
/// #     type Props = ();
/// #     async fn props(&self, _: &Context) -> Result<Outcome<()>, Failure> { Ok(Outcome::page(())) }
/// #     fn render(&self, (): &(), _: &Context) -> Result<String, Failure> { Ok(String::new()) }
/// # }
///
/// let list = Route::new("/products", List)
///     .query(Query::int("page", 1..=100))
///     .max_stale(Duration::from_secs(24 * 3600))
///     .render_timeout(Duration::from_secs(5));
/// Site::new().route(list).ready(None, None).unwrap();
/// ```
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
    /// A route for the paths that match `pattern`: literal segments, `{name}` for one segment, `{*name}` for all
    /// remaining segments. A segment may have literals before and behind `{name}`: `/post-{id}`, `/{slug}.html`. If
    /// several routes match, the most specific one wins, segment by segment: a literal, `{name}` with the longest
    /// literals, `{name}`, `{*name}`.
    pub fn new(pattern: impl Into<String>, page: impl Page) -> Self {
        Self::of(pattern.into(), Arc::new(OfPage(page)))
    }

    /// A route whose answers are bytes with a content type instead of HTML. Such a route has no data URLs and cannot
    /// have [`Fallback::Shell`]. For the pattern see [`Route::new`].
    ///
    /// ```
    /// use perennial::{Blob, Context, Failure, Outcome, Resource, Route, Site};
    ///
    /// struct Robots;
    ///
    /// impl Resource for Robots {
    ///     async fn blob(&self, _: &Context) -> Result<Outcome<Blob>, Failure> {
    ///         Ok(Outcome::page(Blob::text("User-agent: *\nAllow: /\n")))
    ///     }
    /// }
    ///
    /// Site::new().route(Route::resource("/robots.txt", Robots)).ready(None, None).unwrap();
    /// ```
    pub fn resource(pattern: impl Into<String>, resource: impl Resource) -> Self {
        Self::of(pattern.into(), Arc::new(OfResource(resource)))
    }

    fn of(pattern_text: String, page: Arc<dyn AnyPage>) -> Self {
        let options = RouteOptions { stale_on_error: true, ..RouteOptions::default() };
        Self { pattern_text, page, options }
    }

    /// Sets the answer for paths that were never generated. Default: [`Fallback::Blocking`]. If a route with
    /// [`Fallback::NotFound`] does not list a path, a less specific route may serve it.
    pub fn fallback(mut self, fallback: Fallback) -> Self {
        self.options.fallback = fallback;
        self
    }

    /// Limits staleness: a page that has been stale for longer is rendered again before it is served. Default: no
    /// limit.
    pub fn max_stale(mut self, limit: Duration) -> Self {
        self.options.max_stale = Some(limit);
        self
    }

    /// If the render beyond [`Route::max_stale`] fails, answers with an error instead of the stale page.
    pub fn error_beyond_max_stale(mut self) -> Self {
        self.options.stale_on_error = false;
        self
    }

    /// Makes a page missing, instead of stale, once its `expires_at` has passed.
    pub fn missing_when_expired(mut self) -> Self {
        self.options.missing_when_expired = true;
        self
    }

    /// Sets the time limit of one render. Default: `PERENNIAL_RENDER_TIMEOUT_MS`.
    pub fn render_timeout(mut self, limit: Duration) -> Self {
        self.options.render_timeout = Some(limit);
        self
    }

    /// Limits the renders of this route at once in one process. Default: `PERENNIAL_MAX_CONCURRENT_RENDERS` alone.
    pub fn max_concurrent_renders(mut self, limit: usize) -> Self {
        self.options.max_concurrent_renders = Some(limit);
        self
    }

    /// Limits, approximately, the pages of this route that the store keeps because visitors asked for them. Beyond the
    /// limit, a missing page is rendered for each visitor and not stored. This is for routes whose `props` returns a
    /// page for any path. Pages that a build lists or a publisher names are always stored. Default: no limit; not-found
    /// results have their own limit (`PERENNIAL_MAX_STORED_NOT_FOUND`).
    pub fn max_stored(mut self, pages: usize) -> Self {
        self.options.max_stored = Some(pages);
        self
    }

    /// Declares a query parameter. Each allowed value is a page of its own; undeclared parameters are ignored. The name
    /// consists of letters, digits, `-`, `.`, `_` and `~`, which have only one spelling in URLs.
    pub fn query(mut self, query: Query) -> Self {
        self.options.query.push(query);
        self
    }

    /// Renders the route's pages for every request, and stores none of them.
    pub fn dynamic(mut self) -> Self {
        self.options.dynamic = true;
        self
    }
}

/// A checked route of a [`ReadySite`](crate::site::ReadySite).
pub struct ReadyRoute {
    pub(crate) pattern: Pattern,
    /// The key of the route's only page, if the route has neither parameters nor declared query parameters.
    pub(crate) only_key: Option<PageKey>,
    pub(crate) page: Arc<dyn AnyPage>,
    pub(crate) is_resource: bool,
    pub(crate) options: RouteOptions,
    pub(crate) shell: String,
    pub(crate) counters: Counters,
}

impl ReadyRoute {
    /// The route's id: its pattern.
    pub fn id(&self) -> &str {
        self.pattern.as_str()
    }

    /// The answer for paths that were never generated.
    pub fn fallback(&self) -> Fallback {
        self.options.fallback
    }

    /// Whether the route's pages are rendered for every request and never stored.
    pub fn is_dynamic(&self) -> bool {
        self.options.dynamic
    }

    /// Whether the route's answers are bytes with a content type, without a data form.
    pub fn is_resource(&self) -> bool {
        self.is_resource
    }

    /// Whether a page is missing once its `expires_at` has passed.
    pub fn is_missing_when_expired(&self) -> bool {
        self.options.missing_when_expired
    }

    /// The route's limit on staleness, if it has one.
    pub fn max_stale(&self) -> Option<Duration> {
        self.options.max_stale
    }

    /// Whether the stale page is served when a render beyond `max_stale` fails.
    pub fn serves_stale_on_error(&self) -> bool {
        self.options.stale_on_error
    }

    /// The HTML that a person gets while a page of this route is generated.
    pub fn shell(&self) -> &str {
        &self.shell
    }

    /// The route's counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether the route declares query parameters.
    pub fn has_query(&self) -> bool {
        !self.options.query.is_empty()
    }

    /// The pages that the route lists, in the order of [`Page::paths`] and without repetitions.
    ///
    /// # Errors
    /// The failure or panic of [`Page::paths`], or a sentence about the first listed path that does not fit the
    /// pattern.
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
        let key = match &self.only_key {
            Some(key) => key.clone(),
            None => PageKey::new(&self.pattern, &params, &query),
        };
        Resolved { route: self.clone(), params, query, key }
    }

    /// The declared query parameters with allowed values in a raw query string, sorted by name. If one is repeated, its
    /// first allowed value counts. A name must be spelt as it is declared: a shared cache does not decode names, and
    /// would store the answer to `p%61ge=2` under the key of the page without `page`. `None`: no page has the value that a
    /// parameter has ([`Query::or_not_found`]).
    pub(crate) fn declared_query(&self, raw: Option<&str>) -> Option<Vec<(String, String)>> {
        let declared = &self.options.query;
        let Some(raw) = raw.filter(|_| !declared.is_empty()) else { return Some(Vec::new()) };
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in raw.split('&') {
            let raw_name = pair.split('=').next().unwrap_or(pair);
            let Some(query) = declared.iter().find(|q| q.name == raw_name) else { continue };
            let Some((name, value)) = form_urlencoded::parse(pair.as_bytes()).next() else { continue };
            if query.is_strict && !query.allows(&value) {
                return None;
            }
            if query.allows(&value) && !pairs.iter().any(|(n, _)| *n == name) {
                pairs.push((name.into_owned(), value.into_owned()));
            }
        }
        pairs.sort();
        Some(pairs)
    }
}

impl std::fmt::Debug for ReadyRoute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Route({})", self.id())
    }
}

/// A page of a site that a request, key or listing was resolved to: its route, parameters and key.
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

    /// The page's key.
    pub fn key(&self) -> &PageKey {
        &self.key
    }

    /// The page's decoded path, for renders and logs: `/blog/café`.
    pub fn decoded_path(&self) -> String {
        crate::key::encode::readable_path(self.key.path())
    }

    /// The decoded path with the query that tells the page from its variants, for logs: `/blog/café?page=2`.
    pub(crate) fn shown(&self) -> String {
        let (path, address) = (self.key.path(), self.key.address());
        format!("{}{}", self.decoded_path(), &address[path.len()..])
    }

    /// Whether the route lists the page now. This is for `dev`, where no build has stored the listing.
    ///
    /// # Errors
    /// The errors of [`ReadyRoute::paths`].
    pub async fn is_listed(&self) -> Result<bool, Failure> {
        let listed = self.route.paths().await?;
        Ok(listed.iter().any(|other| other.key.path() == self.key.path()))
    }
}

/// The result of a page's `props` and `render`, or of a resource's `blob`, before validation.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) kind: Kind<Forms>,
    pub(crate) meta: Meta,
}

/// All forms of one answer.
#[derive(Debug)]
pub(crate) enum Forms {
    /// A page's: properties have become HTML and JSON.
    Documents(Documents),
    /// A resource's only form.
    Blob(ReadyBlob),
}

/// The two forms of one page, made of one `Props` value.
#[derive(Debug)]
pub(crate) struct Documents {
    pub(crate) html: String,
    pub(crate) data: String,
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A [`Page`] with its `Props` type erased, or a [`Resource`].
pub(crate) trait AnyPage: Send + Sync + 'static {
    fn is_resource(&self) -> bool;
    fn paths(&self) -> BoxFuture<'_, Result<Vec<Params>, Failure>>;
    fn render(self: Arc<Self>, cx: Context) -> BoxFuture<'static, Result<Rendered, Failure>>;
    fn shell(&self) -> String;
}

struct OfPage<P>(P);

struct OfResource<R>(R);

/// Runs a template or another synchronous function, which may be slow and must not delay other requests.
async fn made<T: Send + 'static>(
    make: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match run_blocking(make).await {
        Ok(made) => made,
        Err(joined) => std::panic::resume_unwind(joined.into_panic()),
    }
}

impl<P: Page> AnyPage for OfPage<P> {
    fn is_resource(&self) -> bool {
        false
    }

    fn paths(&self) -> BoxFuture<'_, Result<Vec<Params>, Failure>> {
        // The call is inside the future, so that a panic before its first await is caught with the future's panics.
        Box::pin(async { self.0.paths().await })
    }

    fn render(self: Arc<Self>, cx: Context) -> BoxFuture<'static, Result<Rendered, Failure>> {
        Box::pin(async move {
            let outcome = self.0.props(&cx).await?;
            let kind = match outcome.kind {
                Kind::NotFound => Kind::NotFound,
                Kind::Redirect(to) => Kind::Redirect(to),
                Kind::KeepStale { retry_after } => Kind::KeepStale { retry_after },
                Kind::Page(props) => {
                    Kind::Page(Forms::Documents(made(move || documents(&self.0, &props, &cx)).await?))
                }
            };
            Ok(Rendered { kind, meta: outcome.meta })
        })
    }

    fn shell(&self) -> String {
        self.0.shell()
    }
}

impl<R: Resource> AnyPage for OfResource<R> {
    fn is_resource(&self) -> bool {
        true
    }

    fn paths(&self) -> BoxFuture<'_, Result<Vec<Params>, Failure>> {
        Box::pin(async { self.0.paths().await })
    }

    fn render(self: Arc<Self>, cx: Context) -> BoxFuture<'static, Result<Rendered, Failure>> {
        Box::pin(async move {
            let outcome = self.0.blob(&cx).await?;
            let kind = match outcome.kind {
                Kind::NotFound => Kind::NotFound,
                Kind::Redirect(to) => Kind::Redirect(to),
                Kind::KeepStale { retry_after } => Kind::KeepStale { retry_after },
                Kind::Page(blob) if blob.is_to_be_made() => {
                    Kind::Page(Forms::Blob(made(move || blob.ready()).await?))
                }
                Kind::Page(blob) => Kind::Page(Forms::Blob(blob.ready()?)),
            };
            Ok(Rendered { kind, meta: outcome.meta })
        })
    }

    fn shell(&self) -> String {
        String::new()
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
    fn a_query_parameter_counts_only_under_its_declared_spelling() {
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

    #[test]
    fn a_strict_parameter_has_no_page_for_another_value() {
        let route = Route::new("/", Text).query(Query::int("page", 1..=20).or_not_found());
        let site = crate::site::Site::new().route(route).ready(None, None).unwrap();
        for (raw, key) in [("page=20", Some("/?page=20")), ("x=1", Some("/")), ("", Some("/"))] {
            let page = site.candidates(&[], Some(raw)).next();
            assert_eq!(page.as_ref().map(|page| page.key().as_str()), key, "{raw}");
        }
        for raw in ["page=21", "page=", "page", "page=x", "page=2&page=21"] {
            assert!(site.candidates(&[], Some(raw)).next().is_none(), "{raw}");
        }
    }
}
