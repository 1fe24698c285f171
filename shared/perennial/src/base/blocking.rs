//! Work that may take its time: it must not hold up what else the process does.

use tokio::task::JoinHandle;

/// Runs it on a thread of its own. Its panic is the error.
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

/// From now on renders of runtimes on this thread run on it alone: their order is that of its tasks.
#[cfg(any(test, feature = "testing"))]
pub fn run_on_one_thread() {
    ON_ONE_THREAD.set(true);
}

#[cfg(any(test, feature = "testing"))]
fn runs_on_one_thread() -> bool {
    ON_ONE_THREAD.get()
}
