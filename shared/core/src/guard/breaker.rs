//! A circuit breaker: closed while the store answers, open while the store gets no calls, half-open while one call tries
//! the store.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::clock::{Clock, Millis};
use crate::base::limits::Limits;
use crate::ports::error::StoreError;

/// The longest time of a trial, longer than any call of a store takes. A trial that lasts longer was dropped, or its process
/// was frozen.
const TRIAL_MAX: Duration = Duration::from_secs(20);

/// The circuit breaker of one store.
#[derive(Debug)]
pub struct Breaker {
    store: &'static str,
    failures_max: u32,
    pause: Duration,
    /// Failed calls in a row.
    failures: AtomicU32,
    /// Whether the state is [`State::Closed`]. A call of a healthy store reads nothing else.
    is_closed: AtomicBool,
    state: Mutex<State>,
    opened: AtomicU64,
    failed: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    Open { since: Millis },
    Trial { since: Millis },
}

/// The state of a breaker: the calls that it lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Every call.
    Closed,
    /// No call.
    Open,
    /// One call, to try the store.
    HalfOpen,
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Go,
    /// The call may be made, as the only one: it tries the store.
    Try {
        /// Whether the trial before this one never ended.
        stood_still: bool,
    },
    /// The call must not be made now.
    LeftAlone,
}

impl Breaker {
    pub(crate) fn new(store: &'static str, limits: &Limits) -> Self {
        Self {
            store,
            failures_max: limits.store_failures,
            pause: limits.store_pause,
            failures: AtomicU32::new(0),
            is_closed: AtomicBool::new(true),
            state: Mutex::new(State::Closed),
            opened: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// The store: `pages`, `bodies`, `jobs`, `edge`, `publishes`.
    pub fn store(&self) -> &'static str {
        self.store
    }

    /// The present state.
    pub fn state(&self) -> BreakerState {
        match *self.lock() {
            State::Closed => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::Trial { .. } => BreakerState::HalfOpen,
        }
    }

    /// How often the breaker has opened since the process started.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Failed calls since the process started.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides whether a call may be made. Called before each call of the store.
    pub(super) fn admit(&self, clock: &dyn Clock) -> Admission {
        if self.is_closed.load(Ordering::Relaxed) {
            return Admission::Go;
        }
        let (now, mut state) = (clock.now(), self.lock());
        let (since, lasts, stood_still) = match *state {
            State::Closed => return Admission::Go,
            State::Open { since } => (since, self.pause, false),
            State::Trial { since } => (since, TRIAL_MAX, true),
        };
        // If the clock was set back, the pause ends at once instead of lasting longer.
        if now >= since && now.since(since) < lasts {
            return Admission::LeftAlone;
        }
        *state = State::Trial { since: now };
        tracing::info!(store = self.store, breaker = "half-open", "the store is tried again");
        Admission::Try { stood_still }
    }

    /// Notes the end of a call. An error that is no trouble
    /// ([`is_trouble`](crate::ports::error::StoreErrorKind::is_trouble)) counts as an answer.
    pub(crate) fn note<T>(&self, done: &Result<T, StoreError>, clock: &dyn Clock) {
        match done {
            Err(error) if error.kind().is_trouble() => self.fails(error, clock),
            Ok(_) | Err(_) => self.answered(),
        }
    }

    fn answered(&self) {
        // In most calls nothing changes: then nothing is written to memory that other threads read.
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.is_closed.load(Ordering::Relaxed) {
            return;
        }
        *self.lock() = State::Closed;
        if !self.is_closed.swap(true, Ordering::Relaxed) {
            tracing::warn!(store = self.store, breaker = "closed", "the store answers again");
        }
    }

    fn fails(&self, error: &StoreError, clock: &dyn Clock) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let mut state = self.lock();
        let opens = match *state {
            State::Closed => failures >= self.failures_max,
            // The call began before the breaker opened.
            State::Open { .. } => false,
            // The trial ended too late: its process was frozen, which says nothing about the store.
            State::Trial { since } => clock.now().since(since) < TRIAL_MAX,
        };
        if opens {
            *state = State::Open { since: clock.now() };
            self.is_closed.store(false, Ordering::Relaxed);
            self.opened.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                store = self.store,
                breaker = "open",
                failures,
                "the store is left alone for {:?}: pages in memory are shown as stale, others are rendered and not kept: {error}",
                self.pause
            );
        }
    }

    /// The error text for calls that are not made.
    pub(super) fn left_alone(&self) -> String {
        format!(
            "the store of {} is left alone for a while, because {} calls in a row have failed (PERENNIAL_STORE_FAILURES, PERENNIAL_STORE_PAUSE_MS)",
            self.store, self.failures_max
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::manual_clock::ManualClock;
    use crate::run::settings::Settings;

    fn trouble() -> Result<(), StoreError> {
        Err(StoreError::unavailable("down"))
    }

    fn breaker() -> (Breaker, ManualClock, Duration) {
        let limits = Settings::default().limits;
        (Breaker::new("pages", &limits), ManualClock::default(), limits.store_pause)
    }

    fn open(breaker: &Breaker, clock: &ManualClock) {
        (0..Settings::default().limits.store_failures).for_each(|_| breaker.note(&trouble(), clock));
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_begins_the_row_again() {
        let (breaker, clock, _) = breaker();
        for end in [Ok(()), Err(StoreError::refused("denied"))] {
            (0..2).for_each(|_| breaker.note(&trouble(), &clock));
            breaker.note(&end, &clock);
        }
        assert_eq!((breaker.state(), breaker.failed(), breaker.opened()), (BreakerState::Closed, 4, 0));
        breaker.note(&Err::<(), _>(StoreError::unsure("lost")), &clock);
        (0..2).for_each(|_| breaker.note(&trouble(), &clock));
        assert_eq!((breaker.state(), breaker.opened()), (BreakerState::Open, 1));
        assert_eq!(breaker.admit(&clock), Admission::LeftAlone);
    }

    #[test]
    fn one_call_tries_it_after_a_pause_and_its_end_decides() {
        let (breaker, clock, pause) = breaker();
        open(&breaker, &clock);
        clock.advance(pause);
        assert_eq!(breaker.admit(&clock), Admission::Try { stood_still: false });
        assert_eq!(breaker.admit(&clock), Admission::LeftAlone, "one at a time");
        breaker.note(&trouble(), &clock);
        assert_eq!(breaker.admit(&clock), Admission::LeftAlone, "once is enough");
        clock.advance(pause);
        assert_eq!(breaker.admit(&clock), Admission::Try { stood_still: false });
        breaker.note(&Ok(()), &clock);
        assert_eq!((breaker.state(), breaker.admit(&clock)), (BreakerState::Closed, Admission::Go));
        assert_eq!(breaker.opened(), 2);
    }

    #[test]
    fn a_trial_that_stood_still_says_nothing_and_holds_up_nobody() {
        let (breaker, clock, pause) = breaker();
        open(&breaker, &clock);
        clock.advance(pause);
        assert_eq!(breaker.admit(&clock), Admission::Try { stood_still: false });
        clock.advance(TRIAL_MAX);
        breaker.note(&trouble(), &clock);
        assert_eq!(breaker.admit(&clock), Admission::Try { stood_still: true });
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_keep_it_open() {
        let (breaker, clock, _) = breaker();
        open(&breaker, &clock);
        clock.set(Millis(1));
        assert_eq!(breaker.admit(&clock), Admission::Try { stood_still: false });
    }
}
