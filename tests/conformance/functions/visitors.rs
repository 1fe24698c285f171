//! Visitors of a deployed site, through its distribution.

use std::time::Duration;

use http::Method;
use serde_json::json;
use tests::until::pass;
use tests::{Ask, Asks as _, Gate, Reply};

use crate::{Fixture, until_new};

/// A page's life: rendered for the first visitor, stored, served old, renewed behind the visitors' backs.
#[tokio::test]
async fn a_page_is_rendered_stored_and_renewed() {
    let f = Fixture::start().await;
    let site = f.cloudfront();
    f.up.on("/blog/a", json!({ "value": "old", "revalidate": 1 }));
    let old = site.get("/blog/a").await.expect(200, "MISS").cc(1);
    assert_eq!(
        (old.value(), old.header("cache-tag")),
        ("old".to_owned(), "path:/blog/a,route:/blog/{slug},site")
    );
    pass(Duration::from_millis(1100)).await;
    let gate = Gate::new();
    f.up.on("/blog/a", Reply::from(json!({ "value": "new", "revalidate": 60 })).behind(&gate));
    assert_eq!(site.get("/blog/a").await.expect(200, "STALE").id(), old.id());
    f.up.wait_for_calls("/blog/a", 2).await;
    assert_eq!(site.get("/blog/a").await.expect(200, "STALE").id(), old.id());
    gate.open();
    let new = until_new(&site, "/blog/a", &old.id()).await.expect(200, "HIT").cc(60);
    assert_eq!((new.value(), new.reason()), ("new".to_owned(), "stale".to_owned()));
    assert_eq!(new.header("cache-tag"), "path:/blog/a,route:/blog/{slug},site");
    let unchanged = Ask::get("/blog/a").header("if-none-match", new.etag());
    assert!(site.ask(unchanged).await.expect(304, "HIT").body.is_empty());
    assert_eq!(f.up.reasons("/blog/a"), ["first", "stale"]);
    // The queue is empty again, and nothing was put aside.
    assert_eq!(f.messages(&f.site.stack.aws.dead_letters_url).await, 0);
}

/// Bodies that are small are beside their record, so that a hit is one round trip; all of them are in the bucket.
#[tokio::test]
async fn small_pages_are_in_the_table() {
    let f = Fixture::start().await;
    f.up.on("/blog/large", json!({ "pad_bytes": 100_000 }));
    let kept = async |path: &str| {
        let before = f.items().await;
        f.cloudfront().get(path).await.expect(200, "MISS");
        let mut kept: Vec<_> = f.items().await;
        kept.retain(|item| !before.contains(item));
        let mut kinds: Vec<_> =
            kept.iter().map(|(_, sk)| sk.as_str()).filter(|sk| matches!(*sk, "html" | "data")).collect();
        kinds.sort_unstable();
        kinds.join(" ")
    };
    assert_eq!(kept("/blog/small").await, "data html");
    // Its data has no padding.
    assert_eq!(kept("/blog/large").await, "data");
    assert_eq!(f.objects().await, 4);
    f.cloudfront().get("/blog/large").await.expect(200, "HIT");
}

/// With `InvokeMode` RESPONSE_STREAM answers are what they are without, only larger ones are possible: Lambda's own end at
/// 6 MB. The local server collects a stream; that parts come one by one is tested on the stores themselves.
#[tokio::test]
async fn streamed_answers_may_be_larger() {
    const BYTES: usize = 9_000_000;
    let stream = Fixture::with(&[("InvokeMode", "RESPONSE_STREAM")]).await;
    let buffer = Fixture::start().await;
    for f in [&stream, &buffer] {
        f.up.on(
            "/blog/moved",
            json!({ "redirect": { "destination": "/never", "permanent": true }, "revalidate": 600 }),
        );
        f.up.on("/blog/gone", json!({ "not_found": true, "revalidate": 600 }));
        f.up.on("/blog/large", json!({ "pad_bytes": BYTES, "revalidate": 600 }));
        // The local server reads streams as UTF-8: no bytes of an image, and a text too short to be compressed.
        f.up.on("/file/a", json!({ "id": "fixed", "revalidate": 600 }));
    }
    for path in ["/never", "/blog/moved", "/blog/gone", "//never", "/nothing/here", "/file/a"] {
        for ask in [Ask::get(path), Ask::head(path), Ask::get(path).header("accept-encoding", "br")] {
            let (one, other) =
                (stream.cloudfront().ask(ask.clone()).await, buffer.cloudfront().ask(ask.clone()).await);
            for name in ["content-type", "content-encoding", "location", "vary", "x-perennial-cache"] {
                assert_eq!(one.header(name), other.header(name), "{name} of {ask:?}");
            }
            assert_eq!((one.status, one.body.is_empty()), (other.status, other.body.is_empty()), "{ask:?}");
            if path == "/file/a" {
                assert_eq!((&one.body, one.header("etag")), (&other.body, other.header("etag")), "{ask:?}");
            }
        }
    }
    // Not by its URL, which makes an answer of it, a function gives what it has sent: here its head, eight zero bytes, and
    // its body (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming>).
    let sent = stream.get("/never").await.text();
    assert!(sent.contains("\"statusCode\\\":200") && sent.contains(&"\\u0000".repeat(8)), "{sent}");
    let site = stream.cloudfront();
    let first = site.get("/blog/large").await.expect(200, "MISS");
    assert!(first.body.len() > BYTES);
    let again = site.get("/blog/large").await.expect(200, "HIT");
    assert!(again.body == first.body, "{} and {} bytes", again.body.len(), first.body.len());
    // A process that has not rendered it.
    stream.site.stack.kill("serve").await;
    let passed_on = site.get("/blog/large").await.expect(200, "HIT");
    assert!(passed_on.body == first.body, "{} and {} bytes", passed_on.body.len(), first.body.len());
    let unchanged = Ask::get("/blog/large").header("if-none-match", first.etag());
    assert!(site.ask(unchanged).await.expect(304, "HIT").body.is_empty());

    // Without it, such a page is refused before it is stored.
    buffer.cloudfront().get("/blog/large").await.expect(500, "");
    buffer.site.log.wait_for(&["PERENNIAL_MAX_BODY_BYTES"]).await;
}

/// Visitors may read. What a method would change never reaches the function.
#[tokio::test]
async fn cloudfront_lets_visitors_read() {
    let f = Fixture::start().await;
    f.cloudfront().head("/blog/a").await.expect(200, "MISS");
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let answer = f.cloudfront().ask(Ask::new(method, "/blog/a").body("x")).await;
        assert_eq!((answer.status, answer.label()), (403, ""), "{answer}");
    }
    assert_eq!(f.up.count_all(), 1);
}

/// B9.140, invariant 10: a deployment under a new id begins empty; the old id finds its pages again.
#[tokio::test]
async fn builds_never_mix() {
    let mut f = Fixture::with(&[("BUILD_ID", "one")]).await;
    f.up.on("/never", json!({}));
    let one = f.get("/never").await.expect(200, "MISS");
    f.site.stack.update("two").await;
    let two = f.get("/never").await.expect(200, "MISS");
    assert_eq!((one.prop("build"), two.prop("build")), ("one".to_owned(), "two".to_owned()));
    assert_eq!(f.data("/never").await.expect(200, "HIT").id(), two.id());
    f.get(&tests::data_target("one", "/never")).await.expect(404, "");
    f.site.stack.update("one").await;
    assert_eq!(f.get("/never").await.expect(200, "HIT").id(), one.id());
    assert_eq!(f.up.count("/never"), 2);
}

/// `sam deploy`, as the guide has it, on a stack with pages in it.
#[tokio::test]
async fn sam_deploys_a_new_build() {
    let mut f = Fixture::with(&[("BUILD_ID", "one")]).await;
    f.up.on("/never", json!({}));
    f.get("/never").await.expect(200, "MISS");
    f.site.stack.update_by_sam("two").await;
    let two = f.cloudfront().get("/never").await.expect(200, "MISS");
    assert_eq!(two.prop("build"), "two");
    assert_eq!(f.cloudfront().revalidate("/never").await.json()["revalidated"], json!(true));
    assert_ne!(f.cloudfront().get("/never").await.expect(200, "HIT").id(), two.id());
    // The stores are those of before.
    let pages = f.launch.run(&["pages"]).await.success();
    assert!(pages.output.contains("/never"), "{}", pages.output);
}

/// CloudFront lets through what may be a draft's cookie, and takes away what cannot be one.
#[tokio::test]
async fn cloudfront_looks_at_draft_cookies() {
    let f = Fixture::start().await;
    f.cloudfront().get("/never").await.expect(200, "MISS");
    let opened = f.cloudfront().get("/api/draft?secret=test-secret&path=/never").await.expect(307, "");
    let right = opened.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    let with = |cookie: &str| Ask::get("/never").header("cookie", cookie.to_owned());
    f.cloudfront().ask(with(&format!("a=b; {right}"))).await.expect(200, "BYPASS").nostore();
    // Serve would let no cache keep its answer to a wrong cookie, but does not get to see this one.
    let answer = f.cloudfront().ask(with("__perennial_draft=x; a=b")).await.expect(200, "HIT");
    assert!(answer.header("cache-control").starts_with("public"), "{answer}");
}
