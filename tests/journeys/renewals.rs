//! Rule 5.6: many pages are renewed through the queue in the order in which visitors want them, within bounds, and at
//! the pace of their upstream.

use http::Method;
use serde_json::{Value, json};
use tests::{Ask, Asks as _, Reply};

use crate::world::{World, s};

const HOUR_S: u64 = 3600;

async fn call(w: &World, query: &str) -> Value {
    let target = format!("/api/revalidate?secret=test-secret&{query}");
    w.ask(Ask::new(Method::POST, target)).await.expect(202, "").json()
}

async fn progress(w: &World, called: &Value) -> Value {
    let target = format!("/api/revalidate/{}?secret=test-secret", called["id"]);
    w.get(&target).await.expect(200, "").json()
}

/// One page at a time, so that their order can be seen.
async fn one_at_a_time(max_renewals: u64) -> World {
    World::with(|limits| {
        limits.max_concurrent_renders = 1;
        limits.max_renewals = max_renewals;
    })
    .await
}

/// Pages under one tag, each visited an hour after the one before it.
async fn visited(w: &World, pages: &[&str]) {
    w.up.otherwise(|_| json!({ "value": "old", "tags": ["t"], "revalidate": false }).into());
    for page in pages {
        w.advance(s(HOUR_S));
        w.get(page).await.expect(200, "MISS");
    }
    w.up.otherwise(|_| json!({ "value": "new", "tags": ["t"], "revalidate": false }).into());
}

/// Those first that visitors have wanted last; a page that visitors have had renewed since counts by that.
#[tokio::test]
async fn the_warmest_pages_come_first() {
    let w = one_at_a_time(100).await;
    let pages = ["/tagged/1", "/tagged/2", "/tagged/3", "/tagged/4"];
    visited(&w, &pages).await;
    // Published in between, which is no visit; and visited once it was stale, which is one.
    w.revalidate("/tagged/2").await.expect(200, "");
    w.advance(s(HOUR_S));
    w.ask(Ask::new(Method::POST, "/api/revalidate?secret=test-secret&path=/tagged/1&mode=stale")).await;
    w.get("/tagged/1").await.expect(200, "STALE");
    w.settle().await;
    let before = w.up.count_all();
    let called = call(&w, "tag=t").await;
    assert_eq!((&called["queued"], w.up.count_all()), (&json!(4), before));
    w.settle().await;
    assert_eq!(w.up.paths()[before..], ["/tagged/1", "/tagged/4", "/tagged/3", "/tagged/2"]);
    assert_eq!(progress(&w, &called).await["done"], json!(true));
}

/// A page that a visitor meets stale does not wait for its turn.
#[tokio::test]
async fn a_visitor_overtakes_the_walk() {
    let w = one_at_a_time(100).await;
    let pages: Vec<_> = (0..6).map(|n| format!("/tagged/{n}")).collect();
    visited(&w, &pages.iter().map(|page| &**page).collect::<Vec<_>>()).await;
    w.up.next("/tagged/5", Reply::status(503).retry_after("60"));
    let before = w.up.count_all();
    call(&w, "tag=t").await;
    w.settle().await;
    assert_eq!(w.up.paths()[before..], ["/tagged/5"], "the walk pauses");
    w.get("/tagged/0").await.expect(200, "STALE");
    w.settle().await;
    assert_eq!(w.up.paths()[before..], ["/tagged/5", "/tagged/0"]);
    w.get("/tagged/0").await.expect(200, "HIT");
    w.advance(s(61));
    w.settle().await;
    assert_eq!(w.up.count("/tagged/0"), 2, "renewed once");
}

/// So many pages at most; the others are left to their visitors, and that is said.
#[tokio::test]
async fn a_renewal_is_bounded() {
    let w = one_at_a_time(2).await;
    visited(&w, &["/tagged/1", "/tagged/2", "/tagged/3"]).await;
    let before = w.up.count_all();
    let called = call(&w, "tag=t").await;
    w.settle().await;
    assert_eq!(w.up.paths()[before..], ["/tagged/3", "/tagged/2"]);
    let told = progress(&w, &called).await;
    assert_eq!((&told["ended"], &told["done"], &told["left"]), (&json!(true), &json!(false), &json!(1)));
    assert_eq!((&told["renewed"], &told["left_to_visitors"]), (&json!(2), &json!(true)), "{told}");
    w.get("/tagged/1").await.expect(200, "STALE");
    w.settle().await;
    assert_eq!(progress(&w, &called).await["done"], json!(true));
}

/// What an upstream asks for holds the whole renewal of its route back, once, in whichever process it goes on; another
/// route's goes on meanwhile.
#[tokio::test]
async fn an_upstream_sets_the_pace() {
    let w = one_at_a_time(100).await;
    visited(&w, &["/blog/1", "/tagged/1", "/tagged/2", "/tagged/3", "/tagged/4"]).await;
    w.up.next("/tagged/3", Reply::status(429).retry_after("2000"));
    let before = w.up.count_all();
    let called = call(&w, "tag=t").await;
    w.settle().await;
    let mut asked = w.up.paths()[before..].to_vec();
    asked.sort();
    assert_eq!(asked, ["/blog/1", "/tagged/3", "/tagged/4"], "none after the one that was refused");
    let told = progress(&w, &called).await;
    assert_eq!(told["waiting"][0]["route"], "/tagged/{slug}", "{told}");
    assert_eq!((&told["left"], &told["failing"], &told["ended"]), (&json!(3), &json!(1), &json!(false)));
    // Longer than a queue can delay a message, and asked in between.
    for _ in 0..2 {
        w.advance(s(901));
        w.beside().settle().await;
    }
    assert_eq!(w.up.count_all(), before + 3, "asked again before its time");
    w.advance(s(200));
    w.beside().settle().await;
    assert_eq!(w.up.paths()[before + 3..], ["/tagged/3", "/tagged/2", "/tagged/1"]);
    let told = progress(&w, &called).await;
    assert_eq!((&told["done"], &told["renewed"], &told["failed"]), (&json!(true), &json!(5), &json!(1)));
    assert_eq!(told.get("waiting"), None, "{told}");
}

/// An upstream that is down is not asked for every page at once: it is left alone after a few, and given up in the end.
#[tokio::test]
async fn an_upstream_that_is_down_is_left_alone() {
    let w = one_at_a_time(100).await;
    let pages: Vec<_> = (10..30).map(|n| format!("/tagged/{n}")).collect();
    visited(&w, &pages.iter().map(|page| &**page).collect::<Vec<_>>()).await;
    w.up.otherwise(|_| Reply::status(500));
    let before = w.up.count_all();
    let called = call(&w, "tag=t").await;
    w.settle().await;
    assert_eq!(w.up.count_all(), before + 8);
    w.advance(s(15));
    w.settle().await;
    assert_eq!(w.up.count_all(), before + 16);
    w.advance(s(29));
    w.settle().await;
    assert_eq!(w.up.count_all(), before + 16, "the next pause is twice as long");
    w.advance(s(1));
    w.settle().await;
    let told = progress(&w, &called).await;
    assert_eq!((&told["left"], &told["failing"], &told["failed"]), (&json!(20), &json!(20), &json!(20)));
    assert_eq!((&told["ended"], &told["done"]), (&json!(true), &json!(false)), "never a success: {told}");
    assert_eq!(told["failures"].as_array().expect("a list").len(), 20);
    assert_eq!(w.get("/tagged/10").await.expect(200, "STALE").value(), "old");
}

/// Not found is an outcome too, and pages of a build that nobody has visited are renewed after all others.
#[tokio::test]
async fn all_kinds_of_pages_are_renewed() {
    let w = one_at_a_time(100).await;
    w.up.list("/nofb/{slug}", json!([{ "slug": "in" }]));
    w.up.otherwise(|_| json!({ "value": "old", "tags": ["t"], "revalidate": false }).into());
    w.up.on("/tagged/gone", json!({ "not_found": true, "tags": ["t"], "revalidate": false }));
    w.up.on(
        "/tagged/away",
        json!({ "redirect": { "destination": "/never", "permanent": false }, "tags": ["t"], "revalidate": false }),
    );
    w.build().await;
    w.get("/tagged/gone").await.expect(404, "MISS");
    assert_eq!(w.get("/tagged/away").await.status, 307);
    let called = call(&w, "site=true").await;
    let before = w.up.count_all();
    w.settle().await;
    let told = progress(&w, &called).await;
    assert_eq!((&told["done"], &told["left"]), (&json!(true), &json!(0)), "{told}");
    let asked = w.up.paths()[before..].to_vec();
    for page in ["/nofb/in", "/tagged/gone", "/tagged/away"] {
        assert_eq!(asked.iter().filter(|path| *path == page).count(), 1, "{page}: {asked:?}");
    }
}
