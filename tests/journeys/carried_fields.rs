//! Section 7: what a page carries is decided at its render, and every answer of it carries the same.

use http::HeaderMap;
use serde_json::{Value, json};
use tests::rng::Rng;
use tests::{Answer, Ask, Asks as _};

use crate::world::{World, s};

/// The lines of the page's own fields, in order.
fn own(headers: &HeaderMap) -> Vec<(String, String)> {
    let own = headers.iter().filter(|(name, _)| name.as_str().starts_with("x-own") || *name == "link");
    own.map(|(name, value)| (name.to_string(), value.to_str().expect("visible ASCII").to_owned())).collect()
}

/// HTML, HEAD, 304, data, stale, from a second process that reads the store, and after a failed renewal.
async fn each_answer(w: &World, path: &str, data: &str, value: &Value) -> Vec<(&'static str, Answer)> {
    w.up.on(path, value.clone());
    let first = w.get(path).await;
    let etag = first.headers.get("etag").map_or("", |etag| etag.to_str().expect("ASCII")).to_owned();
    let mut answers = vec![
        ("miss", first),
        ("hit", w.get(path).await),
        ("HEAD", w.ask(Ask::new(http::Method::HEAD, path)).await),
        ("304", w.ask(Ask::get(path).header("if-none-match", etag)).await),
        ("gzip", w.ask(Ask::get(path).header("accept-encoding", "gzip")).await),
        ("data", w.get(data).await),
        ("another process", w.beside().get(path).await),
        ("data of another process", w.beside().get(data).await),
    ];
    w.up.on(path, json!({ "throw": "no" }));
    w.advance(s(3));
    answers.extend([("stale", w.get(path).await), ("stale data", w.get(data).await)]);
    w.settle().await;
    answers.push(("after a failure", w.get(path).await));
    answers
}

/// Whatever fields are accepted come in every answer, in order; else the render fails and nothing is stored.
#[tokio::test]
async fn accepted_fields_come_in_every_answer() {
    let mut rng = Rng::new(11);
    let w = World::new().await;
    for n in 0..12 {
        let fields: Vec<_> = (0..rng.below(6))
            .map(|_| {
                let name = *rng.pick(&["x-own", "X-Own-B", "link", "Link"]);
                let value = *rng.pick(&["<a>; rel=\"next\"", "", "a b\tc", "1, 2", "~!"]);
                (name.to_owned(), value.to_owned())
            })
            .collect();
        let mut expected: Vec<_> = fields.iter().map(|(n, v)| (n.to_ascii_lowercase(), v.clone())).collect();
        expected.sort_by(|(a, _), (b, _)| a.cmp(b));
        for kind in ["page", "not_found", "redirect"] {
            let path = format!("/blog/{kind}-{n}");
            let data = format!("/_perennial/data/dev-build/blog/{kind}-{n}.json");
            let mut value = json!({ "headers": fields, "revalidate": 2 });
            match kind {
                "not_found" => value["not_found"] = true.into(),
                "redirect" => value["redirect"] = json!({ "destination": "/never", "status": 307 }),
                _ => {}
            }
            for (which, answer) in each_answer(&w, &path, &data, &value).await {
                let mut carried = own(&answer.headers);
                // Names of different fields have no order.
                carried.sort_by(|(a, _), (b, _)| a.cmp(b));
                assert_eq!(carried, expected, "{kind}, {which}: {answer}");
            }
        }
    }
}

/// The visitor gets an error, nothing is stored, and the next render is tried as ever.
#[tokio::test]
async fn other_fields_fail_the_render() {
    let w = World::new().await;
    let many: Vec<_> = (0..5_000).map(|n| json!([format!("x-{n}"), "x"])).collect();
    for (n, headers) in [
        json!([["x-own", "café"]]),
        json!([["x-own", "1"], ["CDN-Cache-Control", "max-age=600"]]),
        json!([["x-own", " 1"]]),
        json!(many),
        json!([["x-own", "x".repeat(3 << 20)]]),
    ]
    .into_iter()
    .enumerate()
    {
        for kind in ["page", "not_found"] {
            let path = format!("/blog/{kind}-{n}");
            w.up.on(&path, json!({ "headers": headers, "not_found": kind == "not_found" }));
            assert!(own(&w.get(&path).await.expect(500, "").nostore().headers).is_empty());
            w.up.on(&path, json!({ "value": "mended" }));
            w.get(&path).await.expect(200, "MISS");
        }
    }
    w.up.on(
        "/blog/far",
        json!({ "redirect": { "destination": format!("/{}", "a".repeat(3 << 20)), "status": 307 } }),
    );
    w.get("/blog/far").await.expect(500, "").nostore();
}

/// A record of an earlier version may have fields that no page may carry today: its answers leave them out.
#[tokio::test]
async fn a_record_of_an_earlier_version_is_answered_without_what_it_may_not_carry() {
    let w = World::new().await;
    w.up.on("/never", json!({ "headers": [["x-own", "kept"]] }));
    w.get("/never").await.expect(200, "MISS");
    w.rewrite("/never", |record| {
        for (name, value) in [("x-own-topic", "café"), ("cdn-cache-control", "max-age=600"), ("link", " <a>")]
        {
            record.headers.insert(name.into(), vec![value.into()]);
        }
    })
    .await;
    for (target, label) in [("/never", "HIT"), ("/_perennial/data/dev-build/never.json", "HIT")] {
        for w in [&w, &w.beside()] {
            let answer = w.get(target).await.expect(200, label);
            assert_eq!(own(&answer.headers), [("x-own".to_owned(), "kept".to_owned())], "{answer}");
            assert!(!answer.headers.contains_key("cdn-cache-control"), "{answer}");
        }
    }
}

/// CloudFront takes 20,480 bytes of an answer's head, and adds fields of its own and of Lambda to it
/// (<https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html>).
#[tokio::test]
async fn the_longest_head_fits_into_cloudfront() {
    const HEAD_BYTES_MAX: usize = 20_480;
    const OF_OTHERS_BYTES: usize = 600;
    let w = World::new().await;
    let tags: Vec<_> = (0..47).map(|n| format!("{n:0>252}")).collect();
    let path = format!("/tagged/{}", "a".repeat(235));
    let headers = json!([["x-own", "x".repeat(6_144 - 5 - 4)]]);
    w.up.on(&path, json!({ "tags": tags, "headers": headers }));
    w.get(&path).await.expect(200, "MISS");
    let answer = w.ask(Ask::get(&path).header("accept-encoding", "br")).await.expect(200, "HIT");
    assert_eq!(answer.header("cache-tag").split(',').count(), 50);
    let bytes: usize = answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    assert!(bytes > 18_000 && bytes + OF_OTHERS_BYTES <= HEAD_BYTES_MAX, "{bytes}");
}
