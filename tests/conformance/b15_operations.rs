//! B15. Dev, dynamic routes, logs; builds are in `processes`.

use std::time::Duration;

use serde_json::json;
use tests::answer::GOOGLEBOT;
use tests::until::{pass, until_true};
use tests::{Answer, Ask, Asks, Launch, Reply, Running, Upstream};

use crate::Fixture;

struct Dev {
    up: Upstream,
    site: Running,
    _store: tempfile::TempDir,
}

impl Asks for Dev {
    async fn ask(&self, ask: Ask) -> Answer {
        self.site.ask(ask).await
    }
}

async fn dev() -> Dev {
    let up = Upstream::start().await;
    let store = tempfile::TempDir::new().expect("a temporary directory");
    let site = Launch::new(env!("CARGO_BIN_EXE_conformance-site"), store.path(), &up).serve("dev").await;
    Dev { up, site, _store: store }
}

/// B15.193: in dev every request renders, nothing is cached, and errors are shown.
#[tokio::test]
async fn dev_renders_every_request() {
    let f = dev().await;
    let first = f.get("/never").await.nostore();
    let second = f.get("/never").await.nostore();
    assert_eq!((first.status, second.status), (200, 200));
    assert_ne!(first.id(), second.id());
    assert_eq!(f.up.count("/never"), 2);
    let data = f.data("/never").await.nostore();
    assert_eq!((data.status, f.up.count("/never")), (200, 3));
    let answer = f.revalidate("/never").await;
    assert_eq!(answer.json()["revalidated"], json!(true), "{answer}");
    f.get("/never").await.nostore();
    let reasons = f.up.reasons("/never");
    assert!(reasons.iter().all(|r| r == "stale" || r == "on-demand"), "{reasons:?}");
    f.up.on("/never", Reply::throw("the-cause <b>"));
    f.get("/never").await.nostore().holds("custom-500").holds("the-cause &lt;b&gt;");
    f.up.on("/never", json!({ "revalidate": 0 }));
    assert_eq!(f.get("/never").await.nostore().status, 500);
    f.up.on("/never", json!({ "not_found": true }));
    assert_eq!(f.get("/never").await.nostore().status, 404);
}

/// B15.194: fallback in dev.
#[tokio::test]
async fn dev_keeps_the_fallback_rules() {
    let f = dev().await;
    f.up.list("/nofb/{slug}", json!([{ "slug": "in" }]));
    assert!(f.get("/fb/x").await.nostore().is_shell());
    assert!(f.ask(Ask::get("/fb/x").agent(GOOGLEBOT)).await.nostore().is_page());
    // The shell's own data request ends the loading, although nothing is stored.
    assert!(f.get("/fb/y").await.is_shell());
    assert_eq!(f.data("/fb/y").await.status, 200);
    assert!(f.get("/fb/y").await.nostore().is_page());
    assert_eq!(f.get("/nofb/out").await.nostore().status, 404);
    assert!(f.get("/nofb/in").await.nostore().is_page());
    assert!(f.get("/blog/x").await.nostore().is_page());
}

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

/// Settings that mean nothing fail the start, by name.
#[tokio::test]
async fn bad_settings_fail_the_start_by_name() {
    let up = Upstream::start().await;
    for (name, value) in [
        ("PERENNIAL_RENDER_TIMEOUT_MS", "soon"),
        ("PERENNIAL_MEMORY_CACHE_BYTES", "-1"),
        ("PERENNIAL_MAX_CONCURRENT_RENDERS", "0"),
        ("PERENNIAL_TRAILING_SLASH", "maybe"),
        ("PERENNIAL_BASE_PATH", "docs/"),
        ("PERENNIAL_LISTEN", "nowhere"),
        ("PERENNIAL_LEASE_MS", "long"),
        ("BUILD_ID", "a/b"),
    ] {
        let store = tempfile::TempDir::new().expect("a temporary directory");
        let launch = Launch::new(env!("CARGO_BIN_EXE_conformance-site"), store.path(), &up).env(name, value);
        launch.run(&["start"]).await.failure(&[if name == "PERENNIAL_BASE_PATH" { "docs/" } else { name }]);
    }
}

/// A server that cannot listen says where and why.
#[tokio::test]
async fn a_taken_port() {
    let f = Fixture::start().await;
    let addr = f.site.client().addr;
    let second = f.launch.clone().env("PERENNIAL_LISTEN", addr);
    second.run(&["start"]).await.failure(&[&addr.to_string(), "PERENNIAL_LISTEN"]);
    f.get("/never").await.expect(200, "MISS");
    f.launch.run(&["begin"]).await.failure(&["begin"]);
}

/// B15.197: answers and renders are counted by route and outcome, for those who know a secret.
#[tokio::test]
async fn answers_and_renders_are_counted() {
    let f = Fixture::start().await;
    f.up.on("/blog/m", json!({ "revalidate": false }));
    f.get("/blog/m").await.expect(200, "MISS");
    f.get("/blog/m").await.expect(200, "HIT");
    f.up.on("/blog/bad", Reply::throw("no"));
    f.get("/blog/bad").await.nostore();
    assert_eq!(f.get("/_perennial/metrics").await.nostore().status, 401);
    let secret = Ask::get("/_perennial/metrics").header("authorization", "Bearer test-secret");
    let counts = f.ask(secret).await.expect(200, "").nostore().text();
    for line in [
        "perennial_answers_total{route=\"/blog/{slug}\",outcome=\"miss\"} 1",
        "perennial_answers_total{route=\"/blog/{slug}\",outcome=\"hit\"} 1",
        "perennial_answers_total{route=\"/blog/{slug}\",outcome=\"error\"} 1",
        "perennial_renders_total{route=\"/blog/{slug}\",outcome=\"stored\"} 1",
        "perennial_renders_total{route=\"/blog/{slug}\",outcome=\"failed\"} 1",
        "perennial_answers_total{route=\"/never\",outcome=\"hit\"} 0",
    ] {
        assert!(counts.lines().any(|l| l == line), "{line}\n{counts}");
    }
}
