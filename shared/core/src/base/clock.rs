//! Time. No other module reads the machine's clock or sleeps.

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
    /// The instant `duration` later; saturates.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The same instant as a type of the standard library.
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

/// The port to time: all code reads the time and sleeps through a clock. Neither method may panic, because the panic
/// would end the calling task.
pub trait Clock: Send + Sync + 'static {
    /// The present instant. The clock may step in either direction between two calls.
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

/// Lets many callers do something together at most once per `pause`.
#[cfg(feature = "aws")]
#[derive(Debug)]
pub(crate) struct Rarely {
    pause: Duration,
    last: AtomicU64,
}

#[cfg(feature = "aws")]
impl Rarely {
    /// At most once per `pause`.
    pub(crate) const fn every(pause: Duration) -> Self {
        Self { pause, last: AtomicU64::new(0) }
    }

    /// Whether the caller is to do it now. A clock that was set back makes it due.
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
