//! Services mounted in a site: a `tower` service of HTTP, such as an axum router, answers everything below a prefix.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{Request, Response, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;

use crate::base::clock::{Clock, within};
use crate::base::panics::{guarded, guarded_async};
use crate::key::encode::has_one_spelling;
use crate::key::url::below;
use crate::site::addresses::is_own;

/// Any error.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A body of any type, with data in [`Bytes`] and any error.
type AnyBody = UnsyncBoxBody<Bytes, BoxError>;

/// The body of a request for a mounted service: complete, or read as it arrives.
#[derive(Debug, Default)]
pub struct RequestBody(AnyBody);

impl RequestBody {
    /// A body that is read as it arrives.
    pub fn new<B>(body: B) -> Self
    where
        B: HttpBody<Data: Buf, Error: Into<BoxError>> + Send + 'static,
    {
        Self(in_bytes(body))
    }
}

impl From<Bytes> for RequestBody {
    fn from(bytes: Bytes) -> Self {
        Self::new(Full::new(bytes))
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

fn in_bytes<B: HttpBody<Data: Buf, Error: Into<BoxError>> + Send + 'static>(body: B) -> AnyBody {
    UnsyncBoxBody::new(InBytes(Box::pin(body)))
}

/// A body that passes its data on in [`Bytes`]. Unlike `map_frame` of `http-body-util`, it knows its length.
struct InBytes<B>(Pin<Box<B>>);

impl<B: HttpBody<Data: Buf, Error: Into<BoxError>>> HttpBody for InBytes<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let in_bytes =
            |frame: Frame<B::Data>| frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
        self.0.as_mut().poll_frame(cx).map(|frame| frame.map(|f| f.map(in_bytes).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// The body of a service's answer. A panic of the service's own body is an error of this one.
pub struct AnswerBody(AnyBody);

impl AnswerBody {
    pub(crate) fn new<B: HttpBody<Data: Buf, Error: Into<BoxError>> + Send + 'static>(body: B) -> Self {
        Self(in_bytes(body))
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        guarded(|| Pin::new(&mut self.0).poll_frame(cx))
            .unwrap_or_else(|panic| Poll::Ready(Some(Err(panic.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// The URI as the visitor sent it, with the base path and the service's prefix. A service finds it in the extensions of
/// its request, whose own URI is without the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalUri(pub Uri);

/// Why a service has given no answer.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The service panicked; with the panic's message.
    #[error("{0}")]
    Panicked(String),
    /// The service has an error instead of an answer.
    #[error("{0}")]
    Failed(BoxError),
    /// The answer had not begun when its time was over.
    #[error("its answer had not begun after {0:?} (PERENNIAL_MAX_WAIT_MS)")]
    TooSlow(Duration),
}

pub(crate) type Answered = Pin<Box<dyn Future<Output = Result<Response<AnswerBody>, BoxError>> + Send>>;

/// A service and the paths that it answers.
pub struct Mounted {
    prefix: String,
    /// The base path and the prefix.
    path: String,
    call: Box<dyn Fn(Request<RequestBody>) -> Answered + Send + Sync>,
}

impl Mounted {
    pub(crate) fn new(
        prefix: String,
        call: impl Fn(Request<RequestBody>) -> Answered + Send + Sync + 'static,
    ) -> Self {
        Self { prefix, path: String::new(), call: Box::new(call) }
    }

    /// The prefix, as the site names it.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Has the service answer a request. Waits for the beginning of the answer, at most for `limit`.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn call(
        &self,
        request: Request<RequestBody>,
        clock: &dyn Clock,
        limit: Duration,
    ) -> Result<Response<AnswerBody>, ServiceError> {
        // Inside of the guard, because a `clone` may panic, too.
        let answered = guarded_async(async { (self.call)(request).await });
        match within(clock, limit, answered).await {
            None => Err(ServiceError::TooSlow(limit)),
            Some(Err(panic)) => Err(ServiceError::Panicked(panic)),
            Some(Ok(answer)) => answer.map_err(ServiceError::Failed),
        }
    }

    /// What follows the prefix in a path, if the service answers the path: empty, or from a slash on.
    fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = below(&self.path, path)?;
        (!is_own(&path[self.path.len() - self.prefix.len()..])).then_some(rest)
    }
}

/// The services of a site that is ready: those with the longest prefix come first.
#[derive(Default)]
pub(crate) struct Services(Vec<Mounted>);

impl Services {
    /// Checks services against each other and against the patterns of routes; adds the mistakes to `errors`.
    pub(crate) fn ready<'a>(
        mut mounted: Vec<Mounted>,
        base_path: &str,
        routes: impl Iterator<Item = &'a str> + Clone,
        errors: &mut Vec<String>,
    ) -> Self {
        mounted.sort_by_key(|service| std::cmp::Reverse(service.prefix.len()));
        for service in &mut mounted {
            service.path = format!("{base_path}{}", service.prefix);
        }
        for (at, service) in mounted.iter().enumerate() {
            let prefix = &service.prefix;
            if let Some(mistake) = mistake(prefix) {
                errors.push(mistake);
                continue;
            }
            if mounted[..at].iter().any(|other| other.prefix == *prefix) {
                errors.push(format!(
                    "two services have the prefix `{prefix}`: put both into one, or give one another prefix"
                ));
            }
            let is_below = |route: &&str| below(prefix, route).is_some();
            errors.extend(routes.clone().filter(is_below).map(|route| {
                format!(
                    "nobody would reach route {route}: service `{prefix}` answers every path below its prefix"
                )
            }));
        }
        Self(mounted)
    }

    /// The service that answers a path, and what follows its prefix there.
    pub(crate) fn of_path<'s, 'p>(&'s self, path: &'p str) -> Option<(&'s Mounted, &'p str)> {
        self.0.iter().find_map(|service| Some((service, service.rest(path)?)))
    }
}

/// What is wrong with a prefix.
fn mistake(prefix: &str) -> Option<String> {
    let is_segment = |segment: &str| !matches!(segment, "" | "." | "..") && has_one_spelling(segment);
    let segments = prefix.strip_prefix('/').unwrap_or_default();
    if prefix == "/" {
        Some("a service at `/` would leave no path to the site's pages: mount the site in your router with `perennial::service` instead".to_owned())
    } else if !segments.split('/').all(is_segment) {
        Some(format!(
            "service `{}`: a prefix looks like `/api`, and the service answers all paths below it: write segments of \
             letters, digits, `-`, `.`, `_` and `~`, without a slash or a parameter at the end",
            prefix.escape_debug()
        ))
    } else if is_own(prefix) {
        Some(format!("service `{prefix}`: Perennial itself answers there; give the service another prefix"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(prefixes: &[&str], base: &str, routes: &[&str]) -> Result<Services, Vec<String>> {
        let mounted = prefixes.iter().map(|prefix| {
            let call = |_| -> Answered { Box::pin(async { Err("nobody asks".into()) }) };
            Mounted::new((*prefix).to_owned(), call)
        });
        let mut errors = Vec::new();
        let services = Services::ready(mounted.collect(), base, routes.iter().copied(), &mut errors);
        if errors.is_empty() { Ok(services) } else { Err(errors) }
    }

    #[test]
    fn a_service_answers_its_prefix_and_all_below_but_what_is_perennials_own() {
        let found = |base, path| -> Option<(String, String)> {
            let services = services(&["/api", "/api/v2", "/auth"], base, &["/{*rest}"]).unwrap();
            services.of_path(path).map(|(service, rest)| (service.prefix().to_owned(), rest.to_owned()))
        };
        for (base, path, prefix, rest) in [
            ("", "/api", "/api", ""),
            ("", "/api/", "/api", "/"),
            ("", "/api/a//b/", "/api", "/a//b/"),
            ("", "/api/v2/x", "/api/v2", "/x"),
            ("", "/api/v20", "/api", "/v20"),
            ("", "/auth/%2e", "/auth", "/%2e"),
            ("", "/api/revalidated", "/api", "/revalidated"),
            ("/docs", "/docs/api/x", "/api", "/x"),
        ] {
            assert_eq!(found(base, path), Some((prefix.to_owned(), rest.to_owned())), "{base}, {path}");
        }
        for (base, path) in [
            ("", "/"),
            ("", "/apis"),
            ("", "/API/x"),
            ("", "//api/x"),
            ("", "/api/revalidate"),
            ("", "/api/revalidate/7"),
            ("", "/api/draft/clear"),
            ("", "/api/publish/"),
            ("/docs", "/api/x"),
            ("/docs", "/docs/api/revalidate"),
        ] {
            assert_eq!(found(base, path), None, "{base}, {path}");
        }
    }

    #[test]
    fn a_service_that_cannot_be_reached_or_hides_something_is_refused_by_name() {
        for (prefixes, routes, words) in [
            (&["api"][..], &[][..], "service `api`: a prefix looks like `/api`"),
            (&["/api/"], &[], "service `/api/`"),
            (&["/api/{*rest}"], &[], "without a slash or a parameter"),
            (&["/a b"], &[], "service `/a b`"),
            (&["/a/../b"], &[], "service `/a/../b`"),
            (&[""], &[], "service ``"),
            (&["/"], &[], "mount the site in your router with `perennial::service`"),
            (&["/_perennial"], &[], "service `/_perennial`: Perennial itself answers"),
            (&["/_perennial/x"], &[], "Perennial itself answers"),
            (&["/api/revalidate"], &[], "service `/api/revalidate`: Perennial itself"),
            (&["/api/publish/x"], &[], "Perennial itself"),
            (&["/api/draft"], &[], "Perennial itself"),
            (&["/api", "/api"], &[], "two services have the prefix `/api`"),
            (&["/api"], &["/api"], "reach route /api: service `/api`"),
            (&["/api"], &["/api/{id}", "/x"], "reach route /api/{id}"),
        ] {
            let errors = services(prefixes, "", routes).err().unwrap_or_default();
            assert!(errors.len() == 1 && errors[0].contains(words), "{prefixes:?}: {errors:?}");
        }
        for (prefixes, routes) in [
            (&["/api"][..], &["/{slug}", "/{*rest}", "/apis", "/x/api"][..]),
            (&["/api", "/api/v2"], &[]),
            (&["/_perennials"], &[]),
        ] {
            assert!(services(prefixes, "", routes).is_ok(), "{prefixes:?}");
        }
    }
}
