//! How long a visitor still waits for the stores: one allowance for all calls that are made on behalf of one visit.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

tokio::task_local! {
    /// What is left; none if nobody waits, or if the wait has another bound.
    static LEFT: Cell<Option<Duration>>;
}

/// What is left of it for the task that asks.
pub(crate) fn left() -> Option<Duration> {
    LEFT.try_with(Cell::get).ok().flatten()
}

/// Does something with so much of it; none: with as much as it takes.
pub(crate) fn with<T>(left: Option<Duration>, work: impl Future<Output = T>) -> impl Future<Output = T> {
    // An `async fn` would have room for the work three times, and move it from one to the next.
    LEFT.scope(Cell::new(left), work)
}

/// So much has been waited.
pub(super) fn spend(waited: Duration) {
    change(|left| left.saturating_sub(waited));
}

/// What is asked for now takes so much longer than other things.
pub(crate) fn allow(more: Duration) {
    // Who has waited too long already does not begin again.
    change(|left| if left.is_zero() { left } else { left + more });
}

/// There was something else to wait for meanwhile.
pub(crate) fn begin_again(limit: Duration) {
    change(|_| limit);
}

fn change(to: impl FnOnce(Duration) -> Duration) {
    // Outside of a visit there is nothing to change.
    let _ = LEFT.try_with(|left| left.set(left.get().map(to)));
}
