//! Waiting for conditions. No test sleeps and hopes.

use std::time::{Duration, Instant};

/// How long a condition may take on a busy machine before the test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

const STEP: Duration = Duration::from_millis(10);

/// Asks `probe` again and again until it gives a value.
///
/// # Panics
/// If that takes longer than [`PATIENCE`]; `what` says what was waited for.
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

/// Lets real time pass, where a process must be seen to grow old.
pub async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// [`until`] for a condition that is a plain yes or no.
pub async fn until_true(what: &str, mut probe: impl FnMut() -> bool) {
    until(what, async || probe().then_some(())).await;
}

/// The value of a future that must end in time.
///
/// # Panics
/// If it takes longer than [`PATIENCE`].
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}
