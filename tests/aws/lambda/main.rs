//! The three functions under a Lambda emulator: events in, answers out, one store.
#![allow(clippy::disallowed_methods, missing_docs, reason = "tests look at processes from outside")]

mod emulator;
mod events;
mod services;

use emulator::{Lambda, SECRET};
use serde_json::{Value, json};
use tests::Asks as _;
use tests::answer::Ask;

#[tokio::test]
async fn visitors_get_pages() {
    let lambda = Lambda::start().await;
    let first = lambda.get("/").await.expect(200, "MISS");
    let second = lambda.get("/").await.expect(200, "HIT");
    assert_eq!(first.etag(), second.etag());
    assert_eq!(first.body, second.body);
    let missing = lambda.get("/no/such/page").await;
    assert_eq!(missing.status, 404, "{missing}");
    let not_modified =
        lambda.ask(Ask::get("/").header("if-none-match", second.etag())).await.expect(304, "HIT");
    assert!(not_modified.body.is_empty(), "{not_modified}");
}

#[tokio::test]
async fn publishers_renew_pages() {
    let lambda = Lambda::start().await;
    let before = generation(&lambda).await;
    let refused = lambda.get("/api/revalidate?secret=wrong&path=/").await;
    assert_eq!((refused.status, refused.json()), (401, json!({ "message": "Invalid token" })), "{refused}");
    assert_eq!(generation(&lambda).await, before);

    let done = lambda.get(&format!("/api/revalidate?secret={SECRET}&path=/")).await;
    assert_eq!((done.status, &done.json()["revalidated"]), (200, &Value::Bool(true)), "{done}");
    assert!(generation(&lambda).await > before);
}

/// Its answers are sent whole, so the publishing page is told to look now and then.
#[tokio::test]
async fn publishers_see_pages() {
    let lambda = Lambda::start().await;
    lambda.get("/").await.expect(200, "MISS");
    lambda.get("/api/publish").await.expect(200, "").nostore().holds("<title>Publishing</title>");
    lambda.get("/api/publish/pages").await.expect(401, "");
    let ask = |target: &str| Ask::get(target).header("authorization", format!("Bearer {SECRET}"));
    let list = lambda.ask(ask("/api/publish/pages?prefix=/&state=fresh")).await.expect(200, "").json();
    assert_eq!((&list["pages"][0]["path"], &list["pages"][0]["generation"]), (&json!("/"), &json!(1)));
    lambda.ask(ask("/api/publish/events")).await.expect(501, "").nostore();
}

#[tokio::test]
async fn a_queue_renews_pages_and_gives_back_what_it_cannot_read() {
    let lambda = Lambda::start().await;
    let before = generation(&lambda).await;
    let mut event: Value = serde_json::from_str(include_str!("sqs.json")).expect("a captured event");
    // As a publisher's second look at a page leaves it in the queue; the year 2100 comes after its render.
    let job =
        json!({ "v": 1, "build": "dev-build", "key": "/", "task": "again", "due": 4_102_444_800_000_u64 });
    event["Records"][0]["body"] = job.to_string().into();

    let answer = lambda.invoke("regenerate", &event).await;
    let unreadable = "2e1424d4-f796-459a-8184-9c92662be6da";
    let given_back = json!({ "batchItemFailures": [{ "itemIdentifier": unreadable }] });
    assert_eq!((answer.status, answer.json()), (200, given_back), "{answer}");
    assert!(generation(&lambda).await > before);
    let log = lambda.log("regenerate");
    assert!(log.contains(unreadable), "the unreadable message is not in the log:\n{log}");
}

/// The generation of the front page that a visitor sees: the demo site shows it at the foot of every page.
async fn generation(lambda: &Lambda) -> u64 {
    let page = lambda.get("/").await.text();
    let (_, rest) =
        page.split_once("<dt>Generation</dt><dd>").unwrap_or_else(|| panic!("no generation in {page}"));
    rest.split('<')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no generation in {page}"))
}

/// A function on AWS itself never makes a secret up: without one in its settings it says so and does not start.
#[test]
fn on_aws_a_function_without_a_secret_does_not_start() {
    for name in ["serve", "revalidate"] {
        let store = tempfile::tempdir().expect("a temporary directory");
        let ended = std::process::Command::new(emulator::programs().join(name))
            .env_clear()
            .env("PERENNIAL_STORE", store.path())
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
            .output()
            .expect("the program runs");
        assert!(!ended.status.success(), "{name} started");
        let log = String::from_utf8_lossy(&ended.stderr);
        assert!(log.contains("PERENNIAL_REVALIDATE_SECRETS"), "{name}: {log}");
        assert!(!store.path().join("revalidate-secret").exists(), "{name} made a secret");
    }
}
