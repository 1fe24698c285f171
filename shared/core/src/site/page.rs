//! The author's interface: a [`Page`], and the [`Outcome`] of fetching its properties.

use std::borrow::Cow;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::key::params::{Param, Params};
use crate::record::reason::Reason;

/// One kind of page: how its properties are fetched, and how they become HTML.
///
/// `props` corresponds to Next.js's `getStaticProps`, `paths` to `getStaticPaths`, and `render` to the component
/// (<https://nextjs.org/docs/pages/building-your-application/data-fetching>). A page's HTML and its data JSON are made
/// of one `Props` value, so they cannot disagree.
///
/// A page must be the same for every visitor. It therefore gets its parameters, its declared query parameters and the
/// reason of the render, and nothing else of the request.
///
/// ```
/// use perennial::{Context, Failure, Outcome, Page, Params, escape};
///
/// struct Product;
///
/// impl Page for Product {
///     type Props = String;
///
///     async fn paths(&self) -> Result<Vec<Params>, Failure> {
///         Ok(["chair", "table"].map(|id| Params::new().with("id", id)).into())
///     }
///
///     async fn props(&self, cx: &Context) -> Result<Outcome<String>, Failure> {
///         match cx.param("id") {
///             "chair" | "table" => Ok(Outcome::page(cx.param("id").to_owned()).revalidate(60)),
///             _ => Ok(Outcome::not_found()),
///         }
///     }
///
///     fn render(&self, name: &String, _: &Context) -> Result<String, Failure> {
///         Ok(format!("<!doctype html><title>{0}</title><h1>{0}</h1>", escape(name)))
///     }
/// }
/// # perennial::Site::new().route(perennial::Route::new("/products/{id}", Product)).ready(None, None).unwrap();
/// ```
pub trait Page: Send + Sync + 'static {
    /// The page's data. Its JSON is served at the page's data URL as `{"props": …}`.
    type Props: Serialize + Send + 'static;

    /// The paths that `build` renders. A route with [`Fallback::NotFound`](crate::site::route::Fallback) serves no
    /// other paths. An error or a panic fails the build; a running server keeps its last list and asks again later.
    fn paths(&self) -> impl Future<Output = Result<Vec<Params>, Failure>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Fetches the page's data. An error, a panic or a time-out fails the render: the stored page stays.
    fn props(&self, cx: &Context) -> impl Future<Output = Result<Outcome<Self::Props>, Failure>> + Send;

    /// Turns the data into a complete HTML document. Runs on a thread for blocking work, so it may be slow.
    fn render(&self, props: &Self::Props, cx: &Context) -> Result<String, Failure>;

    /// The HTML that a person gets for a page that was never generated, on a route with
    /// [`Fallback::Shell`](crate::site::route::Fallback). It is called once, at the start. [`SHELL_DATA_URL`] in the
    /// HTML becomes the page's data URL; a request to that URL generates the page. The default shell sends that
    /// request, retries it a few times, and then reloads the page, or shows an error with a button.
    fn shell(&self) -> String {
        DEFAULT_SHELL.to_owned()
    }
}

/// A placeholder in a shell for the URL of the page's data JSON. A request to that URL generates the page.
pub const SHELL_DATA_URL: &str = "%PERENNIAL_DATA_URL%";

/// The default shell. Its script reloads the page only after a good answer, and at most twice in a row.
const DEFAULT_SHELL: &str = include_str!("page/shell.html");

/// The input of a render.
///
/// ```
/// use perennial::{Context, Failure, Outcome};
///
/// /// `/docs/{lang}/{*path}?page=2`
/// async fn props(cx: &Context) -> Result<Outcome<String>, Failure> {
///     let (lang, path) = (cx.param("lang"), cx.rest("path").join("/"));
///     let page = cx.query("page").unwrap_or("1");
///     Ok(Outcome::page(format!("{lang}: {path}, page {page}")))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) path: Arc<str>,
    pub(crate) pattern: Arc<str>,
    pub(crate) params: Params,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) reason: Reason,
    pub(crate) build: Arc<str>,
    pub(crate) base_path: Arc<str>,
    pub(crate) origin: Option<Arc<str>>,
    pub(crate) generation: u64,
    pub(crate) draft: bool,
}

impl Context {
    /// The page's decoded path, without base path: `/blog/café`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The pattern of the page's route: `/blog/{slug}`.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The decoded value of a `{name}` segment.
    ///
    /// # Panics
    /// If the route has no such parameter. The render then fails with the panic's message.
    pub fn param(&self, name: &str) -> &str {
        match self.params.get(name) {
            Some(Param::One(value)) => value,
            Some(Param::Rest(_)) => {
                panic!("`{name}` of route {} is a catch-all: read it with `rest`", self.pattern)
            }
            None => panic!("route {} has no parameter `{name}`", self.pattern),
        }
    }

    /// The decoded segments that a `{*name}` matched, at least one.
    ///
    /// # Panics
    /// If the route has no such catch-all. The render then fails with the panic's message.
    pub fn rest(&self, name: &str) -> &[String] {
        match self.params.get(name) {
            Some(Param::Rest(segments)) => segments,
            _ => panic!("route {} has no catch-all `{name}`", self.pattern),
        }
    }

    /// All parameters, in the pattern's order.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// An absolute URL of this site, for feeds, sitemaps and canonical links: the site's origin and base path before a path
    /// that begins with `/`. The path is taken as it is: percent-encode it.
    ///
    /// # Errors
    /// The site has no origin, neither by [`Site::origin`](crate::site::Site::origin) nor by `PERENNIAL_ORIGIN`.
    pub fn url(&self, path: &str) -> Result<String, Failure> {
        match &self.origin {
            Some(origin) => Ok(format!("{origin}{}{path}", self.base_path)),
            None => Err(Failure::new(
                "the site has no origin for absolute URLs: set PERENNIAL_ORIGIN, or call `Site::origin`",
            )),
        }
    }

    /// The value of a declared query parameter, if the request has one with an allowed value.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All declared query parameters of the request, sorted by name.
    pub fn queries(&self) -> &[(String, String)] {
        &self.query
    }

    /// Why the page is rendered.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The id of the build that renders.
    pub fn build(&self) -> &str {
        &self.build
    }

    /// The prefix of internal links: empty, or like `/docs`.
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// Whether an editor asks for the page as a draft: fetch unpublished data, and mark the page as a draft. Drafts are
    /// not stored.
    pub fn is_draft(&self) -> bool {
        self.draft
    }

    /// The generation that the page will have if this render is stored. It only grows; 0 if nothing is stored.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// The result of [`Page::props`].
///
/// ```
/// use std::time::Duration;
///
/// use perennial::{Outcome, Redirect};
///
/// let fresh_for_a_minute = Outcome::page("text").revalidate(60).tag("posts").header("x-robots-tag", "noindex");
/// let until_it_is_published = Outcome::page("text").tags(["posts", "post:7"]);
/// let gone: Outcome<&str> = Outcome::not_found().revalidate(300);
/// let moved: Outcome<&str> = Outcome::redirect(Redirect::permanent("/blog/new-name"));
/// let upstream_is_busy: Outcome<&str> = Outcome::keep_stale(Some(Duration::from_secs(120)));
/// ```
#[derive(Debug)]
pub struct Outcome<P> {
    pub(crate) kind: Kind<P>,
    pub(crate) meta: Meta,
}

#[derive(Debug)]
pub(crate) enum Kind<P> {
    Page(P),
    NotFound,
    Redirect(Redirect),
    KeepStale { retry_after: Option<Duration> },
}

/// The freshness, tags and header fields of an outcome, as the page gave them.
#[derive(Debug, Default)]
pub(crate) struct Meta {
    pub(crate) revalidate: Revalidate,
    pub(crate) tags: Vec<String>,
    pub(crate) expires_at: Option<SystemTime>,
    pub(crate) headers: Vec<(String, String)>,
}

impl<P> Outcome<P> {
    fn new(kind: Kind<P>) -> Self {
        Self { kind, meta: Meta::default() }
    }

    /// A page with these properties, or a resource with this [`Blob`](crate::site::resource::Blob).
    pub fn page(props: P) -> Self {
        Self::new(Kind::Page(props))
    }

    /// There is no such page: visitors get the site's 404 page, which is stored like any page.
    pub fn not_found() -> Self {
        Self::new(Kind::NotFound)
    }

    /// A redirect, which is stored like any page.
    pub fn redirect(to: Redirect) -> Self {
        Self::new(Kind::Redirect(to))
    }

    /// Keeps the stored page: the render counts as failed, and the next one starts after `retry_after`, or after the
    /// usual back-off.
    pub fn keep_stale(retry_after: Option<Duration>) -> Self {
        Self::new(Kind::KeepStale { retry_after })
    }

    /// Sets the seconds for which the page is fresh, from the render's start. Without this, the page is fresh until it
    /// is invalidated. [`Revalidate`] lists the accepted values.
    pub fn revalidate(mut self, period: impl Into<Revalidate>) -> Self {
        self.meta.revalidate = period.into();
        self
    }

    /// Adds a tag, by which the page can be invalidated: any text but the empty one, compared byte for byte.
    ///
    /// A page may have any number of tags. A page with more than `PERENNIAL_MAX_TAGS` tags, or with one longer than
    /// `PERENNIAL_MAX_TAG_BYTES`, is invalidated by every published tag. A page with more than 47 tags is purged from
    /// CloudFront by every published tag.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.meta.tags.push(tag.into());
        self
    }

    /// Adds several tags; see [`Outcome::tag`].
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.meta.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Adds the tags in the header fields of an upstream's answer; see [`tags_of`](crate::key::tags::tags_of).
    pub fn tags_from(self, headers: &http::HeaderMap) -> Self {
        self.tags(crate::key::tags::tags_of(headers))
    }

    /// Sets the instant from which the page is stale, whatever its period: for scheduled publishing.
    pub fn expires_at(mut self, instant: SystemTime) -> Self {
        self.meta.expires_at = Some(instant);
        self
    }

    /// Adds a response header field, which is stored with the page, 404 or redirect and sent in all its answers. Values
    /// of one name keep their order. A value is visible ASCII, with white space only inside (RFC 9110 section 5.5).
    ///
    /// The render fails if a field is Perennial's to set, is meant for one visitor or connection, or gives caches or
    /// proxies other instructions than Perennial does. It also fails beyond `PERENNIAL_MAX_PAGE_HEADERS` fields or
    /// `PERENNIAL_MAX_PAGE_HEADER_BYTES`.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.meta.headers.push((name.into(), value.into()));
        self
    }
}

/// A redirect to a path that begins with `/`, or to an http or https URL.
///
/// ```
/// use perennial::Redirect;
///
/// let inside_the_base_path = Redirect::temporary("/login");
/// let elsewhere = Redirect::permanent("https://example.com/");
/// let as_written = Redirect::with_status("/other-app", 303).without_base_path();
/// ```
#[derive(Clone, Debug)]
pub struct Redirect {
    pub(crate) destination: String,
    pub(crate) status: u16,
    pub(crate) base_path: bool,
}

impl Redirect {
    /// A temporary redirect: 307.
    pub fn temporary(destination: impl Into<String>) -> Self {
        Self::with_status(destination, 307)
    }

    /// A permanent redirect: 308.
    pub fn permanent(destination: impl Into<String>) -> Self {
        Self::with_status(destination, 308)
    }

    /// A redirect with status 301, 302, 303, 307 or 308; any other status fails the render.
    pub fn with_status(destination: impl Into<String>, status: u16) -> Self {
        Self { destination: destination.into(), status, base_path: true }
    }

    /// Where it leads.
    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// Its status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether an internal destination gets the site's base path.
    pub fn has_base_path(&self) -> bool {
        self.base_path
    }

    /// Leaves an internal destination without the site's base path, which is its prefix by default.
    pub fn without_base_path(mut self) -> Self {
        self.base_path = false;
        self
    }
}

/// The period for which a render is fresh, with the values of Next.js's `revalidate`: a whole number of seconds from 1
/// on, `true` (1 second) or `false` (until invalidated). Any other value fails the render.
///
/// ```
/// use perennial::Revalidate;
///
/// assert_eq!(Revalidate::from(60), Revalidate::Seconds(60));
/// assert_eq!(Revalidate::from(true), Revalidate::Seconds(1));
/// assert_eq!(Revalidate::from(false), Revalidate::Never);
/// assert!(matches!(Revalidate::from(0), Revalidate::Invalid(_)));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Revalidate {
    /// Fresh until it is invalidated.
    #[default]
    Never,
    /// Fresh for this many seconds from the render's start.
    Seconds(u32),
    /// No period; the text is the value and the mistake.
    Invalid(Cow<'static, str>),
}

impl From<bool> for Revalidate {
    fn from(yes: bool) -> Self {
        if yes { Self::Seconds(1) } else { Self::Never }
    }
}

impl From<u64> for Revalidate {
    fn from(seconds: u64) -> Self {
        match u32::try_from(seconds) {
            Ok(0) => {
                Self::Invalid("0: a page that is always old is a dynamic route, or `revalidate(1)`".into())
            }
            Ok(n) => Self::Seconds(n),
            Err(_) => Self::Invalid(format!("{seconds}: more than {} seconds", u32::MAX).into()),
        }
    }
}

impl From<u32> for Revalidate {
    fn from(seconds: u32) -> Self {
        u64::from(seconds).into()
    }
}

impl From<i32> for Revalidate {
    fn from(seconds: i32) -> Self {
        match u64::try_from(seconds) {
            Ok(n) => n.into(),
            Err(_) => Self::Invalid(format!("{seconds}: negative").into()),
        }
    }
}

impl From<Duration> for Revalidate {
    fn from(period: Duration) -> Self {
        if period.subsec_nanos() == 0 {
            period.as_secs().into()
        } else {
            Self::Invalid(format!("{period:?}: not whole seconds").into())
        }
    }
}

impl From<&serde_json::Value> for Revalidate {
    /// Takes a JSON number or boolean; any other value is invalid.
    fn from(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Bool(yes) => (*yes).into(),
            serde_json::Value::Number(n) => match n.as_u64() {
                Some(seconds) => seconds.into(),
                None => Self::Invalid(format!("{n}: not a whole number of seconds of at least 1").into()),
            },
            other => Self::Invalid(format!("{other}: not a number").into()),
        }
    }
}

/// The failure of a render. The operator `?` makes it of any error that may go from thread to thread: one of the standard
/// library or of a crate, a boxed one, an `anyhow::Error`, a text.
///
/// ```
/// use std::error::Error;
/// use std::time::Duration;
///
/// use perennial::Failure;
///
/// fn price(text: &str) -> Result<u32, Failure> {
///     Ok(text.parse()?)
/// }
///
/// fn boxed(error: Box<dyn Error + Send + Sync>) -> Result<(), Failure> {
///     Err(error)?
/// }
///
/// assert_eq!(price("?").unwrap_err().message(), "invalid digit found in string");
/// assert_eq!(boxed("no price".into()).unwrap_err().message(), "no price");
/// let busy = Failure::new("the shop answered 429").retry_after(Duration::from_secs(30));
/// assert_eq!(busy.message(), "the shop answered 429");
/// ```
#[derive(Debug)]
pub struct Failure {
    pub(crate) message: String,
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    /// A failure with this message. The log and `perennial pages` show the message; visitors never see it.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry_after: None }
    }

    /// Sets the pause before the next render, as an upstream asks for it (`Retry-After`), instead of the usual
    /// back-off.
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Self::new(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_period_is_a_whole_number_of_seconds_or_a_boolean() {
        assert_eq!(Revalidate::from(&json!(31_536_001)), Revalidate::Seconds(31_536_001));
        assert_eq!(Revalidate::from(&json!(true)), Revalidate::Seconds(1));
        assert_eq!(Revalidate::from(&json!(false)), Revalidate::Never);
        for bad in [json!(0), json!(-1), json!(1.5), json!("5"), json!(null), json!([]), json!(1e300)] {
            assert!(matches!(Revalidate::from(&bad), Revalidate::Invalid(_)), "{bad}");
        }
        assert!(matches!(Revalidate::from(Duration::from_millis(1500)), Revalidate::Invalid(_)));
        assert!(matches!(Revalidate::from(-1), Revalidate::Invalid(_)));
    }

    #[test]
    fn a_failure_names_every_cause() {
        let inner = std::io::Error::other("refused");
        let failure: Failure = std::io::Error::new(std::io::ErrorKind::NotConnected, inner).into();
        assert!(failure.message().contains("refused"));
    }

    #[test]
    fn a_failure_is_made_of_boxed_errors_and_texts_and_passes_on_itself() {
        type Boxed = Box<dyn std::error::Error + Send + Sync>;
        fn fail<T>(error: T) -> Result<(), Failure>
        where
            Failure: From<T>,
        {
            Err(error)?
        }
        let message = |result: Result<(), Failure>| result.unwrap_err().message().to_owned();
        assert_eq!(message(fail(Boxed::from("boxed"))), "boxed");
        assert_eq!(message(fail("text")), "text");
        assert_eq!(message(fail(format!("{}", 5))), "5");
        assert_eq!(message(fail(Failure::new("itself"))), "itself");
        assert_eq!(message(fail(std::fmt::Error)), std::fmt::Error.to_string());
    }
}
