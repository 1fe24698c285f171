//! Queue records to jobs, and outcomes to the answer that names only the records to be delivered again. Pure.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>, partial batch responses.

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsMessage};
use perennial::jobs::{BadJob, Job};

/// One record, read.
#[derive(Debug)]
pub struct Item {
    /// What the answer calls it.
    pub message_id: String,
    /// The job in it.
    pub job: Result<Job, BadJob>,
}

/// Reads a record. One without an id is given an empty one: such a failure fails the whole batch, as SQS has it.
pub fn item(record: &SqsMessage) -> Item {
    let job = Job::from_json(record.body.as_deref().unwrap_or(""));
    Item { message_id: record.message_id.clone().unwrap_or_default(), job }
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
        assert!(item(&SqsMessage::default()).job.is_err());
    }

    #[test]
    fn only_what_is_to_be_retried_is_named() {
        let text = serde_json::to_string(&answer(vec!["2".into()])).unwrap();
        assert_eq!(text, r#"{"batchItemFailures":[{"itemIdentifier":"2"}]}"#);
        assert_eq!(serde_json::to_string(&answer(vec![])).unwrap(), r#"{"batchItemFailures":[]}"#);
    }
}
