//! A clock for tests, which moves only when a test moves it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::base::clock::{Clock, Millis, Sleep};

/// A clock that moves only by [`ManualClock::advance`] and [`ManualClock::set`]. Sleeps end when the clock passes their
/// end. Clones share one time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    now: Arc<watch::Sender<Millis>>,
    setting: Arc<Mutex<()>>,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::at(Millis(1_800_000_000_000))
    }
}

impl ManualClock {
    /// A clock that stands at this instant.
    pub fn at(now: Millis) -> Self {
        Self { now: Arc::new(watch::Sender::new(now)), setting: Arc::default() }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }

    /// Sets the clock, forward or back.
    pub fn set(&self, to: Millis) {
        let _setting = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
        self.now.send_replace(to);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        *self.now.borrow()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let until = self.now().plus(duration);
        let mut receiver = self.now.subscribe();
        let sender = self.now.clone();
        Box::pin(async move {
            // The sender stays alive, so that the wait ends only with its condition.
            let _ = receiver.wait_for(|now| *now >= until).await;
            drop(sender);
        })
    }
}
