//! The port to the queue, for work that no visitor waits for.

use std::future::Future;
use std::time::Duration;

use crate::ports::error::StoreError;
use crate::ports::job::Job;

/// The queue. Each job is delivered at least once, in any order.
///
/// A delivery hides its job from other workers for a time (SQS: visibility timeout). The worker extends that time with
/// [`Queue::keep`] if need be, and then calls [`Queue::finish`] or [`Queue::give_back`]. If the worker dies, the job is
/// delivered again when the time has passed. On AWS Lambda an event source takes the jobs: no program calls [`Queue::take`].
///
/// Times may be rounded up to whole seconds, the unit of SQS.
pub trait Queue: Send + Sync + 'static {
    /// Accepts a job. It is delivered no earlier than after `delay`, which is at most 15 minutes (SQS's limit).
    fn send(&self, job: &Job, delay: Duration) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes a job that is due, and hides it from other workers for `hidden`. Without such a job the call waits for about
    /// `wait` (at most 20 seconds, SQS's limit), and returns `None` if no job becomes due.
    ///
    /// A call that does not wait may miss a job that is due. A dropped call takes no job, or one that is delivered again
    /// after `hidden`.
    fn take(
        &self,
        hidden: Duration,
        wait: Duration,
    ) -> impl Future<Output = Result<Option<Delivery>, StoreError>> + Send;

    /// Hides a delivered job from other workers for `hidden` from now on, instead of for the rest of the earlier time.
    fn keep(
        &self,
        delivery: &Delivery,
        hidden: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes a delivered job that was carried out.
    fn finish(&self, delivery: Delivery) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Returns a job that could not be carried out. It is delivered again after `delay`. `receipt` is [`Delivery::receipt`].
    fn give_back(
        &self,
        receipt: &str,
        delay: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Whether the queue itself moves a job that was delivered too often to a dead-letter queue. Otherwise the worker drops
    /// such a job.
    fn sets_aside(&self) -> bool {
        false
    }
}

/// A job that the queue has handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The message as it was sent; see [`Job::from_json`].
    pub message: String,
    /// The queue's name for this delivery.
    pub receipt: String,
    /// The number of deliveries of the job, this one included, as far as the queue counts them.
    pub deliveries: u32,
}

/// The most deliveries of a job. With the pauses of [`retry_after`] they take three hours, so that an outage of a store
/// costs no job. `maxReceiveCount` in `infra/template.yaml` is the same number.
pub const DELIVERIES_MAX: u32 = 20;

/// The pause after the first delivery of a job that meets a failing store. Each further pause is twice as long.
pub const RETRY_FIRST: Duration = Duration::from_secs(5);

/// The longest of those pauses.
pub const RETRY_MAX: Duration = Duration::from_secs(900);

/// The pause before the next delivery of a job that has failed `count` times: [`RETRY_FIRST`], doubling to [`RETRY_MAX`]. `seed`
/// takes off up to a quarter, so that jobs that failed together are not delivered together.
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
