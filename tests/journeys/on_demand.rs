//! B3 and section 5: on-demand calls, where time or several renders matter.

use serde_json::json;
use tests::{Ask, Asks as _, Gate, Reply, answer::revalidate_target};

use crate::world::{World, ms, s};

/// B3.48, invariant 2: a renewal that began before the call cannot undo it, however late it ends.
#[tokio::test]
async fn an_older_render_cannot_undo_a_call() {
    let w = World::new().await;
    w.up.on("/blog/o", Reply::value("old"));
    w.get("/blog/o").await.expect(200, "MISS");
    w.advance(s(2));
    let gate = Gate::new();
    w.up.next("/blog/o", Reply::value("old").behind(&gate));
    w.get("/blog/o").await.expect(200, "STALE");
    let renewal = w.work();
    w.up.wait_for_calls("/blog/o", 2).await;
    w.up.on("/blog/o", Reply::value("new"));
    w.revalidate("/blog/o").await.expect(200, "");
    assert_eq!(w.get("/blog/o").await.expect(200, "HIT").value(), "new");
    gate.open();
    renewal.await.expect("joined");
    w.settle().await;
    assert_eq!(w.get("/blog/o").await.expect(200, "HIT").value(), "new");
    w.advance(s(3));
    assert_eq!(w.get("/blog/o").await.value(), "new");
}

/// The same with a first render in flight: its visitor gets a page, the publisher's is what stays.
#[tokio::test]
async fn a_first_render_cannot_undo_a_call() {
    let w = World::new().await;
    let gate = Gate::new();
    w.up.next("/never", Reply::value("old").behind(&gate));
    let visitor = w.begin(Ask::get("/never"));
    w.up.wait_for_calls("/never", 1).await;
    w.up.on("/never", Reply::value("new"));
    w.revalidate("/never").await.expect(200, "");
    gate.open();
    assert_eq!(visitor.await.expect("joined").status, 200);
    w.settle().await;
    assert_eq!(w.get("/never").await.expect(200, "HIT").value(), "new");
}

/// B3.52: a call restarts the window.
#[tokio::test]
async fn a_call_restarts_the_window() {
    let w = World::new().await;
    w.get("/blog/w").await.expect(200, "MISS");
    w.advance(ms(1500));
    w.revalidate("/blog/w").await.expect(200, "");
    w.advance(ms(1200));
    w.get("/blog/w").await.expect(200, "HIT");
    w.advance(ms(800));
    w.get("/blog/w").await.expect(200, "STALE");
}

/// B3.51, rule 5.2: calls share a render only if it began after they came.
#[tokio::test]
async fn calls_share_only_later_renders() {
    let w = World::new().await;
    w.get("/never").await.expect(200, "MISS");
    let gate = Gate::new();
    w.up.next("/never", Reply::value("first").behind(&gate));
    w.up.on("/never", Reply::value("second"));
    let early = w.begin(Ask::get(revalidate_target("/never")));
    w.up.wait_for_calls("/never", 2).await;
    let late: Vec<_> = (0..4).map(|_| w.begin(Ask::get(revalidate_target("/never")))).collect();
    w.idle().await;
    assert!(late.iter().all(|call| !call.is_finished()), "answered by a render that began before the call");
    gate.open();
    early.await.expect("joined").expect(200, "");
    for call in late {
        call.await.expect("joined").expect(200, "");
    }
    assert_eq!(w.get("/never").await.expect(200, "HIT").value(), "second");
    assert_eq!(w.up.count("/never"), 3);
}

/// Rule 5.3: a failed call leaves the page stale, and a visitor has it tried again after the back-off.
#[tokio::test]
async fn a_failed_call_is_tried_again() {
    let w = World::new().await;
    let old = w.get("/never").await.expect(200, "MISS");
    w.up.next("/never", Reply::throw("no"));
    w.up.on("/never", Reply::value("new"));
    w.revalidate("/never").await.expect(500, "");
    assert_eq!(w.get("/never").await.expect(200, "STALE").id(), old.id());
    w.settle().await;
    assert_eq!(w.up.count("/never"), 2, "tried again during the back-off");
    w.advance(s(3));
    w.get("/never").await.expect(200, "STALE");
    w.settle().await;
    assert_eq!(w.get("/never").await.expect(200, "HIT").value(), "new");
}

/// A call is not held back by a back-off, nor by a hung renewal of the page.
#[tokio::test]
async fn a_call_waits_for_nobody() {
    let w = World::new().await;
    w.get("/blog/b").await.expect(200, "MISS");
    w.advance(s(2));
    w.up.next("/blog/b", Reply::throw("no"));
    w.get("/blog/b").await.expect(200, "STALE");
    w.settle().await;
    w.revalidate("/blog/b").await.expect(200, "");
    w.get("/blog/b").await.expect(200, "HIT");
    w.advance(s(2));
    let gate = Gate::new();
    w.up.next("/blog/b", Reply::value("hung").behind(&gate));
    w.get("/blog/b").await.expect(200, "STALE");
    let renewal = w.work();
    w.up.wait_for_calls("/blog/b", 4).await;
    w.revalidate("/blog/b").await.expect(200, "");
    w.get("/blog/b").await.expect(200, "HIT");
    gate.open();
    renewal.await.expect("joined");
    assert_ne!(w.get("/blog/b").await.value(), "hung");
}

/// A call renews every variant of the page.
#[tokio::test]
async fn a_call_renews_all_variants() {
    let w = World::new().await;
    w.up.on("/vary/v", json!({ "value": "old", "revalidate": false }));
    for target in ["/vary/v", "/vary/v?page=2", "/vary/v?page=3"] {
        w.get(target).await.expect(200, "MISS");
    }
    w.up.on("/vary/v", json!({ "value": "new", "revalidate": false }));
    w.revalidate("/vary/v").await.expect(200, "");
    for target in ["/vary/v", "/vary/v?page=2", "/vary/v?page=3"] {
        assert_eq!(w.get(target).await.expect(200, "HIT").value(), "new", "{target}");
    }
}

/// Rule 5.1: a signed webhook, its payload the CMS's own, says in its URL what has changed; it is taken for five minutes,
/// with its own body alone, and a right secret beside a wrong signature does not help.
#[tokio::test]
async fn signed_webhooks() {
    const PAYLOAD: &str = r#"{"sys":{"id":"x"}}"#;
    let w = World::new().await;
    w.get("/never").await.expect(200, "MISS");
    let delivery = |query: &str, payload: &'static str| {
        Ask::new(http::Method::POST, format!("/api/revalidate?path=/never{query}"))
            .header("webhook-id", "msg_1")
            .header("webhook-timestamp", "1800000000")
            .header("webhook-signature", "v1,T+C0/osG2hG0yz8yOscOaG9FpT+Q5ePZDLbPl4MSsKg=")
            .body(payload)
    };
    w.ask(delivery("", PAYLOAD)).await.expect(200, "").holds("\"revalidated\":true");
    assert_eq!(w.get("/never").await.expect(200, "HIT").reason(), "on-demand");
    w.ask(delivery("", r#"{"sys":{"id":"y"}}"#)).await.expect(401, "").nostore();
    w.ask(delivery("&mode=delete", PAYLOAD)).await.expect(400, "").holds("does not cover the URL");
    w.ask(delivery("&secret=test-secret", r#"{"sys":{"id":"y"}}"#)).await.expect(401, "");
    w.advance(s(301));
    w.ask(delivery("", PAYLOAD)).await.expect(401, "").holds("Invalid token");
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    w.get(&format!("/api/revalidate?path=/never&secret={key}")).await.expect(401, "");
    assert_eq!(w.up.count("/never"), 2);
}
