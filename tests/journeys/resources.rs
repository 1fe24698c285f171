//! Resources under a clock that the test turns, and beside what only an author's code can say: they have all that pages
//! have, in one body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use perennial::{Blob, Context, Failure, Fallback, Outcome, Query, Resource, Route};
use serde_json::json;
use tests::conformance::{PNG, pad, resource, route};
use tests::{Answer, Ask, Asks as _, Reply};

use crate::world::{World, s};

/// A visitor's answers about one resource: GET and HEAD in every coding, and 304.
async fn answers(w: &World, path: &str, label: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    for accept in ["", "br", "gzip", "identity;q=0"] {
        let ask = |ask: Ask| w.ask(ask.header("accept-encoding", accept));
        let get = ask(Ask::get(path)).await.expect(200, label);
        let same = ask(Ask::get(path).header("if-none-match", get.etag())).await.expect(304, label);
        answers.extend([ask(Ask::head(path)).await.expect(200, label), same, get]);
    }
    answers
}

/// Section 7 and rule 8: whoever answers (the process that rendered, from memory; another one, from the store; one without
/// a memory cache; one that passes large bodies on) and in whatever state, the answer is the same.
#[tokio::test]
async fn all_answerers_answer_alike() {
    let text = "perennial ".repeat(2_000);
    let noise = pad("noise", 40_000);
    let binary: Vec<u8> = (0..=255).cycle().take(30_000).collect();
    let cases: [(&str, &[u8]); 6] = [
        ("text/css", text.as_bytes()),
        ("application/json", noise.as_bytes()),
        ("text/plain; charset=utf-8", b"short"),
        ("image/png", &binary),
        ("application/octet-stream", text.as_bytes()),
        ("font/woff2", b"\0"),
    ];
    for stream_limit in [None, Some(1_000)] {
        for memory_bytes in [0, 32 << 20] {
            let w = World::with(|limits| {
                (limits.stream_body_bytes, limits.memory_cache_bytes) = (stream_limit, memory_bytes);
            })
            .await;
            for (n, (content_type, bytes)) in cases.iter().enumerate() {
                let path = format!("/file/{n}");
                let base64 = STANDARD.encode(bytes);
                w.up.on(&path, json!({ "content_type": content_type, "base64": base64, "revalidate": 60 }));
                let first = w.get(&path).await.expect(200, "MISS");
                assert_eq!((&first.body[..], first.header("content-type")), (*bytes, *content_type));
                let told = |answers: Vec<Answer>| {
                    let told = |answer: Answer| {
                        let names = ["content-type", "content-encoding", "content-length", "vary", "etag"];
                        (answer.status, names.map(|name| answer.header(name).to_owned()), answer.body)
                    };
                    answers.into_iter().map(told).collect::<Vec<_>>()
                };
                let here = told(answers(&w, &path, "HIT").await);
                let there = w.beside();
                assert_eq!(told(answers(&there, &path, "HIT").await), here, "{content_type}");
                w.advance(s(61));
                // The first of them sets a renewal going, which waits in the queue.
                assert_eq!(told(answers(&w, &path, "STALE").await), here, "{content_type}");
                assert_eq!(told(answers(&there, &path, "STALE").await), here, "{content_type}");
                w.settle().await;
                assert_eq!(told(answers(&w.beside(), &path, "HIT").await), here, "{content_type}");
                assert_eq!(w.up.reasons(&path), ["first", "stale"]);
                let is_coded = here.iter().any(|(_, [_, coding, ..], _)| !coding.is_empty());
                let varies = here.iter().any(|(_, [_, _, _, vary, _], _)| !vary.is_empty());
                let compressible = n < 3;
                assert_eq!((is_coded, varies), (compressible && n != 2, compressible), "{content_type}");
            }
        }
    }
}

/// Rule 5: a resource is one stored body. Tags make it stale, a deletion removes it.
#[tokio::test]
async fn a_resource_is_one_body() {
    let w = World::new().await;
    w.up.otherwise(|_| json!({ "tags": ["files"], "revalidate": false }).into());
    let first = w.get("/img/a.png").await.expect(200, "MISS").cc_forever();
    assert_eq!(w.bodies().await.len(), 1);
    let post = |query: &str| Ask::new(Method::POST, format!("/api/revalidate?secret=test-secret&{query}"));
    w.ask(post("tag=files")).await.expect(202, "");
    assert_eq!(w.get("/img/a.png").await.expect(200, "STALE").id(), first.id());
    w.settle().await;
    let second = w.get("/img/a.png").await.expect(200, "HIT");
    assert_ne!(second.id(), first.id());
    w.advance(s(61));
    w.settle().await;
    assert_eq!(w.bodies().await.len(), 1, "the replaced body is removed");
    // The same bytes again: only the freshness is written.
    w.up.on("/img/a.png", json!({ "id": "fixed", "tags": ["files"] }));
    w.revalidate("/img/a.png").await.expect(200, "");
    let tag = w.get("/img/a.png").await.expect(200, "HIT").etag().to_owned();
    w.revalidate("/img/a.png").await.expect(200, "");
    assert_eq!(w.get("/img/a.png").await.expect(200, "HIT").etag(), tag);
    // Another content type with the same bytes is another answer.
    w.up.on("/img/a.png", json!({ "id": "fixed", "tags": ["files"], "content_type": "image/apng" }));
    w.revalidate("/img/a.png").await.expect(200, "");
    assert_eq!(w.beside().get("/img/a.png").await.expect(200, "HIT").header("content-type"), "image/apng");

    w.ask(post("tag=files&mode=delete")).await.expect(200, "");
    let calls = w.up.count_all();
    w.advance(s(600));
    w.settle().await;
    assert_eq!((w.bodies().await.len(), w.up.count_all()), (0, calls));
    w.get("/img/a.png").await.expect(200, "MISS");
}

/// Sections 1, 2 and 4: `keep_stale`, failures, an end (`expires_at`), headers of its own.
#[tokio::test]
async fn a_resource_says_what_a_page_says() {
    let w = World::new().await;
    w.up.on("/file/a", json!({ "headers": [["x-robots-tag", "noindex"], ["link", "</a>"]] }));
    let first = w.get("/file/a").await.expect(200, "MISS").cc(2);
    assert_eq!((first.header("x-robots-tag"), first.header("link")), ("noindex", "</a>"));
    for reply in [json!({ "keep_stale": true }), json!({ "throw": "no" }), json!({ "content_type": "bad" })] {
        w.up.on("/file/a", reply);
        w.advance(s(60));
        assert_eq!(w.get("/file/a").await.expect(200, "STALE").id(), first.id());
        w.settle().await;
        assert_eq!(w.get("/file/a").await.expect(200, "STALE").id(), first.id());
    }
    w.advance(s(60));
    w.up.on("/file/a", json!({ "not_found": true }));
    w.get("/file/a").await.expect(200, "STALE");
    w.settle().await;
    w.get("/file/a").await.expect(404, "HIT").holds("custom-404");
}

/// Section 1: drafts of resources are rendered, and neither marked nor stored.
#[tokio::test]
async fn a_resource_has_drafts() {
    let w = World::new().await;
    let opened = w.get("/api/draft?secret=test-secret&path=/img/a.png").await.expect(307, "");
    let cookie = opened.header("set-cookie").split(';').next().expect("a first part").to_owned();
    let ask = |path: &str| Ask::get(path).header("cookie", cookie.as_str());
    w.up.on("/img/a.png", json!({ "base64": STANDARD.encode(PNG) }));
    let draft = w.ask(ask("/img/a.png")).await.expect(200, "BYPASS").nostore();
    assert_eq!((&draft.body[..], draft.header("content-type")), (PNG, "image/png"));
    w.ask(ask("/_perennial/data/dev-build/img/a.png.json")).await.expect(404, "");
    assert_eq!(w.bodies().await.len(), 0);
    w.get("/img/a.png").await.expect(200, "MISS");
}

/// Options of routes count for resources: a listing, what is not in it, declared query parameters, `max_stored`, `dynamic`.
#[tokio::test]
async fn options_of_routes_count_for_resources() {
    let w = World::of(|site, up| {
        let of = |pattern| resource(pattern, "text/plain", up, None);
        site.route(of("/listed/{x}.txt").fallback(Fallback::NotFound))
            .route(route("/listed/{x}", up, None))
            .route(of("/sized/{x}.txt").query(Query::int("w", 1..=9)).max_stored(1))
            .route(of("/now.txt").dynamic())
    })
    .await;
    w.up.list("/listed/{x}.txt", json!([{ "x": "a" }, { "x": "caf\u{e9}" }]));
    w.build().await;
    assert_eq!(w.up.reasons("/listed/caf\u{e9}.txt"), ["build"]);
    for path in ["/listed/a.txt", "/listed/caf%C3%A9.txt"] {
        let text = w.get(path).await.expect(200, "HIT").cc_forever();
        assert_eq!(text.header("content-type"), "text/plain");
        w.data(path).await.expect(404, "");
    }
    // What a route does not list may be a page of a less specific one, and then it has data.
    assert!(w.get("/listed/b.txt").await.expect(200, "MISS").is_page());
    assert_eq!(w.data("/listed/b.txt").await.expect(200, "HIT").params(), json!({ "x": "b.txt" }));
    assert_eq!(w.up.calls("/listed/b.txt").len(), 1);

    let wide = w.get("/sized/a.txt?w=3&h=4").await.expect(200, "MISS");
    assert_eq!(w.get("/sized/a.txt?h=5&w=3").await.expect(200, "HIT").id(), wide.id());
    w.get("/sized/b.txt").await.expect(200, "MISS");
    assert_eq!(w.up.calls("/sized/a.txt")[0].query, json!({ "w": "3" }));
    for _ in 0..2 {
        w.get("/now.txt").await.expect(200, "BYPASS").nostore();
    }
    w.data("/now.txt").await.expect(404, "");
    assert_eq!(w.up.count("/now.txt"), 2);
}

/// Rule 5.4: a publisher names a resource by its path, or its route with the parameter beside its literal.
#[tokio::test]
async fn publishers_name_resources() {
    let w = World::new().await;
    let [a, b] = ["/img/a.png", "/img/b.png"];
    let old = [w.get(a).await.id(), w.get(b).await.id()];
    let called = w.ask(Ask::get("/api/revalidate?secret=test-secret&route=/img/%7Bname%7D.png")).await;
    assert_eq!(called.expect(202, "").json()["revalidated"], true);
    w.settle().await;
    let new = [w.get(a).await.expect(200, "HIT").id(), w.get(b).await.expect(200, "HIT").id()];
    assert!(old[0] != new[0] && old[1] != new[1]);
    w.revalidate("/img/a.jpg").await.expect(400, "");
    w.up.on(a, Reply::throw("no"));
    assert_eq!(w.revalidate(a).await.expect(500, "").json()["revalidated"], false);
}

struct Slow;

impl Resource for Slow {
    async fn blob(&self, cx: &Context) -> Result<Outcome<Blob>, Failure> {
        let what = cx.param("what").to_owned();
        if what == "json" {
            return Ok(Outcome::page(Blob::json(&json!({ "a": [1] }))?));
        }
        let make = move || match what.as_str() {
            "panic" => panic!("the pencil broke"),
            "thread" => Ok(std::thread::current().name().unwrap_or("none").to_owned()),
            _ => Err(Failure::new("no paper")),
        };
        Ok(Outcome::page(Blob::made_by("text/plain", make)))
    }
}

/// Bytes may be made by slow code, whose failures are failures of the render.
#[tokio::test]
async fn bytes_are_made_on_a_thread_of_their_own() {
    let w = World::of(|site, _| site.route(Route::resource("/drawn/{what}", Slow))).await;
    let here = std::thread::current().name().unwrap_or("none").to_owned();
    assert_ne!(w.get("/drawn/thread").await.expect(200, "MISS").text(), here);
    w.get("/drawn/panic").await.expect(500, "");
    w.get("/drawn/paper").await.expect(500, "");
    let json = w.get("/drawn/json").await.expect(200, "MISS");
    assert_eq!((json.header("content-type"), &*json.text()), ("application/json", r#"{"a":[1]}"#));
}

/// The promise of `?`: every kind of error is a failure of a render, `anyhow`'s too.
#[tokio::test]
async fn any_error_is_a_failure() {
    struct Failing;
    impl Resource for Failing {
        async fn blob(&self, cx: &Context) -> Result<Outcome<Blob>, Failure> {
            match cx.param("how") {
                "anyhow" => Err(anyhow::anyhow!("inside").context("outside"))?,
                "boxed" => Err(Box::<dyn std::error::Error + Send + Sync>::from("boxed"))?,
                "failure" => Err(Failure::new("its own").retry_after(s(60)))?,
                how => how.parse::<u32>()?,
            };
            Ok(Outcome::not_found())
        }
    }
    let failure: Failure = anyhow::anyhow!("inside").context("outside").into();
    assert_eq!(failure.message(), "outside: inside");
    let w = World::of(|site, _| site.route(Route::resource("/fails/{how}", Failing))).await;
    for how in ["anyhow", "boxed", "failure", "number"] {
        w.get(&format!("/fails/{how}")).await.expect(500, "");
    }
}
