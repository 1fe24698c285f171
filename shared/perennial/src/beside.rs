//! Work that may take its time: it must not hold up what else the process does.

use tokio::task::JoinHandle;

/// Runs it on a thread of its own. Its panic is the error.
pub(crate) fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    #[cfg(any(test, feature = "testing"))]
    if crate::testing::runs_on_one_thread() {
        return tokio::spawn(async move { work() });
    }
    tokio::task::spawn_blocking(work)
}
