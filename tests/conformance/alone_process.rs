//! What one process does by itself: its memory, its limits, its counters, its files, its command line.

use std::path::Path;

use http::Method;
use serde_json::json;
use tests::answer::GOOGLEBOT;
use tests::until::{soon, until, until_true};
use tests::{Answer, Ask, Asks, Gate, Launch, Reply, Running, Upstream};

use crate::concurrency::begin;
use crate::on_demand::success;
use crate::{Fixture, launch};

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
    // Rule 5.4: never true for a page that is not there.
    f.revalidate("/nofb/in").await.expect(200, "");
    f.revalidate("/nofb/out").await.expect(500, "").holds("\"revalidated\":false");
    assert!(f.get("/blog/x").await.nostore().is_page());
}

/// In dev the publishing page asks for no secret, but only on this machine and only from that page itself.
#[tokio::test]
async fn devs_publishing_page_needs_no_secret() {
    let f = dev().await;
    f.up.list("/blog/{slug}", json!([{ "slug": "a" }]));
    let ask = |target: &str| Ask::get(target).header("authorization", "Development");
    f.get("/api/publish").await.expect(200, "").nostore().holds("<html data-dev ");
    let list = f.ask(ask("/api/publish/pages")).await.expect(200, "").nostore().json();
    let paths: Vec<_> = list["pages"].as_array().expect("a list").iter().map(|page| &page["path"]).collect();
    assert_eq!(paths, ["/", "/blog/a", "/maybe404", "/never"], "what the site lists");
    assert_eq!((&list["dev"], &list["pages"][1]["state"]), (&json!(true), &json!("live")));
    let page = |target| f.ask(ask(target).header("host", "localhost:3000"));
    assert_eq!(page("/api/revalidate?path=/blog/a").await.json()["revalidated"], json!(true));
    f.up.on("/blog/a", Reply::throw("the-cause"));
    page("/api/revalidate?path=/blog/a").await.expect(500, "").holds("the-cause");
    for target in ["/api/publish/pages", "/api/publish/events", "/api/revalidate?path=/"] {
        f.get(target).await.expect(401, "");
        f.ask(ask(target).header("host", "attacker.example")).await.expect(401, "");
    }
    // Through a proxy on this machine, anybody may call.
    for field in ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"] {
        let forwarded = |target| ask(target).header("host", "localhost:3000").header(field, "127.0.0.1");
        for target in
            ["/api/publish/pages", "/api/publish/events", "/_perennial/metrics", "/api/revalidate?path=/"]
        {
            f.ask(forwarded(target)).await.expect(401, "");
        }
    }
    f.ask(ask("/_perennial/metrics")).await.expect(200, "");
    // A draft's cookie would open drafts elsewhere too.
    page("/api/draft?path=/never").await.expect(401, "");
}

/// One look at a large site is bounded, whatever is looked for; what is found by and by is all of it.
#[tokio::test]
async fn a_search_of_a_large_site_goes_on_where_it_ended() {
    let up = Upstream::start().await;
    let slugs: Vec<_> = (0..4500).map(|n| json!({ "slug": format!("p{n:04}") })).collect();
    up.list("/blog/{slug}", slugs);
    let (launch, _store) = crate::launch(&up, &[]);
    let site = launch.start().await;
    let list = async |query: &str| {
        let ask =
            Ask::get(format!("/api/publish/pages?{query}")).header("authorization", "Bearer test-secret");
        site.ask(ask).await.expect(200, "").json()
    };
    until("the listing", async || {
        let last = list("prefix=/blog/p4499").await;
        (last["pages"][0]["path"] == "/blog/p4499").then_some(())
    })
    .await;
    site.get("/blog/p4400").await.expect(200, "MISS");
    let (mut looks, mut found, mut after) = (0, Vec::new(), String::new());
    loop {
        let listed = list(&format!("state=fresh&after={after}")).await;
        found.extend(listed["pages"].as_array().expect("a list").clone());
        looks += 1;
        let Some(next) = listed["next"].as_str() else { break };
        after = form_urlencoded::byte_serialize(next.as_bytes()).collect();
    }
    assert!(looks > 1 && looks < 10, "{looks} looks");
    assert_eq!((found.len(), &found[0]["path"]), (1, &json!("/blog/p4400")));
}

/// In dev nothing is written, so a call marks and removes nothing of what a server on the same store shows.
#[tokio::test]
async fn devs_calls_leave_the_store_alone() {
    let f = Fixture::start().await;
    let page = f.get("/never").await.expect(200, "MISS");
    let dev = f.launch.serve("dev").await;
    for query in [
        "path=/never&mode=stale",
        "path=/never&mode=delete",
        "site=true&mode=stale",
        "site=true&mode=delete",
        "site=true",
    ] {
        let answer = dev.get(&format!("/api/revalidate?secret=test-secret&{query}")).await;
        assert_eq!(answer.json()["revalidated"], json!(true), "{answer}");
        assert_eq!(f.get("/never").await.expect(200, "HIT").id(), page.id(), "{query}");
    }
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

/// The command shows the first secret that is for showing.
#[tokio::test]
async fn the_command_calls_with_a_secret_that_is_for_calls() {
    let up = Upstream::start().await;
    let of = |secrets: &str| crate::launch(&up, &[("PERENNIAL_REVALIDATE_SECRETS", secrets)]);
    let signing = "github:0123456789abcdef,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let both = format!("{signing},secret:for-calls-and-more");
    let (launch, _store) = of(&both);
    let site = launch.start().await;
    let server = site.client().addr.to_string();
    launch.run(&["revalidate", "/never", "--server", &server]).await.success();
    let (without, _store) = of(signing);
    without
        .run(&["revalidate", "/never", "--server", &server])
        .await
        .failure(&["secrets that publishers sign with"]);
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

/// What a payload would do is told by the endpoint's own code, with the rules that do not count and why.
#[tokio::test]
async fn a_payload_is_explained_without_being_carried_out() {
    let up = Upstream::start().await;
    let rules = tests::publishers::rules_file(env!("CARGO_TARGET_TMPDIR"));
    let (launch, store) = launch(&up, &[("PERENNIAL_WEBHOOKS", &*rules), ("PERENNIAL_BASE_PATH", "/docs")]);
    let file = |name: &str, text: &str| {
        let path = store.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("a plain name").to_owned()
    };
    let push = r#"{"ref":"refs/heads/main","commits":[{"added":["content/blog/a b.md"],"modified":[],"removed":[]}]}"#;
    let dry_run = async |file: &str, more: &[&str]| {
        launch.run(&[&["webhook", "--dry-run", file][..], more].concat()).await
    };
    let payload = file("push.json", push);
    let told = dry_run(&payload, &["-H", "X-GitHub-Event: push"]).await.success().output;
    for line in [
        "payload of github",
        "  counts: github: posts in the repository",
        "  does not count: stripe: products: provider must be \"stripe\"; found \"github\"",
        "now     /docs/blog/a%20b  (a page of /blog/{slug})",
        r#"{"mode":"now","paths":["/docs/blog/a%20b"],"tags":[]}"#,
    ] {
        assert!(told.lines().any(|told| told == line), "{line:?} in {told}");
    }
    dry_run(&payload, &["-H", "X-GitHub-Event: ping"])
        .await
        .failure(&["nothing matched", "must be \"push\"; found \"ping\""]);
    dry_run(&payload, &[]).await.failure(&["payload of secret", "nothing matched"]);
    dry_run(&payload, &["--provider", "github"])
        .await
        .failure(&["payload of github", "header x-github-event"]);
    let gone = file("gone.json", r#"{"type":"post.deleted","data":{"slug":"x"}}"#);
    dry_run(&gone, &[]).await.success();
    let tags = file(
        "tags.json",
        r#"{"entity_type":"cda_cache_tags","event_type":"invalidate","entity":{"attributes":{"tags":["a","b c"]}}}"#,
    );
    let told = dry_run(&tags, &[]).await.success().output;
    assert!(told.contains("pages with tag:a") && told.contains("pages with tag:b c"), "{told}");
    dry_run("nowhere.json", &[]).await.failure(&["cannot read nowhere.json"]);
    assert_eq!(up.count_all(), 0);
    let without = launch.clone().env("PERENNIAL_WEBHOOKS", "");
    without.run(&["webhook", "--dry-run", &payload]).await.failure(&["the site has no rules"]);
    let wrong =
        launch.clone().env("PERENNIAL_WEBHOOKS", file("rules.json", r#"{"rules":[{"paths":["/none"]}]}"#));
    wrong
        .run(&["start"])
        .await
        .failure(&["webhooks, rule 1 (`rule 1`): path `/none`: no route of the site has such pages"]);
    let nowhere = launch.env("PERENNIAL_WEBHOOKS", "/nowhere/rules.json");
    nowhere
        .run(&["start"])
        .await
        .failure(&["PERENNIAL_WEBHOOKS is `/nowhere/rules.json`, which cannot be read"]);
}

/// A dry run says what the endpoint says, by the same code: the same status, the same message.
#[tokio::test]
async fn a_dry_run_answers_as_the_endpoint_does() {
    let up = Upstream::start().await;
    let rules = tests::publishers::rules_file(env!("CARGO_TARGET_TMPDIR"));
    let (launch, store) = launch(&up, &[("PERENNIAL_WEBHOOKS", &*rules)]);
    let file = |name: &str, text: &str| {
        let path = store.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("a plain name").to_owned()
    };
    let dry_run = async |file: &str, more: &[&str]| {
        launch.run(&[&["webhook", "--dry-run", file][..], more].concat()).await
    };
    let told = dry_run(&file("call.json", r#"{"path":"/never"}"#), &[]).await.success().output;
    assert!(
        told.contains("the request is a call, and no rule reads it")
            && told.contains("the answer would be 200"),
        "{told}"
    );
    let told = dry_run(&file("tag.json", r#"{"tag":"a"}"#), &[]).await.success().output;
    assert!(told.contains("the answer would be 202"), "{told}");
    let running = launch.start().await;
    for (text, query, parts) in [
        ("{", "", ["the answer would be 400", "not a JSON call"]),
        (r#"{"path":"a"}"#, "", ["the answer would be 400", "the path `a` must be a page's own"]),
        (r#"{"path":"/nowhere/x"}"#, "", ["the answer would be 400", "no route of the site accepts"]),
        (r#"{"path":"/nowhere/x"}"#, "rules=true", ["the answer would be 200", "nothing matched"]),
        (r#"{"a":1}"#, "path=/nowhere/x", ["the answer would be 400", "no route of the site accepts"]),
        (r#"{"a":1}"#, "mode=soon", ["the answer would be 400", "now, stale or delete"]),
        ("ping", "", ["the answer would be 400", "not a JSON call"]),
        ("webhook_id=2", "", ["the answer would be 200", "nothing matched"]),
    ] {
        dry_run(&file("bad.json", text), &["--query", query]).await.failure(&parts);
        // The endpoint says the same.
        let ask = Ask::new(Method::POST, format!("/api/revalidate?{query}")).body(text);
        let answer = running.ask(ask.header("authorization", "Bearer test-secret")).await;
        assert!(parts[0].ends_with(&answer.status.to_string()), "{text}: {answer}");
        assert!(answer.json()["message"].as_str().is_some_and(|told| told.contains(parts[1])), "{answer}");
    }
    running.stop().await.success();
}

/// Nobody tells a shared cache what changes here: it is not to keep a page without a period for a year.
#[tokio::test]
async fn a_cache_that_is_told_nothing_keeps_no_page_for_long() {
    for (given, lifetime) in [("3600", 3_600), ("60", 60)] {
        let f = Fixture::with(&[("PERENNIAL_EDGE_MAX_AGE_SECONDS", given)]).await;
        for label in ["MISS", "HIT"] {
            let answer = f.get("/never").await.expect(200, label);
            assert_eq!(answer.s_maxage(), Some(lifetime), "{answer}");
        }
        f.up.on("/blog/long", json!({ "revalidate": 86_400 }));
        let answer = f.get("/blog/long").await.expect(200, "MISS");
        assert!(answer.s_maxage().is_some_and(|s| s > 86_300), "a period counts: {answer}");
    }
}
