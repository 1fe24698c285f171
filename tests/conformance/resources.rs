//! Sections 1, 3, 5 and 7 for resources: bytes with a content type are stored, renewed and answered as pages are, and
//! patterns with literals around a parameter lead to them.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::conformance::PNG;
use tests::{Answer, Ask, Asks as _, Reply};

use crate::{Fixture, until_new};

/// What the upstream says of bytes that stay fresh for longer than a test takes.
fn bytes(content_type: &str, bytes: &[u8]) -> Value {
    json!({ "content_type": content_type, "base64": STANDARD.encode(bytes), "revalidate": 600 })
}

/// The bytes that a client has once it has decoded an answer.
fn decoded(answer: &Answer) -> Vec<u8> {
    let mut out = Vec::new();
    match answer.header("content-encoding") {
        "br" => brotli::Decompressor::new(&answer.body[..], 4096).read_to_end(&mut out).expect("brotli"),
        "gzip" => flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut out).expect("gzip"),
        "" => answer.body.as_ref().read_to_end(&mut out).expect("bytes"),
        other => panic!("{other}: {answer}"),
    };
    out
}

/// Checks all answers that a visitor may get of one resource that is stored.
async fn check(f: &Fixture, path: &str, content_type: &str, bytes: &[u8], is_coded: bool) {
    for accept in ["", "gzip", "br, gzip"] {
        let ask = |ask: Ask| f.ask(ask.header("accept-encoding", accept));
        let get = ask(Ask::get(path)).await.expect(200, "HIT").cc(600);
        assert_eq!(decoded(&get), bytes, "{path} {accept}");
        assert_eq!(get.header("content-type"), content_type, "{get}");
        assert_eq!(get.header("content-length"), get.body.len().to_string(), "{get}");
        let (coding, vary) = match (is_coded, accept) {
            (false, _) => ("", ""),
            (true, "") => ("", "accept-encoding"),
            (true, "gzip") => ("gzip", "accept-encoding"),
            (true, _) => ("br", "accept-encoding"),
        };
        assert_eq!((get.header("content-encoding"), get.header("vary")), (coding, vary), "{get}");
        let head = ask(Ask::head(path)).await.expect(200, "HIT");
        assert!(head.body.is_empty(), "{head}");
        for name in ["content-type", "content-length", "content-encoding", "vary", "etag", "last-modified"] {
            assert_eq!(head.header(name), get.header(name), "{name} of {path}");
        }
        let same = ask(Ask::get(path).header("if-none-match", get.etag())).await.expect(304, "HIT");
        assert!(same.body.is_empty() && !same.headers.contains_key("content-type"), "{same}");
        assert_eq!((same.etag(), same.header("vary")), (get.etag(), vary));
        // No part of it is offered, and none is sent.
        let part = ask(Ask::get(path).header("range", "bytes=0-0")).await.expect(200, "HIT");
        assert_eq!(part.body, get.body);
    }
}

/// Rules 3 and 7: whatever the bytes are, every answerer sends them, with their type, before and after a restart.
#[tokio::test]
async fn bytes_are_sent_as_they_were_rendered() {
    let mut f = Fixture::start().await;
    let all: Vec<u8> = (0..=255).cycle().take(4_096).collect();
    let text = "perennial ".repeat(500);
    let cases: [(&str, &str, &[u8], bool); 7] = [
        ("/file/all", "application/octet-stream", &all, false),
        ("/file/one", "application/pdf", b"\xff", false),
        ("/file/text", "text/plain; charset=utf-8", text.as_bytes(), true),
        ("/file/data.json", "application/json", text.as_bytes(), true),
        ("/file/feed.xml", "application/atom+xml", text.as_bytes(), true),
        ("/file/text.zip", "application/zip", text.as_bytes(), false),
        ("/img/all.png", "image/png", &all, false),
    ];
    for (path, content_type, given, _) in cases {
        f.up.on(path, bytes(content_type, given));
        let first = f.get(path).await.expect(200, "MISS").cc(600);
        assert_eq!((&first.body[..], first.header("content-type")), (given, content_type), "{path}");
    }
    for (path, content_type, given, is_coded) in cases {
        check(&f, path, content_type, given, is_coded).await;
    }
    f.restart().await;
    for (path, content_type, given, is_coded) in cases {
        check(&f, path, content_type, given, is_coded).await;
        assert_eq!(f.up.count(path), 1);
    }
}

/// Section 1: an old resource is shown at once and renewed behind its visitors; a publisher's call renews it, too.
#[tokio::test]
async fn resources_grow_old_and_are_renewed() {
    let f = Fixture::start().await;
    for path in ["/file/a", "/img/a.png"] {
        let first = f.get(path).await.expect(200, "MISS").cc(2);
        let second = until_new(&f, path, &first.id()).await;
        assert!(["HIT", "STALE"].contains(&second.label()), "{second}");
        f.up.on(path, json!({ "value": "published", "revalidate": false }));
        assert_eq!(f.revalidate(path).await.expect(200, "").json()["revalidated"], true);
        let third = f.get(path).await.expect(200, "HIT").cc_forever();
        assert_eq!((third.value(), third.reason()), ("published".to_owned(), "on-demand".to_owned()));
        assert_eq!(third.body.starts_with(PNG), path == "/img/a.png");
        // Rule 4: a failure changes nothing.
        f.up.on(path, Reply::throw("no"));
        f.revalidate(path).await.expect(500, "");
        assert_eq!(f.get(path).await.expect(200, "STALE").id(), third.id());
    }
}

/// Rule 3: what is no page is stored for resources, too, with the site's 404 page.
#[tokio::test]
async fn a_resource_may_be_missing_or_elsewhere() {
    let f = Fixture::start().await;
    f.up.on("/file/gone", json!({ "not_found": true, "revalidate": 600 }));
    f.up.on(
        "/img/old.png",
        json!({ "redirect": { "destination": "/img/new.png", "status": 301 }, "revalidate": 600 }),
    );
    for label in ["MISS", "HIT"] {
        let gone = f.get("/file/gone").await.expect(404, label).cc(600).holds("custom-404");
        assert_eq!(gone.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(gone.header("vary"), "accept-encoding");
        let moved = f.get("/img/old.png").await.expect(301, label).cc(600);
        assert_eq!(moved.header("location"), "/img/new.png");
    }
    f.up.on("/file/bad", Reply::throw("no"));
    f.get("/file/bad").await.expect(500, "").nostore().holds("custom-500");
}

/// Rule 6: a resource has no data JSON, whether it is stored or not, and nobody renders it for that.
#[tokio::test]
async fn a_resource_has_no_data_json() {
    let f = Fixture::start().await;
    f.data("/file/a").await.expect(404, "").nostore();
    f.data("/img/a.png").await.expect(404, "").nostore();
    assert_eq!(f.up.count_all(), 0);
    f.get("/file/a").await.expect(200, "MISS");
    assert_eq!(f.data("/file/a").await.expect(404, "").nostore().json(), json!({ "notFound": true }));
    let elsewhere = Ask::get("/_perennial/data/other-build/file/a.json");
    f.ask(elsewhere).await.expect(404, "");
    assert_eq!(f.up.count_all(), 1);
}

/// Rule 3: a content type that HTTP does not have, and an empty resource, fail the render and are never stored.
#[tokio::test]
async fn what_is_no_content_is_refused() {
    let f = Fixture::start().await;
    let bad = [
        ("png", json!({ "content_type": "png" })),
        ("split", json!({ "content_type": "text/plain\r\nset-cookie: a=b" })),
        ("nothing", json!({ "base64": "" })),
        ("empty", json!({ "empty": true })),
        ("thrown", json!({ "render_throw": true })),
        ("twice", json!({ "headers": [["Content-Type", "text/css"]] })),
    ];
    for (name, reply) in bad {
        let path = format!("/file/{name}");
        f.up.on(&path, reply);
        for _ in 0..2 {
            f.get(&path).await.expect(500, "").nostore();
        }
        assert_eq!(f.up.count(&path), 2, "{path}: stored");
    }
    let log = f.whole_log().await;
    let line =
        |page: &str| log.lines().find(|line| line.contains(page)).unwrap_or_else(|| panic!("{page}: {log}"));
    assert!(line("/file/png").contains("the content type `png` is no media type"), "{log}");
    assert!(line("/file/png").contains("image/png"), "{log}");
    assert!(line("/file/twice").contains("give the content type to its `Blob`"), "{log}");
    assert!(line("/file/nothing").contains("the resource has no bytes"), "{log}");
}

/// Rule 6: the literal around a parameter is no part of its value, and its spelling is as exact as any literal's.
#[tokio::test]
async fn a_parameter_has_literals_around_it() {
    let f = Fixture::start().await;
    f.up.otherwise(|_| json!({ "revalidate": 600 }).into());
    for (target, name) in [
        ("/img/a.png", "a"),
        ("/img/a.png.png", "a.png"),
        ("/img/caf%c3%a9%2F1.png", "caf\u{e9}/1"),
        ("/img/%2e.png", "."),
        ("/img/b%2Epng", "b"),
        ("/img/b.%70ng", "b"),
    ] {
        let shown = f.get(target).await;
        assert_eq!((shown.status, shown.params()), (200, json!({ "name": name })), "{target}: {shown}");
    }
    // Two spellings of one path are one page.
    assert_eq!(f.up.count("/img/b.png"), 1);
    assert_eq!(f.up.calls("/img/a.png")[0].route, "/img/{name}.png");
    let calls = f.up.count_all();
    for target in ["/img/.png", "/img/a.jpg", "/img/a.PNG", "/img/a", "/img/png", "/img/a.png/b", "/img/"] {
        let answer = f.get(target).await;
        assert!([404, 308].contains(&answer.status), "{target}: {answer}");
    }
    assert_eq!(f.up.count_all(), calls);
    let answer = f.ask(Ask::get("/img/a.png").header("accept", "image/avif")).await.expect(200, "HIT");
    assert!(answer.body.starts_with(PNG));
}
