//! One guarded port: what stands before its calls.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::base::clock::{Clock, within};
use crate::base::limits::Limits;
use crate::guard::breaker::{Admission, Breaker, BreakerState};
use crate::guard::patience;
use crate::ports::error::StoreError;

/// A guarded port: the same port, of which a store that fails is left alone.
pub struct Guarded<P> {
    pub(super) port: Arc<P>,
    pub(super) guard: Arc<Guard>,
}

impl<P> Guarded<P> {
    pub(super) fn new(port: Arc<P>, guard: Arc<Guard>) -> Self {
        Self { port, guard }
    }

    /// The same guard before a port for another build.
    pub(super) fn with_port(&self, port: P) -> Self {
        Self::new(Arc::new(port), self.guard.clone())
    }

    /// The port itself. Its calls are made even while the store is left alone, and are not counted.
    pub fn unguarded(&self) -> &P {
        &self.port
    }
}

/// A call that tells whether a store is well again.
pub(super) type Probe =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>> + Send + Sync>;

/// What stands before one port.
pub(super) struct Guard {
    pub(super) breaker: Arc<Breaker>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: Limits,
    /// Where one can be made beside a visitor's own call, and among which tasks.
    pub(super) probe: Option<(Probe, TaskTracker)>,
    /// Whether a visitor waits for as long as a call takes; see [`Ports::are_local`](crate::ports::stores::Ports::are_local).
    pub(super) are_local: bool,
}

/// A wait is made of so many parts.
const WAIT_PARTS: u32 = 16;

/// Waits for a call for as long as there is patience, and tells how much of that it took. Counted in parts: a process that
/// was frozen meanwhile has lost one of them, and does not take the time that it slept for time that the store took.
async fn patiently<T>(
    clock: &dyn Clock,
    left: Duration,
    call: impl Future<Output = T>,
) -> (Option<T>, Duration) {
    let (mut call, part) = (pin!(call), left / WAIT_PARTS);
    let mut waited = Duration::ZERO;
    for _ in 0..WAIT_PARTS {
        let began = clock.now();
        let done = within(clock, part, call.as_mut()).await;
        waited += clock.now().since(began).min(part);
        if done.is_some() {
            return (done, waited);
        }
    }
    (None, left)
}

/// Whether a call that got no answer may have changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Reads,
    Writes,
}

impl Guard {
    /// Makes a call, unless the store is to be left alone; and for no longer than its visitor still waits.
    pub(super) async fn call<T>(
        &self,
        effect: Effect,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let left = if self.are_local { None } else { patience::left() };
        if left.is_some_and(|left| left.is_zero()) {
            return Err(StoreError::refused(format!(
                "not asked, because the visitor has waited {:?} for the stores (PERENNIAL_STORE_WAIT_MS)",
                self.limits.store_wait
            )));
        }
        match self.breaker.admit(&*self.clock) {
            Admission::Go => {}
            // Boxed, because the future of each hit has room for this one.
            otherwise => Box::pin(self.tries(otherwise)).await?,
        }
        let mut call = pin!(call);
        let done = match poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await {
            Poll::Ready(done) => done,
            Poll::Pending => match left {
                None => call.await,
                Some(left) => {
                    let (done, waited) = patiently(&*self.clock, left, call).await;
                    patience::spend(waited);
                    match done {
                        Some(done) => done,
                        None => return Err(self.gave_up(effect, left)),
                    }
                }
            },
        };
        self.breaker.note(&done, &*self.clock);
        done
    }

    /// Tries a store that was left alone, if it is time for that: an error, unless the call may be made. Where there is a
    /// probe, it tries the store beside the call, which does not wait long for it.
    async fn tries(&self, admission: Admission) -> Result<(), StoreError> {
        match (admission, &self.probe) {
            (Admission::Go, _) => return Ok(()),
            // What was begun beside an answer came to no end, because the process was frozen after it.
            (Admission::Try { stood_still: true }, _) | (Admission::Try { .. }, None) => return Ok(()),
            (Admission::Try { .. }, Some((probe, tasks))) => {
                let (probe, breaker, clock) = (probe(), self.breaker.clone(), self.clock.clone());
                let trial = tasks.spawn(async move { breaker.note(&probe.await, &*clock) });
                let ended = within(&*self.clock, self.limits.store_trial_wait, trial).await;
                if ended.is_some() && self.breaker.state() == BreakerState::Closed {
                    return Ok(());
                }
            }
            (Admission::LeftAlone, _) => {}
        }
        Err(StoreError::refused(self.breaker.left_alone()))
    }

    /// The visitor waits no longer. That is the store's fault if it had most of the time.
    fn gave_up(&self, effect: Effect, waited: Duration) -> StoreError {
        let text = format!("no answer within {waited:?} (PERENNIAL_STORE_WAIT_MS)");
        let error = match effect {
            Effect::Reads => StoreError::unavailable(text),
            Effect::Writes => StoreError::unsure(text),
        };
        if waited * 2 >= self.limits.store_wait {
            self.breaker.note::<()>(&Err(error.clone()), &*self.clock);
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::manual_clock::ManualClock;
    use crate::run::settings::Settings;

    #[tokio::test]
    async fn time_for_which_a_process_was_frozen_is_not_the_stores() {
        let (clock, left) = (ManualClock::default(), Duration::from_secs(3));
        let (answer, answered) = tokio::sync::oneshot::channel();
        let (ticking, frozen_for) = (clock.clone(), Duration::from_secs(60));
        let waiting = tokio::spawn(async move { patiently(&ticking, left, answered).await });
        tokio::task::yield_now().await;
        clock.advance(frozen_for);
        tokio::task::yield_now().await;
        answer.send("an answer").unwrap();
        let (done, waited) = waiting.await.unwrap();
        assert_eq!((done, waited), (Some(Ok("an answer")), left / WAIT_PARTS));
    }

    /// A guard that has left its store alone for the pause, and now tries it with this probe.
    fn after_the_pause(probe: Probe) -> (Guard, ManualClock) {
        let (clock, limits) = (ManualClock::default(), Settings::default().limits);
        let breaker = Breaker::new("pages", &limits);
        for _ in 0..limits.store_failures {
            breaker.note::<()>(&Err(StoreError::unavailable("down")), &clock);
        }
        clock.advance(limits.store_pause);
        let guard = Guard {
            breaker: Arc::new(breaker),
            clock: Arc::new(clock.clone()),
            limits,
            probe: Some((probe, TaskTracker::new())),
            are_local: false,
        };
        (guard, clock)
    }

    #[tokio::test]
    async fn who_comes_when_the_store_is_well_again_is_answered_by_it() {
        let (guard, _) = after_the_pause(Box::new(|| Box::pin(async { Ok(()) })));
        let done = guard.call(Effect::Reads, async { Ok("the newest") }).await;
        assert_eq!(done.expect("the store is asked"), "the newest");
        assert_eq!(guard.breaker.state(), BreakerState::Closed);
    }

    #[tokio::test]
    async fn who_comes_when_the_store_is_tried_in_vain_does_not_ask_it() {
        let (guard, _) =
            after_the_pause(Box::new(|| Box::pin(async { Err(StoreError::unavailable("down")) })));
        let done = guard.call::<()>(Effect::Reads, async { panic!("the store is asked") }).await;
        assert!(done.expect_err("left alone").to_string().contains("PERENNIAL_STORE_PAUSE_MS"));
        assert_eq!(guard.breaker.state(), BreakerState::Open);
    }

    #[tokio::test]
    async fn nobody_waits_long_for_a_trial() {
        let (guard, clock) = after_the_pause(Box::new(|| Box::pin(std::future::pending())));
        let mut visit = pin!(guard.call::<()>(Effect::Reads, async { panic!("the store is asked") }));
        let waits = poll_fn(|cx| Poll::Ready(visit.as_mut().poll(cx).is_pending())).await;
        assert!(waits, "a store that is well answers at once");
        clock.advance(guard.limits.store_trial_wait);
        assert!(visit.await.is_err(), "PERENNIAL_STORE_TRIAL_WAIT_MS");
    }
}
