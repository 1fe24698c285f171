//! Regenerate: a batch of jobs in, renewed pages out.
#![cfg(feature = "lambda")]

pub mod batch;
pub mod function;

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use perennial::{Engine, Stores};
use tokio::task::JoinSet;

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
    /// store kept from being carried out are delivered again. A render that failed is not: it is noted with its page,
    /// and a visitor after its back-off tries again. A record that cannot be read is delivered again as well: another
    /// version of this function may be able to, and if none is, the queue's redrive policy sets it aside where somebody
    /// can look at it.
    pub async fn handle(&self, event: &SqsEvent) -> SqsBatchResponse {
        let (mut running, mut retry) = (JoinSet::new(), Vec::new());
        for record in &event.records {
            let batch::Item { message_id, job } = batch::item(record);
            match job {
                Err(error) => {
                    tracing::error!(message_id, "a record of the queue cannot be carried out: {error}");
                    retry.push(message_id);
                }
                Ok(job) => {
                    let engine = self.engine.clone();
                    running.spawn(async move { (message_id, engine.work_or_retry(&job).await) });
                }
            }
        }
        let done = running.join_all().await;
        retry.extend(done.into_iter().filter(|(_, again)| *again).map(|(id, _)| id));
        batch::answer(retry)
    }
}
