//! The timer by which the HTTP library ends connections whose next head does not arrive.
//!
//! The library asks for a new sleep before each request and drops it when the head is there. The runtime's own would
//! be entered into its queue of timers and taken out again each time, under a lock that all threads share. Here a
//! connection has one alarm, which may ring too early: only then is it set to what is wanted by now.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use hyper_util::rt::TokioTimer;

/// One connection's timer, for deadlines that only move forward.
#[derive(Default)]
pub(crate) struct HeadTimer(Arc<Mutex<Alarm>>);

/// None until something is waited for.
type Alarm = Option<Pin<Box<dyn Sleep>>>;

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Until { deadline, alarm: self.0.clone() })
    }

    fn now(&self) -> Instant {
        TokioTimer::new().now()
    }
}

struct Until {
    deadline: Instant,
    /// Set to this deadline or an earlier one.
    alarm: Arc<Mutex<Alarm>>,
}

impl Sleep for Until {}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let timer = TokioTimer::new();
        let mut alarm = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        let alarm = alarm.get_or_insert_with(|| timer.sleep_until(self.deadline));
        while alarm.as_mut().poll(cx).is_ready() {
            if timer.now() >= self.deadline {
                return Poll::Ready(());
            }
            timer.reset(alarm, self.deadline);
        }
        Poll::Pending
    }
}
