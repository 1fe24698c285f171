//! A service of the site, asked by events of Lambda, and answering whole and as a stream.

use serde_json::{Value, json};
use tests::Asks as _;

use crate::emulator::{Lambda, TEST_PROGRAM};

/// POST to a path of the service.
fn event(path: &str) -> Value {
    let host = "urlid.lambda-url.us-east-1.on.aws";
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "a=%20&a=2",
        "cookies": ["a=1", "b=2"],
        "headers": { "host": host, "x-perennial-host": "made.up", "x-many": "one,two", "content-type": "application/octet-stream" },
        "requestContext": {
            "accountId": "anonymous", "apiId": "urlid", "domainName": host, "domainPrefix": "urlid",
            "http": { "method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "x" },
            "requestId": "00000000-0000-0000-0000-000000000000", "routeKey": "$default", "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000", "timeEpoch": 1_767_225_600_000_u64,
        },
        "body": "AP+A",
        "isBase64Encoded": true,
    })
}

/// The body in base64, cookies as a list, and fields of several values arrive; so do cookies on their way back.
#[tokio::test]
async fn events_reach_a_service_whole() {
    let lambda = Lambda::of_conformance_site(&[]).await;
    let answer = lambda.invoke(TEST_PROGRAM, &event("/svc/a%2Fb//c")).await.json();
    assert_eq!(
        (&answer["statusCode"], &answer["headers"]["cache-control"]),
        (&json!(200), &json!("private, no-store"))
    );
    let told: Value = serde_json::from_str(answer["body"].as_str().expect("a text")).expect("JSON");
    assert_eq!(
        (&told["method"], &told["path"], &told["query"]),
        (&json!("POST"), &json!("/a%2Fb//c"), &json!("a=%20&a=2"))
    );
    assert_eq!(told["original"], "/svc/a%2Fb//c?a=%20&a=2");
    assert_eq!((&told["body"], &told["headers"]["cookie"]), (&json!("AP+A"), &json!(["a=1; b=2"])));
    let fields = &told["headers"];
    assert_eq!(
        (&fields["x-many"], &fields["host"]),
        (&json!(["one,two"]), &json!(["urlid.lambda-url.us-east-1.on.aws"]))
    );
    assert!(fields["x-perennial-host"].is_null(), "{told}");
    let cookies = lambda.invoke(TEST_PROGRAM, &event("/svc/cookies")).await.json();
    assert_eq!((&cookies["cookies"], &cookies["body"]), (&json!(["a=1; Path=/", "b=2"]), &json!("two")));
}

/// What goes wrong is one answer of the function, which lives on; an answer that never ends is none here.
#[tokio::test]
async fn a_service_that_fails_does_not_end_the_function() {
    let lambda = Lambda::of_conformance_site(&[("PERENNIAL_MAX_WAIT_MS", "500")]).await;
    let status = async |event: &Value| lambda.invoke(TEST_PROGRAM, event).await.json()["statusCode"].clone();
    for (path, expected) in
        [("/svc/panic", 500), ("/svc/error", 500), ("/svc/pending", 503), ("/svc/endless", 500)]
    {
        assert_eq!(status(&event(path)).await, expected, "{path}");
    }
    let mut large = event("/svc/unread");
    large["isBase64Encoded"] = false.into();
    large["body"] = "a".repeat((2 << 20) + 1).into();
    assert_eq!(status(&large).await, 413);
    assert_eq!(status(&event("/svc/x")).await, 200);
    let log = lambda.log(TEST_PROGRAM);
    assert!(log.contains("as the path says") && log.contains("this function sends whole answers"), "{log}");
}

/// A function that streams answers the same.
#[tokio::test]
async fn a_function_that_streams_answers_for_services() {
    let settings = [("PERENNIAL_STREAM_BODY_BYTES", "0"), ("PERENNIAL_MAX_WAIT_MS", "500")];
    let lambda = Lambda::of_conformance_site(&settings).await;
    // The emulator gives a stream as what a visitor gets.
    let told = lambda.invoke(TEST_PROGRAM, &event("/svc/x")).await;
    assert_eq!((told.status, &told.json()["body"]), (200, &json!("AP+A")), "{told}");
    let cookies = lambda.invoke(TEST_PROGRAM, &event("/svc/cookies")).await;
    let all: Vec<_> = cookies.headers.get_all("set-cookie").iter().collect();
    assert_eq!(all, ["a=1; Path=/", "b=2"], "{cookies}");
    for (path, status) in [("/svc/panic", 500), ("/svc/pending", 503)] {
        let answer = lambda.invoke(TEST_PROGRAM, &event(path)).await;
        assert_eq!(answer.status, status, "{answer}");
    }
}

/// Probes are answered by the function as well.
#[tokio::test]
async fn probes_are_answered() {
    let lambda = Lambda::start().await;
    assert_eq!(
        lambda.get("/_perennial/live").await.expect(200, "").nostore().json(),
        json!({ "live": true })
    );
    assert_eq!(
        lambda.get("/_perennial/ready").await.expect(200, "").nostore().json(),
        json!({ "ready": true })
    );
}
