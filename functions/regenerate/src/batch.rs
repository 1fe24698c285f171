//! Reads jobs from SQS records, and makes the partial batch response, which names the records to deliver again
//! (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>). Pure.

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsMessage};
use perennial_core::ports::job::{BadJob, Job};

/// A parsed SQS record.
#[derive(Debug)]
pub struct Item {
    /// The message's id, by which the response names the record.
    pub message_id: String,
    /// The receipt handle of this delivery.
    pub receipt: Option<String>,
    /// The number of deliveries up to this one; 1 if SQS does not state it.
    pub deliveries: u32,
    /// The record's job.
    pub job: Result<Job, BadJob>,
}

/// Reads a record. A record without an id gets an empty one; Lambda takes an empty id in a response for a failure of
/// the whole batch.
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

/// The response that names the messages to deliver again.
pub fn answer(message_ids: Vec<String>) -> SqsBatchResponse {
    let mut answer = SqsBatchResponse::default();
    answer.batch_item_failures = message_ids
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
    fn a_record_gives_a_job_or_an_error() {
        let good = r#"{"v":1,"build":"b","key":"/","task":"again","due":1}"#;
        assert!(item(&record("1", good)).job.is_ok());
        assert!(matches!(item(&record("2", "{}")).job, Err(BadJob::Damaged(_))));
        assert!(matches!(
            item(&record("3", &good.replace("\"v\":1", "\"v\":9"))).job,
            Err(BadJob::Version(9))
        ));
        let empty = item(&SqsMessage::default());
        assert!(empty.job.is_err() && empty.receipt.is_none() && empty.deliveries == 1);
    }

    #[test]
    fn a_record_has_its_receipt_and_its_number_of_deliveries() {
        let mut record = record("1", "{}");
        record.receipt_handle = Some("r".to_owned());
        record.attributes.insert("ApproximateReceiveCount".to_owned(), "7".to_owned());
        assert_eq!((item(&record).receipt.as_deref(), item(&record).deliveries), (Some("r"), 7));
    }

    #[test]
    fn the_response_names_only_messages_to_deliver_again() {
        let text = serde_json::to_string(&answer(vec!["2".into()])).unwrap();
        assert_eq!(text, r#"{"batchItemFailures":[{"itemIdentifier":"2"}]}"#);
        assert_eq!(serde_json::to_string(&answer(vec![])).unwrap(), r#"{"batchItemFailures":[]}"#);
    }
}
