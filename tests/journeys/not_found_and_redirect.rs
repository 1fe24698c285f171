//! B5: not found and redirects over time.

use serde_json::{Value, json};
use tests::{Ask, Asks as _};

use crate::world::{World, s};

/// B5.78, B5.85: each outcome replaces the one before it, one request late.
#[tokio::test]
async fn outcomes_replace_one_another() {
    let w = World::new().await;
    let moved = json!({ "redirect": { "destination": "/", "permanent": false } });
    let gone = json!({ "not_found": true });
    let page = json!({});
    let steps: [(&Value, u16); 7] =
        [(&page, 200), (&gone, 404), (&page, 200), (&moved, 307), (&page, 200), (&moved, 307), (&gone, 404)];
    w.get("/blog/o").await.expect(200, "MISS");
    for pair in steps.windows(2) {
        let [(_, before), (now, after)] = pair else { unreachable!("windows of two") };
        w.up.on("/blog/o", (*now).clone());
        w.advance(s(2));
        w.get("/blog/o").await.expect(*before, "STALE");
        w.settle().await;
        let answer = w.get("/blog/o").await.expect(*after, "HIT").cc(2);
        assert_eq!(answer.headers.contains_key("location"), *after == 307, "{answer}");
        let data = w.data("/blog/o").await.expect(if *after == 307 { 200 } else { *after }, "HIT");
        let member = match after {
            404 => "notFound",
            307 => "redirect",
            _ => "props",
        };
        assert!(data.json().get(member).is_some(), "{data}");
    }
}

/// B5.77: what was never there stays so until it is called to life.
#[tokio::test]
async fn not_found_for_ever_until_a_call() {
    let w = World::new().await;
    w.up.on("/blog/n", json!({ "not_found": true, "revalidate": false }));
    w.get("/blog/n").await.expect(404, "MISS").cc_forever();
    w.advance(s(86_400 * 400));
    w.get("/blog/n").await.expect(404, "HIT").cc_forever();
    w.settle().await;
    assert_eq!(w.up.count("/blog/n"), 1);
    w.up.on("/blog/n", json!({}));
    w.revalidate("/blog/n").await.expect(200, "");
    w.get("/blog/n").await.expect(200, "HIT");
}

/// Rule 4.1 for every kind: a page that is gone or moved stays so while its renewal fails.
#[tokio::test]
async fn failures_keep_every_kind_of_outcome() {
    for (first, status) in [
        (json!({ "not_found": true }), 404),
        (json!({ "redirect": { "destination": "/", "permanent": true } }), 308),
    ] {
        let w = World::new().await;
        w.up.on("/blog/k", first);
        w.get("/blog/k").await.expect(status, "MISS");
        w.up.on("/blog/k", json!({ "throw": "no" }));
        w.advance(s(2));
        w.get("/blog/k").await.expect(status, "STALE");
        w.settle().await;
        w.get("/blog/k").await.expect(status, "STALE");
    }
}

/// B2.25: a listed page of a closed route is renewed like any other.
#[tokio::test]
async fn a_listed_page_is_renewed() {
    let w = World::new().await;
    w.up.list("/nofb/{slug}", json!([{ "slug": "in" }]));
    w.build().await;
    let old = w.get("/nofb/in").await.expect(200, "HIT");
    w.advance(s(2));
    assert_eq!(w.get("/nofb/in").await.expect(200, "STALE").id(), old.id());
    w.settle().await;
    assert_ne!(w.get("/nofb/in").await.expect(200, "HIT").id(), old.id());
    w.get("/nofb/out").await.expect(404, "");
}

/// Invariant 11: made-up paths are answered, but no more of them are kept than the limit says, and those that are real
/// stay.
#[tokio::test]
async fn made_up_paths_do_not_fill_the_store() {
    let w = World::with(|limits| limits.max_stored_not_found = 3).await;
    w.up.otherwise(|call| json!({ "not_found": call.path.contains("made-up"), "revalidate": 600 }).into());
    w.get("/blog/real").await.expect(200, "MISS");
    for n in 0..20 {
        w.get(&format!("/blog/made-up-{n}")).await.expect(404, "MISS");
    }
    assert_eq!(w.bodies().await.len(), 2 * (1 + 3), "the real page and three others, HTML and data");
    for n in 0..3 {
        w.get(&format!("/blog/made-up-{n}")).await.expect(404, "HIT");
    }
    w.get("/blog/made-up-7").await.expect(404, "MISS");
    w.get("/blog/real").await.expect(200, "HIT");
    // A page that was real and is gone is not a made-up path: it is kept.
    w.up.on("/blog/real", json!({ "not_found": true }));
    w.revalidate("/blog/real").await.expect(200, "");
    w.get("/blog/real").await.expect(404, "HIT");
}

/// Invariant 11, where every path is a page: no more are kept than the route says, but for those that a publisher asks for.
#[tokio::test]
async fn made_up_pages_do_not_fill_the_store() {
    let w = World::of(|site, up| {
        let route = |pattern| tests::conformance::route(pattern, up, Some(600));
        site.route(route("/few/{slug}").max_stored(3)).route(route("/few/of/{slug}"))
    })
    .await;
    for n in 0..20 {
        assert!(w.get(&format!("/few/{n}")).await.expect(200, "MISS").cc(600).is_page());
    }
    assert_eq!(w.bodies().await.len(), 2 * 3, "HTML and data");
    for n in 0..3 {
        w.get(&format!("/few/{n}")).await.expect(200, "HIT");
    }
    w.get("/few/7").await.expect(200, "MISS").holds("data-path");
    assert_eq!(w.up.count("/few/7"), 2, "rendered for each");
    w.revalidate("/few/real").await.expect(200, "");
    w.get("/few/real").await.expect(200, "HIT");
    // Kept pages are renewed as ever, and other routes have nothing to do with it.
    w.revalidate("/few/1").await.expect(200, "");
    w.get("/few/1").await.expect(200, "HIT");
    w.get("/few/of/x").await.expect(200, "MISS");
    w.get("/few/of/x").await.expect(200, "HIT");
}

/// RFC 9110 section 13.1.2 is about what would be 200: a 404 comes whole to a visitor who has it, also when its body has
/// to be read for that.
#[tokio::test]
async fn a_404_is_whole_whatever_the_visitor_has() {
    let w = World::with(|limits| limits.memory_cache_bytes = 0).await;
    w.up.on("/blog/gone", json!({ "not_found": true }));
    let gone = w.get("/blog/gone").await.expect(404, "MISS");
    let again = w.ask(Ask::get("/blog/gone").header("if-none-match", gone.etag())).await.expect(404, "HIT");
    assert_eq!(again.body, gone.body);
}
