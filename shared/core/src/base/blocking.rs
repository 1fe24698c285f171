//! Synchronous, possibly slow work, kept off the threads that run asynchronous tasks.

use tokio::task::JoinHandle;

/// Runs `work` on a thread for blocking work. If `work` panics, the handle yields a [`tokio::task::JoinError`].
pub(crate) fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    #[cfg(any(test, feature = "testing"))]
    if runs_on_one_thread() {
        return tokio::spawn(async move { work() });
    }
    tokio::task::spawn_blocking(work)
}

#[cfg(any(test, feature = "testing"))]
thread_local! {
    static ON_ONE_THREAD: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Makes [`run_blocking`] spawn ordinary tasks on this thread from now on, so that a simulation decides their order.
#[cfg(any(test, feature = "testing"))]
pub fn run_on_one_thread() {
    ON_ONE_THREAD.set(true);
}

#[cfg(any(test, feature = "testing"))]
fn runs_on_one_thread() -> bool {
    ON_ONE_THREAD.get()
}
