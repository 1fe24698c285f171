//! A connection's bytes on their way to the HTTP library and from it.
//!
//! [`Heads`] checks the bytes that arrive. Writes have a timeout: the library ends connections whose next request does not
//! arrive, but would wait forever for a client that does not read its answer, and a few thousand such clients would take all
//! places.
//!
//! The library's larger buffers count against a budget: heads of requests, and streamed answers that wait to be sent. A
//! client that makes no progress for a second while others wait for that memory loses its connection.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use perennial_core::base::budget::{Budget, Part, STANDS_STILL_AFTER, Waiting};
use perennial_core::base::clock::{Clock, Sleep};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connections::Connection;
use crate::heads::Heads;

/// What a connection takes at least whose head has not come whole: it, and the beginning of the head.
const UNFINISHED_BYTES: u64 = 24 << 10;

/// The pause between two tries to get memory for the rest of a head.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// The memory budgets that all connections share.
#[derive(Clone)]
pub(crate) struct Shared {
    /// Of heads of requests that have not come at once.
    pub(crate) heads: Arc<Budget>,
    /// Of answers that are passed on as they are read.
    pub(crate) passing: Arc<Budget>,
}

/// A connection that ends when its client has read nothing of an answer for the timeout.
pub(crate) struct Wire<S> {
    stream: S,
    heads: Heads,
    connection: Arc<Connection>,
    clock: Arc<dyn Clock>,
    patience: Duration,
    shared: Shared,
    /// Rings while the client takes nothing, now and then; and how long it has.
    stuck: Option<(Sleep, Duration)>,
    /// The memory of a head that has not come at once. The library keeps what a large one took for the next one.
    head: Option<Part>,
    /// There is no memory for the rest of a head.
    waiting: Option<(Sleep, Waiting)>,
    /// Rings while a connection that has such memory stands still.
    still: Option<Sleep>,
}

impl<S> Wire<S> {
    pub(crate) fn new(
        stream: S,
        connection: Arc<Connection>,
        clock: Arc<dyn Clock>,
        patience: Duration,
        shared: Shared,
    ) -> Self {
        let heads = Heads::default();
        Self {
            stream,
            heads,
            connection,
            clock,
            patience,
            shared,
            stuck: None,
            head: None,
            waiting: None,
            still: None,
        }
    }

    /// The outcome of an attempt to write.
    fn written<T>(&mut self, cx: &mut Context<'_>, attempt: Poll<Result<T>>) -> Poll<Result<T>> {
        if attempt.is_ready() {
            if self.stuck.take().is_some() {
                self.connection.set_stuck(false);
            }
            return attempt;
        }
        loop {
            let ring = |so_far: Duration| STANDS_STILL_AFTER.min(self.patience.saturating_sub(so_far));
            let (alarm, so_far) = self.stuck.get_or_insert_with(|| {
                self.connection.set_stuck(true);
                (self.clock.sleep(ring(Duration::ZERO)), Duration::ZERO)
            });
            ready!(alarm.as_mut().poll(cx));
            let so_far = *so_far + ring(*so_far);
            if so_far >= self.patience || self.shared.passing.is_wanted() {
                let message = "the client takes nothing of its answer";
                return Poll::Ready(Err(Error::new(ErrorKind::TimedOut, message)));
            }
            self.stuck = Some((self.clock.sleep(ring(so_far)), so_far));
        }
    }

    /// Ready once there is memory for more of a head.
    fn has_memory(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let bytes = self.heads.head_bytes();
        if bytes == 0 {
            self.head.take_if(|part| part.bytes() <= UNFINISHED_BYTES);
            return Poll::Ready(());
        }
        // The library's buffer grows to twice what it is, so it may be as large as that.
        let bytes = UNFINISHED_BYTES.max(2 * (bytes + 1).next_power_of_two() as u64);
        loop {
            let has = match &mut self.head {
                Some(part) => part.try_grow(bytes),
                none => {
                    *none = self.shared.heads.try_take(bytes);
                    none.is_some()
                }
            };
            if has {
                self.waiting = None;
                return Poll::Ready(());
            }
            let budget = &self.shared.heads;
            let (alarm, _) = self.waiting.get_or_insert_with(|| (self.clock.sleep(TRY_EVERY), budget.wait()));
            ready!(alarm.as_mut().poll(cx));
            *alarm = self.clock.sleep(TRY_EVERY);
        }
    }

    /// Ready once a client that sends nothing is to give back the memory of its head.
    fn gives_back(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.head.is_none() {
            return Poll::Pending;
        }
        loop {
            let alarm = self.still.get_or_insert_with(|| self.clock.sleep(STANDS_STILL_AFTER));
            ready!(alarm.as_mut().poll(cx));
            self.still = None;
            if self.shared.heads.is_wanted() && !self.connection.is_answering() {
                return Poll::Ready(());
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        let read = match self.has_memory(cx) {
            Poll::Ready(()) => Pin::new(&mut self.stream).poll_read(cx, buffer),
            Poll::Pending => Poll::Pending,
        };
        if read.is_pending() {
            ready!(self.gives_back(cx));
            let message = "the client sends nothing, and others need the memory of its request's head";
            return Poll::Ready(Err(Error::new(ErrorKind::TimedOut, message)));
        }
        self.still = None;
        ready!(read)?;
        self.heads.look(&mut buffer.filled_mut()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let attempt = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, attempt)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let attempt = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.written(cx, attempt)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
