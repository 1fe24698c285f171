//! What one process does by itself: its memory, its limits, its counters, its files, its command line.

use std::path::Path;

use serde_json::json;
use tests::answer::GOOGLEBOT;
use tests::until::{soon, until_true};
use tests::{Answer, Ask, Asks, Gate, Launch, Reply, Running, Upstream};

use crate::Fixture;
use crate::b03_on_demand::success;
use crate::b08_concurrency::begin;

/// B8.124: a crowd of slow first renders does not hold up a stored page, and no more run than allowed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_renders_do_not_hold_up_stored_pages() {
    let f = Fixture::with(&[("PERENNIAL_MAX_CONCURRENT_RENDERS", "4")]).await;
    let stored = f.get("/never").await.expect(200, "MISS");
    let gate = Gate::new();
    let behind = gate.clone();
    f.up.otherwise(move |_| Reply::value("slow").behind(&behind));
    let asked: Vec<_> = (0..200).map(|i| begin(&f, format!("/blog/slow{i}"))).collect();
    f.up.wait_for_all_calls(5).await;
    let before = f.site.memory_bytes();
    for _ in 0..50 {
        assert_eq!(f.get("/never").await.expect(200, "HIT").id(), stored.id());
    }
    assert!(f.site.memory_bytes() < before + 64 * 1024 * 1024, "waiting requests cost too much memory");
    gate.open();
    let mut rendered = 0;
    for answer in asked {
        let answer = soon("an answer", answer).await.expect("joined");
        // Who cannot be rendered within the limits is told to come back.
        assert!(matches!(answer.status, 200 | 503), "{answer}");
        rendered += usize::from(answer.status == 200);
    }
    assert!(rendered >= 4, "{rendered} of 200 rendered");
    assert!(f.up.most_at_once() <= 4, "{} renders at once", f.up.most_at_once());
}

/// B3.51: simultaneous calls share renders, and all succeed.
#[tokio::test]
async fn simultaneous_calls_share_a_render() {
    let f = Fixture::start().await;
    f.get("/never").await.expect(200, "MISS");
    let gate = Gate::new();
    f.up.on("/never", Reply::value("new").behind(&gate));
    let client = f.site.client();
    let calls: Vec<_> =
        (0..4).map(|_| tokio::spawn(async move { client.revalidate("/never").await })).collect();
    f.up.wait_for_calls("/never", 2).await;
    gate.open();
    for call in calls {
        success(soon("a call", call).await.expect("joined"));
    }
    let renders = f.up.count("/never") - 1;
    assert!((1..=2).contains(&renders), "{renders} renders for 4 simultaneous calls");
}

/// B4.64: everyone who waited for it gets the failure, by one call.
#[tokio::test]
async fn simultaneous_first_requests_fail_together() {
    let f = Fixture::start().await;
    let gate = Gate::new();
    f.up.on("/blog/e", Reply::throw("no").behind(&gate));
    let client = f.site.client();
    let asked: Vec<_> = (0..3).map(|_| tokio::spawn(async move { client.get("/blog/e").await })).collect();
    f.up.wait_for_calls("/blog/e", 1).await;
    // A fourth, of another page, has been through the whole server: the three are waiting by now.
    f.get("/blog/other").await.expect(200, "MISS");
    gate.open();
    for answer in asked {
        soon("an answer", answer).await.expect("joined").expect(500, "").nostore();
    }
    assert_eq!(f.up.count("/blog/e"), 1);
}

/// B11.152: many large pages do not fill the memory. The allocator takes a while to have all that it wants; pages that
/// were kept would make every round grow by 20 MB.
#[tokio::test]
async fn memory_is_bounded() {
    let f = Fixture::with(&[("PERENNIAL_MEMORY_CACHE_BYTES", "1000000")]).await;
    f.up.otherwise(|_| json!({ "revalidate": false, "pad_bytes": 500_000 }).into());
    let (mut before, mut grown) = (f.site.memory_bytes(), Vec::new());
    while grown.last().is_none_or(|last| *last > 5_000_000) {
        assert!(grown.len() < 10, "each round of 40 pages of 500 kB grew the process, in bytes: {grown:?}");
        for i in 0..40 {
            f.get(&format!("/blog/{}-{i}", grown.len())).await.expect(200, "MISS");
        }
        let now = f.site.memory_bytes();
        grown.push(now.saturating_sub(before));
        before = now;
    }
}

/// B14.189: no file of the store can be had by its name, and no link in it is followed.
#[tokio::test]
async fn store_files_are_not_served() {
    let f = Fixture::start().await;
    f.up.otherwise(|_| json!({ "revalidate": false, "pad_bytes": 20_000 }).into());
    f.get("/blog/a").await.expect(200, "MISS");
    let root = f.store.path().to_owned();
    std::os::unix::fs::symlink("/etc/hostname", root.join("link")).expect("a symbolic link");
    let mut files = Vec::new();
    walk(&root, &mut files);
    assert!(files.len() > 1, "the store has no files: {files:?}");
    for file in files {
        let name =
            file.strip_prefix(&root).expect("under the root").to_str().expect("a plain name").to_owned();
        for prefix in ["/", "/_perennial/", "/_perennial/data/", "/.perennial/"] {
            f.get(&format!("{prefix}{name}")).await.expect(404, "").nostore();
        }
    }
    for path in [
        "/.meta",
        "/.env",
        "/Cargo.toml",
        "/_perennial/data/",
        "/_perennial/bodies",
        "/_perennial/../Cargo.toml",
    ] {
        assert!(matches!(f.get(path).await.status, 308 | 404), "{path}");
    }
    until_true("no call but the first", || f.up.count_all() == 1).await;
}

fn walk(dir: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
        if entry.path().is_dir() {
            walk(&entry.path(), files);
        } else {
            files.push(entry.path());
        }
    }
}

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
