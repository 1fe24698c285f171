//! A connection's bytes on their way to the HTTP library and from it.
//!
//! What comes is looked at by [`Heads`]. What goes must be taken: the library ends connections whose next request does
//! not arrive, but would wait for ever for a client that does not read its answer, and a few thousand of those would
//! take all places there are.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use perennial::clock::{Clock, Sleep};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::heads::Heads;

/// A connection that ends once nothing of an answer has been taken for so long.
pub(crate) struct Wire<S> {
    stream: S,
    heads: Heads,
    clock: Arc<dyn Clock>,
    patience: Duration,
    /// Rings when patience ends; set while the client takes nothing.
    stuck: Option<Sleep>,
}

impl<S> Wire<S> {
    pub(crate) fn new(stream: S, clock: Arc<dyn Clock>, patience: Duration) -> Self {
        Self { stream, heads: Heads::default(), clock, patience, stuck: None }
    }

    /// The outcome of an attempt to write.
    fn written<T>(&mut self, cx: &mut Context<'_>, attempt: Poll<Result<T>>) -> Poll<Result<T>> {
        if attempt.is_ready() {
            self.stuck = None;
            return attempt;
        }
        let alarm = self.stuck.get_or_insert_with(|| self.clock.sleep(self.patience));
        ready!(alarm.as_mut().poll(cx));
        Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client takes nothing of its answer")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
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
