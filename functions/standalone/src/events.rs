//! Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>): the publishing page receives
//! changes of the store, by any process.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response};
use perennial::Clock;
use perennial::parts::engine::Engine;
use perennial::parts::look::body::Body;
use perennial::parts::ports::error::StoreError;
use perennial::parts::ports::stores::Stores;
use revalidate::console::{Event, Watch};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// The shortest pause between two reads of the store's version.
const LOOK_PAUSE_MIN: Duration = Duration::from_millis(250);

/// The pause after a read, as a multiple of its duration: no listener takes more than a fifth of a processor.
const PAUSE_FACTOR: u32 = 4;

/// The longest silence of a stream. Proxies end silent streams, and only a write shows that a listener is gone.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// The longest life of a stream; the page then opens another. A removed secret thus stops showing changes.
const STREAM_MAX: Duration = Duration::from_secs(600);

/// The streams to listeners, bounded by the settings.
pub(crate) struct Listeners {
    slots: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Listeners {
    /// At most `max_listeners` at once; all streams end with `stop`.
    pub(crate) fn new(max_listeners: usize, stop: CancellationToken) -> Self {
        Self { slots: Arc::new(Semaphore::new(max_listeners)), stop }
    }

    /// The streamed answer with the changes from now on; `None` if all slots are taken.
    pub(crate) fn listen(
        &self,
        watch: Watch<EmbeddedStores>,
        engine: &Engine<EmbeddedStores>,
    ) -> Option<Response<Body>> {
        let slot = self.slots.clone().try_acquire_owned().ok()?;
        let (sender, parts) = mpsc::channel(1);
        tokio::spawn(send_changes(watch, sender, self.stop.clone(), engine.clock().clone(), slot));
        let mut response = Response::new(Body::Stream(parts));
        let head = response.headers_mut();
        head.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        head.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        // Without this field nginx buffers a few kilobytes before it sends anything.
        head.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
        Some(response)
    }
}

async fn send_changes(
    mut watch: Watch<EmbeddedStores>,
    sender: mpsc::Sender<Result<Bytes, StoreError>>,
    stop: CancellationToken,
    clock: Arc<dyn Clock>,
    _slot: OwnedSemaphorePermit,
) {
    let (mut stream_end, mut heartbeat) = (clock.sleep(STREAM_MAX), clock.sleep(HEARTBEAT));
    loop {
        let began = clock.now();
        let mut text = events_text(&watch.look().await);
        let pause = (clock.now().since(began) * PAUSE_FACTOR).max(LOOK_PAUSE_MIN);
        tokio::select! {
            biased;
            () = &mut heartbeat => text.push_str(":\n\n"),
            () = std::future::ready(()) => {}
        }
        if !text.is_empty() {
            heartbeat = clock.sleep(HEARTBEAT);
            // Waits for a listener that does not read, at most until the stream ends.
            tokio::select! {
                sent = sender.send(Ok(text.into())) => if sent.is_err() { return },
                () = stop.cancelled() => return,
                () = &mut stream_end => return,
            }
        }
        tokio::select! {
            () = clock.sleep(pause) => {}
            () = sender.closed() => return,
            () = stop.cancelled() => return,
            () = &mut stream_end => return,
        }
    }
}

/// Events in the format of the stream. JSON has no line breaks, so the data of an event is one line.
fn events_text(events: &[Event]) -> String {
    events.iter().fold(String::new(), |mut text, (name, data)| {
        let _ = write!(text, "event: {name}\ndata: {data}\n\n");
        text
    })
}
