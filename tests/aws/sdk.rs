//! The calls that are made by hand, beside those of the AWS SDK, as `tests/sdk` has written them down. What DynamoDB takes
//! is AWS's own program's to say, in [`second_opinion`](crate::second_opinion).

use std::time::Duration;

use bytes::Bytes;
use perennial::bodies::Bodies as _;
use perennial::edge::Edge as _;
use perennial::jobs::suite::job;
use perennial::jobs::{Jobs as _, Task};
use perennial::pages::suite::page;
use perennial::{Millis, Stores as _};
use serde_json::Value;
use tests::Aws;
use tests::aws::elements;
use tokio::net::TcpListener;

use crate::edge::recorded;
use crate::{account, settings, stores};

const SENT_BY_SDK: &str = include_str!("../sdk/requests.json");

/// The fields that tell what is asked for; the others are signatures, checksums and statistics.
const FIELDS: [&str; 4] = ["content-type", "cache-control", "x-amz-meta-wanted-at", "x-amz-target"];

const SECRET: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:site";
const NAME: &str = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";

#[tokio::test]
async fn calls_are_those_of_the_sdk() {
    let aws = Aws::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let given = [
        ("AWS_ENDPOINT_URL", &*url),
        ("PERENNIAL_BUCKET", "bodies"),
        ("PERENNIAL_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/123456789012/jobs"),
        ("PERENNIAL_DISTRIBUTION", "E1234567890"),
    ];
    let (stores, account) = (stores(&aws, "b", &given), account(&settings(&aws, "b", &given)));
    let (page, job) = (page("a"), job("a", Task::Again { due: Millis(1) }));
    let calls = async {
        let content = Bytes::from_static(b"content");
        stores.bodies().put(&page, NAME, content, Millis(1_800_000_000_123)).await.expect("put");
        let _ = stores.bodies().get(&page, NAME).await;
        stores.bodies().remove(&page, NAME, Millis(1)).await.expect("remove");
        stores.jobs().send(&job, Duration::from_secs(7)).await.expect("send");
        // The answers hold no secrets.
        for id in [SECRET, "/site/secrets"] {
            assert!(perennial::aws::read_secrets(id, &account).await.is_err());
        }
        stores.edge().purge(&["tag:a&b".into(), "path:/a".into()]).await.expect("purge");
    };
    let expected: Vec<Value> = serde_json::from_str(SENT_BY_SDK).expect("JSON");
    let answers = vec![("200 OK", ""); expected.len()];
    let ((), sent) = tokio::join!(calls, recorded(listener, &answers));
    for (expected, sent) in expected.iter().zip(sent) {
        let name = &expected["name"];
        let (head, body) = sent.split_once("\r\n\r\n").expect("a head");
        let line = head.lines().next().expect("a request line");
        assert_eq!(line, format!("{} {} HTTP/1.1", text(&expected["method"]), path(expected)), "{name}");
        let fields =
            FIELDS.iter().filter_map(|field| Some(((*field).to_owned(), field_of(head, field)?.into())));
        assert_eq!(Value::Object(fields.collect()), expected["fields"], "{name}");
        assert_eq!(plain(body, &job.to_json()), plain(text(&expected["body"]), ""), "{name}");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// A server of one's own has no name for each bucket; and what an operation is called is for the statistics.
fn path(expected: &Value) -> String {
    let url = text(&expected["url"]).split('?').next().unwrap_or_default();
    let (host, path) = url.trim_start_matches("https://").split_once('/').expect("a path");
    let bucket = if host.starts_with("bodies.") { "/bodies" } else { "" };
    format!("{bucket}/{path}").replace("b/0123456789abcdef/00ff", &format!("b/{}/{NAME}", page("a").hash()))
}

fn field_of<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// A body without what is made up for each request. In JSON the order of members means nothing.
fn plain(body: &str, job: &str) -> String {
    let body = body.trim_start_matches(r#"<?xml version="1.0" encoding="UTF-8"?>"#);
    if let Some(reference) = elements(body, "CallerReference").first() {
        return body.replace(reference, "REFERENCE");
    }
    match serde_json::from_str::<Value>(body) {
        Ok(mut value) => {
            if value["MessageBody"] == job {
                value["MessageBody"] = "BODY".into();
            }
            value.to_string()
        }
        Err(_) => body.to_owned(),
    }
}
