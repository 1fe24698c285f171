//! The ports' suites, and what they cannot say for all implementations.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use perennial::parts::key::page_key::PageKey;
use perennial::parts::ports::bodies::Bodies as _;
use perennial::parts::ports::error::StoreErrorKind;
use perennial::parts::ports::job::Task;
use perennial::parts::ports::pages::Pages as _;
use perennial::parts::ports::pages::grant::Committed;
use perennial::parts::ports::pages::slot::{LeaseDecision, LeaseRequest};
use perennial::parts::ports::pages::snapshot::{Inline, Wanted};
use perennial::parts::ports::pages::urgency::Urgency;
use perennial::parts::ports::queue::Queue as _;
use perennial::parts::ports::stores::Stores as _;
use perennial::parts::ports::suite::pages::kit::{lease_request_and_record, page};
use perennial::parts::ports::suite::queue::job;
use perennial::parts::record::page_record::Record;
use perennial::parts::stores::aws::secrets::read_secrets;
use perennial::parts::stores::aws::stores::warm;
use perennial::{Clock as _, Millis, SystemClock};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tests::Aws;
use tests::until::{pass, until};

use crate::{account, settings, stores, with_account};

fn named(content: Vec<u8>) -> (Bytes, String) {
    let name = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
    (content.into(), name)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_keep_the_contract() {
    let aws = Aws::start().await;
    perennial::parts::ports::suite::pages::run(|build| stores(&aws, build, &[]).pages().clone()).await;
    perennial::parts::ports::suite::pages::run_undisturbed(stores(&aws, "b", &[]).pages()).await;
}

/// A slot that heard of no commit, because the processes died in between, is removed after a day.
#[tokio::test]
async fn tickets_of_a_lost_slot_go_on_above_what_is_shown() {
    let aws = Aws::start().await;
    let pages = stores(&aws, "b", &[]).pages().clone();
    let (request, record) = lease_request_and_record();
    for (name, overriding) in [("deleted", true), ("stale", false)] {
        let page = page(name);
        let generation = 7;
        let shown = Record { generation, ..record.clone() };
        pages.commit(&page, &shown, &Inline::default()).await.expect("commit");
        let key = json!({ "pk": { "S": format!("page#b#{}", page.hash()) }, "sk": { "S": "slot" } });
        let lost = json!({ "TableName": aws.table, "Key": key });
        aws.json("DynamoDB_20120810.DeleteItem", &lost).await;
        // One who began before the loss was noticed: below what is shown.
        let low = json!({ ":one": { "N": "1" } });
        let begun = json!({ "TableName": aws.table, "Key": key, "UpdateExpression": "SET ticket = :one", "ExpressionAttributeValues": low });
        if !overriding {
            aws.json("DynamoDB_20120810.UpdateItem", &begun).await;
        }
        let seen = (!overriding).then_some(generation);
        let urgency = if overriding { Urgency::Overriding } else { Urgency::Ordinary };
        let begun = pages.begin(&page, LeaseRequest { urgency, seen, ..request }).await.expect("begin");
        let LeaseDecision::Granted(ticket) = begun else { panic!("{name}: {begun:?}") };
        let next = Record { generation: ticket, ..record.clone() };
        let committed = pages.commit(&page, &next, &Inline::default()).await.expect("commit");
        assert!(matches!(committed, Committed::Stored { .. }), "{name}: {ticket} is not above {generation}");
    }
}

/// The other way round: the page is missing, and rendered again.
#[tokio::test]
async fn a_lost_record_is_rendered_again() {
    let aws = Aws::start().await;
    let pages = stores(&aws, "b", &[]).pages().clone();
    let ((request, record), page) = (lease_request_and_record(), page("lost"));
    let LeaseDecision::Granted(generation) = pages.begin(&page, request).await.expect("begin") else {
        panic!("refused")
    };
    pages.commit(&page, &Record { generation, ..record }, &Inline::default()).await.expect("commit");
    let key = json!({ "pk": { "S": format!("page#b#{}", page.hash()) }, "sk": { "S": "record" } });
    aws.json("DynamoDB_20120810.DeleteItem", &json!({ "TableName": aws.table, "Key": key })).await;
    let lost = pages.read(&page, Wanted::default()).await.expect("read");
    assert!(lost.record.is_none());
    let begun =
        pages.begin(&page, LeaseRequest { seen: Some(lost.generation), ..request }).await.expect("begin");
    assert!(matches!(begun, LeaseDecision::Granted(ticket) if ticket > generation), "{begun:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_keep_the_contract() {
    let aws = Aws::start().await;
    perennial::parts::ports::suite::bodies::run(|build| stores(&aws, build, &[]).bodies().clone()).await;
}

#[tokio::test]
async fn a_body_may_be_as_large_as_the_limit() {
    let aws = Aws::start().await;
    let (content, name) = named((0..16u32 << 20).map(|n| (n ^ (n >> 8)) as u8).collect());
    let bodies = stores(&aws, "b", &[]).bodies().clone();
    bodies.put(&page("large"), &name, content.clone(), Millis(1)).await.expect("put");
    assert!(bodies.get(&page("large"), &name).await.expect("get").expect("stored") == content);
    let smaller = stores(&aws, "b", &[("PERENNIAL_MAX_BODY_BYTES", "1000000")]).bodies().clone();
    assert_eq!(smaller.get(&page("large"), &name).await.expect("get"), None, "never taken into memory");
}

fn object(aws: &Aws, page: &PageKey, name: &str) -> String {
    format!("/{}/b/{}/{name}", aws.bucket, page.hash())
}

#[tokio::test]
async fn a_damaged_body_is_missing_and_heals() {
    let aws = Aws::start().await;
    let bodies = stores(&aws, "b", &[]).bodies().clone();
    let (page, (content, name)) = (page("a"), named(b"content".into()));
    bodies.put(&page, &name, content.clone(), Millis(5)).await.expect("put");
    for damage in ["", "conten", "CONTENT", "content!"] {
        let put = aws.rest(Method::PUT, &object(&aws, &page, &name), damage).await;
        assert_eq!(put.status, 200);
        assert_eq!(bodies.get(&page, &name).await.expect("get"), None, "{damage}");
        bodies.put(&page, &name, content.clone(), Millis(5)).await.expect("put");
        assert_eq!(bodies.get(&page, &name).await.expect("get").expect("healed"), content);
    }
}

#[tokio::test]
async fn an_object_tells_what_it_is() {
    let aws = Aws::start().await;
    let bodies = stores(&aws, "b", &[]).bodies().clone();
    let (page, (content, name)) = (page("a"), named(b"content".into()));
    bodies.put(&page, &name, content, Millis(1_800_000_000_123)).await.expect("put");
    let object = aws.rest(Method::GET, &object(&aws, &page, &name), "").await;
    assert_eq!(object.text(), "content");
    assert_eq!(object.header("x-amz-meta-wanted-at"), "1800000000123");
    assert_eq!(object.header("cache-control"), "max-age=31536000, immutable");
    assert_eq!(object.header("content-encoding"), "");
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_named() {
    let aws = Aws::start().await;
    let bodies = stores(&aws, "b", &[("PERENNIAL_BUCKET", "no-such-bucket")]).bodies().clone();
    let (content, name) = named(b"content".into());
    let errors = [
        bodies.put(&page("a"), &name, content, Millis(1)).await.unwrap_err(),
        bodies.get(&page("a"), &name).await.unwrap_err(),
    ];
    for error in errors {
        let text = error.to_string();
        assert_eq!(error.kind(), StoreErrorKind::Gone, "{text}");
        assert!(text.contains("no-such-bucket") && text.contains("check PERENNIAL_BUCKET"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_has_not_written() {
    let aws = Aws::start().await;
    let (account, nowhere) = with_account(&aws, "b", &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1")]);
    let (content, name) = named(b"content".into());
    let errors = [
        nowhere.bodies().put(&page("a"), &name, content, Millis(1)).await.unwrap_err(),
        nowhere
            .queue()
            .send(&job("a", Task::SecondLook { due: Millis(1) }), Duration::ZERO)
            .await
            .unwrap_err(),
    ];
    for error in errors {
        let text = error.to_string();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{text}");
        assert!(std::error::Error::source(&error).is_some(), "{text}");
        assert!(text.contains("cannot be reached") && text.contains("AWS_ENDPOINT_URL"), "{text}");
    }
    warm(&account, &nowhere).await;
}

#[tokio::test]
async fn the_journal_keeps_the_contract() {
    let aws = Aws::start().await;
    let open = || stores(&aws, "b", &[]).journal().clone();
    perennial::parts::ports::suite::journal::run(open, SystemClock.now()).await;
}

async fn receive(aws: &Aws) -> Option<String> {
    let asked = json!({ "QueueUrl": aws.queue_url });
    let answer = aws.json("AmazonSQS.ReceiveMessage", &asked).await;
    let message = answer["Messages"].get(0)?;
    let done = json!({ "QueueUrl": aws.queue_url, "ReceiptHandle": message["ReceiptHandle"] });
    aws.json("AmazonSQS.DeleteMessage", &done).await;
    Some(message["Body"].as_str().expect("a text").to_owned())
}

#[tokio::test]
async fn jobs_keep_the_contract() {
    let aws = Aws::start().await;
    let open = || stores(&aws, "b", &[]).queue().clone();
    perennial::parts::ports::suite::queue::run(open, pass).await;
}

#[tokio::test]
async fn a_delayed_job_comes_when_it_is_due() {
    let aws = Aws::start().await;
    let jobs = stores(&aws, "b", &[]).queue().clone();
    let job = job("a", Task::SecondLook { due: Millis(1) });
    // Part of a second is a whole one to SQS: rather too late than a body removed that a reader may still ask for.
    jobs.send(&job, Duration::from_millis(300)).await.expect("send");
    assert_eq!(receive(&aws).await, None);
    assert_eq!(until("the job", async || receive(&aws).await).await, job.to_json());
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_named() {
    let aws = Aws::start().await;
    let queue = format!("{}/000000000000/none", aws.endpoint());
    let jobs = stores(&aws, "b", &[("PERENNIAL_QUEUE_URL", &queue)]).queue().clone();
    let error = jobs.send(&job("a", Task::SecondLook { due: Millis(1) }), Duration::ZERO).await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), StoreErrorKind::Gone, "{text}");
    assert!(text.contains("check PERENNIAL_QUEUE_URL"), "{text}");
}

#[tokio::test]
async fn secrets_are_read_from_secrets_manager() {
    let aws = Aws::start().await;
    let made = json!({ "Name": format!("{}-secrets", aws.table), "SecretString": "one, two" });
    let made = aws.json("secretsmanager.CreateSecret", &made).await;
    let arn = made["ARN"].as_str().expect("an ARN");
    let read = async |id: &str| read_secrets(id, &account(&settings(&aws, "b", &[]))).await;
    assert_eq!(read(arn).await.expect("secrets"), ["one", "two"]);
    let text = read("none").await.unwrap_err().to_string();
    assert!(text.contains("check PERENNIAL_REVALIDATE_SECRETS_FROM"), "{text}");
}

#[tokio::test]
async fn secrets_are_read_from_a_parameter() {
    let aws = Aws::start().await;
    let name = format!("/perennial/{}/secrets", aws.table);
    let read = async |id: &str| read_secrets(id, &account(&settings(&aws, "b", &[]))).await;
    let text = read(&name).await.unwrap_err().to_string();
    assert!(text.contains(&name) && text.contains("PERENNIAL_REVALIDATE_SECRETS_FROM"), "{text}");
    for (value, expected) in [("one,,two", None), ("one, two", Some(["one", "two"]))] {
        let put = json!({ "Name": name, "Value": value, "Type": "SecureString", "Overwrite": true });
        aws.json("AmazonSSM.PutParameter", &put).await;
        let arn = format!("arn:aws:ssm:us-east-1:000000000000:parameter{name}");
        for id in [&*name, &arn] {
            assert_eq!(
                read(id).await.ok(),
                expected.map(|secrets| secrets.map(str::to_owned).to_vec()),
                "{id}"
            );
        }
    }
}
