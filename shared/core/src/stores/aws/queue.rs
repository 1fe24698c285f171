//! The queue in SQS: a standard queue with a dead-letter queue.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Config;
use aws_sdk_sqs::types::MessageSystemAttributeName;
use aws_smithy_types::timeout::TimeoutConfig;

use crate::ports::error::StoreError;
use crate::ports::job::Job;
use crate::ports::queue::{Delivery, Queue};
use crate::stores::aws::account::{ATTEMPT_TIMEOUT, Lazily};
use crate::stores::aws::errors::{Failure, write_error};

/// SQS's limit on the wait of one call for a message
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html>).
const WAIT_MAX: Duration = Duration::from_secs(20);

/// SQS's limit on a message's delay.
const DELAY_MAX: Duration = Duration::from_secs(900);

/// The [`Queue`] of an AWS account.
#[derive(Clone)]
pub struct SqsQueue {
    client: Lazily<Client>,
    queue_url: String,
}

impl SqsQueue {
    /// The queue with this URL.
    pub(crate) fn new(client: Lazily<Client>, queue_url: String) -> Self {
        Self { client, queue_url }
    }

    /// Sets a message's visibility timeout, from now on.
    async fn hide(&self, receipt: &str, hidden: Duration, what: &str) -> Result<(), StoreError> {
        let hide = self.client.change_message_visibility().queue_url(&self.queue_url).receipt_handle(receipt);
        let done = Box::pin(hide.visibility_timeout(seconds(hidden)).send()).await;
        done.map(drop).map_err(|e| write_error("sqs:ChangeMessageVisibility", what, &Failure::of(e)))
    }
}

/// A time in whole seconds, rounded up.
fn seconds(time: Duration) -> i32 {
    time.as_secs_f64().ceil() as i32
}

impl Queue for SqsQueue {
    async fn send(&self, job: &Job, delay: Duration) -> Result<(), StoreError> {
        debug_assert!(delay <= DELAY_MAX, "a job cannot be delayed by {delay:?}");
        // SQS delays for 15 minutes at most. An early delivery is harmless: the worker looks at the job's time.
        let send = self.client.send_message().queue_url(&self.queue_url).message_body(job.to_json());
        let sent = Box::pin(send.delay_seconds(seconds(delay.min(DELAY_MAX))).send()).await;
        sent.map(drop).map_err(|e| write_error("sqs:SendMessage", "send a job to the queue", &Failure::of(e)))
    }

    /// A long poll: it asks all of SQS's servers, and is one call however long it waits.
    async fn take(&self, hidden: Duration, wait: Duration) -> Result<Option<Delivery>, StoreError> {
        let wait = wait.min(WAIT_MAX);
        let timeout = TimeoutConfig::builder().operation_attempt_timeout(wait + ATTEMPT_TIMEOUT).build();
        let receive = self.client.receive_message().queue_url(&self.queue_url).max_number_of_messages(1);
        let receive = receive
            .visibility_timeout(seconds(hidden))
            .wait_time_seconds(wait.as_secs() as i32)
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .customize()
            .config_override(Config::builder().timeout_config(timeout));
        let received = Box::pin(receive.send())
            .await
            .map_err(|e| write_error("sqs:ReceiveMessage", "take a job from the queue", &Failure::of(e)))?;
        let message = received.messages.and_then(|mut messages| messages.pop());
        Ok(message.and_then(|message| {
            let count = MessageSystemAttributeName::ApproximateReceiveCount;
            let deliveries = message.attributes.and_then(|told| told.get(&count)?.parse().ok()).unwrap_or(1);
            Some(Delivery { message: message.body?, receipt: message.receipt_handle?, deliveries })
        }))
    }

    async fn keep(&self, delivery: &Delivery, hidden: Duration) -> Result<(), StoreError> {
        self.hide(&delivery.receipt, hidden, "keep a job from the queue").await
    }

    async fn finish(&self, delivery: Delivery) -> Result<(), StoreError> {
        let delete = self.client.delete_message().queue_url(&self.queue_url).receipt_handle(delivery.receipt);
        let deleted = Box::pin(delete.send()).await;
        deleted
            .map(drop)
            .map_err(|e| write_error("sqs:DeleteMessage", "remove a job from the queue", &Failure::of(e)))
    }

    /// The queue's redrive policy does.
    fn sets_aside(&self) -> bool {
        true
    }

    /// Without this call, a message that a function has not carried out stays hidden for the queue's visibility timeout, which
    /// is many minutes: <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>.
    async fn give_back(&self, receipt: &str, delay: Duration) -> Result<(), StoreError> {
        self.hide(receipt, delay, "give a job back to the queue").await
    }
}
