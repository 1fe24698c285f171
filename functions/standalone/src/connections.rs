//! The open connections, and which of them closes for a new one.
//!
//! Every connection takes a file descriptor of the process, and the store needs some, too: the number of connections is
//! bounded. When all places are taken, the connection closes whose client has kept the server waiting longest, for a request
//! or for the next read of an answer.

use std::collections::BTreeMap;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use perennial_core::base::budget::STANDS_STILL_AFTER;
use perennial_core::base::clock::{Clock, Millis};
use perennial_core::look::body::Body;
use perennial_core::ports::error::StoreError;

/// File descriptors that are reserved for everything but connections: databases, streamed bodies, and requests that pages
/// send.
const FILES_KEPT_MAX: u64 = 256;

/// The part of all files that is kept where there are few.
const FILES_KEPT_SHARE: (u64, u64) = (3, 4);

/// The pause between two looks for a connection that may close, while all are at work.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Of those that may close, one in so many closes at once: looking for each alone would cost more than it.
const CLOSED_AT_ONCE: usize = 64;

/// Stands for "no time".
const NOT: u64 = u64::MAX;

/// The limit of connections that leaves other files their part of `files`.
pub(crate) fn most(wanted: usize, files: u64) -> usize {
    let kept = FILES_KEPT_MAX.min(files / FILES_KEPT_SHARE.1 * FILES_KEPT_SHARE.0);
    wanted.min(usize::try_from(files - kept).unwrap_or(usize::MAX)).max(1)
}

/// All connections of the server.
pub(crate) struct Connections {
    most: usize,
    open: AtomicUsize,
    next: AtomicU64,
    all: Mutex<BTreeMap<u64, Arc<Connection>>>,
    clock: Arc<dyn Clock>,
}

/// The state of one connection.
pub(crate) struct Connection {
    /// Since when a request is waited for, if none is being answered.
    idle_since: AtomicU64,
    is_answering: AtomicBool,
    /// When the client stopped reading an answer, or sending a body.
    stuck_since: AtomicU64,
    /// It takes no further request.
    is_to_end: AtomicBool,
    /// It does not even wait for what its client takes.
    is_to_close: AtomicBool,
    /// Wakes its task.
    task: Mutex<Option<Waker>>,
    clock: Arc<dyn Clock>,
}

/// A place of a connection, until it is dropped.
pub(crate) struct Place {
    all: Arc<Connections>,
    number: u64,
    pub(crate) connection: Arc<Connection>,
}

impl Connections {
    /// So many at most.
    pub(crate) fn new(most: usize, clock: Arc<dyn Clock>) -> Arc<Self> {
        let (open, next) = (AtomicUsize::new(0), AtomicU64::new(0));
        Arc::new(Self { most, open, next, all: Mutex::default(), clock })
    }

    /// A place for a connection that was accepted, as soon as there is one.
    pub(crate) async fn place(self: &Arc<Self>) -> Place {
        loop {
            let taken = self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
                Some(open + 1).filter(|open| *open <= self.most)
            });
            if taken.is_ok() {
                break;
            }
            self.close_idle();
            self.clock.sleep(LOOK_AGAIN_AFTER).await;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection::new(self.clock.clone()));
        self.lock().insert(number, connection.clone());
        Place { all: self.clone(), number, connection }
    }

    /// Closes those that have let the server wait longest.
    pub(crate) fn close_idle(&self) {
        let now = self.clock.now();
        let all = self.lock();
        let mut waiting: Vec<_> = all.values().filter_map(|one| Some((one.waits_since(now)?, one))).collect();
        waiting.sort_unstable_by_key(|(since, _)| *since);
        for (_, one) in waiting.iter().take(waiting.len().div_ceil(CLOSED_AT_ONCE)) {
            one.ask(&one.is_to_close);
        }
    }

    /// Has all of them end after the request that they are at.
    pub(crate) fn end_all(&self) {
        self.lock().values().for_each(|one| one.ask(&one.is_to_end));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Connection>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.lock().remove(&self.number);
        self.all.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            idle_since: AtomicU64::new(clock.now().0),
            is_answering: AtomicBool::new(false),
            stuck_since: AtomicU64::new(NOT),
            is_to_end: AtomicBool::new(false),
            is_to_close: AtomicBool::new(false),
            task: Mutex::default(),
            clock,
        }
    }

    /// A request has come.
    pub(crate) fn begin(&self) {
        self.is_answering.store(true, Ordering::Relaxed);
    }

    /// All of the answer is with the HTTP library.
    pub(crate) fn end(&self) {
        self.idle_since.store(self.clock.now().0, Ordering::Relaxed);
        self.is_answering.store(false, Ordering::Relaxed);
    }

    /// Its client takes nothing, or sends nothing of a body, from now on; or does so again.
    pub(crate) fn set_stuck(&self, is_stuck: bool) {
        let since = if is_stuck { self.clock.now().0 } else { NOT };
        self.stuck_since.store(since, Ordering::Relaxed);
    }

    pub(crate) fn is_answering(&self) -> bool {
        self.is_answering.load(Ordering::Relaxed)
    }

    /// Since when the client has let the server wait, if it may be closed for that: for a request; or, for some time, in the
    /// middle of an answer.
    fn waits_since(&self, now: Millis) -> Option<u64> {
        if self.is_to_close.load(Ordering::Relaxed) {
            return None;
        }
        let stuck_since = self.stuck_since.load(Ordering::Relaxed);
        if stuck_since != NOT {
            return (now.since(Millis(stuck_since)) >= STANDS_STILL_AFTER).then_some(stuck_since);
        }
        (!self.is_answering()).then(|| self.idle_since.load(Ordering::Relaxed))
    }

    fn ask(&self, what: &AtomicBool) {
        what.store(true, Ordering::Relaxed);
        self.task().iter().for_each(Waker::wake_by_ref);
    }

    /// The task that is woken when something is asked of it.
    pub(crate) fn set_task(&self, task: Waker) {
        *self.task() = Some(task);
    }

    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_to_end(&self) -> bool {
        self.is_to_end.load(Ordering::Relaxed)
    }

    /// Whether it is to close, and nothing is under way that the client still waits for.
    pub(crate) fn closes(&self) -> bool {
        self.is_to_close.load(Ordering::Relaxed)
            && (!self.is_answering() || self.stuck_since.load(Ordering::Relaxed) != NOT)
    }
}

/// A body that tells its connection when all of it is with the HTTP library.
pub(crate) struct Answering {
    pub(crate) body: Body,
    pub(crate) connection: Arc<Connection>,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.connection.end();
    }
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = StoreError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StoreError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request's body that tells its connection when its client lets the server wait for more.
pub(crate) struct Arriving {
    body: Incoming,
    connection: Arc<Connection>,
    is_awaited: bool,
}

impl Arriving {
    pub(crate) fn new(body: Incoming, connection: Arc<Connection>) -> Self {
        Self { body, connection, is_awaited: false }
    }

    fn set_awaited(&mut self, is_awaited: bool) {
        if mem::replace(&mut self.is_awaited, is_awaited) != is_awaited {
            self.connection.set_stuck(is_awaited);
        }
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.set_awaited(frame.is_pending());
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.set_awaited(false);
    }
}

#[cfg(test)]
mod tests {
    use perennial_core::base::clock::SystemClock;

    use super::*;

    #[test]
    fn other_files_keep_their_part() {
        for (wanted, files, connections) in [
            (10_000, 64, 16),
            (10_000, 1_024, 768),
            (10_000, 4_096, 3_840),
            (10_000, 1 << 20, 10_000),
            (1, 64, 1),
            (10, 3, 3),
            (10, 0, 1),
        ] {
            assert_eq!(most(wanted, files), connections, "{files}");
        }
    }

    #[tokio::test]
    async fn who_has_let_the_server_wait_longest_gives_way() {
        let all = Connections::new(3, Arc::new(SystemClock));
        let [old, busy, new] = [all.place().await, all.place().await, all.place().await];
        for (place, since) in [(&old, 1), (&busy, 0), (&new, 2)] {
            place.connection.idle_since.store(since, Ordering::Relaxed);
        }
        busy.connection.begin();
        all.close_idle();
        let closing = [&old, &busy, &new].map(|place| place.connection.closes());
        assert_eq!(closing, [true, false, false]);
        drop(old);
        let newest = all.place().await;
        // One in the middle of an answer only when its client takes nothing for a while.
        all.close_idle();
        newest.connection.begin();
        busy.connection.set_stuck(true);
        all.close_idle();
        assert!(new.connection.closes() && !busy.connection.closes());
        busy.connection.stuck_since.store(0, Ordering::Relaxed);
        all.close_idle();
        assert!(busy.connection.closes() && !newest.connection.closes());
        newest.connection.ask(&newest.connection.is_to_close);
        assert!(!newest.connection.closes());
        newest.connection.end();
        assert!(newest.connection.closes());
    }
}
