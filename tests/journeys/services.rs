//! Section 10: services of the site beside its pages; their limits, their failures, and probes.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Extension;
use axum::http::StatusCode;
use axum::routing::{any, get, post};
use http::Method;
use perennial::OriginalUri;
use serde_json::json;
use tests::until::soon;
use tests::{Answer, Ask, Asks as _};
use tokio::sync::Notify;

use crate::world::{World, s};

async fn with(router: Router) -> World {
    World::of(|site, _| site.service("/api", router)).await
}

fn ask(method: &str, target: &str) -> Ask {
    Ask::new(method.parse().expect("a method"), target)
}

/// The visitors' own methods and paths reach an axum router, as under its own `nest_service`.
#[tokio::test]
async fn a_router_answers_all_below_its_prefix() {
    let whole = |Extension(whole): Extension<OriginalUri>, uri: axum::http::Uri| async move {
        format!("{uri} of {}", whole.0)
    };
    let w = with(Router::new().route("/", any(whole)).route("/{*rest}", any(whole))).await;
    for (target, told) in [
        ("/api", "/ of /api"),
        ("/api/", "/ of /api/"),
        ("/api?a=1", "/?a=1 of /api?a=1"),
        ("/api/x//y/?a=%20&b", "/x//y/?a=%20&b of /api/x//y/?a=%20&b"),
        ("/api/%2e%2E", "/%2e%2E of /api/%2e%2E"),
    ] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let answer = w.ask(ask(method, target)).await.expect(200, "");
            assert_eq!(answer.text(), told, "{method} {target}");
        }
        let head = w.ask(Ask::head(target)).await.expect(200, "");
        assert!(head.body.is_empty() && head.header("content-length") == told.len().to_string(), "{head}");
    }
    // Other paths are those of pages, as ever.
    w.get("/apis").await.expect(404, "");
    w.get("//api/x").await.expect(308, "");
    w.ask(ask("POST", "/never")).await.expect(405, "");
    w.get("/never").await.expect(200, "MISS");
    // Perennial's own addresses stay its own.
    w.get("/api/revalidate?secret=test-secret&path=/never").await.expect(200, "");
    w.get("/api/draft/other").await.expect(404, "").holds("custom-404");
}

/// A service has its paths before pages whose routes have parameters, and none is stored.
#[tokio::test]
async fn answers_of_services_are_never_stored() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let count = move || {
        let number = counter.fetch_add(1, Ordering::SeqCst);
        async move { number.to_string() }
    };
    let own = || async { ([("cache-control", "public, s-maxage=60"), ("set-cookie", "a=1")], "own") };
    let w = with(Router::new().route("/count", get(count)).route("/own", get(own))).await;
    for number in 0..3 {
        let answer = w.get("/api/count").await.expect(200, "");
        assert_eq!(
            (answer.text(), answer.header("cache-control")),
            (number.to_string(), "private, no-store")
        );
    }
    // What the service says itself stays.
    let own = w.get("/api/own").await.expect(200, "");
    assert_eq!((own.header("cache-control"), own.header("set-cookie")), ("public, s-maxage=60", "a=1"));
    // Not even a shared cache keeps what says nothing.
    for number in 3..5 {
        assert_eq!(w.edge().get("/api/count").await.text(), number.to_string());
    }
}

/// One byte more than the limit is refused, whether or not the service reads the body.
#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let length = |body: Bytes| async move { body.len().to_string() };
    let router = Router::new().route("/read", post(length)).route("/unread", post(|| async { "unread" }));
    let w =
        World::make(|limits| limits.max_service_body_bytes = 1_000, |site, _| site.service("/api", router))
            .await;
    let post = |target: &str, bytes: usize| w.ask(ask("POST", target).body(vec![b'a'; bytes]));
    assert_eq!(post("/api/read", 1_000).await.expect(200, "").text(), "1000");
    for target in ["/api/read", "/api/unread"] {
        post(target, 1_001).await.expect(413, "").nostore();
    }
    assert_eq!(post("/api/unread", 1_000).await.expect(200, "").text(), "unread");
}

/// The path and the fields of a request for a service have the limits of all requests.
#[tokio::test]
async fn a_head_over_the_limits_is_refused() {
    let w = with(Router::new().fallback(|| async { "here" })).await;
    w.get(&format!("/api/{}", "a".repeat(4_091))).await.expect(200, "");
    w.get(&format!("/api/{}", "a".repeat(4_092))).await.expect(414, "");
    w.ask(Ask::get("/api/x").header("x-a", "a".repeat(16_384))).await.expect(431, "");
}

/// A panic, an error and an upgrade are a 500 each, and the next request is answered.
#[tokio::test]
async fn a_service_that_fails_is_a_500() {
    let w = World::new().await;
    for target in ["/svc/panic", "/svc/error", "/svc/upgrade"] {
        let answer = w.get(target).await.expect(500, "").nostore();
        assert_eq!(answer.text(), "Internal Server Error\n", "{target}");
    }
    w.get("/svc/x").await.expect(200, "");
}

/// The time of an answer's beginning is bounded, and what arrives in time is not cut off.
#[tokio::test]
async fn a_service_that_does_not_answer_is_a_503() {
    let began = Arc::new(Notify::new());
    let begin = began.clone();
    let hangs = move || {
        begin.notify_one();
        pending::<()>()
    };
    let w = with(Router::new().route("/hangs", get(hangs)).route("/x", get(|| async {}))).await;
    let asked = w.begin(Ask::get("/api/hangs"));
    soon("the call", began.notified()).await;
    w.advance(s(59));
    w.get("/api/x").await.expect(200, "");
    assert!(!asked.is_finished());
    w.advance(s(1));
    let answer = soon("an answer", asked).await.expect("joined").expect(503, "").nostore();
    assert_eq!(answer.header("retry-after"), "1", "{answer}");
}

/// Fields of a service's connection to somebody else are not the visitor's; all others pass.
#[tokio::test]
async fn fields_pass_but_for_those_of_a_connection() {
    let w = World::new().await;
    let cookies = w.get("/svc/cookies").await.expect(200, "");
    let all: Vec<_> = cookies.headers.get_all("set-cookie").iter().collect();
    assert_eq!(all, ["a=1; Path=/", "b=2"]);
    assert!(!cookies.headers.contains_key("connection") && cookies.header("x-kept") == "yes", "{cookies}");
    let empty = w.get("/svc/empty").await.expect(204, "");
    assert!(!empty.headers.contains_key("content-length"), "{empty}");
    let cookie = Ask::get("/svc/x").header("cookie", "a=1; __perennial_draft=made-up");
    assert_eq!(w.ask(cookie).await.json()["headers"]["cookie"], json!(["a=1; __perennial_draft=made-up"]));
}

/// An axum router's own limits and rejections are its answers.
#[tokio::test]
async fn a_routers_own_answers_are_answers() {
    let w = with(Router::new().route("/only", get(|| async { StatusCode::IM_A_TEAPOT }))).await;
    w.get("/api/only").await.expect(418, "");
    let refused: Answer = w.ask(Ask::new(Method::POST, "/api/only")).await.expect(405, "").nostore();
    assert_eq!(refused.header("allow"), "GET,HEAD");
    w.get("/api/none").await.expect(404, "").nostore();
}

/// Probes need no secret, say nothing of the site, and are never stored.
#[tokio::test]
async fn probes_tell_whether_the_process_answers() {
    let w = World::new().await;
    for (target, told) in
        [("/_perennial/live", json!({ "live": true })), ("/_perennial/ready", json!({ "ready": true }))]
    {
        let answer = w.get(target).await.expect(200, "").nostore();
        assert_eq!((answer.json(), answer.header("content-type")), (told, "application/json"));
        assert!(w.head(target).await.expect(200, "").nostore().body.is_empty());
        w.ask(ask("POST", target)).await.expect(405, "");
        w.get(&format!("{target}/x")).await.expect(404, "");
    }
    w.stop();
    w.get("/_perennial/live").await.expect(200, "");
    let ready = w.get("/_perennial/ready").await.expect(503, "").nostore();
    assert_eq!(ready.json(), json!({ "ready": false, "reason": "the process is stopping" }));
    w.get("/never").await.expect(200, "MISS");
}
