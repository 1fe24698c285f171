//! Regenerate: a batch of jobs in, renewed pages out.
#![cfg(feature = "lambda")]

pub mod batch;
pub mod function;

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use perennial::parts::engine::Engine;
use perennial::parts::ports::job::BadJob;
use perennial::parts::ports::queue::{Queue as _, RETRY_FIRST, retry_after};
use perennial::parts::ports::stores::Stores;
use tokio::task::JoinSet;

use crate::batch::Item;

/// Works the queue.
pub struct Regenerate<S: Stores> {
    engine: Arc<Engine<S>>,
}

impl<S: Stores> Regenerate<S> {
    /// Renders on these stores.
    pub fn new(engine: Arc<Engine<S>>) -> Self {
        Self { engine }
    }

    /// Carries out a batch, as many jobs at once as may be rendered, and answers per record: only those that the
    /// store kept from being carried out are delivered again, after seconds, and later and later while they fail. A
    /// render that failed is not: it is noted with its page, and a visitor after its back-off tries again. A record that
    /// cannot be read is delivered again as well: another version of this function may be able to, and if none is, the
    /// queue's redrive policy sets it aside where somebody can look at it.
    pub async fn handle(&self, event: &SqsEvent) -> SqsBatchResponse {
        let mut running = JoinSet::new();
        for record in &event.records {
            let (engine, item) = (self.engine.clone(), batch::item(record));
            running.spawn(async move { work(&engine, item).await });
        }
        batch::answer(running.join_all().await.into_iter().flatten().collect())
    }
}

/// Carries out one job; gives its message's id if it is to be delivered again.
async fn work<S: Stores>(engine: &Arc<Engine<S>>, item: Item) -> Option<String> {
    let Item { message_id, receipt, deliveries, job } = item;
    let pause = match job {
        Ok(job) => engine.work_or_retry(&job).await.then(|| retry_after(deliveries, &message_id))?,
        Err(error) => {
            tracing::error!(message_id, "a record of the queue cannot be carried out: {error}");
            match error {
                // There may be a newer function soon.
                BadJob::Version(_) => retry_after(deliveries, &message_id),
                // Nobody can read it: the sooner it is set aside, the sooner somebody is told.
                BadJob::Damaged(_) => RETRY_FIRST,
            }
        }
    };
    if let Some(receipt) = receipt
        && let Err(error) = engine.stores().queue().give_back(&receipt, pause).await
    {
        tracing::warn!(message_id, "a job comes again only after the queue's visibility time-out: {error}");
    }
    Some(message_id)
}
