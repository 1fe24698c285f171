//! Has the services of a site answer: with limits on the time and on the body, and with fields that keep caches from
//! storing an answer by accident.

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use perennial_core::base::clock::{Clock, Millis, Sleep};
use perennial_core::base::log_limits::{Line, LogLimits};
use perennial_core::engine::Engine;
use perennial_core::look::body::Body;
use perennial_core::ports::error::StoreError;
use perennial_core::ports::stores::Stores;
use perennial_core::site::service::{AnswerBody, BoxError, Mounted, OriginalUri, RequestBody, ServiceError};

use crate::reply::{self, NO_STORE, Reply};
use crate::request::{Target, too_large};

/// Fields of one connection (RFC 9110 section 7.6.1). A service that passes on what another server has answered may have
/// them from there, and they are not for the visitor.
const OF_A_CONNECTION: [HeaderName; 6] =
    [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, HeaderName::from_static("keep-alive")];

/// Asks the services of a site.
pub(crate) struct Services<S: Stores> {
    engine: Arc<Engine<S>>,
    /// Whether answers are sent whole, so that the whole answer has the time and the size of one page.
    whole: bool,
}

impl<S: Stores> Services<S> {
    pub(crate) fn new(engine: Arc<Engine<S>>, whole: bool) -> Self {
        Self { engine, whole }
    }

    /// The answer of a service to a request, whose path begins with the service's prefix: so many bytes. The service takes
    /// all but the method away from the request.
    pub(crate) async fn answer(
        &self,
        service: &Mounted,
        prefix_bytes: usize,
        asked: &mut Parts,
        body: RequestBody,
    ) -> Reply {
        let (limits, began) = (self.engine.limits(), self.engine.now());
        match too_large(asked, limits) {
            Some(Target::PathTooLong) => return reply::path_too_long(asked),
            Some(_) => return reply::head_too_large(asked),
            None => {}
        }
        if body.size_hint().lower() > limits.max_service_body_bytes as u64 {
            return body_too_large(asked);
        }
        let (head, body) = match self.call(service, prefix_bytes, asked, body).await {
            Ok(answer) => answer.into_parts(),
            Err(refused) => return refused,
        };
        if asked.method == Method::HEAD {
            return Response::from_parts(head, Body::default());
        }
        if self.whole {
            return match self.collected(body, began).await {
                Ok(bytes) => Response::from_parts(head, bytes.into()),
                Err(why) => self.failed(service, asked, StatusCode::INTERNAL_SERVER_ERROR, &why),
            };
        }
        let (prefix, clock) = (Box::<str>::from(service.prefix()), self.engine.clock().clone());
        let passing = body.map_err(move |error| {
            let what = format!("its answer breaks off: {error}");
            log(&*clock, &prefix, &what);
            StoreError::refused(what)
        });
        Response::from_parts(head, Body::Passed(passing.boxed_unsync()))
    }

    /// What the service answers, as the visitor gets it; or the answer in its place.
    async fn call(
        &self,
        service: &Mounted,
        prefix_bytes: usize,
        asked: &mut Parts,
        body: RequestBody,
    ) -> Result<Response<AnswerBody>, Reply> {
        let (limits, clock) = (self.engine.limits(), self.engine.clock());
        let is_over = Arc::new(AtomicBool::new(false));
        let body = Upload {
            body: Limited::new(body, limits.max_service_body_bytes),
            is_over: is_over.clone(),
            clock: clock.clone(),
            patience: limits.head_timeout,
            alarm: None,
        };
        let outline = outline(asked);
        let request = for_service(mem::replace(asked, outline), prefix_bytes, RequestBody::new(body));
        let answer = service.call(request, &**clock, limits.max_wait).await;
        // The service had to do without the rest, whatever its answer says.
        if is_over.load(Ordering::Relaxed) {
            return Err(body_too_large(asked));
        }
        let (status, what) = match answer {
            Ok(answer) if answer.status().is_informational() => {
                let what = format!("it answers {}, which a service here cannot", answer.status());
                (StatusCode::INTERNAL_SERVER_ERROR, what)
            }
            Ok(answer) => return Ok(passed_on(answer, &asked.method)),
            Err(error @ ServiceError::TooSlow(_)) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        };
        Err(self.failed(service, asked, status, &what))
    }

    /// All of an answer: no larger than a page, and in the time that an answer has to begin.
    async fn collected(&self, body: AnswerBody, began: Millis) -> Result<Bytes, String> {
        let limits = self.engine.limits();
        let left = limits.max_wait.saturating_sub(self.engine.now().since(began));
        let collected = Limited::new(body, limits.max_body_bytes).collect();
        tokio::select! {
            biased;
            collected = collected => match collected {
                Ok(all) => Ok(all.to_bytes()),
                Err(error) if error.is::<LengthLimitError>() => Err(format!(
                    "its answer has more than {} bytes (PERENNIAL_MAX_BODY_BYTES), and this function sends whole answers",
                    limits.max_body_bytes
                )),
                Err(error) => Err(error.to_string()),
            },
            () = self.engine.clock().sleep(left) => Err(format!(
                "its answer had not ended after {:?} (PERENNIAL_MAX_WAIT_MS), and this function sends whole answers",
                limits.max_wait
            )),
        }
    }

    fn failed(&self, service: &Mounted, asked: &Parts, status: StatusCode, what: &str) -> Reply {
        log(&**self.engine.clock(), service.prefix(), what);
        // Only the author gets the reason.
        match (self.engine.is_dev(), status) {
            (true, _) => reply::text(asked, status, format!("service {}: {what}\n", service.prefix())),
            (_, StatusCode::SERVICE_UNAVAILABLE) => reply::plain(asked, status, "No answer in time.\n"),
            _ => reply::plain(asked, status, "Internal Server Error\n"),
        }
    }
}

fn log(clock: &dyn Clock, service: &str, what: &str) {
    LogLimits::of_this_process().write(Line::ServiceFails, clock.now(), |left_out| {
        tracing::error!(service, left_out, "a service of the site has failed: {what}");
    });
}

/// What an answer of our own needs of a request that a service takes.
fn outline(request: &Parts) -> Parts {
    let (mut outline, ()) = Request::new(()).into_parts();
    outline.method = request.method.clone();
    outline
}

fn body_too_large(asked: &Parts) -> Reply {
    reply::plain(asked, StatusCode::PAYLOAD_TOO_LARGE, "The body is too large.\n")
}

/// A request as its service gets it.
fn for_service(mut request: Parts, prefix_bytes: usize, body: RequestBody) -> Request<RequestBody> {
    let rest = &request.uri.path()[prefix_bytes..];
    let slash = if rest.is_empty() { "/" } else { "" };
    let query = request.uri.query().map_or_else(String::new, |query| format!("?{query}"));
    // A part of a URI that was read is one, too.
    let below =
        PathAndQuery::try_from(format!("{slash}{rest}{query}")).unwrap_or(PathAndQuery::from_static("/"));
    let mut uri = request.uri.clone().into_parts();
    uri.path_and_query = Some(below);
    let original = mem::replace(&mut request.uri, Uri::from_parts(uri).unwrap_or_default());
    request.extensions.insert(OriginalUri(original));
    Request::from_parts(request, body)
}

/// An answer as the visitor gets it.
fn passed_on(mut answer: Response<AnswerBody>, method: &Method) -> Response<AnswerBody> {
    let (status, length) = (answer.status(), answer.body().size_hint().exact());
    let head = answer.headers_mut();
    for name in OF_A_CONNECTION {
        head.remove(name);
    }
    if !head.contains_key(CACHE_CONTROL) {
        head.insert(CACHE_CONTROL, NO_STORE);
    }
    let has_body =
        method != Method::HEAD && ![StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
    if let Some(length) = length.filter(|_| has_body) {
        head.insert(CONTENT_LENGTH, length.into());
    }
    answer
}

/// A request's body on its way to a service: no more than the limit, and no longer than the patience between two pieces.
struct Upload {
    body: Limited<RequestBody>,
    is_over: Arc<AtomicBool>,
    clock: Arc<dyn Clock>,
    patience: Duration,
    alarm: Option<Sleep>,
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.alarm = None;
            if let Some(Err(error)) = &frame
                && error.is::<LengthLimitError>()
            {
                this.is_over.store(true, Ordering::Relaxed);
            }
            return Poll::Ready(frame);
        }
        let alarm = this.alarm.get_or_insert_with(|| this.clock.sleep(this.patience));
        ready!(alarm.as_mut().poll(cx));
        this.alarm = None;
        Poll::Ready(Some(Err(
            "the rest of the body did not arrive in time (PERENNIAL_HEAD_TIMEOUT_MS)".into()
        )))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
