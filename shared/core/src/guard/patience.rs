//! The time for which a visitor still waits for the stores. All calls of one visit share it.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

tokio::task_local! {
    /// The time that is left; `None` if no visitor waits, or if the wait has another bound.
    static LEFT: Cell<Option<Duration>>;
}

/// The time that is left for the calling task.
pub(crate) fn left() -> Option<Duration> {
    LEFT.try_with(Cell::get).ok().flatten()
}

/// Does `work` with this time for the stores; `None`: without a bound.
pub(crate) fn with<T>(left: Option<Duration>, work: impl Future<Output = T>) -> impl Future<Output = T> {
    // An `async fn` would have room for the work three times, and move it from one to the next.
    LEFT.scope(Cell::new(left), work)
}

/// Takes off time that was waited.
pub(super) fn spend(waited: Duration) {
    change(|left| left.saturating_sub(waited));
}

/// Adds time for a call that takes longer than others.
pub(crate) fn allow(more: Duration) {
    // Once the time is used up, it stays so.
    change(|left| if left.is_zero() { left } else { left + more });
}

/// Restarts the time, after the visitor has waited for something else than a store.
pub(crate) fn begin_again(limit: Duration) {
    change(|_| limit);
}

fn change(to: impl FnOnce(Duration) -> Duration) {
    // Outside of a visit there is no value to change.
    let _ = LEFT.try_with(|left| left.set(left.get().map(to)));
}
