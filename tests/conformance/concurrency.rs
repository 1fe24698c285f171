//! B8. Concurrency.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tests::until::soon;
use tests::{Answer, Asks as _, Gate, Reply};

use crate::Fixture;

/// Starts a request and leaves it running.
pub(crate) fn begin(f: &Fixture, target: String) -> tokio::task::JoinHandle<Answer> {
    let client = f.site.client();
    tokio::spawn(async move { client.get(&target).await })
}

/// B8.117, B8.119: everyone who asks for an ungenerated page gets the same one, by one call.
#[tokio::test]
async fn simultaneous_first_requests_share_a_render() {
    let f = Fixture::start().await;
    let gate = Gate::new();
    f.up.on("/blog/new", Reply::value("v").behind(&gate));
    let mut asked: Vec<_> = (0..6).map(|_| begin(&f, "/blog/new".to_owned())).collect();
    asked.push(begin(&f, tests::data_target("dev-build", "/blog/new")));
    f.up.wait_for_calls("/blog/new", 1).await;
    f.get("/blog/other").await.expect(200, "MISS");
    gate.open();
    let mut ids = HashSet::new();
    for answer in asked {
        let answer = soon("an answer", answer).await.expect("joined");
        assert_eq!(answer.status, 200, "{answer}");
        ids.insert(answer.id());
    }
    assert_eq!((ids.len(), f.up.count("/blog/new")), (1, 1));
}

/// B8.122: renders of different pages run side by side.
#[tokio::test]
async fn different_pages_render_side_by_side() {
    let f = Fixture::start().await;
    let gate = Gate::new();
    f.up.on("/blog/one", Reply::value("1").behind(&gate));
    f.up.on("/blog/two", Reply::value("2").behind(&gate));
    let asked = [begin(&f, "/blog/one".to_owned()), begin(&f, "/blog/two".to_owned())];
    f.up.wait_for_calls("/blog/one", 1).await;
    f.up.wait_for_calls("/blog/two", 1).await;
    gate.open();
    for answer in asked {
        soon("an answer", answer).await.expect("joined").expect(200, "MISS");
    }
}

/// B8.125, rule 4.4: the visitor goes away, the render does not.
#[tokio::test]
async fn a_visitor_who_leaves_does_not_cancel_the_render() {
    let f = Fixture::start().await;
    let gate = Gate::new();
    f.up.on("/blog/l", Reply::from(json!({ "revalidate": false })).behind(&gate));
    let connection = f.site.client().leave("GET /blog/l HTTP/1.1\r\nhost: x\r\n\r\n").await;
    f.up.wait_for_calls("/blog/l", 1).await;
    drop(connection);
    f.get("/never").await.expect(200, "MISS");
    gate.open();
    // Whether this one still waits for that render or finds it stored: it is the same render.
    assert_eq!(f.get("/blog/l").await.status, 200);
    f.get("/blog/l").await.expect(200, "HIT");
    assert_eq!(f.up.count("/blog/l"), 1);
}

/// B8.126, invariants 1 and 6: what an on-demand call has acknowledged, nobody misses, and nobody goes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_content_is_never_missed() {
    let f = Fixture::start().await;
    let content = Arc::new(AtomicU64::new(0));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let shown = content.clone();
    f.up.script("/blog/w", move |_| {
        json!({ "value": shown.load(Ordering::SeqCst).to_string(), "revalidate": 1 }).into()
    });
    f.get("/blog/w").await.expect(200, "MISS");
    let done = Arc::new(AtomicBool::new(false));
    let client = f.site.client();
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (acknowledged, done) = (acknowledged.clone(), done.clone());
            tokio::spawn(async move {
                let mut newest = 0;
                while !done.load(Ordering::SeqCst) {
                    let at_least = acknowledged.load(Ordering::SeqCst).max(newest);
                    let answer = client.get("/blog/w").await;
                    let value: u64 = answer.value().parse().expect("a number");
                    assert!(value >= at_least, "{value} after {at_least} was acknowledged or seen: {answer}");
                    newest = value;
                }
            })
        })
        .collect();
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        let version = content.fetch_add(1, Ordering::SeqCst) + 1;
        let answer = f.revalidate("/blog/w").await;
        assert_eq!(answer.json()["revalidated"], json!(true), "{answer}");
        acknowledged.store(version, Ordering::SeqCst);
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.expect("a reader");
    }
}
