//! Queue records to jobs, and outcomes to the answer that names only the records to be delivered again. Pure.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>, partial batch responses.

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsMessage};
use perennial::parts::ports::job::{BadJob, Job};

/// One record, read.
#[derive(Debug)]
pub struct Item {
    /// What the answer calls it.
    pub message_id: String,
    /// What the queue calls this delivery of it.
    pub receipt: Option<String>,
    /// How often it was delivered, this time included; 1 if the queue does not tell.
    pub deliveries: u32,
    /// The job in it.
    pub job: Result<Job, BadJob>,
}

/// Reads a record. One without an id is given an empty one: such a failure fails the whole batch, as SQS has it.
pub fn item(record: &SqsMessage) -> Item {
    let job = Job::from_json(record.body.as_deref().unwrap_or(""));
    let deliveries = record.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok());
    Item {
        message_id: record.message_id.clone().unwrap_or_default(),
        receipt: record.receipt_handle.clone(),
        deliveries: deliveries.unwrap_or(1),
        job,
    }
}

/// The answer that has these records delivered again.
pub fn answer(retry: Vec<String>) -> SqsBatchResponse {
    let mut answer = SqsBatchResponse::default();
    answer.batch_item_failures = retry
        .into_iter()
        .map(|item_identifier| {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = item_identifier;
            failure
        })
        .collect();
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, body: &str) -> SqsMessage {
        let mut record = SqsMessage::default();
        record.message_id = Some(id.to_owned());
        record.body = Some(body.to_owned());
        record
    }

    #[test]
    fn a_record_is_a_job_or_says_why_not() {
        let good = r#"{"v":1,"build":"b","key":"/","task":"again","due":1}"#;
        assert!(item(&record("1", good)).job.is_ok());
        assert!(matches!(item(&record("2", "{}")).job, Err(BadJob::Damaged(_))));
        assert!(matches!(
            item(&record("3", &good.replace("\"v\":1", "\"v\":9"))).job,
            Err(BadJob::Version(9))
        ));
        let least = item(&SqsMessage::default());
        assert!(least.job.is_err() && least.receipt.is_none() && least.deliveries == 1);
    }

    #[test]
    fn a_record_tells_which_delivery_of_its_job_it_is() {
        let mut record = record("1", "{}");
        record.receipt_handle = Some("r".to_owned());
        record.attributes.insert("ApproximateReceiveCount".to_owned(), "7".to_owned());
        assert_eq!((item(&record).receipt.as_deref(), item(&record).deliveries), (Some("r"), 7));
    }

    #[test]
    fn only_what_is_to_be_retried_is_named() {
        let text = serde_json::to_string(&answer(vec!["2".into()])).unwrap();
        assert_eq!(text, r#"{"batchItemFailures":[{"itemIdentifier":"2"}]}"#);
        assert_eq!(serde_json::to_string(&answer(vec![])).unwrap(), r#"{"batchItemFailures":[]}"#);
    }
}
