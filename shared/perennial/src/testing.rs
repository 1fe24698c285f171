//! For tests only: a clock that is turned by hand, renders without threads of their own, and the least page there is.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::{Clock, Millis, Sleep};
use crate::page::{Context, Failure, Outcome, Page};

/// A page that says `text`, for sites whose routes matter and not what they show.
#[derive(Clone, Copy, Debug)]
pub struct Text;

impl Page for Text {
    type Props = ();
    async fn props(&self, _: &Context) -> Result<Outcome<()>, Failure> {
        Ok(Outcome::page(()))
    }
    fn render(&self, (): &(), _: &Context) -> Result<String, Failure> {
        Ok("text".into())
    }
}

thread_local! {
    static ON_ONE_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// From now on renders of runtimes on this thread run on it alone: their order is that of its tasks.
pub fn run_on_one_thread() {
    ON_ONE_THREAD.set(true);
}

pub(crate) fn runs_on_one_thread() -> bool {
    ON_ONE_THREAD.get()
}

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
