//! Panics of a site's own code, turned into errors so that they end nothing but that call.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// The message of a panic: `panic: the message`.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("without a message"))
}

/// Calls a site's function; a panic becomes the error, as [`panic_text`] writes it.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_text(&*panic))
}

/// [`guarded`] for an asynchronous function.
pub(crate) async fn guarded_async<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let mut work = pin!(work);
    poll_fn(|cx| match guarded(|| work.as_mut().poll(cx)) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_before_and_after_a_wait_is_an_error() {
        let slug = "a";
        assert_eq!(guarded(|| -> u8 { panic!("no {slug}") }), Err("panic: no a".to_owned()));
        let waits = async || -> u8 {
            tokio::task::yield_now().await;
            std::panic::panic_any(5)
        };
        assert_eq!(guarded_async(waits()).await, Err("panic: without a message".to_owned()));
        assert_eq!(guarded_async(async { 5 }).await, Ok(5));
    }
}
