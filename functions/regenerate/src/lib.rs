//! Regenerate: a batch of jobs in, renewed pages out.

pub mod batch;

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
    /// and a visitor after its back-off tries again. A record that cannot be read is logged and acknowledged, since it
    /// will not become readable.
    pub async fn handle(&self, event: &SqsEvent) -> SqsBatchResponse {
        let mut running = JoinSet::new();
        for record in &event.records {
            let batch::Item { message_id, job } = batch::item(record);
            match job {
                Err(error) => tracing::error!(message_id, "a record was dropped: {error}"),
                Ok(job) => {
                    let engine = self.engine.clone();
                    running.spawn(async move { (message_id, engine.work_or_retry(&job).await) });
                }
            }
        }
        let done = running.join_all().await;
        batch::answer(done.into_iter().filter(|(_, retry)| *retry).map(|(id, _)| id).collect())
    }
}
