//! The publishing page is told what changes, whichever process of the store has changed it; and in any number of pages
//! that are open it holds nobody up.

use serde_json::{Value, json};
use tests::events::Events;
use tests::until::until;
use tests::{Answer, Ask, Asks as _, Gate, Reply, Running};

use crate::{Host, success};

async fn listen(site: &Running, query: &str) -> Result<Events, Answer> {
    let ask = Ask::get(format!("/api/publish/events?{query}")).header("authorization", "Bearer test-secret");
    Events::listen(site.client(), ask).await
}

/// The page of that path in an event, if it is there.
fn page<'a>(event: &'a Value, path: &str) -> Option<&'a Value> {
    event["pages"].as_array()?.iter().find(|page| page["path"] == path)
}

#[tokio::test]
async fn what_one_does_the_others_listener_is_told() {
    let h = Host::new().await;
    let (a, b) = (h.launch.start().await, h.launch.start().await);
    a.get("/never").await.expect(200, "MISS");
    let mut all = listen(&a, "").await.expect("a stream");
    let mut failing = listen(&a, "state=failing&prefix=/ne").await.expect("a stream");
    let list = all.next("the list", |name, _| name == "list").await;
    assert_eq!(page(&list, "/never").expect("the page")["generation"], 1);
    let none = failing.next("the list", |name, _| name == "list").await;
    assert_eq!(none["pages"], json!([]));

    b.get("/blog/new").await.expect(200, "MISS");
    all.next("a new page", |name, data| name == "change" && page(data, "/blog/new").is_some()).await;

    h.up.next("/never", Reply::throw("no\n\ndata: more"));
    b.revalidate("/never").await.expect(500, "");
    let is_failing = |name: &str, data: &Value| {
        name == "change" && page(data, "/never").is_some_and(|page| page["last_error"].is_object())
    };
    let told = all.next("the failure", is_failing).await;
    assert_eq!(page(&told, "/never").expect("the page")["last_error"]["message"], "no\n\ndata: more");
    failing.next("the failure", is_failing).await;

    success(&b.revalidate("/never").await);
    let is_renewed = |name: &str, data: &Value| {
        name == "change"
            && page(data, "/never")
                .is_some_and(|page| page["state"] == "fresh" && page["last_error"].is_null())
    };
    let told = all.next("the renewal", is_renewed).await;
    assert!(page(&told, "/never").expect("the page")["generation"].as_u64() > Some(1), "{told}");
    failing.next("that it fails no more", |_, data| data["gone"] == json!(["/never"])).await;
}

/// Nobody writes to the store, and yet the list is another one.
#[tokio::test]
async fn growing_old_is_told() {
    let h = Host::new().await;
    let site = h.launch.start().await;
    h.up.on("/blog/s", json!({ "revalidate": 1 }));
    site.get("/blog/s").await.expect(200, "MISS");
    let mut events = listen(&site, "state=stale").await.expect("a stream");
    events.next("the page", |_, data| page(data, "/blog/s").is_some_and(|page| page["why"] == "old")).await;
}

/// A call for many pages, followed from another process.
#[tokio::test]
async fn the_progress_of_a_call_is_told() {
    let h = Host::new().await;
    let (a, b) = (h.launch.start().await, h.launch.start().await);
    for n in 0..3 {
        h.up.on(&format!("/blog/{n}"), json!({ "revalidate": false, "tags": ["t"] }));
        b.get(&format!("/blog/{n}")).await.expect(200, "MISS");
    }
    let gate = Gate::new();
    h.up.on("/blog/2", Reply::from(json!({ "revalidate": false, "tags": ["t"] })).behind(&gate));
    let call = b.get("/api/revalidate?secret=test-secret&tag=t").await.expect(202, "").json();
    let mut events = listen(&a, &format!("call={}", call["id"])).await.expect("a stream");
    let one_left = |name: &str, data: &Value| name == "progress" && data["left"] == 1;
    let told = events.next("what is left", one_left).await;
    assert_eq!((&told["id"], &told["done"]), (&call["id"], &json!(false)));
    gate.open();
    events.next("the end", |name, data| name == "progress" && data["done"] == true).await;
}

#[tokio::test]
async fn listeners_need_a_secret_and_are_bounded() {
    let h = Host::new().await.env("PERENNIAL_MAX_LISTENERS", "2");
    let site = h.launch.start().await;
    for ask in [
        Ask::get("/api/publish/events"),
        Ask::get("/api/publish/events").header("authorization", "Bearer wrong"),
        Ask::get("/api/publish/events").header("authorization", "Development"),
    ] {
        Events::listen(site.client(), ask).await.expect_err("an answer").expect(401, "").nostore();
    }
    listen(&site, "limit=0").await.expect_err("an answer").expect(400, "").nostore();
    let first = listen(&site, "").await.expect("a stream");
    let _second = listen(&site, "").await.expect("a stream");
    let refused = listen(&site, "").await.expect_err("an answer").expect(503, "").nostore();
    assert_eq!(refused.header("retry-after"), "30");
    refused.holds("PERENNIAL_MAX_LISTENERS");
    site.get("/never").await.expect(200, "MISS");
    // A place is free when its listener is known to have gone: it is spoken to now and then.
    drop(first);
    until("a free place", async || listen(&site, "").await.ok()).await;
}

/// A request with a body is its connection's last, whatever its answer: what follows may be another's.
#[tokio::test]
async fn a_stream_that_was_asked_for_with_a_body_ends_its_connection() {
    let h = Host::new().await;
    let site = h.launch.start().await;
    let ask = Ask::get("/api/publish/events").header("authorization", "Bearer test-secret");
    let with_body = Events::head(site.client(), ask.clone().header("content-length", "0")).await;
    assert_eq!(with_body.header("connection"), "close");
    let without = Events::head(site.client(), ask).await;
    assert_eq!(without.header("connection"), "");
}

/// None at all: the page looks every few seconds.
#[tokio::test]
async fn there_may_be_no_listeners() {
    let h = Host::new().await.env("PERENNIAL_MAX_LISTENERS", "0");
    let site = h.launch.start().await;
    listen(&site, "").await.expect_err("an answer").expect(503, "");
    let list = Ask::get("/api/publish/pages").header("authorization", "Bearer test-secret");
    site.ask(list).await.expect(200, "").nostore();
}

/// A stream is no reason to stay, however long the grace is.
#[tokio::test]
async fn streams_end_with_the_server() {
    let h = Host::new().await.env("PERENNIAL_SHUTDOWN_GRACE_MS", "600000");
    let site = h.launch.start().await;
    let mut events = listen(&site, "").await.expect("a stream");
    events.next("the list", |name, _| name == "list").await;
    // One that never reads.
    let request = "GET /api/publish/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer test-secret\r\n\r\n";
    let _deaf = site.client().leave(request).await;
    let stopped = tokio::spawn(site.stop());
    while events.block().await.is_some() {}
    stopped.await.expect("joined").success();
}

/// Proxies take a silent connection for a dead one.
#[tokio::test]
async fn a_quiet_stream_is_not_silent() {
    let h = Host::new().await;
    let site = h.launch.start().await;
    let mut events = listen(&site, "").await.expect("a stream");
    // Meanwhile the server may have listed the site's pages.
    while events.block().await.expect("it goes on") != ":" {}
}
