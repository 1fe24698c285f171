//! Rule 5: what publishers are told is so: counts that fit together, ends that have come, tags and pages that there are.

use http::Method;
use serde_json::{Value, json};
use tests::{Ask, Asks as _, Reply};

use crate::world::{World, s};

async fn call(w: &World, query: &str) -> Value {
    w.ask(Ask::new(Method::POST, format!("/api/revalidate?secret=test-secret&{query}"))).await.json()
}

async fn progress(w: &World, called: &Value) -> Value {
    w.get(&format!("/api/revalidate/{}?secret=test-secret", called["id"])).await.expect(200, "").json()
}

/// The newest entry of the journal.
async fn newest(w: &World) -> Value {
    let log = w.get("/api/revalidate/log?secret=test-secret&limit=1").await.expect(200, "").json();
    log["publishes"][0].clone()
}

async fn visited(w: &World, pages: usize) {
    w.up.otherwise(|_| json!({ "tags": ["posts"], "revalidate": false }).into());
    for n in 0..pages {
        w.get(&format!("/tagged/{n:03}")).await.expect(200, "MISS");
    }
}

/// Counts of one answer fit together, at each moment, for more pages than a call itself looks at; what failed is named.
#[tokio::test]
async fn counts_never_leave_the_whole() {
    let w = World::with(|limits| limits.max_concurrent_renders = 1).await;
    visited(&w, 130).await;
    w.up.on("/blog/other", json!({ "revalidate": false }));
    w.get("/blog/other").await.expect(200, "MISS");
    w.up.on("/tagged/007", Reply::throw("no luck"));
    let called = call(&w, "tag=posts").await;
    assert_eq!((&called["queued"], &called["more"]), (&json!(99), &json!(true)), "a call looks at 100 pages");
    // Another publish marks a page that this one is not about.
    call(&w, "path=/blog/other&mode=stale").await;
    w.get("/tagged/003").await.expect(200, "STALE");
    let numbers = async || {
        let told = progress(&w, &called).await;
        let number = |name: &str| told[name].as_u64().expect("a number");
        let [total, left, failing, renewed] = ["total", "left", "failing", "renewed"].map(number);
        assert!(failing <= left && left <= total && total == 130 && renewed <= total, "{told}");
        (told, left)
    };
    let (told, left) = numbers().await;
    assert_eq!(
        (left, &told["layers"]["store"], &told["layers"]["queue"]),
        (130, &json!("stale"), &json!(130))
    );
    w.settle().await;
    let (told, left) = numbers().await;
    assert_eq!((left, &told["ended"], &told["done"]), (1, &json!(true), &json!(false)), "{told}");
    assert_eq!(told["failures"], json!([{ "path": "/tagged/007", "error": "no luck" }]));
    assert_eq!((&told["layers"]["store"], &told["layers"]["queue"]), (&json!("stale"), &json!(0)));
    w.up.on("/tagged/007", json!({ "tags": ["posts"], "revalidate": false }));
    w.revalidate("/tagged/007").await.expect(200, "");
    let (told, left) = numbers().await;
    assert_eq!((left, &told["done"], &told["layers"]["store"]), (0, &json!(true), &json!("stored")));
}

/// A call for a tag is accepted first, and done once the queue has renewed its pages: that is when visitors can see it.
#[tokio::test]
async fn the_journal_tells_when_a_tag_is_done() {
    let w = World::with(|limits| limits.max_concurrent_renders = 1).await;
    visited(&w, 3).await;
    let called = call(&w, "tag=posts").await;
    assert_eq!(
        (newest(&w).await["went"].clone(), newest(&w).await.get("visible_ms")),
        (json!("accepted"), None)
    );
    w.advance(s(2));
    w.up.next("/tagged/000", Reply::status(503).retry_after("5"));
    w.settle().await;
    let entry = newest(&w.beside()).await;
    assert_eq!((&entry["went"], entry.get("visible_ms")), (&json!("renewing"), None), "{entry}");
    assert_eq!(entry["renewal"]["total"], 3, "{entry}");
    assert!(entry["renewal"]["left"].as_u64().is_some_and(|left| (1..=3).contains(&left)), "{entry}");
    w.advance(s(5));
    w.settle().await;
    let entry = newest(&w).await;
    assert_eq!((&entry["went"], &entry["visible_ms"]), (&json!("done"), &json!(7000)), "{entry}");
    assert_eq!((&entry["renewal"]["total"], &entry["renewal"]["left"]), (&json!(3), &json!(0)));
    assert_eq!(progress(&w, &called).await["publish"]["went"], "done");

    w.up.on("/tagged/001", Reply::throw("no luck"));
    call(&w, "tag=posts").await;
    w.settle().await;
    let entry = newest(&w).await;
    assert_eq!((&entry["went"], entry.get("visible_ms")), (&json!("done_with_failures"), None), "{entry}");
    assert_eq!(entry["renewal"]["failing"], 1);
    assert_eq!(entry["renewal"]["failures"][0], json!({ "path": "/tagged/001", "error": "no luck" }));

    // A mark shows nothing new by itself; a deletion is seen at once.
    call(&w, "tag=posts&mode=stale").await;
    let entry = newest(&w).await;
    assert_eq!((&entry["went"], entry.get("visible_ms")), (&json!("done"), None), "{entry}");
    call(&w, "path=/tagged/000&mode=delete").await;
    assert_eq!(newest(&w).await["visible_ms"], 0);
}

/// A mistyped tag is told, with those that were meant perhaps, in every mode; layers say the same.
#[tokio::test]
async fn a_tag_that_no_page_carries_is_told() {
    let w = World::new().await;
    visited(&w, 3).await;
    for mode in ["now", "stale", "delete"] {
        let told = call(&w, &format!("tag=psots&mode={mode}")).await;
        assert_eq!(told["unknown_tags"], json!([{ "tag": "psots", "nearest": ["posts"] }]), "{mode}: {told}");
        assert_eq!(told["message"], "no page carries the tag `psots`; did you mean `posts`?");
        assert_eq!(told["layers"]["store"], "untouched", "{mode}: {told}");
        let entry = newest(&w).await;
        assert_eq!((entry.get("visible_ms"), &entry["renewal"]["total"]), (None, &json!(0)), "{entry}");
    }
    w.settle().await;
    let called = call(&w, "tag=psots&tag=posts").await;
    assert_eq!((called.get("unknown_tags"), &called["layers"]["store"]), (None, &json!("stale")));
    w.settle().await;
    let told = progress(&w, &called).await;
    assert_eq!(told["unknown_tags"][0]["tag"], "psots", "{told}");
    assert_eq!((&told["total"], &told["done"]), (&json!(3), &json!(true)));
    let told = call(&w, "tag=nothing-like-it").await;
    assert_eq!(told["unknown_tags"][0]["nearest"], json!([]));
    assert_eq!(told["message"], "no page carries the tag `nothing-like-it`");
    // Nobody knows all tags of a page that has too many: it may carry this one.
    let many: Vec<_> = (0..300).map(|n| format!("many-{n}")).collect();
    w.up.on("/tagged/many", json!({ "tags": many }));
    w.get("/tagged/many").await.expect(200, "MISS");
    assert_eq!(call(&w, "tag=many-299").await.get("unknown_tags"), None);
}

/// A path whose page does not exist, or has moved, is renewed as well, and that is said.
#[tokio::test]
async fn a_path_is_told_to_be_a_404_now() {
    let w = World::new().await;
    w.up.on("/blog/a", json!({ "not_found": true }));
    let moved = json!({ "redirect": { "destination": "/", "permanent": false } });
    w.up.on("/blog/b", moved);
    assert_eq!(call(&w, "path=/blog/a").await["kind"], "not-found");
    assert_eq!(call(&w, "path=/blog/b").await["kind"], "redirect");
    assert_eq!(call(&w, "path=/blog/c").await.get("kind"), None, "a page is what one expects");
    let both = call(&w, "path=/blog/a&path=/blog/c").await;
    assert_eq!(both["results"][0]["kind"], "not-found", "{both}");
}
