//! What a site author writes: a [`Page`], and the [`Outcome`] of fetching its properties.

use crate::key::params::Param;
use crate::record::reason::Reason;
use std::borrow::Cow;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::key::params::Params;

/// One kind of page: how its properties are fetched and how they become HTML.
///
/// `props` is getStaticProps, `paths` is getStaticPaths, `render` is the component
/// (<https://nextjs.org/docs/pages/building-your-application/data-fetching>). The HTML and the data JSON of
/// an answer are made from the same `Props` value, so they cannot disagree.
///
/// A page must not depend on who asks: it sees its parameters, its declared query parameters and the reason
/// it runs, and nothing else of the request.
pub trait Page: Send + Sync + 'static {
    /// The page's data. Its JSON is served at the page's data URL as `{"props": …}`.
    type Props: Serialize + Send + 'static;

    /// The paths that `build` renders, and all that a route with [`Fallback::NotFound`](crate::site::route::Fallback) serves. An error
    /// or a panic fails the build; a server keeps the list that it has, and asks again.
    fn paths(&self) -> impl Future<Output = Result<Vec<Params>, Failure>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Fetches the page's data. An error, a panic or a time-out is a failed render: visitors keep what they had.
    fn props(&self, cx: &Context) -> impl Future<Output = Result<Outcome<Self::Props>, Failure>> + Send;

    /// Turns the data into a whole HTML document. Runs on a thread where it may take its time.
    fn render(&self, props: &Self::Props, cx: &Context) -> Result<String, Failure>;

    /// What a person sees of a page nobody has generated yet, on a route with [`Fallback::Shell`](crate::site::route::Fallback).
    /// It is asked for once, at the start. [`SHELL_DATA_URL`] in it becomes the page's data URL. The default fetches that, which generates the page,
    /// and reloads once the answer is good. A failure is tried again a few times, then told, with a button.
    fn shell(&self) -> String {
        DEFAULT_SHELL.to_owned()
    }
}

/// In a shell, stands for the URL of the page's data JSON; asking for that URL generates the page.
pub const SHELL_DATA_URL: &str = "%PERENNIAL_DATA_URL%";

/// Its script reloads the page after a good answer alone, and a few times at most.
const DEFAULT_SHELL: &str = include_str!("page/shell.html");

/// What a render is told.
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) path: Arc<str>,
    pub(crate) pattern: Arc<str>,
    pub(crate) params: Params,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) reason: Reason,
    pub(crate) build: Arc<str>,
    pub(crate) base_path: Arc<str>,
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
    /// If the route has no such parameter; the render then fails with that message.
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
    /// If the route has no such catch-all; the render then fails with that message.
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

    /// The value of a declared query parameter, if the request had an allowed one.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All declared query parameters that were given, by name.
    pub fn queries(&self) -> &[(String, String)] {
        &self.query
    }

    /// Why the page is rendered.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The build that renders.
    pub fn build(&self) -> &str {
        &self.build
    }

    /// What to put before internal links: empty, or like `/docs`.
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// Whether an editor asked for the page as a draft: fetch what is not published yet, and show that it is a draft.
    /// Nothing of it is stored.
    pub fn is_draft(&self) -> bool {
        self.draft
    }

    /// The number this render will have if it is stored. It only grows; 0 where nothing is stored.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// The result of [`Page::props`].
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

/// How long an outcome lasts and what it is known by.
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

    /// A page with these properties.
    pub fn page(props: P) -> Self {
        Self::new(Kind::Page(props))
    }

    /// There is no such page: the site's 404 page, stored like any other.
    pub fn not_found() -> Self {
        Self::new(Kind::NotFound)
    }

    /// The page is elsewhere. See [`Redirect`].
    pub fn redirect(to: Redirect) -> Self {
        Self::new(Kind::Redirect(to))
    }

    /// Not now: what is stored stays, and the page is tried again after `retry_after` (or the usual back-off).
    pub fn keep_stale(retry_after: Option<Duration>) -> Self {
        Self::new(Kind::KeepStale { retry_after })
    }

    /// Seconds until the page is stale, counted from the render's start. Not given: never, until it is
    /// invalidated. See [`Revalidate`] for what is accepted.
    pub fn revalidate(mut self, period: impl Into<Revalidate>) -> Self {
        self.meta.revalidate = period.into();
        self
    }

    /// A name this page can be invalidated by: any text but the empty one, taken byte for byte. May be called several times.
    /// A page may have any number of tags. With more than `PERENNIAL_MAX_TAGS`, or one of more than
    /// `PERENNIAL_MAX_TAG_BYTES`, it is invalidated with whatever tag a publisher names; with more than 47, that goes for its
    /// copies in CloudFront.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.meta.tags.push(tag.into());
        self
    }

    /// Several names at once; see [`Outcome::tag`].
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.meta.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// The names that an upstream gave its answer: see [`tags_of`](crate::key::tags::tags_of).
    pub fn tags_from(self, headers: &http::HeaderMap) -> Self {
        self.tags(crate::key::tags::tags_of(headers))
    }

    /// From this instant on the page is stale, whatever its period (scheduled publishing).
    pub fn expires_at(mut self, instant: SystemTime) -> Self {
        self.meta.expires_at = Some(instant);
        self
    }

    /// A response header to store with the page, 404 or redirect. All its answers carry it; several of one name stay in
    /// order. The value is visible ASCII with white space inside alone (RFC 9110 section 5.5). Refused, which fails the
    /// render: what Perennial answers for, what is for one visitor or connection, and what tells caches or proxies
    /// something else than Perennial does; more than `PERENNIAL_MAX_PAGE_HEADERS` or `PERENNIAL_MAX_PAGE_HEADER_BYTES`.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.meta.headers.push((name.into(), value.into()));
        self
    }
}

/// Where a page has gone.
#[derive(Clone, Debug)]
pub struct Redirect {
    pub(crate) destination: String,
    pub(crate) status: u16,
    pub(crate) base_path: bool,
}

impl Redirect {
    /// 307: the page is there for now.
    pub fn temporary(destination: impl Into<String>) -> Self {
        Self::with_status(destination, 307)
    }

    /// 308: the page is there for good.
    pub fn permanent(destination: impl Into<String>) -> Self {
        Self::with_status(destination, 308)
    }

    /// One of 301, 302, 303, 307 and 308; anything else fails the render.
    pub fn with_status(destination: impl Into<String>, status: u16) -> Self {
        Self { destination: destination.into(), status, base_path: true }
    }

    /// Leaves an internal destination as it is instead of putting the site's base path before it.
    pub fn without_base_path(mut self) -> Self {
        self.base_path = false;
        self
    }
}

/// How long a render stays fresh: whole seconds of at least 1, `true` (1 second) or `false` (until invalidated),
/// as Next.js's `revalidate`. Anything else is kept as it was given, and fails the render with its text.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Revalidate {
    /// Until it is invalidated.
    #[default]
    Never,
    /// That many seconds from the render's start.
    Seconds(u32),
    /// Not a period; the text says what was given.
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
    /// Judges a value from outside: JSON numbers and booleans, all else is invalid.
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

/// Why a render failed. Made by `?` from any error.
#[derive(Debug)]
pub struct Failure {
    pub(crate) message: String,
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    /// A failure with this message. It reaches the log and `perennial pages`, never a visitor.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry_after: None }
    }

    /// The upstream said when to come back (HTTP `Retry-After`): wins over the usual back-off.
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// What went wrong.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
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
}
