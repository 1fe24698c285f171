//! A site: its routes, its error pages, and the policies that all routes share.

pub mod addresses;
pub mod bots;
pub(crate) mod destination;
mod mount;
pub mod page;
pub mod resource;
pub mod route;
pub mod service;
pub mod tables;

use std::borrow::Cow;
use std::sync::Arc;

use memchr::memmem;

use crate::base::clock::{Clock, SystemClock};
use crate::base::panics::guarded;
use crate::key::encode::has_one_spelling;
use crate::key::page_key::PageKey;
use crate::key::params::Params;
use crate::key::pattern::Pattern;
use crate::key::spelling;
use crate::key::url::Urls;
use crate::site::addresses::CLOSE_DRAFT;
use crate::site::bots::DEFAULT_BOTS;
use crate::site::page::Redirect;
use crate::site::route::{Fallback, ReadyRoute, Resolved, Route, RouteOptions};
use crate::site::service::{Mounted, Services};
use crate::site::tables::{DraftTables, Tables};
use crate::webhooks::rules::Rules;

/// The input of an error page.
///
/// ```
/// use perennial::{ErrorContext, Site, escape};
///
/// fn not_found(cx: &ErrorContext<'_>) -> String {
///     format!("<!doctype html><title>{}</title><p>Nothing is at {}.", cx.status, escape(cx.path))
/// }
///
/// let site = Site::new().not_found(not_found);
/// ```
#[derive(Clone, Debug)]
pub struct ErrorContext<'a> {
    /// 404 or a 5xx status.
    pub status: u16,
    /// The request's decoded path. Escape it: a client may send any text.
    pub path: &'a str,
    /// The prefix of the site's internal links.
    pub base_path: &'a str,
    /// The error's message. Only in `dev`, where the visitor is the author.
    pub error: Option<&'a str>,
}

/// The input of a draft's banner.
///
/// ```
/// use perennial::{DraftContext, Site, escape};
///
/// fn banner(cx: &DraftContext<'_>) -> String {
///     format!("<p>This is a draft. <a href=\"{}\">Leave it</a>", escape(cx.exit_url))
/// }
///
/// let site = Site::new().draft_banner(banner);
/// ```
#[derive(Clone, Debug)]
pub struct DraftContext<'a> {
    /// The page's path, percent-encoded, without base path.
    pub path: &'a str,
    /// The URL that ends the editor's draft mode and shows the published page. Escape it.
    pub exit_url: &'a str,
}

type ErrorPage = Box<dyn Fn(&ErrorContext<'_>) -> String + Send + Sync>;
type DraftBanner = Box<dyn Fn(&DraftContext<'_>) -> String + Send + Sync>;

/// A site under construction: routes and options. See the [crate]'s example.
pub struct Site {
    routes: Vec<Route>,
    services: Vec<Mounted>,
    not_found: ErrorPage,
    error: ErrorPage,
    draft_banner: DraftBanner,
    bots: Vec<Cow<'static, str>>,
    base_path: Option<String>,
    trailing_slash: Option<bool>,
    webhooks: Option<Cow<'static, str>>,
    tables: DraftTables,
    origin: Option<String>,
    clock: Arc<dyn Clock>,
    version: Option<Cow<'static, str>>,
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// A site without routes and with plain error pages.
    pub fn new() -> Self {
        Self {
            routes: Vec::new(),
            services: Vec::new(),
            not_found: Box::new(plain_error_page),
            error: Box::new(plain_error_page),
            draft_banner: Box::new(plain_draft_banner),
            bots: DEFAULT_BOTS.iter().map(|&bot| bot.into()).collect(),
            base_path: None,
            trailing_slash: None,
            webhooks: None,
            tables: DraftTables::default(),
            origin: None,
            clock: Arc::new(SystemClock),
            version: None,
        }
    }

    /// Sets the site's version, which its program shows for `--version` beside its own name.
    ///
    /// ```
    /// let site = perennial::Site::new().version(env!("CARGO_PKG_VERSION"));
    /// ```
    pub fn version(mut self, version: impl Into<Cow<'static, str>>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// The version that was set.
    #[doc(hidden)]
    pub fn own_version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Adds a route. Their order does not matter.
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Redirects the paths that match `from`, before any route is asked. The destination may hold the pattern's
    /// parameters, and gets the request's query.
    ///
    /// ```
    /// use perennial::{Redirect, Site};
    ///
    /// Site::new()
    ///     .redirect("/old/{id}", Redirect::permanent("/products/{id}"))
    ///     .redirect("/wiki/{*page}", Redirect::temporary("https://wiki.example.com/{page}"))
    ///     .ready(None, None)
    ///     .unwrap();
    /// ```
    pub fn redirect(mut self, from: impl Into<String>, to: Redirect) -> Self {
        self.tables.redirects.push((from.into(), to));
        self
    }

    /// Shows the page at `to` under the paths that match `from`. The address in the browser stays. A publisher names the
    /// page's own path, as with Next.js: the revalidate endpoint refuses a path that is rewritten, and says which one to
    /// name.
    ///
    /// `Site::new().rewrite("/team/{name}", "/people/{name}")`
    pub fn rewrite(mut self, from: impl Into<String>, to: impl Into<String>) -> Self {
        self.tables.rewrites.push((from.into(), to.into()));
        self
    }

    /// Sets header fields of every answer whose path matches the pattern: pages and their data, 404s, errors, shells and
    /// redirects. A catch-all also matches the path before it, so that `/{*path}` matches every path. A field that the
    /// page itself sets wins, and so does a later pattern.
    ///
    /// ```
    /// use perennial::Site;
    ///
    /// Site::new()
    ///     .headers("/{*path}", [("strict-transport-security", "max-age=31536000")])
    ///     .headers("/admin/{*path}", [("x-robots-tag", "noindex"), ("x-frame-options", "DENY")])
    ///     .ready(None, None)
    ///     .unwrap();
    /// ```
    pub fn headers(
        mut self,
        pattern: impl Into<String>,
        fields: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Self {
        let fields = fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        self.tables.headers.push((pattern.into(), fields));
        self
    }

    /// Sets the 404 page: for paths without a route, and for pages whose outcome is not found.
    pub fn not_found(mut self, page: impl Fn(&ErrorContext<'_>) -> String + Send + Sync + 'static) -> Self {
        self.not_found = Box::new(page);
        self
    }

    /// Sets the 5xx page. If it panics, the visitor gets a plain error page.
    pub fn error(mut self, page: impl Fn(&ErrorContext<'_>) -> String + Send + Sync + 'static) -> Self {
        self.error = Box::new(page);
        self
    }

    /// Sets the HTML at the end of every draft's body, which tells the editor that the page is a draft and how to leave
    /// draft mode. Return an empty text if the pages do so themselves
    /// ([`Context::is_draft`](crate::site::page::Context::is_draft)). If the banner panics, the draft's render fails.
    pub fn draft_banner(
        mut self,
        banner: impl Fn(&DraftContext<'_>) -> String + Send + Sync + 'static,
    ) -> Self {
        self.draft_banner = Box::new(banner);
        self
    }

    /// Replaces [`DEFAULT_BOTS`]: the bots that get the page where a person gets the route's shell. A user agent
    /// matches if it contains a name, or begins with a name after `^`. The case of ASCII letters is ignored. An empty
    /// name matches nothing.
    ///
    /// ```
    /// # use perennial::Site;
    /// use perennial::DEFAULT_BOTS;
    /// Site::new().bots(DEFAULT_BOTS.iter().copied().chain(["ExampleBot"]));
    /// ```
    pub fn bots(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let names = names.into_iter().map(|name| name.into().to_ascii_lowercase());
        self.bots = names.filter(|name| !name.trim_start_matches('^').is_empty()).map(Cow::Owned).collect();
        self
    }

    /// Serves the site under this path (`/docs`). The setting `PERENNIAL_BASE_PATH` takes precedence.
    pub fn base_path(mut self, path: impl Into<String>) -> Self {
        self.base_path = Some(path.into());
        self
    }

    /// Sets the origin of absolute URLs, for feeds, sitemaps and canonical links: `https://example.com`. The setting
    /// `PERENNIAL_ORIGIN` takes precedence. Pages read it with
    /// [`Context::url`](crate::site::page::Context::url). The origin never comes from a request: a stored page is for
    /// everybody, and a visitor may send any host.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Sets whether canonical paths end in `/`. The setting `PERENNIAL_TRAILING_SLASH` takes precedence.
    pub fn trailing_slash(mut self, yes: bool) -> Self {
        self.trailing_slash = Some(yes);
        self
    }

    /// Sets the webhook rules, as JSON: they map a provider's payload to pages. See [`crate::webhooks::rules`]. The setting
    /// `PERENNIAL_WEBHOOKS` takes precedence.
    ///
    /// ```
    /// # use perennial::Site;
    /// let rules = r#"{"rules": [{"when": {"provider": "sanity"}, "tags": ["doc:{/_id}"]}]}"#;
    /// Site::new().webhooks(rules).ready(None, None).unwrap();
    /// ```
    pub fn webhooks(mut self, rules: impl Into<Cow<'static, str>>) -> Self {
        self.webhooks = Some(rules.into());
        self
    }

    /// Replaces the machine's clock, for tests of a site that changes with time. Calls to AWS still use the machine's
    /// clock for signatures and time limits.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Checks the site and makes it ready to serve. The arguments are settings, which take precedence over the site's
    /// own values.
    ///
    /// # Errors
    /// All mistakes, one per line.
    pub fn ready(
        self,
        base_path: Option<&str>,
        trailing_slash: Option<bool>,
    ) -> Result<ReadySite, SiteError> {
        let mut errors = Vec::new();
        let base_path = base_path.or(self.base_path.as_deref()).unwrap_or("").to_owned();
        // URLs and cookies contain the base path unencoded, so each of its characters must be allowed in both.
        if !base_path.is_empty()
            && (base_path == "/"
                || Pattern::parse(&base_path).is_err()
                || !base_path.split('/').all(has_one_spelling))
        {
            errors.push(format!(
                "base path `{base_path}` must look like `/docs`: segments of letters, digits, `-`, `.`, `_` and `~`, \
                 without a slash at its end"
            ));
        }
        let mut routes: Vec<Arc<ReadyRoute>> = Vec::new();
        for route in self.routes {
            let spelling = spelling::mistake(&route.pattern_text);
            match spelling.map_or_else(|| Pattern::parse(&route.pattern_text), Err) {
                Err(error) => errors.push(error),
                Ok(pattern) => {
                    let route = ready_route(pattern, route, &routes, &mut errors);
                    routes.push(Arc::new(route));
                }
            }
        }
        routes.sort_by_cached_key(|route| route.pattern.specificity());
        let patterns: Vec<&Pattern> = routes.iter().map(|route| &route.pattern).collect();
        let ids = patterns.iter().map(|pattern| pattern.as_str());
        let services = Services::ready(self.services, &base_path, ids, &mut errors);
        let rules =
            self.webhooks.as_deref().map_or(Ok(Rules::default()), |text| Rules::parse(text, &patterns));
        let webhooks = rules.unwrap_or_else(|mistakes| {
            errors.extend(mistakes);
            Rules::default()
        });
        let tables = Tables::check(self.tables, &patterns, &mut errors);
        let origin = self.origin.as_deref().map(checked_origin).transpose();
        let origin = origin.unwrap_or_else(|error| {
            errors.push(error);
            None
        });
        if errors.is_empty() {
            let trailing_slash = trailing_slash.or(self.trailing_slash).unwrap_or(false);
            let Self { not_found, error, draft_banner, bots, clock, .. } = self;
            Ok(ReadySite {
                routes,
                services,
                not_found,
                error,
                draft_banner,
                bots,
                base_path,
                trailing_slash,
                webhooks,
                tables,
                origin,
                clock,
            })
        } else {
            Err(SiteError(errors))
        }
    }
}

fn ready_route(
    pattern: Pattern,
    route: Route,
    others: &[Arc<ReadyRoute>],
    errors: &mut Vec<String>,
) -> ReadyRoute {
    if let Some((other, path)) = others.iter().find_map(|other| Some((other, other.pattern.clash(&pattern)?)))
    {
        errors.push(format!(
            "routes {} and {} match the same paths, such as `{path}`, and neither is more exact: change one of them",
            other.id(),
            pattern.as_str()
        ));
    }
    if let Some(owned) = addresses::owned(pattern.as_str()) {
        errors.push(format!(
            "route {} is never reached: Perennial itself answers {owned}. Give the route another path",
            pattern.as_str()
        ));
    }
    errors.extend(mistakes(&pattern, &route.options));
    if route.page.is_resource() && route.options.fallback == Fallback::Shell {
        errors.push(format!(
            "route {} has bytes for an answer, and no page that a shell could load: take `Fallback::Blocking` or \
             `Fallback::NotFound`",
            pattern.as_str()
        ));
    }
    let shell = match route.options.fallback {
        Fallback::Shell => guarded(|| route.page.shell()).unwrap_or_else(|panic| {
            errors.push(format!("the shell of route {}: {}", pattern.as_str(), panic.escape_debug()));
            String::new()
        }),
        _ => String::new(),
    };
    let has_one_page = !pattern.is_dynamic() && route.options.query.is_empty();
    let only_key = has_one_page.then(|| PageKey::new(&pattern, &Params::new(), &[]));
    let Route { page, options, .. } = route;
    let is_resource = page.is_resource();
    ReadyRoute { pattern, only_key, page, is_resource, options, shell, counters: Default::default() }
}

/// The mistakes in a route's options.
fn mistakes(pattern: &Pattern, options: &RouteOptions) -> Vec<String> {
    let route = pattern.as_str();
    let mut mistakes = Vec::new();
    if options.max_concurrent_renders == Some(0) {
        mistakes.push(format!("route {route} may render 0 pages at once: give 1 or more"));
    }
    for query in options.query.iter().filter(|query| query.name.is_empty() || !has_one_spelling(&query.name))
    {
        mistakes.push(format!(
            "route {route} declares the query parameter `{}`: its name must be of letters, digits, `-`, `.`, `_` and `~`",
            query.name.escape_debug()
        ));
    }
    mistakes
}

/// An origin (RFC 6454 section 6.2), which is a scheme and a host, without a slash at its end.
fn checked_origin(text: &str) -> Result<Arc<str>, String> {
    let is_right = text.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.path_and_query().is_none_or(|path| path == "/")
            && !text.contains(['@', '#'])
    });
    let advice = "must be like `https://example.com`: a scheme and a host, without a path";
    is_right
        .then(|| text.trim_end_matches('/').into())
        .ok_or_else(|| format!("the origin `{}` (PERENNIAL_ORIGIN) {advice}", text.escape_debug()))
}

/// The mistakes that keep a site from being served.
///
/// ```
/// # use perennial::{Context, Failure, Outcome, Page};
/// use perennial::{Route, Site};
/// # struct Post;
/// # impl Page for Post {
/// #     type Props = ();
/// #     async fn props(&self, _: &Context) -> Result<Outcome<()>, Failure> { Ok(Outcome::page(())) }
/// #     fn render(&self, (): &(), _: &Context) -> Result<String, Failure> { Ok(String::new()) }
/// # }
///
/// let twice = Site::new().route(Route::new("/a", Post)).route(Route::new("/a", Post));
/// assert!(twice.ready(None, None).is_err());
/// ```
#[derive(Debug, thiserror::Error)]
#[error("the site cannot be served:\n  {}", .0.join("\n  "))]
pub struct SiteError(Vec<String>);

/// A checked site: its patterns are parsed, and its routes are sorted, the most specific first.
pub struct ReadySite {
    routes: Vec<Arc<ReadyRoute>>,
    services: Services,
    not_found: ErrorPage,
    error: ErrorPage,
    draft_banner: DraftBanner,
    bots: Vec<Cow<'static, str>>,
    base_path: String,
    trailing_slash: bool,
    webhooks: Rules,
    tables: Tables,
    origin: Option<Arc<str>>,
    clock: Arc<dyn Clock>,
}

/// Only this many bytes of a user agent are matched against the list of bots, which bounds the cost.
const USER_AGENT_BYTES_MAX: usize = 1024;

impl ReadySite {
    /// All routes, the most specific first.
    pub fn routes(&self) -> &[Arc<ReadyRoute>] {
        &self.routes
    }

    /// The service that answers a request's path, and what follows the service's prefix there.
    pub fn service_of<'s, 'p>(&'s self, path: &'p str) -> Option<(&'s Mounted, &'p str)> {
        self.services.of_path(path)
    }

    /// The prefix of every page's path, without a slash at its end; empty for none.
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// The site's clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The site's redirects, rewrites and header fields.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The origin of the site's absolute URLs, without a slash at its end.
    pub(crate) fn origin(&self) -> Option<&Arc<str>> {
        self.origin.as_ref()
    }

    /// Whether canonical paths end in `/`.
    pub fn trailing_slash(&self) -> bool {
        self.trailing_slash
    }

    /// How the site's pages are spelt in URLs under a build.
    pub fn urls(&self, build: &Arc<str>) -> Urls {
        Urls { base_path: self.base_path.clone(), trailing_slash: self.trailing_slash, build: build.clone() }
    }

    /// The rules that map a webhook's payload to pages.
    pub fn webhooks(&self) -> &Rules {
        &self.webhooks
    }

    /// The pages that decoded segments and a raw query may mean, the most specific route's first.
    pub fn candidates<'a>(
        &'a self,
        segments: &'a [Cow<'_, str>],
        query: Option<&'a str>,
    ) -> impl Iterator<Item = Resolved> + 'a {
        self.routes.iter().filter_map(move |route| {
            let params = route.pattern.matches(segments)?;
            Some(route.resolve(params, route.declared_query(query)?))
        })
    }

    /// The page with this key, if this build has the key's route and allows its query values.
    pub fn page_of_key(&self, text: &str) -> Option<Resolved> {
        self.routes.iter().find_map(|route| {
            let (params, query) = route.pattern.parse_key(text)?;
            let is_allowed = |(name, value): &(String, String)| {
                route.options.query.iter().any(|q| q.name == *name && q.allows(value))
            };
            let page = query.iter().all(is_allowed).then(|| route.resolve(params, query.clone()))?;
            (page.key.as_str() == text).then_some(page)
        })
    }

    /// Whether a user agent belongs to a bot that gets the page where a person gets the route's shell.
    pub fn is_bot(&self, user_agent: &[u8]) -> bool {
        let prefix = &user_agent[..user_agent.len().min(USER_AGENT_BYTES_MAX)];
        let prefix = prefix.to_ascii_lowercase();
        self.bots.iter().any(|bot| match bot.strip_prefix('^') {
            Some(beginning) => prefix.starts_with(beginning.as_bytes()),
            None => memmem::find(&prefix, bot.as_bytes()).is_some(),
        })
    }

    /// The 404 page's HTML.
    ///
    /// # Errors
    /// The message of the page's panic; the caller answers 500.
    pub fn not_found_html(&self, path: &str) -> Result<String, String> {
        let cx = ErrorContext { status: 404, path, base_path: &self.base_path, error: None };
        guarded(|| (self.not_found)(&cx))
    }

    /// A draft's document with the banner at the end of its body.
    ///
    /// # Errors
    /// The message of the banner's panic.
    pub(crate) fn with_draft_banner(&self, page: &PageKey, mut html: String) -> Result<String, String> {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("path", page.path()).finish();
        let exit_url = format!("{}{CLOSE_DRAFT}?{query}", self.base_path);
        let cx = DraftContext { path: page.path(), exit_url: &exit_url };
        let banner = guarded(|| (self.draft_banner)(&cx))?;
        let end = html.rfind("</body>").or_else(|| html.rfind("</html>")).unwrap_or(html.len());
        html.insert_str(end, &banner);
        Ok(html)
    }

    /// The 5xx page's HTML; a plain page if the site's own panics.
    pub fn error_html(&self, status: u16, path: &str, error: Option<&str>) -> String {
        let cx = ErrorContext { status, path, base_path: &self.base_path, error };
        guarded(|| (self.error)(&cx)).unwrap_or_else(|_| plain_error_page(&cx))
    }
}

fn plain_draft_banner(cx: &DraftContext<'_>) -> String {
    format!(
        "<div role=\"status\" style=\"position:fixed;z-index:2147483647;right:1rem;bottom:1rem;padding:.5rem .75rem;\
         border-radius:.5rem;background:#1b1b1b;color:#fff;font:1rem/1.4 system-ui,sans-serif\">Draft: not what visitors \
         see. <a href=\"{}\" style=\"color:#fff\">Leave</a></div>",
        escape(cx.exit_url)
    )
}

fn plain_error_page(cx: &ErrorContext<'_>) -> String {
    let title =
        if cx.status == 404 { "This page could not be found." } else { "This page could not be made." };
    let detail = cx.error.map_or_else(String::new, |error| format!("<pre>{}</pre>", escape(error)));
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{status}</title><h1>{status}</h1><p>{title}</p>{detail}</html>",
        status = cx.status
    )
}

/// Text as a JSON string with quotes.
///
/// ```
/// assert_eq!(perennial::json_string("a \"b\""), r#""a \"b\"""#);
/// ```
pub fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Escapes text for HTML content and quoted attributes.
///
/// ```
/// assert_eq!(perennial::escape("<a href=\"x\">"), "&lt;a href=&quot;x&quot;&gt;");
/// ```
pub fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::encode::decode_path;
    use crate::site::page::{Context, Failure, Outcome, Page};
    use crate::site::resource::{Blob, Resource};
    use crate::site::route::Query;

    struct Text;

    impl Page for Text {
        type Props = String;
        async fn props(&self, cx: &Context) -> Result<Outcome<String>, Failure> {
            Ok(Outcome::page(cx.path().to_owned()))
        }
        fn render(&self, props: &String, _: &Context) -> Result<String, Failure> {
            Ok(props.clone())
        }
    }

    fn site(patterns: &[&str]) -> Result<ReadySite, SiteError> {
        patterns.iter().fold(Site::new(), |site, p| site.route(Route::new(*p, Text))).ready(None, None)
    }

    #[test]
    fn the_most_specific_route_comes_first() {
        let site = site(&["/mix/{*all}", "/mix/{slug}", "/mix/new", "/{*rest}"]).unwrap();
        let ids = |path: &str| {
            let segments = decode_path(path).unwrap();
            site.candidates(&segments, None).map(|p| p.route.id().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(ids("/mix/new"), ["/mix/new", "/mix/{slug}", "/mix/{*all}", "/{*rest}"]);
        assert_eq!(ids("/mix/a/b"), ["/mix/{*all}", "/{*rest}"]);
        assert_eq!(ids("/"), [""; 0]);
    }

    #[test]
    fn the_longer_literal_beside_a_parameter_is_the_more_specific() {
        let patterns =
            ["/{*rest}", "/{slug}", "/{slug}.xml", "/post-{id}", "/post-{id}.xml", "/post-1.xml", "/p{x}"];
        let site = site(&patterns).unwrap();
        let segments = decode_path("/post-1.xml").unwrap();
        let ids: Vec<_> = site.candidates(&segments, None).map(|p| p.route.id().to_owned()).collect();
        assert_eq!(
            ids,
            ["/post-1.xml", "/post-{id}.xml", "/post-{id}", "/{slug}.xml", "/p{x}", "/{slug}", "/{*rest}"]
        );
    }

    #[test]
    fn a_route_that_nobody_could_reach_is_refused_with_the_cure() {
        for (pattern, cure) in [
            ("/blog/:slug", "write `/blog/{slug}`"),
            ("/*", "write `/{*rest}`"),
            ("/blog/{slug?}", "a second route"),
            ("/{a}/{a}", "give each its own name"),
            ("/{}", "needs a name"),
            ("/v{major}.{minor}", "a segment of its own"),
            ("/api/revalidate", "`/api/revalidate` and all paths below it"),
            ("/api/revalidate/{id}", "another path"),
            ("/api/publish", "another path"),
            ("/api/publish/x", "another path"),
            ("/api/draft", "never reached"),
            ("/api/draft/clear", "never reached"),
            ("/_perennial/metrics", "kept for Perennial"),
        ] {
            let error = site(&[pattern]).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(pattern) && error.contains(cure), "{error}");
        }
        for pattern in ["/api/{x}", "/api/revalidated", "/api/drafts", "/{*rest}", "/api/published/x"] {
            assert!(site(&[pattern]).is_ok(), "{pattern}");
        }
        let Err(error) = site(&["/post-{id}", "/{slug}.html"]) else { panic!("accepted") };
        assert!(error.to_string().contains("such as `/post-a.html`"), "{error}");
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let Err(error) = site(&["/a/{x}", "/a/{y}", "b"]) else { panic!("accepted") };
        let text = error.to_string();
        assert!(
            text.contains("/a/{x} and /a/{y} match the same paths") && text.contains("`b` must begin"),
            "{text}"
        );
        assert!(Site::new().ready(Some("/docs/"), None).is_err());
        assert!(Site::new().ready(Some("docs"), None).is_err());
        for bad in ["/", "//", "/é", "/a b", "/a;b", "/{x}", "/a/../b", "/_perennial"] {
            assert!(Site::new().ready(Some(bad), None).is_err(), "{bad}");
        }
        for bad in ["", "größe", "a b", "a&b", "a=b", "a[]", "%61"] {
            let route = Route::new("/", Text).query(Query::int(bad, 1..=2)).max_concurrent_renders(0);
            let error = Site::new().route(route).ready(None, None).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(bad) && error.contains("0 pages at once"), "{error}");
        }
    }

    #[test]
    fn a_key_with_a_value_that_is_not_allowed_names_no_page() {
        let site = site(&["/vary/{slug}"]).unwrap();
        assert!(site.page_of_key("/vary/{slug}|x").is_some());
        assert!(site.page_of_key("/vary/{slug}|x?page=2").is_none());
        assert!(site.page_of_key("/gone/{slug}|x").is_none());
        assert!(site.page_of_key("/vary/{slug}|%61").is_none(), "not canonical");
    }

    #[test]
    fn a_resource_with_a_shell_is_refused() {
        struct Feed;
        impl Resource for Feed {
            async fn blob(&self, _: &Context) -> Result<Outcome<Blob>, Failure> {
                Ok(Outcome::page(Blob::text("x")))
            }
        }
        let with = |fallback| {
            let site = Site::new().route(Route::resource("/{x}.xml", Feed).fallback(fallback));
            site.ready(None, None).map(|_| ()).map_err(|error| error.to_string())
        };
        assert!(with(Fallback::Shell).unwrap_err().contains("/{x}.xml has bytes"));
        assert_eq!((with(Fallback::Blocking), with(Fallback::NotFound)), (Ok(()), Ok(())));
    }

    #[test]
    fn bots_are_matched_over_bounded_text() {
        let site = site(&[]).unwrap();
        assert!(site.is_bot(b"Mozilla/5.0 (compatible; GOOGLEBOT/2.1)"));
        for person in ["curl/8", "Mozilla/5.0 Chrome/120", "GPTBot/1.0", "", "(.*)+$"] {
            assert!(!site.is_bot(person.as_bytes()), "{person}");
        }
        let mut long = vec![b'a'; USER_AGENT_BYTES_MAX];
        long.extend_from_slice(b"googlebot");
        assert!(!site.is_bot(&long));
    }

    #[test]
    fn a_bots_name_is_a_part_or_a_beginning_and_never_nothing() {
        let site = Site::new().bots(["", "^", "Example-Bot", "^Fetch/"]).ready(None, None).unwrap();
        for bot in ["Mozilla/5.0 (example-bot/1)", "fetch/2 (a person's click)"] {
            assert!(site.is_bot(bot.as_bytes()), "{bot}");
        }
        for other in ["", "Mozilla/5.0 fetch/2", "^fetch/2", "example bot"] {
            assert!(!site.is_bot(other.as_bytes()), "{other}");
        }
    }
}
