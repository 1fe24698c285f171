//! B15. Dynamic routes and logs; builds are in `processes`.

use std::time::Duration;

use serde_json::json;
use tests::until::{pass, until_true};
use tests::{Asks as _, Reply};

use crate::Fixture;

/// A dynamic route is rendered for every request and never stored.
#[tokio::test]
async fn dynamic_routes_are_never_stored() {
    let f = Fixture::start().await;
    let first = f.get("/ssr").await.nostore();
    let second = f.get("/ssr").await.nostore();
    assert!(first.status == 200 && first.is_page(), "{first}");
    assert_ne!(first.id(), second.id());
    assert_eq!(f.up.count("/ssr"), 2);
    f.up.on("/ssr", Reply::throw("no"));
    assert_eq!(f.get("/ssr").await.nostore().status, 500);
}

/// B15.197: a failed background render is one line with page, reason and error; `pages` shows it too.
#[tokio::test]
async fn failures_are_visible() {
    let f = Fixture::start().await;
    f.up.on("/blog/f", json!({ "revalidate": 1 }));
    f.get("/blog/f").await.expect(200, "MISS");
    f.up.on("/blog/f", Reply::throw("the-cause"));
    pass(Duration::from_millis(1100)).await;
    f.get("/blog/f").await.expect(200, "STALE");
    f.site.log.wait_for(&["/blog/f", "stale", "the-cause"]).await;
    assert_eq!(f.site.log.count("the-cause"), 1, "{}", f.site.log.text());
    let pages = f.launch.run(&["pages"]).await.success();
    let line = pages
        .output
        .lines()
        .find(|line| line.contains("/blog/f"))
        .unwrap_or_else(|| panic!("{}", pages.output))
        .to_owned();
    assert!(pages.output.contains("the-cause"), "{}", pages.output);
    assert!(!line.is_empty());
}

/// Section 1: a page with nothing to show is tried with each visit, and its log line does not say otherwise.
#[tokio::test]
async fn a_deleted_page_that_fails_waits_for_nothing() {
    let f = Fixture::start().await;
    f.get("/blog/g").await.expect(200, "MISS");
    f.get("/api/revalidate?secret=test-secret&path=/blog/g&mode=delete").await.expect(200, "");
    f.up.on("/blog/g", Reply::throw("the-cause"));
    f.get("/blog/g").await.expect(500, "");
    f.site.log.wait_for(&["/blog/g", "the-cause"]).await;
    let line = f.site.log.find(|line| line.contains("the-cause")).expect("the line");
    // As text, or as JSON.
    assert!(line.contains("retry_in_ms=0") || line.contains("\"retry_in_ms\":0"), "{line}");
}

/// Rule 3: `KeepStale` in the background keeps the page without an error in the log.
#[tokio::test]
async fn keep_stale_is_no_error() {
    let f = Fixture::start().await;
    f.up.on("/blog/k", json!({ "revalidate": 1 }));
    let old = f.get("/blog/k").await.expect(200, "MISS");
    f.up.on("/blog/k", json!({ "keep_stale": true }));
    pass(Duration::from_millis(1100)).await;
    f.get("/blog/k").await.expect(200, "STALE");
    f.up.wait_for_calls("/blog/k", 2).await;
    f.up.wait_until_idle().await;
    assert_eq!(f.get("/blog/k").await.expect(200, "STALE").id(), old.id());
    until_true("no error", || f.site.log.count("ERROR") == 0).await;
}
