//! The queue in SQS: a standard one, with a dead-letter queue behind it.

use std::time::Duration;

use aws_sdk_sqs::Client;

use crate::ports::error::StoreError;
use crate::ports::job::Job;
use crate::ports::queue::Queue;
use crate::stores::aws::account::Lazily;
use crate::stores::aws::errors::{Failure, write_error};

/// SQS's limit of a message's delay.
const DELAY_MAX: Duration = Duration::from_secs(900);

/// The [`Queue`] of an AWS account.
#[derive(Clone)]
pub struct SqsQueue {
    client: Lazily<Client>,
    queue_url: String,
}

impl SqsQueue {
    /// Sends to this queue.
    pub(crate) fn new(client: Lazily<Client>, queue_url: String) -> Self {
        Self { client, queue_url }
    }
}

impl Queue for SqsQueue {
    async fn send(&self, job: &Job, delay: Duration) -> Result<(), StoreError> {
        debug_assert!(delay <= DELAY_MAX, "a job cannot be delayed by {delay:?}");
        // Too early is harmless: a job says what it is for, and is dropped if that is not so.
        let delay_s = delay.min(DELAY_MAX).as_secs_f64().ceil() as i32;
        let send = self.client.send_message().queue_url(&self.queue_url).message_body(job.to_json());
        let sent = Box::pin(send.delay_seconds(delay_s).send()).await;
        sent.map(drop)
            .map_err(|e| write_error("sqs:SendMessage", "send a job to the queue", &Failure::of(&e)))
    }

    /// A message that a function does not carry out stays hidden for the queue's visibility time-out otherwise, which is
    /// many minutes: <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>.
    async fn give_back(&self, receipt: &str, delay: Duration) -> Result<(), StoreError> {
        let hide = self.client.change_message_visibility().queue_url(&self.queue_url).receipt_handle(receipt);
        let hidden = Box::pin(hide.visibility_timeout(delay.as_secs_f64().ceil() as i32).send()).await;
        hidden.map(drop).map_err(|e| {
            write_error("sqs:ChangeMessageVisibility", "give a job back to the queue", &Failure::of(&e))
        })
    }
}
