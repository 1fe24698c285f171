//! The HTTP server: connections to requests, requests to the two handlers.

use std::future::poll_fn;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use anyhow::Result;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, RETRY_AFTER, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulConnection;
use perennial_core::base::budget::{Budget, Part, STANDS_STILL_AFTER};
use perennial_core::base::clock::Millis;
use perennial_core::base::log_limits::Line;
use perennial_core::engine::Engine;
use perennial_core::look::body::Body;
use perennial_core::ports::stores::Stores;
use perennial_core::run::metrics::prometheus;
use perennial_revalidate::Revalidate;
use perennial_revalidate::console::Peer;
use perennial_serve::{Serve, reply};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connections::{Answering, Connections, Place};
use crate::events::Listeners;
use crate::head_timer::HeadTimer;
use crate::wire::{Shared, Wire};

/// A request's head is read into this much memory at most: enough for the longest that is answered with a status of
/// its own.
const HEAD_BUFFER_BYTES: usize = 128 << 10;

/// Pause after a failed accept, for example when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The fields of a request with a body.
const FRAMING: [HeaderName; 2] = [CONTENT_LENGTH, TRANSFER_ENCODING];

/// What the server answers with.
pub(crate) struct Handlers<S: Stores> {
    pub(crate) serve: Serve<S>,
    pub(crate) revalidate: Revalidate<S>,
    pub(crate) listeners: Listeners,
    pub(crate) metrics: String,
    /// The memory of bodies whose signature has not been judged.
    pub(crate) unverified: Arc<Budget>,
    pub(crate) engine: Arc<Engine<S>>,
}

/// Answers at most so many connections at once until `stop`, then lets running requests end, at most as long as the grace
/// allows. Tells when it was stopped.
pub(crate) async fn run<S: Stores>(
    listener: TcpListener,
    handlers: Arc<Handlers<S>>,
    max_connections: usize,
    stop: &CancellationToken,
) -> Result<Millis> {
    let tasks = TaskTracker::new();
    let connections = Connections::new(max_connections, handlers.engine.clock().clone());
    let limits = handlers.engine.limits();
    let shared = Shared {
        heads: Budget::new(limits.head_memory_bytes),
        passing: handlers.engine.stream_budget().clone(),
    };
    let mut http = http1::Builder::new();
    http.header_read_timeout(limits.head_timeout)
        .max_buf_size(HEAD_BUFFER_BYTES)
        // A client that has sent its last request may say so before it reads the answer.
        .half_close(true);
    loop {
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    handlers.engine.log(Line::NotAccepted, |left_out| {
                        tracing::error!(left_out, "a connection could not be accepted: {error}");
                    });
                    connections.close_idle();
                    handlers.engine.clock().sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = connections.place() => place,
        };
        let (clock, patience) = (handlers.engine.clock().clone(), limits.send_timeout);
        let wire = Wire::new(stream, place.connection.clone(), clock, patience, shared.clone());
        let (handlers, connection) = (handlers.clone(), place.connection.clone());
        let answer = service_fn(move |request: Request<Incoming>| {
            let (handlers, connection) = (handlers.clone(), connection.clone());
            let (mut request, body) = request.into_parts();
            connection.begin();
            async move {
                // Boxed, because a connection keeps room for this future all the time, also while it asks for nothing.
                let answer = Box::pin(handlers.answer(&mut request, body, Peer(peer.ip()))).await;
                Ok::<_, std::convert::Infallible>(answer.map(|body| Answering { body, connection }))
            }
        });
        let http = http.timer(HeadTimer::default()).serve_connection(TokioIo::new(wire), answer);
        tasks.spawn(to_its_end(http, place));
    }
    drop(listener);
    let stopping = handlers.engine.clock().now();
    connections.end_all();
    tasks.close();
    tokio::select! {
        () = tasks.wait() => {}
        () = handlers.engine.clock().sleep(handlers.engine.limits().shutdown_grace) => {
            tracing::warn!("some requests did not end within {:?}", handlers.engine.limits().shutdown_grace);
        }
    }
    Ok(stopping)
}

/// Lets a connection end, or ends it if the server stops or another one needs its place.
async fn to_its_end(connection: impl GracefulConnection, place: Place) {
    let (mut connection, mut is_ending) = (pin!(connection), false);
    // Once is enough: a task is woken in the same way as long as it lives.
    let task = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    place.connection.set_task(task);
    poll_fn(|cx| {
        if place.connection.is_to_end() && !mem::replace(&mut is_ending, true) {
            connection.as_mut().graceful_shutdown();
        }
        // A client that breaks off or is malformed has been answered by the HTTP library.
        let has_ended = connection.as_mut().poll(cx).is_ready();
        if has_ended || place.connection.closes() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// RFC 9112 section 3.2: a server answers 400 to HTTP/1.1 without a Host, and to any request with two or with what is
/// none. Nothing here depends on the host, but a proxy in front may route by it.
fn has_one_host(request: &Parts) -> bool {
    let is_host = |byte: &u8| {
        matches!(
            byte,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'\''
                | b'(' | b')' | b'*' | b'+' | b';' | b'=' | b':' | b'[' | b']'
        )
    };
    let mut hosts = request.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(only), None) => only.as_bytes().iter().all(is_host),
        (None, _) => request.version < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    }
}

/// An answer that is there, or one that goes on.
type Answer = Response<Body>;

impl<S: Stores> Handlers<S> {
    async fn answer(&self, request: &mut Parts, body: Incoming, peer: Peer) -> Answer {
        if self.engine.is_dev() {
            // Only these requests need the peer, so no other request pays for the extension.
            request.extensions.insert(peer);
        }
        let mut response = if !has_one_host(request) {
            reply::bad_request(request, "HTTP/1.1 needs one Host.\n")
        } else if self.revalidate.is_for_events(request) {
            // Boxed like the other rare ways: every request's future is as large as its largest way.
            Box::pin(self.events(request)).await
        } else if self.revalidate.owns(request.uri.path()) {
            Box::pin(self.revalidate(request, body)).await
        } else if request.uri.path() == self.metrics {
            self.metrics(request).await
        } else {
            self.serve.handle(request).await
        };
        // As `Heads` counts on: a request with a body is its connection's last.
        if FRAMING.iter().any(|name| request.headers.contains_key(name)) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Answers the publishing page's request for events.
    async fn events(&self, request: &Parts) -> Answer {
        let watch = match self.revalidate.watch(request).await {
            Ok(watch) => watch,
            Err(refused) => return refused,
        };
        match self.listeners.listen(watch, &self.engine) {
            Some(stream) => stream,
            None => {
                let text = "Too many listen already (PERENNIAL_MAX_LISTENERS): ask for the pages every few seconds.\n";
                let mut refused = reply::plain(request, StatusCode::SERVICE_UNAVAILABLE, text);
                refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("30"));
                refused
            }
        }
    }

    /// Answers with the metrics, for callers with a secret of the revalidate endpoint.
    async fn metrics(&self, request: &Parts) -> Answer {
        if ![Method::GET, Method::HEAD].contains(&request.method) {
            reply::method_not_allowed(request)
        } else if self.revalidate.admits(request).await {
            let (site, breakers) =
                (self.engine.site(), perennial_core::guard::breakers(self.engine.stores()));
            let text = prometheus(site, self.engine.memory_usage(), &breakers);
            reply::text(request, StatusCode::OK, text)
        } else {
            reply::plain(request, StatusCode::UNAUTHORIZED, "Invalid token\n")
        }
    }

    async fn revalidate(&self, request: &Parts, body: Incoming) -> Answer {
        // A body without a secret or a signature is not waited for.
        if !self.revalidate.reads_body(request).await {
            return self.revalidate.handle(request, b"").await;
        }
        let max_bytes = self.engine.limits().max_webhook_bytes;
        // The caller has authenticated by its secret.
        let part = if self.revalidate.admits(request).await {
            None
        } else {
            let length = body.size_hint().upper().unwrap_or(u64::MAX).min(max_bytes as u64);
            // As it comes, and in one piece.
            match self.unverified.take(2 * length, &**self.engine.clock()).await {
                None => return self.is_used_up(request),
                part => part,
            }
        };
        let body = Limited::new(body, max_bytes).collect();
        let body = tokio::select! {
            body = body => body,
            () = self.gives_way(part.as_ref()) => return self.is_used_up(request),
            () = self.engine.clock().sleep(self.engine.limits().head_timeout) => {
                return reply::plain(request, StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time.\n");
            }
        };
        match body {
            Ok(body) => self.revalidate.handle(request, &body.to_bytes()).await,
            Err(error) if error.is::<LengthLimitError>() => {
                reply::plain(request, StatusCode::PAYLOAD_TOO_LARGE, "The body is too large.\n")
            }
            Err(_) => reply::bad_request(request, "The body is malformed.\n"),
        }
    }

    /// Completes when others need the memory of a body that does not arrive.
    async fn gives_way(&self, part: Option<&Part>) {
        loop {
            self.engine.clock().sleep(STANDS_STILL_AFTER).await;
            if part.is_some() && self.unverified.is_wanted() {
                return;
            }
        }
    }

    fn is_used_up(&self, request: &Parts) -> Answer {
        self.engine.log(Line::UsedUp, |left_out| {
            tracing::warn!(left_out, "a delivery gets 503: as many signed bodies arrive as PERENNIAL_UNVERIFIED_MEMORY_BYTES allows");
        });
        reply::plain(request, StatusCode::SERVICE_UNAVAILABLE, "Too many deliveries arrive: try again.\n")
    }
}
