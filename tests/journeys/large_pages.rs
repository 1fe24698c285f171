//! B11: pages too large to be loaded for each visitor. What visitors get is the same; it only comes part by part.

use std::io::Read as _;

use serde_json::json;
use tests::conformance::route;
use tests::{Answer, Ask, Asks as _, Reply};

use crate::world::{World, s};

/// Incompressible: what is stored is about as long.
const BYTES: usize = 300_000;

async fn world(limit: Option<u64>) -> World {
    let w = World::with(|limits| limits.stream_body_bytes = limit).await;
    w.up.on("/blog/large", json!({ "pad_bytes": BYTES, "revalidate": 60 }));
    w
}

async fn coded(w: &World, coding: &str) -> Answer {
    w.ask(Ask::get("/blog/large").header("accept-encoding", coding)).await.expect(200, "HIT")
}

fn unbrotli(answer: &Answer) -> Vec<u8> {
    let mut text = Vec::new();
    brotli::Decompressor::new(&answer.body[..], 4096).read_to_end(&mut text).expect("brotli");
    text
}

/// Rule 6: content, length, tag and negotiation are those of a page that is loaded; only gzip, which would be made anew
/// for each visitor, is not offered.
#[tokio::test]
async fn a_page_that_is_passed_on_is_the_page_that_was_rendered() {
    let w = world(Some(1_000)).await;
    let first = w.get("/blog/large").await.expect(200, "MISS");
    assert!(first.body.len() > BYTES);
    // Another process has nothing of it in memory.
    let w = w.beside();
    for _ in 0..2 {
        let plain = w.get("/blog/large").await.expect(200, "HIT").cc(60);
        assert_eq!(plain.body, first.body);
        assert_eq!(plain.header("content-length"), first.body.len().to_string());
        assert_eq!((plain.etag(), plain.header("vary")), (first.etag(), "accept-encoding"));
    }
    let br = coded(&w, "gzip, br").await;
    assert_eq!(
        (br.header("content-encoding"), br.header("content-length")),
        ("br", &*br.body.len().to_string())
    );
    assert!(br.body.len() < first.body.len() && unbrotli(&br) == first.body);
    let gzip = coded(&w, "gzip").await;
    assert_eq!((gzip.header("content-encoding"), gzip.etag()), ("", first.etag()));
    assert_eq!(gzip.body, first.body);

    let head = w.head("/blog/large").await.expect(200, "HIT");
    assert_eq!(head.header("content-length"), first.body.len().to_string());
    assert!(head.body.is_empty());
    for (coding, etag) in [("", first.etag()), ("br", br.etag())] {
        let ask = Ask::get("/blog/large").header("accept-encoding", coding).header("if-none-match", etag);
        let same = w.ask(ask).await.expect(304, "HIT");
        assert_eq!((same.body.len(), same.etag()), (0, etag));
    }
}

/// The process that has rendered it negotiates as the others do.
#[tokio::test]
async fn one_page_has_the_same_forms_in_every_process() {
    let w = world(Some(1_000)).await;
    w.get("/blog/large").await.expect(200, "MISS");
    for coding in ["", "br", "gzip", "gzip, br", "identity;q=0, gzip"] {
        let (here, there) = (coded(&w, coding).await, coded(&w.beside(), coding).await);
        assert_eq!((here.etag(), &here.body), (there.etag(), &there.body), "{coding}");
    }
}

/// The limit is on what is stored, and `off` means never.
#[tokio::test]
async fn only_larger_ones_are_passed_on() {
    for (limit, passed_on) in [(Some(1_000), true), (Some(100 * BYTES as u64), false), (None, false)] {
        let w = world(limit).await;
        w.get("/blog/large").await.expect(200, "MISS");
        let w = w.beside();
        w.get("/blog/large").await.expect(200, "HIT");
        // What was loaded is in memory; what passed through is not.
        assert_eq!(w.memory_bytes() < 10_000, passed_on, "{limit:?}: {} bytes", w.memory_bytes());
    }
}

/// Rule 1: large pages grow old as others do.
#[tokio::test]
async fn a_large_page_is_renewed_behind_its_visitors() {
    let w = world(Some(1_000)).await;
    let old = w.get("/blog/large").await.expect(200, "MISS").id();
    let w = w.beside();
    w.advance(s(61));
    assert_eq!(w.get("/blog/large").await.expect(200, "STALE").id(), old);
    w.settle().await;
    assert_ne!(w.beside().get("/blog/large").await.expect(200, "HIT").id(), old);
}

/// Rule 4: beyond `max_stale` an old page is better than an error, also one that is not in memory.
#[tokio::test]
async fn a_large_page_outlives_its_upstream() {
    let w = World::make(
        |limits| limits.stream_body_bytes = Some(1_000),
        |site, up| site.route(route("/aged/{slug}", up, Some(2)).max_stale(s(10))),
    )
    .await;
    w.up.on("/aged/a", json!({ "pad_bytes": BYTES }));
    let page = w.get("/aged/a").await.expect(200, "MISS");
    w.up.on("/aged/a", Reply::status(500));
    let w = w.beside();
    w.advance(s(20));
    assert_eq!(w.get("/aged/a").await.expect(200, "STALE").body, page.body);
    // During the back-off, too.
    assert_eq!(w.beside().get("/aged/a").await.expect(200, "STALE").body, page.body);
}
