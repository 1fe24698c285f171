//! Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>): the publishing page is told
//! what changes, whichever process on this store has changed it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response};
use perennial_core::base::clock::Clock;
use perennial_core::engine::Engine;
use perennial_core::look::body::Body;
use perennial_core::ports::error::StoreError;
use perennial_core::ports::stores::Stores;
use perennial_revalidate::console::watch::{Event, Watch};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// How often the store's version is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The same of a store that is elsewhere: it has no version, and bills each look.
const LOOK_AFAR_EVERY: Duration = Duration::from_secs(5);

/// A look that took long is followed by a rest that is longer by this factor, so that no listener of a large site takes
/// more than a fifth of a processor.
const REST: u32 = 4;

/// A stream that is silent for longer is taken for dead by proxies; and who has gone is noticed by speaking.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// A stream ends after this long, and the page opens another: so a secret that was taken away shows no more.
const STREAM_MAX: Duration = Duration::from_secs(600);

/// Those who are told of changes, as many as the settings allow.
pub(crate) struct Listeners {
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Listeners {
    /// At most `max_listeners` at once; all streams end with `stop`.
    pub(crate) fn new(max_listeners: usize, stop: CancellationToken) -> Self {
        Self { places: Arc::new(Semaphore::new(max_listeners)), stop }
    }

    /// The answer that tells what is watched, from now on; none if all places are taken.
    pub(crate) fn listen<S: Stores>(&self, watch: Watch<S>, engine: &Engine<S>) -> Option<Response<Body>> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let (say, parts) = mpsc::channel(1);
        let look_every = if engine.stores().are_local() { LOOK_EVERY } else { LOOK_AFAR_EVERY };
        let times = (engine.clock().clone(), look_every);
        tokio::spawn(tell(watch, say, self.stop.clone(), times, place));
        let mut response = Response::new(Body::Stream(parts));
        let head = response.headers_mut();
        head.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        head.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        // nginx would collect a few kilobytes first.
        head.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
        Some(response)
    }
}

async fn tell<S: Stores>(
    mut watch: Watch<S>,
    say: mpsc::Sender<Result<Bytes, StoreError>>,
    stop: CancellationToken,
    (clock, look_every): (Arc<dyn Clock>, Duration),
    _place: OwnedSemaphorePermit,
) {
    let (mut over, mut beat) = (clock.sleep(STREAM_MAX), clock.sleep(HEARTBEAT));
    loop {
        let began = clock.now();
        let mut text = text(&watch.look().await);
        let rest = (clock.now().since(began) * REST).max(look_every);
        tokio::select! {
            biased;
            () = &mut beat => text.push_str(":\n\n"),
            () = std::future::ready(()) => {}
        }
        if !text.is_empty() {
            beat = clock.sleep(HEARTBEAT);
            // One that does not read is waited for, as long as a stream may last.
            tokio::select! {
                sent = say.send(Ok(text.into())) => if sent.is_err() { return },
                () = stop.cancelled() => return,
                () = &mut over => return,
            }
        }
        tokio::select! {
            () = clock.sleep(rest) => {}
            () = say.closed() => return,
            () = stop.cancelled() => return,
            () = &mut over => return,
        }
    }
}

/// Events as they are sent. JSON has no line breaks, so each is one line of data.
fn text(events: &[Event]) -> String {
    events.iter().fold(String::new(), |mut text, (name, data)| {
        let _ = write!(text, "event: {name}\ndata: {data}\n\n");
        text
    })
}
