//! The calls that are signed by hand, beside those of the AWS SDK, as `tests/aws/sdk_requests` has written them down.

use perennial::parts::ports::edge::Edge as _;
use serde_json::Value;
use tests::Aws;
use tests::aws::elements;
use tokio::net::TcpListener;

use crate::edge::{edge, recorded};
use crate::{account, settings};

const SENT_BY_SDK: &str = include_str!("sdk_requests/requests.json");

/// The fields that tell what is asked for; the others are signatures, checksums and statistics.
const FIELDS: [&str; 2] = ["content-type", "x-amz-target"];

const SECRET: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:site";

#[tokio::test]
async fn calls_are_those_of_the_sdk() {
    let aws = Aws::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let given = [("AWS_ENDPOINT_URL", &*url), ("PERENNIAL_DISTRIBUTION", "E1234567890")];
    let (edge, account) = (edge(&aws, &given), account(&settings(&aws, "b", &given)));
    let calls = async {
        // The answers hold no secrets.
        for id in [SECRET, "/site/secrets"] {
            assert!(perennial::parts::stores::aws::secrets::read_secrets(id, &account).await.is_err());
        }
        edge.purge(&["tag:a&b".into(), "path:/a".into()]).await.expect("purge");
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
        assert_eq!(plain(body), plain(text(&expected["body"])), "{name}");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// The server of a test has no names for services.
fn path(expected: &Value) -> &str {
    let url = text(&expected["url"]).trim_start_matches("https://");
    &url[url.find('/').expect("a path")..]
}

fn field_of<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// A body without what is made up for each request. In JSON the order of members means nothing.
fn plain(body: &str) -> String {
    let body = body.trim_start_matches(r#"<?xml version="1.0" encoding="UTF-8"?>"#);
    if let Some(reference) = elements(body, "CallerReference").first() {
        return body.replace(reference, "REFERENCE");
    }
    serde_json::from_str::<Value>(body).map_or_else(|_| body.to_owned(), |value| value.to_string())
}
