//! A guarded port, and the guard before its calls.

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

/// A port behind a guard, which makes no calls while the store's breaker is open.
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

    /// The port without its guard. Its calls are always made, and the breaker does not count them.
    pub fn unguarded(&self) -> &P {
        &self.port
    }
}

/// A call that finds out whether a store answers again.
pub(super) type Probe =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>> + Send + Sync>;

/// The guard of one port.
pub(super) struct Guard {
    pub(super) breaker: Arc<Breaker>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: Limits,
    /// The probe, and the tasks among which it runs. `None`: a visitor's own call tries the store.
    pub(super) probe: Option<(Probe, TaskTracker)>,
    /// Whether visitors wait without a limit; see [`Ports::are_local`](crate::ports::stores::Ports::are_local).
    pub(super) are_local: bool,
}

/// The number of parts of a bounded wait: see [`patiently`].
const WAIT_PARTS: u32 = 16;

/// Waits for a call for `left` at most, and returns its result and the time waited. The wait has parts, and each counts for no
/// more than its own length: if the process is frozen meanwhile, the frozen time does not count as the store's.
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
    /// Makes a call, unless the breaker is open. The call may take no longer than its visitor still waits.
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
            // Boxed: the future of every hit would need space for this one.
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

    /// Tries the store if its pause is over. `Ok` if the call may now be made. With a probe, the probe tries the store, and the
    /// call waits for the probe for `store_trial_wait` at most.
    async fn tries(&self, admission: Admission) -> Result<(), StoreError> {
        match (admission, &self.probe) {
            (Admission::Go, _) => return Ok(()),
            // The probe of the last trial never ended, because the process was frozen after its answer: the call itself tries.
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

    /// The error of a call whose visitor waits no longer. It counts as a failure of the store if the store had at least half
    /// of the visitor's time.
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
