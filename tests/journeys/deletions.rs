//! Rule 5.6: what is deleted is gone at once, and the queue removes what is stored of it.

use http::Method;
use serde_json::{Value, json};
use tests::{Answer, Ask, Asks as _, Gate, Reply};

use crate::world::{World, s};

async fn call(w: &World, query: &str) -> Value {
    let target = format!("/api/revalidate?secret=test-secret&{query}");
    w.ask(Ask::new(Method::POST, target)).await.expect(200, "").json()
}

async fn progress(w: &World, called: &Value) -> Value {
    let target = format!("/api/revalidate/{}?secret=test-secret", called["id"]);
    w.get(&target).await.expect(200, "").json()
}

/// Longer than any render that began before.
const ALL_HAVE_ENDED_S: u64 = 600;

/// Pages under one tag, each of two bodies.
async fn tagged(w: &World, pages: &[&str]) {
    w.up.otherwise(|call| json!({ "value": call.path, "tags": ["t"], "revalidate": false }).into());
    for page in pages {
        w.get(page).await.expect(200, "MISS");
    }
}

async fn missing(w: &World, page: &str) -> Answer {
    w.get(page).await.expect(200, "MISS")
}

#[tokio::test]
async fn what_is_stored_of_a_deleted_tag_is_removed_by_the_queue() {
    for target in ["tag=t", "route=/tagged/%7Bslug%7D", "site=true"] {
        let w = World::new().await;
        tagged(&w, &["/tagged/a", "/tagged/b", "/tagged/c"]).await;
        let called = call(&w, &format!("{target}&mode=delete")).await;
        assert_eq!((&called["deleted"], &called["layers"]["queue"]), (&json!(3), &json!(3)), "{called}");
        assert_eq!(called["layers"]["edge"], "accepted", "{called}");
        assert_eq!(w.bodies().await.len(), 6, "nothing is removed before the answer");
        let told = progress(&w, &called).await;
        assert_eq!((&told["left"], &told["ended"], &told["removed"]), (&json!(3), &json!(false), &json!(0)));
        // Whichever process works the queue.
        let other = w.beside();
        other.settle().await;
        assert_eq!(w.bodies().await, [""; 0], "{target}");
        let told = progress(&w, &called).await;
        assert_eq!((&told["left"], &told["removed"]), (&json!(0), &json!(3)), "{told}");
        assert_eq!((&told["ended"], &told["done"]), (&json!(true), &json!(true)), "{told}");
        missing(&w, "/tagged/a").await;
    }
}

#[tokio::test]
async fn more_pages_than_a_look_sees_are_removed_in_batches() {
    let w = World::new().await;
    let pages: Vec<_> = (0..130).map(|n| format!("/tagged/{n}")).collect();
    tagged(&w, &pages.iter().map(|page| &**page).collect::<Vec<_>>()).await;
    let called = call(&w, "tag=t&mode=delete").await;
    assert_eq!((&called["deleted"], &called["more"]), (&json!(100), &json!(true)), "{called}");
    w.settle().await;
    assert_eq!(w.bodies().await, [""; 0]);
    assert_eq!(progress(&w, &called).await["removed"], 130);
}

#[tokio::test]
async fn a_page_that_is_rendered_anew_after_a_deletion_stays() {
    let w = World::new().await;
    tagged(&w, &["/tagged/a", "/tagged/b"]).await;
    call(&w, "tag=t&mode=delete").await;
    let anew = missing(&w, "/tagged/a").await;
    for _ in 0..2 {
        w.settle().await;
        assert_eq!(w.get("/tagged/a").await.expect(200, "HIT").id(), anew.id());
        w.advance(s(ALL_HAVE_ENDED_S));
    }
    assert_eq!(w.bodies().await.len(), 2, "its own");
}

/// It is never shown, and its bytes do not stay although nobody visits the page again.
#[tokio::test]
async fn what_a_render_stores_that_began_before_a_deletion_is_removed_too() {
    let w = World::new().await;
    w.up.on("/tagged/a", json!({ "value": "old", "tags": ["t"], "revalidate": 1 }));
    w.get("/tagged/a").await.expect(200, "MISS");
    w.advance(s(2));
    let gate = Gate::new();
    w.up.next("/tagged/a", Reply::from(json!({ "value": "late", "tags": ["t"] })).behind(&gate));
    w.get("/tagged/a").await.expect(200, "STALE");
    let renewal = w.work();
    w.up.wait_for_calls("/tagged/a", 2).await;
    let called = call(&w, "tag=t&mode=delete").await;
    let other = w.beside();
    other.settle().await;
    assert_eq!(progress(&w, &called).await["ended"], false, "the page is being rendered");
    gate.open();
    renewal.await.expect("joined");
    assert!(!w.bodies().await.is_empty(), "the late render is stored");
    w.advance(s(ALL_HAVE_ENDED_S));
    other.settle().await;
    assert_eq!(w.bodies().await, [""; 0]);
    assert_eq!(progress(&w, &called).await["done"], true);
}

/// The variants of a page are as many as visitors have asked for.
#[tokio::test]
async fn a_deleted_page_is_removed_at_once_and_its_variants_by_the_queue() {
    let w = World::new().await;
    w.up.otherwise(|_| json!({ "value": "old", "revalidate": false }).into());
    for target in ["/vary/a", "/vary/a?page=2", "/vary/a?page=3", "/blog/a"] {
        w.get(target).await.expect(200, "MISS");
    }
    let before = w.bodies().await.len();
    let called = call(&w, "path=/vary/a&path=/blog/a&mode=delete").await;
    assert_eq!(called["revalidated"], true, "{called}");
    let named = w.bodies().await.len();
    assert!(named < before, "{named} of {before}");
    w.settle().await;
    assert_eq!(w.bodies().await, [""; 0]);
    for target in ["/vary/a", "/vary/a?page=2", "/vary/a?page=3", "/blog/a"] {
        missing(&w, target).await;
    }
}
