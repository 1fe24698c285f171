//! B6. HTTP details.

use std::io::Read as _;

use http::Method;
use serde_json::json;
use tests::answer::PERSON;
use tests::{Answer, Ask, Asks as _};

use crate::Fixture;

/// B6.89, B6.101: HEAD is GET without its body, and lengths are in bytes.
#[tokio::test]
async fn head_is_get_without_a_body() {
    let f = Fixture::start().await;
    f.up.on("/never", json!({ "value": "caf\u{e9} \u{4e2d}\u{6587} \u{1f980}" }));
    f.get("/never").await.expect(200, "MISS");
    let get = f.get("/never").await.expect(200, "HIT");
    assert_eq!(get.header("content-length"), get.body.len().to_string());
    assert_eq!(get.value(), "caf\u{e9} \u{4e2d}\u{6587} \u{1f980}");
    let head = f.head("/never").await.expect(200, "HIT");
    assert!(head.body.is_empty());
    for name in
        ["content-length", "content-type", "etag", "cache-control", "vary", "cache-status", "last-modified"]
    {
        // The ages of the two may differ by the second between them.
        assert_eq!(head.headers.contains_key(name), get.headers.contains_key(name), "{name}");
        if !matches!(name, "cache-control" | "cache-status") {
            assert_eq!(head.header(name), get.header(name), "{name}");
        }
    }
}

/// B6.90: HEAD of an ungenerated page makes it.
#[tokio::test]
async fn head_generates() {
    let f = Fixture::start().await;
    f.up.otherwise(|_| json!({ "revalidate": 60 }).into());
    let head = f.head("/blog/h").await.expect(200, "MISS");
    assert!(head.body.is_empty());
    let get = f.get("/blog/h").await.expect(200, "HIT");
    assert_eq!(get.etag(), head.etag());
    assert_eq!(f.up.count("/blog/h"), 1);
}

/// B6.92, B6.93, B6.96: conditional requests (RFC 9110 sections 13.1.2, 13.2.2, 15.4.5).
#[tokio::test]
async fn conditional_requests() {
    let f = Fixture::start().await;
    let full = f.get("/never").await.expect(200, "MISS");
    let tag = full.etag().to_owned();
    let strong = tag.trim_start_matches("W/").to_owned();
    for matching in
        [tag.clone(), format!("W/{strong}"), format!("\"other\", {tag} , W/\"x\""), "*".to_owned()]
    {
        let answer = f
            .ask(Ask::get("/never").agent(PERSON).header("if-none-match", matching.as_str()))
            .await
            .expect(304, "HIT");
        assert!(answer.body.is_empty(), "{answer}");
        assert_eq!(answer.etag(), tag);
        assert_eq!(answer.header("vary"), full.header("vary"));
        answer.cc_forever();
    }
    for other in [
        "\"other\"".to_owned(),
        strong.trim_matches('"').to_owned(),
        "\"\"".to_owned(),
        "junk,,\"".to_owned(),
    ] {
        let ask = Ask::get("/never")
            .agent(PERSON)
            .header("if-none-match", other.as_str())
            .header("cache-control", "no-cache");
        assert_eq!(f.ask(ask).await.expect(200, "HIT").id(), full.id(), "{other}");
    }
    // With If-None-Match, If-Modified-Since is not looked at.
    let ask = Ask::get("/never")
        .header("if-none-match", "\"other\"")
        .header("if-modified-since", "Fri, 31 Dec 2199 23:59:59 GMT");
    f.ask(ask).await.expect(200, "HIT");
    let head = f.ask(Ask::head("/never").header("if-none-match", tag.as_str())).await.expect(304, "HIT");
    assert!(head.body.is_empty());
    assert_eq!(f.up.count("/never"), 1);
}

fn decoded(answer: &Answer) -> Vec<u8> {
    let mut bytes = Vec::new();
    match answer.header("content-encoding") {
        "" => bytes.extend_from_slice(&answer.body),
        "br" => {
            brotli::Decompressor::new(&answer.body[..], 4096).read_to_end(&mut bytes).expect("brotli");
        }
        "gzip" => {
            flate2::read::MultiGzDecoder::new(&answer.body[..]).read_to_end(&mut bytes).expect("gzip");
        }
        other => panic!("coding {other}"),
    }
    bytes
}

/// B6.97: codings: the one that was asked for, the same content, a tag of its own.
#[tokio::test]
async fn codings() {
    let f = Fixture::start().await;
    f.up.on("/never", json!({ "value": "text ".repeat(500) }));
    let plain = f.get("/never").await.expect(200, "MISS");
    assert_eq!(plain.header("content-encoding"), "");
    for target in ["/never".to_owned(), tests::data_target("dev-build", "/never")] {
        let plain = f.get(&target).await.expect(200, "HIT");
        let mut tags = vec![(String::new(), plain.etag().to_owned())];
        for (accept, coding) in [
            ("br", "br"),
            ("gzip", "gzip"),
            ("gzip, identity;q=0", "gzip"),
            ("BR", "br"),
            ("gzip;q=0, br;q=0.001", "br"),
            ("identity", ""),
            ("", ""),
            ("gzip;q=0", ""),
            ("deflate, zstd", ""),
        ] {
            let answer =
                f.ask(Ask::get(target.as_str()).header("accept-encoding", accept)).await.expect(200, "HIT");
            assert_eq!(answer.header("content-encoding"), coding, "accept-encoding: {accept}");
            assert!(answer.header("vary").to_ascii_lowercase().contains("accept-encoding"), "{answer}");
            assert_eq!(decoded(&answer), plain.body, "accept-encoding: {accept}");
            assert_eq!(answer.header("content-length"), answer.body.len().to_string());
            tags.push((coding.to_owned(), answer.etag().to_owned()));
        }
        for (coding, tag) in &tags {
            for (other_coding, other) in &tags {
                assert!(
                    coding == other_coding || tag != other || tag.starts_with("W/"),
                    "{coding:?} and {other_coding:?}: {tag}"
                );
            }
        }
        // What was sent in one coding is not modified for who holds that coding.
        let br = &tags.iter().find(|(coding, _)| coding == "br").expect("asked").1;
        let again =
            Ask::get(target.as_str()).header("accept-encoding", "br").header("if-none-match", br.as_str());
        assert!(
            f.ask(again)
                .await
                .expect(304, "HIT")
                .header("vary")
                .to_ascii_lowercase()
                .contains("accept-encoding")
        );
    }
    // Who takes nothing gets something readable, or is told so.
    for accept in ["identity;q=0", "*;q=0"] {
        let answer = f.ask(Ask::get("/never").header("accept-encoding", accept)).await;
        assert!(
            answer.status == 406 || decoded(&answer) == plain.body,
            "accept-encoding: {accept}: {answer}"
        );
    }
}

/// B6.98, rule 6.6: other methods change nothing and ask for nothing.
#[tokio::test]
async fn other_methods_are_refused() {
    let f = Fixture::start().await;
    let page = f.get("/never").await.expect(200, "MISS");
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
        for target in
            ["/never", "/blog/ungenerated", "/fb/ungenerated", "/_perennial/data/dev-build/never.json"]
        {
            let answer = f.ask(Ask::new(method.clone(), target).body("x=1")).await.expect(405, "");
            assert_eq!(answer.header("allow"), "GET, HEAD", "{method} {target}: {answer}");
        }
    }
    assert_eq!(f.up.count_all(), 1);
    assert_eq!(f.get("/never").await.expect(200, "HIT").id(), page.id());
    f.get("/blog/ungenerated").await.expect(200, "MISS");
}

/// Section 7: a range is ignored or right.
#[tokio::test]
async fn ranges() {
    let f = Fixture::start().await;
    let full = f.get("/never").await;
    let answer = f.ask(Ask::get("/never").header("range", "bytes=0-9")).await;
    match answer.status {
        200 => assert_eq!(answer.body, full.body),
        206 => assert_eq!(answer.body, full.body[..10]),
        _ => panic!("{answer}"),
    }
}

/// B6.102: hit and miss agree about the lifetime; `age` is what has passed.
#[tokio::test]
async fn lifetimes_agree() {
    let f = Fixture::start().await;
    f.up.on("/blog/l", json!({ "revalidate": 100 }));
    let miss = f.get("/blog/l").await.expect(200, "MISS");
    let hit = f.get("/blog/l").await.expect(200, "HIT");
    let (miss, hit_left) = (miss.s_maxage().expect("s-maxage"), hit.s_maxage().expect("s-maxage"));
    assert!((98..=100).contains(&miss) && hit_left <= miss && miss - hit_left <= 2, "{miss} and {hit_left}");
    let age: u64 = hit.header("age").parse().expect("age");
    assert!(age <= 2, "{hit}");
    assert!(hit.header("cache-status").starts_with("perennial; hit"), "{hit}");
    assert_eq!(hit.directive("max-age"), Some("0"), "{hit}");
    assert!(hit.directive("public").is_some(), "{hit}");
}
