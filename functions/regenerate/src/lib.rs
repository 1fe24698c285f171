//! The regenerate function: carries out a batch of the queue's jobs.

pub mod batch;
pub mod function;

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use perennial_core::engine::Engine;
use perennial_core::ports::job::BadJob;
use perennial_core::ports::queue::{Queue as _, RETRY_FIRST, retry_after};
use perennial_core::ports::stores::Stores;
use tokio::task::JoinSet;

use crate::batch::Item;

/// Carries out the queue's jobs.
pub struct Regenerate<S: Stores> {
    engine: Arc<Engine<S>>,
}

impl<S: Stores> Regenerate<S> {
    /// Carries out jobs with this engine.
    pub fn new(engine: Arc<Engine<S>>) -> Self {
        Self { engine }
    }

    /// Carries out a batch within the limit of concurrent renders, and answers per record (a partial batch response).
    ///
    /// The answer names the records that SQS must deliver again. These are jobs that failed because of the store: their
    /// pause begins with seconds and grows with each delivery. A failed render is not delivered again: the failure is
    /// stored with its page, and a visitor after the back-off triggers the next render. A record that cannot be read is
    /// delivered again, because another version of this function may understand the record; otherwise the queue's
    /// redrive policy moves the record to the dead-letter queue.
    pub async fn handle(&self, event: &SqsEvent) -> SqsBatchResponse {
        let mut running = JoinSet::new();
        for record in &event.records {
            let (engine, item) = (self.engine.clone(), batch::item(record));
            running.spawn(async move { work(&engine, item).await });
        }
        batch::answer(running.join_all().await.into_iter().flatten().collect())
    }
}

/// Carries out one job. Returns the message's id if the queue must deliver the job again.
async fn work<S: Stores>(engine: &Arc<Engine<S>>, item: Item) -> Option<String> {
    let Item { message_id, receipt, deliveries, job } = item;
    let pause = match job {
        Ok(job) => engine.work_or_retry(&job).await.then(|| retry_after(deliveries, &message_id))?,
        Err(error) => {
            tracing::error!(message_id, "a record of the queue cannot be carried out: {error}");
            match error {
                // A newer version of this function may be deployed soon.
                BadJob::Version(_) => retry_after(deliveries, &message_id),
                // No version can read this job: short pauses move it to the dead-letter queue, and raise its alarm,
                // soon.
                BadJob::Damaged(_) => RETRY_FIRST,
            }
        }
    };
    if let Some(receipt) = receipt
        && let Err(error) = engine.stores().queue().give_back(&receipt, pause).await
    {
        tracing::warn!(
            message_id,
            "the pause of a job cannot be set; the queue delivers the job again after its visibility time-out: {error}"
        );
    }
    Some(message_id)
}
