//! Jobs that meet a program of another build, after a deployment or a return to an older build: what was promised to a
//! publisher is kept, and what is stored of that build is removed.

use http::Method;
use serde_json::{Value, json};
use tests::{Ask, Asks as _, Reply};

use crate::world::{World, s};

/// The embedded queue leaves a build's jobs to that build for a minute.
const LEFT_BEHIND_S: u64 = 61;

async fn call(w: &World, status: u16, query: &str) -> Value {
    let target = format!("/api/revalidate?secret=test-secret&{query}");
    w.ask(Ask::new(Method::POST, target)).await.expect(status, "").json()
}

async fn progress(w: &World, called: &Value) -> Value {
    let target = format!("/api/revalidate/{}?secret=test-secret", called["id"]);
    w.get(&target).await.expect(200, "").json()
}

fn says(w: &World, value: &'static str) {
    w.up.otherwise(move |_| json!({ "value": value, "tags": ["t"], "revalidate": false }).into());
}

/// Two builds on one store, with the same pages.
async fn builds(pages: &[&str]) -> (World, World) {
    let old = World::new().await;
    let new = old.of_build("next");
    says(&old, "old");
    for page in pages {
        old.get(page).await.expect(200, "MISS");
        new.get(page).await.expect(200, "MISS");
    }
    (old, new)
}

#[tokio::test]
async fn a_promised_renewal_goes_on_with_the_pages_of_the_build_that_replaced_its_own() {
    for target in ["tag=t", "route=/tagged/%7Bslug%7D"] {
        let (old, new) = builds(&["/tagged/a", "/tagged/b"]).await;
        says(&old, "new");
        let called = call(&old, 202, target).await;
        assert_eq!(called["queued"], 2, "{called}");
        new.settle().await;
        assert_eq!(old.up.count_all(), 4, "the old build may still be there");
        new.advance(s(LEFT_BEHIND_S));
        new.settle().await;
        for page in ["/tagged/a", "/tagged/b"] {
            assert_eq!(new.get(page).await.expect(200, "HIT").value(), "new", "{target} {page}");
        }
        assert_eq!(progress(&new, &called).await["done"], true);
    }
}

#[tokio::test]
async fn a_promised_second_look_is_taken_by_the_build_that_replaced_its_own() {
    for target in ["path=/tagged/a", "tag=t"] {
        let (old, new) = builds(&["/tagged/a"]).await;
        let status = if target.starts_with("path") { 200 } else { 202 };
        call(&old, status, &format!("{target}&look_again_after=30")).await;
        // The new build has renewed its page by then, from a source that lags behind.
        new.settle().await;
        call(&new, 200, "path=/tagged/a").await;
        says(&old, "late");
        for _ in 0..3 {
            new.advance(s(LEFT_BEHIND_S + 30));
            new.settle().await;
        }
        assert_eq!(new.get("/tagged/a").await.expect(200, "HIT").value(), "late", "{target}");
    }
}

/// The number of bodies at the end is that of the new build's page.
#[tokio::test]
async fn a_build_that_was_replaced_leaves_no_bytes_that_were_to_be_removed() {
    let (old, new) = builds(&["/tagged/a"]).await;
    assert_eq!(old.bodies().await.len(), 4);
    says(&old, "new");
    call(&old, 200, "path=/tagged/a").await;
    assert_eq!(old.bodies().await.len(), 6, "what was replaced is kept for a minute");
    new.advance(s(60 + LEFT_BEHIND_S));
    new.settle().await;
    assert_eq!(new.bodies().await.len(), 4, "its last bodies are still the old build's page");
    call(&old, 200, "tag=t&mode=delete").await;
    new.advance(s(LEFT_BEHIND_S));
    new.settle().await;
    assert_eq!(new.bodies().await.len(), 2);
    old.get("/tagged/a").await.expect(200, "MISS");
}

/// A visitor of the old build has asked for it: nobody was promised anything.
#[tokio::test]
async fn a_renewal_for_a_visitor_is_left_to_its_own_build() {
    let (old, new) = builds(&["/tagged/a"]).await;
    call(&old, 200, "tag=t&mode=stale").await;
    old.up.otherwise(|_| Reply::value("new"));
    old.get("/tagged/a").await.expect(200, "STALE");
    new.advance(s(LEFT_BEHIND_S));
    new.settle().await;
    assert_eq!(old.up.count("/tagged/a"), 2);
    // Back again, the old build's next visitor asks for it as ever.
    old.get("/tagged/a").await.expect(200, "STALE");
    old.settle().await;
    assert_eq!(old.get("/tagged/a").await.expect(200, "HIT").value(), "new");
}
