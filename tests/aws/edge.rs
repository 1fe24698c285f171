//! CloudFront's orders: what a distribution gets, and what is sent, byte by byte.

use http::Method;
use perennial::ReadySite;
use perennial::parts::cdn::cloudfront::invalidation::CloudFront;
use perennial::parts::ports::edge::{Edge as _, Purged};
use perennial::parts::ports::error::{StoreError, StoreErrorKind};
use perennial::parts::run::settings::Settings;
use perennial::parts::stores::aws::account::Account;
use serde_json::json;
use tests::Aws;
use tests::aws::elements;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::{account, settings, site};

const DISTRIBUTION: &str = r#"<DistributionConfig xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><CallerReference>REFERENCE</CallerReference><Comment/><Enabled>true</Enabled><Origins><Quantity>1</Quantity><Items><Origin><Id>o</Id><DomainName>example.com</DomainName></Origin></Items></Origins><DefaultCacheBehavior><TargetOriginId>o</TargetOriginId><ViewerProtocolPolicy>allow-all</ViewerProtocolPolicy></DefaultCacheBehavior></DistributionConfig>"#;

pub(crate) async fn distribution(aws: &Aws) -> String {
    let asked = DISTRIBUTION.replace("REFERENCE", &aws.table);
    let made = aws.rest(Method::POST, "/2020-05-31/distribution", asked).await;
    assert_eq!(made.status, 201, "{}", made.text());
    elements(&made.text(), "Id").remove(0)
}

/// What a deployment with these settings, too, tells its distribution through.
pub(crate) fn edge(aws: &Aws, more: &[(&str, &str)]) -> CloudFront {
    let settings = settings(aws, "b", more);
    cloudfront(&account(&settings), &settings, &site())
}

pub(crate) fn cloudfront(account: &Account, settings: &Settings, site: &ReadySite) -> CloudFront {
    let of_edge = settings.cloudfront.as_ref().expect("a distribution in front");
    CloudFront::new(account.clone(), of_edge, site.urls(&settings.build_id))
}

fn tags(tags: &[&str]) -> Vec<String> {
    tags.iter().map(|&tag| tag.to_owned()).collect()
}

#[tokio::test]
async fn a_distribution_gets_one_order_a_purge() {
    let aws = Aws::start().await;
    let id = distribution(&aws).await;
    let edge = edge(&aws, &[("PERENNIAL_DISTRIBUTION", &id)]);
    edge.purge(&tags(&["path:/a", "tag:é"])).await.expect("purge");
    assert_eq!(aws.orders(&id).await, [["#h:2d1cd8e955918291dfde79f664dd1cb0", "#path:/a"]]);
    // The same again is another order.
    edge.purge(&tags(&["path:/a"])).await.expect("purge");
    edge.purge(&tags(&["path:/a"])).await.expect("purge");
    edge.purge(&[]).await.expect("nothing");
    assert_eq!(aws.orders(&id).await.len(), 3);
}

#[tokio::test]
async fn orders_have_a_window_where_there_are_orders() {
    let aws = Aws::start().await;
    let window = |more: &[(&str, &str)]| edge(&aws, more).window().as_millis();
    assert_eq!(window(&[]), 0, "there is no distribution");
    assert_eq!(window(&[("PERENNIAL_DISTRIBUTION", "E1")]), 250);
    assert_eq!(window(&[("PERENNIAL_DISTRIBUTION_FROM", "p"), ("PERENNIAL_EDGE_WINDOW_MS", "40")]), 40);
    let off = [("PERENNIAL_DISTRIBUTION", "E1"), ("PERENNIAL_EDGE_PURGE", "off")];
    assert_eq!(window(&off), 0);
}

#[tokio::test]
async fn a_distribution_without_tags_is_told_paths() {
    let aws = Aws::start().await;
    let id = distribution(&aws).await;
    let settings = [("PERENNIAL_DISTRIBUTION", &*id), ("PERENNIAL_EDGE_PURGE", "paths")];
    let edge = edge(&aws, &settings);
    edge.purge(&tags(&["path:/a"])).await.expect("purge");
    assert_eq!(aws.orders(&id).await, [["/docs/_perennial/data/b/a.json", "/docs/a"]]);
}

#[tokio::test]
async fn the_distribution_may_be_named_by_a_parameter() {
    let aws = Aws::start().await;
    let id = distribution(&aws).await;
    let name = format!("/perennial/{}/distribution", aws.table);
    let edge = edge(&aws, &[("PERENNIAL_DISTRIBUTION_FROM", &name)]);
    let error = edge.purge(&tags(&["site"])).await.unwrap_err().to_string();
    assert!(error.contains(&name) && error.contains("check PERENNIAL_DISTRIBUTION_FROM"), "{error}");
    let empty = json!({ "Name": name, "Value": " ", "Type": "String" });
    aws.json("AmazonSSM.PutParameter", &empty).await;
    let error = edge.purge(&tags(&["site"])).await.unwrap_err().to_string();
    assert!(error.contains("has no value"), "{error}");
    // One that comes later is found.
    aws.json(
        "AmazonSSM.PutParameter",
        &json!({ "Name": name, "Value": id, "Type": "String", "Overwrite": true }),
    )
    .await;
    edge.purge(&tags(&["site"])).await.expect("purge");
    assert_eq!(aws.orders(&id).await, [["#site"]]);
    // It is read once.
    let other = json!({ "Name": name, "Value": "ENONE", "Type": "String", "Overwrite": true });
    aws.json("AmazonSSM.PutParameter", &other).await;
    edge.purge(&tags(&["site"])).await.expect("purge");
    assert_eq!(aws.orders(&id).await.len(), 2);
}

#[tokio::test]
async fn without_a_distribution_nobody_is_told() {
    let aws = Aws::start().await;
    let nowhere = ("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    let off = [nowhere, ("PERENNIAL_EDGE_PURGE", "off"), ("PERENNIAL_DISTRIBUTION", "E1")];
    for settings in [&[nowhere][..], &off] {
        edge(&aws, settings).purge(&tags(&["site"])).await.expect("nothing to do");
    }
}

#[tokio::test]
async fn a_distribution_that_is_not_there_is_named() {
    let aws = Aws::start().await;
    let edge = edge(&aws, &[("PERENNIAL_DISTRIBUTION", "ENONE")]);
    let error = edge.purge(&tags(&["site"])).await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), StoreErrorKind::Gone, "{text}");
    assert!(text.contains("NoSuchDistribution") && text.contains("check PERENNIAL_DISTRIBUTION"), "{text}");
}

/// Answers one request after the other, each on a connection of its own, and gives what was sent. No status: the
/// connection is closed without an answer.
pub(crate) async fn recorded(listener: TcpListener, answers: &[(&str, &str)]) -> Vec<String> {
    let mut requests = Vec::new();
    for (status, body) in answers {
        let (mut stream, _) = listener.accept().await.expect("accept");
        let mut request = Vec::new();
        while !is_whole(&request) {
            let read = stream.read_buf(&mut request).await.expect("read");
            assert_ne!(read, 0, "the request was cut short");
        }
        if !status.is_empty() {
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.expect("write");
        }
        requests.push(String::from_utf8(request).expect("text"));
    }
    requests
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    body.len() >= length.unwrap_or(0)
}

/// Purges the site at a server that answers like this, and gives the result and what was sent.
async fn purged(answers: &[(&str, &str)]) -> (Result<Purged, StoreError>, Vec<String>) {
    let aws = Aws::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let settings =
        [("AWS_ENDPOINT_URL", &*url), ("AWS_SESSION_TOKEN", "token"), ("PERENNIAL_DISTRIBUTION", "E1")];
    let edge = edge(&aws, &settings);
    let (tags, served) = (tags(&["tag:a&b"]), recorded(listener, answers));
    tokio::join!(edge.purge(&tags), served)
}

#[tokio::test]
async fn an_order_is_signed() {
    let (done, requests) = purged(&[("201 Created", "<Invalidation/>")]).await;
    done.expect("purge");
    let (head, body) = requests[0].split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("POST /2020-05-31/distribution/E1/invalidation HTTP/1.1\r\n"), "{head}");
    for part in [
        "content-type: application/xml\r\n",
        "x-amz-security-token: token\r\n",
        "x-amz-date: ",
        "authorization: AWS4-HMAC-SHA256 Credential=test/",
        "/us-east-1/cloudfront/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=",
    ] {
        assert!(head.contains(part), "{part} in {head}");
    }
    let reference = elements(body, "CallerReference").remove(0);
    assert_eq!(reference.len(), 32);
    let expected = concat!(
        r#"<?xml version="1.0" encoding="UTF-8"?>"#,
        r#"<InvalidationBatch xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/">"#,
        "<Paths><Quantity>1</Quantity><Items><Path>#tag:a&amp;b</Path></Items></Paths>",
        "<CallerReference>REFERENCE</CallerReference></InvalidationBatch>"
    );
    assert_eq!(body.replace(&reference, "REFERENCE"), expected);
}

#[tokio::test]
async fn an_order_whose_answer_is_lost_is_the_same_order_again() {
    let busy =
        "<ErrorResponse><Error><Code>Throttling</Code><Message>slow down</Message></Error></ErrorResponse>";
    let answers = [("", ""), ("400 Bad Request", busy), ("201 Created", "")];
    let (done, requests) = purged(&answers).await;
    done.expect("purge");
    let references: Vec<_> = requests.iter().map(|request| elements(request, "CallerReference")).collect();
    assert!(references.iter().all(|reference| *reference == references[0]), "{references:?}");
}

#[tokio::test]
async fn an_order_that_fails_says_what_to_do() {
    let error = |code: &str| format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>");
    let denied = error("AccessDenied");
    let (done, _) = purged(&[("403 Forbidden", &*denied)]).await;
    let failed = done.unwrap_err();
    let text = failed.to_string();
    assert_eq!(failed.kind(), StoreErrorKind::Denied, "{text}");
    assert!(text.contains("allow `cloudfront:CreateInvalidation`"), "{text}");
    let many = error("TooManyInvalidationsInProgress");
    let (done, _) = purged(&[("400 Bad Request", &*many); 3]).await;
    let failed = done.unwrap_err();
    let text = failed.to_string();
    assert_eq!(failed.kind(), StoreErrorKind::Throttled, "{text}");
    assert!(text.contains("PERENNIAL_MAX_PURGES"), "{text}");
    let (done, _) = purged(&[("", ""); 3]).await;
    assert_eq!(done.unwrap_err().kind(), StoreErrorKind::Unsure);
}
