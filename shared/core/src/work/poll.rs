//! Takes jobs from the queue, where no event source delivers them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::base::clock::Millis;
use crate::base::log_limits::Line;
use crate::base::panics::guarded_async;
use crate::ports::error::StoreError;
use crate::ports::job::Job;
use crate::ports::queue::{DELIVERIES_MAX, Delivery, Queue, retry_after};
use crate::ports::stores::Stores;
use crate::work::worker::Worker;

/// How long one call waits for a job: as long as SQS waits at most, since each call is billed.
const WAIT: Duration = Duration::from_secs(20);

/// A queue that could not be read is asked again after so long, and after twice as long each further time.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// The longest pause between two tries to read the queue: a queue that is back is worked at once, for people.
const ASK_AGAIN_AFTER_MAX: Duration = Duration::from_secs(4);

/// How often a queue that cannot be read is told again.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(600);

/// Starts as many workers as may render at once. They stop taking jobs when `stop` is cancelled; those under way are among
/// the process's tasks.
pub(crate) fn start_workers<S: Stores>(worker: &Arc<Worker<S>>, stop: &CancellationToken) {
    // One of them waits at the queue, and the others for their turn: an idle process makes one call at a time.
    let turn = Arc::new(Mutex::new(Turn::default()));
    for _ in 0..worker.process.limits.max_concurrent_renders {
        let (worker, stop, turn) = (worker.clone(), stop.clone(), turn.clone());
        worker.process.clone().tasks.spawn(async move {
            while !stop.is_cancelled() {
                match guarded_async(work_when_due(&worker, &turn, &stop)).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => worker.process.log(Line::StoreFails, |left_out| {
                        tracing::error!(
                            left_out,
                            "a job could not be given back or ended in the queue: {error}"
                        );
                    }),
                    // Without its worker the queue would stand still in the end.
                    Err(panic) => tracing::error!("a job comes again once its lease has ended: {panic}"),
                }
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = worker.process.clock.sleep(ASK_AGAIN_AFTER) => {}
                }
            }
        });
    }
}

/// What the worker knows that waits at the queue: how often in a row the queue could not be read.
#[derive(Default)]
struct Turn {
    failures: u32,
    told_at: Option<Millis>,
}

impl Turn {
    /// The queue could not be read, which is told once, and then now and then. Returns the pause before the next try.
    fn failed(&mut self, error: &StoreError, now: Millis) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let is_due = |told_at: Millis| told_at > now || now.since(told_at) >= TELL_AGAIN_AFTER;
        if self.told_at.is_none_or(is_due) {
            self.told_at = Some(now);
            tracing::error!(
                failures = self.failures,
                "the queue cannot be read, so nothing is renewed in the background: {error}"
            );
        }
        ASK_AGAIN_AFTER.saturating_mul(1 << (self.failures - 1).min(16)).min(ASK_AGAIN_AFTER_MAX)
    }

    fn succeeded(&mut self) {
        if self.told_at.take().is_some() {
            tracing::info!(failures = self.failures, "the queue can be read again");
        }
        self.failures = 0;
    }
}

/// Waits for a job, and carries it out.
async fn work_when_due<S: Stores>(
    worker: &Worker<S>,
    turn: &Mutex<Turn>,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let take = async {
        let mut turn = turn.lock().await;
        loop {
            match worker.queue().take(worker.process.limits.lease, WAIT).await {
                Ok(taken) => {
                    turn.succeeded();
                    return taken;
                }
                // The others wait for their turn meanwhile.
                Err(error) => {
                    let pause = turn.failed(&error, worker.process.now());
                    worker.process.clock.sleep(pause).await;
                }
            }
        }
    };
    let taken = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        taken = take => taken,
    };
    match taken {
        Some(delivery) => work_delivery(worker, delivery).await,
        None => Ok(()),
    }
}

/// Carries out the next job that is due; tells whether there is one.
///
/// # Errors
/// The queue cannot be read or written.
pub(crate) async fn work_next<S: Stores>(worker: &Worker<S>) -> Result<bool, StoreError> {
    match worker.queue().take(worker.process.limits.lease, Duration::ZERO).await? {
        Some(delivery) => work_delivery(worker, delivery).await.map(|()| true),
        None => Ok(false),
    }
}

/// A worker that dies gives its job back as it does its page: with the end of a lease.
async fn work_delivery<S: Stores>(worker: &Worker<S>, delivery: Delivery) -> Result<(), StoreError> {
    let queue = worker.queue();
    let again = match Job::from_json(&delivery.message) {
        Ok(job) => tokio::select! {
            again = worker.work_or_retry(&job) => again,
            never = keep(worker, &delivery) => match never {},
        },
        Err(error) => {
            // A newer version of this program may be able to: there may be one soon, on the same store.
            let again = queue.sets_aside() || delivery.deliveries < DELIVERIES_MAX;
            tracing::error!(again, "a job cannot be carried out: {error}");
            again
        }
    };
    if again {
        let pause = retry_after(delivery.deliveries, &delivery.receipt);
        queue.give_back(&delivery.receipt, pause).await
    } else {
        queue.finish(delivery).await
    }
}

/// Keeps a job from other workers while its own lives.
async fn keep<S: Stores>(worker: &Worker<S>, delivery: &Delivery) -> Infallible {
    let lease = worker.process.limits.lease;
    loop {
        worker.process.clock.sleep(lease / 3).await;
        if let Err(error) = worker.queue().keep(delivery, lease).await {
            tracing::warn!("a job cannot be kept, another worker may take it as well: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_cannot_be_read_is_asked_ever_more_seldom() {
        let (mut turn, mut now, mut told) = (Turn::default(), Millis(1_000_000), Vec::new());
        let error = StoreError::unsure("read-only");
        for n in 0..400_u32 {
            let pause = turn.failed(&error, now);
            if turn.told_at == Some(now) {
                told.push(n);
            }
            assert!(pause <= ASK_AGAIN_AFTER_MAX && pause >= ASK_AGAIN_AFTER, "{pause:?}");
            now = now.plus(pause);
        }
        assert!(told.len() == 3 && told[0] == 0, "told once, and again every ten minutes: {told:?}");
        assert_eq!(turn.failed(&error, now), ASK_AGAIN_AFTER_MAX);
        turn.succeeded();
        assert_eq!(turn.failed(&error, now), ASK_AGAIN_AFTER);
    }
}
