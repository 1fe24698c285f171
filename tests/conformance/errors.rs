//! B4. Errors of first renders; those of regenerations are in `journeys`.

use serde_json::json;
use tests::{Asks as _, Gate, Reply};

use crate::Fixture;

/// B4.62, B4.63, B4.73: nothing of a failed first render is kept; the next request tries again.
#[tokio::test]
async fn a_failed_first_render_is_not_kept() {
    let f = Fixture::start().await;
    f.up.on("/blog/e", Reply::throw("the-cause"));
    for _ in 0..2 {
        let answer = f.get("/blog/e").await.expect(500, "").nostore().holds("custom-500");
        assert!(!answer.text().contains("the-cause"), "{answer}");
    }
    f.data("/blog/e").await.expect(500, "").nostore();
    assert_eq!(f.up.count("/blog/e"), 3);
    f.site.log.wait_for(&["/blog/e", "first", "the-cause"]).await;
    f.up.on("/blog/e", Reply::value("well"));
    f.get("/blog/e").await.expect(200, "MISS");
    f.get("/blog/e").await.expect(200, "HIT");
}

/// B4.65, B4.66, B4.69, rule 3: a render that is not one of the allowed results is a failure with a clear log.
#[tokio::test]
async fn what_no_render_may_give() {
    let f = Fixture::start().await;
    let cases: Vec<(&str, Reply)> = vec![
        ("zero", json!({ "revalidate": 0 }).into()),
        ("negative", json!({ "revalidate": -1 }).into()),
        ("fraction", json!({ "revalidate": 1.5 }).into()),
        ("text", json!({ "revalidate": "5" }).into()),
        ("null", json!({ "revalidate": null }).into()),
        ("list", json!({ "revalidate": [1] }).into()),
        ("huge", json!({ "revalidate": 1e300 }).into()),
        ("nan", Reply::raw(r#"{"revalidate": NaN}"#)),
        ("infinite", Reply::raw(r#"{"revalidate": Infinity}"#)),
        ("no-value", Reply::raw("")),
        ("null-value", Reply::raw("null")),
        ("list-value", Reply::raw("[]")),
        ("cut-off", Reply::raw(r#"{"value": "a"#)),
        (
            "two-results",
            json!({ "not_found": true, "redirect": { "destination": "/", "permanent": true } }).into(),
        ),
        ("template", json!({ "render_throw": true }).into()),
        ("panic", json!({ "panic": true }).into()),
        ("empty", json!({ "empty": true }).into()),
        ("status-404", Reply::status(404)),
        ("status-204", Reply::status(204)),
        ("hang-up", Reply::hang_up()),
        ("zero-404", json!({ "not_found": true, "revalidate": 0 }).into()),
    ];
    for (name, reply) in cases {
        let path = format!("/blog/{name}");
        f.up.on(&path, reply);
        for tries in 1..=2 {
            f.get(&path).await.expect(500, "").nostore().holds("custom-500");
            assert_eq!(f.up.count(&path), tries, "{path}");
        }
        f.site.log.wait_for(&[&path]).await;
    }
}

/// B4.68: long, but a period.
#[tokio::test]
async fn more_than_a_year_is_a_period() {
    let f = Fixture::start().await;
    f.up.on("/blog/long", json!({ "revalidate": 31_536_001 }));
    let answer = f.get("/blog/long").await.expect(200, "MISS");
    assert!(answer.s_maxage().is_some_and(|s| s >= 31_535_999), "{answer}");
    f.get("/blog/long").await.expect(200, "HIT");
    f.site.log.wait_for(&["WARN", "/blog/long"]).await;
}

/// Rule 4.3: a hung first render ends by itself; other pages and the endpoint never wait for it.
#[tokio::test]
async fn a_hung_first_render_ends() {
    let f = Fixture::with(&[("PERENNIAL_RENDER_TIMEOUT_MS", "500")]).await;
    f.up.next("/blog/h", Reply::value("never").behind(&Gate::new()));
    f.get("/blog/h").await.expect(500, "").nostore();
    f.get("/blog/h").await.expect(200, "MISS");
    f.up.on("/never", Reply::value("never").behind(&Gate::new()));
    let answer = f.revalidate("/never").await;
    assert_eq!((answer.status, &answer.json()["revalidated"]), (500, &json!(false)), "{answer}");
}

/// A first render that says `KeepStale` has nothing to keep: the visitor is told to come back, nothing is stored.
#[tokio::test]
async fn keep_stale_without_a_page() {
    let f = Fixture::start().await;
    f.up.next("/blog/k", json!({ "keep_stale": true }));
    let answer = f.get("/blog/k").await;
    assert!(matches!(answer.status, 500 | 503), "{answer}");
    answer.nostore();
    f.get("/blog/k").await.expect(200, "MISS");
}

/// Section 6 of the design: what is too large or too much fails the render, by the limit's name, and is not stored.
#[tokio::test]
async fn limits_of_a_page() {
    let limits = [
        ("PERENNIAL_MAX_BODY_BYTES", "10000"),
        ("PERENNIAL_MAX_PAGE_HEADERS", "2"),
        ("PERENNIAL_MAX_PAGE_HEADER_BYTES", "100"),
        ("PERENNIAL_MAX_TAGS", "3"),
        ("PERENNIAL_MAX_TAG_BYTES", "8"),
    ];
    let f = Fixture::with(&limits).await;
    let cases = [
        ("large", json!({ "pad_bytes": 20_000 }), "PERENNIAL_MAX_BODY_BYTES"),
        ("empty-tag", json!({ "tags": [""] }), "tag"),
        (
            "headers",
            json!({ "headers": [["x-a", "1"], ["x-a", "2"], ["x-b", "3"]] }),
            "PERENNIAL_MAX_PAGE_HEADERS",
        ),
        ("bytes", json!({ "headers": [["x-a", "x".repeat(100)]] }), "PERENNIAL_MAX_PAGE_HEADER_BYTES"),
        ("text", json!({ "headers": [["x-topic", "café"]] }), "x-topic"),
        ("kind", json!({ "headers": [["x-new-cache-control", "max-age=9"]] }), "x-new-cache-control"),
    ];
    for (name, reply, part) in cases {
        let path = format!("/tagged/{name}");
        f.up.on(&path, reply);
        f.get(&path).await.expect(500, "").nostore();
        f.site.log.wait_for(&[&path, part]).await;
        f.up.on(&path, json!({ "tags": ["a", "b", "12345678"], "pad_bytes": 5_000 }));
        f.get(&path).await.expect(200, "MISS");
    }
    // A page with too many tags, or too long ones, is shown, and renewed with whatever tag is published.
    for (name, tags) in [("many", json!(["a", "b", "c", "d"])), ("long", json!(["123456789"]))] {
        let path = format!("/tagged/{name}");
        f.up.on(&path, json!({ "tags": tags }));
        let old = f.get(&path).await.expect(200, "MISS");
        f.get("/api/revalidate?secret=test-secret&mode=stale&tag=unknown").await.expect(200, "");
        assert_eq!(f.get(&path).await.expect(200, "STALE").id(), old.id());
    }
}
