//! The queue in SQS: a standard one, with a dead-letter queue behind it.

use std::time::Duration;

use http::Method;
use serde_json::json;

use super::{Job, Jobs};
use crate::aws::errors::write_error;
use crate::aws::{Call, Caller};
use crate::store::StoreError;

/// SQS's limit of a message's delay.
const DELAY_MAX: Duration = Duration::from_secs(900);

/// The [`Jobs`] of an AWS account.
#[derive(Clone)]
pub struct SqsJobs {
    caller: Caller,
    url: String,
    queue_url: String,
}

impl SqsJobs {
    /// Sends to this queue.
    pub(crate) fn new(caller: Caller, queue_url: String) -> Self {
        Self { url: caller.url("sqs", "/"), caller, queue_url }
    }
}

impl Jobs for SqsJobs {
    async fn send(&self, job: &Job, delay: Duration) -> Result<(), StoreError> {
        debug_assert!(delay <= DELAY_MAX, "a job cannot be delayed by {delay:?}");
        // Too early is harmless: a job says what it is for, and is dropped if that is not so.
        let delay_s = delay.min(DELAY_MAX).as_secs_f64().ceil() as u32;
        let message =
            json!({ "QueueUrl": self.queue_url, "MessageBody": job.to_json(), "DelaySeconds": delay_s });
        let call = Call {
            action: "sqs:SendMessage",
            method: Method::POST,
            url: &self.url,
            headers: &[
                ("content-type", "application/x-amz-json-1.0"),
                ("x-amz-target", "AmazonSQS.SendMessage"),
            ],
            body: message.to_string().into(),
        };
        let sent = self.caller.call(call).await;
        sent.map(drop).map_err(|e| write_error("sqs:SendMessage", "send a job to the queue", &e))
    }
}
