//! Waits for conditions. A test waits for a condition and does not guess how long something takes.

use std::time::{Duration, Instant};

/// How long a condition may take on a busy machine before the test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

const STEP: Duration = Duration::from_millis(10);

/// Asks `probe` again and again until it gives a value.
///
/// # Panics If that takes longer than [`PATIENCE`]; `what` names the condition.
pub async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        tokio::time::sleep(STEP).await;
    }
}

/// Sleeps for a real time, for tests that need time to pass: a period, a back-off or the pace of visitors.
pub async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// [`until`] for a condition that is a plain yes or no.
pub async fn until_true(what: &str, mut probe: impl FnMut() -> bool) {
    until(what, async || probe().then_some(())).await;
}

/// The value of a future that must end within [`PATIENCE`].
///
/// # Panics
/// If it takes longer than [`PATIENCE`].
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}
