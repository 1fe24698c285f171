//! Time: the only place that reads the machine's clock or waits for it.

use std::future::Future;
use std::pin::Pin;
#[cfg(feature = "aws")]
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// This instant and a duration later; saturates.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The same instant for the standard library.
    pub fn to_system(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0)
    }
}

impl From<SystemTime> for Millis {
    fn from(time: SystemTime) -> Self {
        Self(0).plus(time.duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

/// A future that a [`Clock`] completes.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The port through which everything learns the time and waits. Neither method may panic: what asks for the time would
/// end with it.
pub trait Clock: Send + Sync + 'static {
    /// The present instant. May step in either direction.
    fn now(&self) -> Millis;

    /// Completes once `duration` has passed.
    fn sleep(&self, duration: Duration) -> Sleep;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the clock port")]
    fn now(&self) -> Millis {
        SystemTime::now().into()
    }

    #[allow(clippy::disallowed_methods, reason = "this is the clock port")]
    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Lets something be done once in a while, however many ask for it.
#[cfg(feature = "aws")]
#[derive(Debug)]
pub(crate) struct Rarely {
    pause: Duration,
    last: AtomicU64,
}

#[cfg(feature = "aws")]
impl Rarely {
    /// Once in so long.
    pub(crate) const fn every(pause: Duration) -> Self {
        Self { pause, last: AtomicU64::new(0) }
    }

    /// Whether it is to be done now.
    pub(crate) fn is_due(&self, now: Millis) -> bool {
        let last = Millis(self.last.load(Ordering::Relaxed));
        let due = now < last || now.since(last) >= self.pause;
        if due {
            self.last.store(now.0, Ordering::Relaxed);
        }
        due
    }
}

/// Runs `work` for at most `limit`; `None` if it took longer.
pub(crate) async fn within<T>(
    clock: &dyn Clock,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = clock.sleep(limit) => None,
    }
}
