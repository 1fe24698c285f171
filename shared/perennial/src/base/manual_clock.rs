//! A clock that tests turn by hand.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::base::clock::{Clock, Millis, Sleep};

/// A clock that stands still until it is turned. Who sleeps wakes when it passes their time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    now: Arc<watch::Sender<Millis>>,
    turning: Arc<Mutex<()>>,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::at(Millis(1_800_000_000_000))
    }
}

impl ManualClock {
    /// A clock that shows this instant.
    pub fn at(now: Millis) -> Self {
        Self { now: Arc::new(watch::Sender::new(now)), turning: Arc::default() }
    }

    /// Turns it forward.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }

    /// Turns it to an instant, earlier ones included.
    pub fn set(&self, to: Millis) {
        let _turning = self.turning.lock().unwrap_or_else(PoisonError::into_inner);
        self.now.send_replace(to);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        *self.now.borrow()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let until = self.now().plus(duration);
        let mut watched = self.now.subscribe();
        let keep = self.now.clone();
        Box::pin(async move {
            // The sender is kept alive, so waiting only ends with the condition.
            let _ = watched.wait_for(|now| *now >= until).await;
            drop(keep);
        })
    }
}
