//! The port to the queue: work that need not be done while a visitor waits.

use std::future::Future;
use std::time::Duration;

use crate::ports::error::StoreError;
use crate::ports::job::Job;

/// The queue. Each job is delivered at least once, in any order.
///
/// A delivery hides its job from everybody else for a while. Its worker [keeps](Queue::keep) it for longer if need be, and
/// then [finishes](Queue::finish) it or [gives it back](Queue::give_back). A worker that dies does neither: its job comes
/// again when that while is over. On AWS Lambda an event source takes the jobs, and nobody calls [`Queue::take`].
///
/// Times may be rounded up to whole seconds, which is what SQS counts in.
pub trait Queue: Send + Sync + 'static {
    /// Accepts a job, to be delivered after `delay` and not before (at most 15 minutes, SQS's limit).
    fn send(&self, job: &Job, delay: Duration) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes a job that is due, and hides it from others for `hidden`. Where there is none, waits for one to become due
    /// for about `wait` (at most 20 seconds, SQS's limit): `None` if none has.
    ///
    /// A call that does not wait may overlook a job that is there. A call that is dropped takes no job, or one that
    /// comes again after `hidden`.
    fn take(
        &self,
        hidden: Duration,
        wait: Duration,
    ) -> impl Future<Output = Result<Option<Delivery>, StoreError>> + Send;

    /// Hides a delivered job from others for `hidden` from now on, in place of what is left.
    fn keep(
        &self,
        delivery: &Delivery,
        hidden: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes a delivered job: it was carried out, and does not come again.
    fn finish(&self, delivery: Delivery) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Has a job that was delivered, and could not be carried out, delivered again after `delay`. The receipt is the
    /// [delivery's](Delivery::receipt).
    fn give_back(
        &self,
        receipt: &str,
        delay: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Whether the queue itself sets a job aside that was delivered too often, where a person can look at it. The worker
    /// of a queue that does not drops such a job.
    fn sets_aside(&self) -> bool {
        false
    }
}

/// A job that the queue has handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The message as it was sent; see [`Job::from_json`].
    pub message: String,
    /// What the queue calls this delivery.
    pub receipt: String,
    /// How often the job was delivered, this time included, as far as the queue knows; 1 the first time.
    pub deliveries: u32,
}

/// The queue delivers a job this often at most. With the pauses of [`retry_after`] that takes three hours: an outage of a
/// store costs no job. `maxReceiveCount` in `infra/template.yaml` is the same number.
pub const DELIVERIES_MAX: u32 = 20;

/// The pause after the first delivery that met a failing store; each further one is twice as long.
pub const RETRY_FIRST: Duration = Duration::from_secs(5);

/// The longest of those pauses.
pub const RETRY_MAX: Duration = Duration::from_secs(900);

/// When to deliver a job again that could not be carried out for the `count`-th time: [`RETRY_FIRST`], doubling to
/// [`RETRY_MAX`]. Up to a quarter is taken off, by `seed`, so that jobs that failed together do not come back together.
pub fn retry_after(count: u32, seed: &str) -> Duration {
    let doubled = RETRY_FIRST.saturating_mul(2_u32.saturating_pow(count.saturating_sub(1))).min(RETRY_MAX);
    // FNV-1a.
    let spread = seed.bytes().chain(count.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let off_ms = (doubled.as_millis() as u64 / 4 * (spread >> 32 & 0xff)) >> 8;
    doubled - Duration::from_millis(off_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_failed_comes_back_after_seconds_and_survives_an_outage_of_hours() {
        let pauses: Vec<_> = (1..DELIVERIES_MAX).map(|count| retry_after(count, "m")).collect();
        for (pause, whole) in pauses.iter().zip([5, 10, 20, 40, 80, 160, 320, 640, 900, 900]) {
            let whole = Duration::from_secs(whole);
            assert!(*pause <= whole && *pause >= whole * 3 / 4, "{pause:?} of {whole:?}");
        }
        assert!(pauses.iter().sum::<Duration>() > Duration::from_secs(2 * 3600), "{pauses:?}");
        assert_ne!(retry_after(3, "a"), retry_after(3, "b"));
        assert!(retry_after(u32::MAX, "m") <= RETRY_MAX);
        assert!(retry_after(0, "m") <= RETRY_FIRST);
    }

    /// Messages that failed together, whose names are alike, are spread over the whole quarter; and a message that is
    /// early once is not early each time.
    #[test]
    fn jobs_that_failed_together_come_back_spread_over_the_whole_quarter() {
        let part_of = |count: u32, seed: &str| {
            let whole = retry_after(count, seed).as_secs_f64() / RETRY_MAX.as_secs_f64();
            (((1.0 - whole) * 64.0) as usize).min(15)
        };
        let (mut parts, mut moved) = ([0; 16], 0);
        for n in 0..1_600 {
            let seed = format!("message-{n}");
            parts[part_of(18, &seed)] += 1;
            moved += usize::from(part_of(18, &seed) != part_of(19, &seed));
        }
        assert!(parts.iter().all(|part| (50..200).contains(part)), "{parts:?}");
        assert!(moved > 400, "{moved} of 1600");
    }
}
