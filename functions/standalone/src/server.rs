//! The HTTP server: connections to requests, requests to the handlers.

use std::future::poll_fn;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use anyhow::Result;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulConnection;
use perennial_core::base::budget::Budget;
use perennial_core::base::clock::Millis;
use perennial_core::base::log_limits::Line;
use perennial_core::ports::stores::Stores;
use perennial_core::site::service::RequestBody;
use perennial_revalidate::console::Peer;
use perennial_serve::reply;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connections::{Answering, Arriving, Connection, Connections, Place};
use crate::handlers::{Answer, Handlers};
use crate::head_timer::HeadTimer;
use crate::wire::{Shared, Wire};

/// A request's head is read into this much memory at most: enough for the longest that is answered with a status of
/// its own.
const HEAD_BUFFER_BYTES: usize = 128 << 10;

/// Pause after a failed accept, for example when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The fields of a request with a body.
const FRAMING: [HeaderName; 2] = [CONTENT_LENGTH, TRANSFER_ENCODING];

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
            connection.begin();
            async move {
                // Boxed, because a connection keeps room for this future all the time, also while it asks for nothing.
                let answer = Box::pin(answer(&handlers, request, &connection, Peer(peer.ip()))).await;
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

/// Answers a request of a connection.
async fn answer<S: Stores>(
    handlers: &Handlers<S>,
    request: Request<Incoming>,
    connection: &Arc<Connection>,
    peer: Peer,
) -> Answer {
    let (mut request, body) = request.into_parts();
    let has_body = FRAMING.iter().any(|name| request.headers.contains_key(name));
    let mut response = if has_one_host(&request) {
        let body = || RequestBody::new(Arriving::new(body, connection.clone()));
        handlers.answer(&mut request, body, Some(peer)).await
    } else {
        reply::bad_request(&request, "HTTP/1.1 needs one Host.\n")
    };
    // As `Heads` counts on: a request with a body is its connection's last.
    if has_body {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
