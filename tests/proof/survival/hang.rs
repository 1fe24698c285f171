//! Renderers and upstreams that misbehave: B4.57 to B4.71, invariants 3, 7 and 12, with a real process.

use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tests::process::Log;
use tests::until::{pass, until, until_true};
use tests::{Asks as _, Gate, Launch, Reply, Running, Upstream};
use tokio::task::JoinSet;

use crate::given;

const TIMEOUT: Duration = Duration::from_millis(700);
const LIMIT: usize = 8;

/// What an answer of a stored page may take on a machine that does other things too: less than a render's time limit.
const AT_ONCE: Duration = Duration::from_millis(600);

struct One {
    up: Upstream,
    site: Running,
    _store: TempDir,
}

impl One {
    async fn start() -> Self {
        Self::with(TIMEOUT).await
    }

    async fn with(timeout: Duration) -> Self {
        let (up, store) = (Upstream::start().await, TempDir::new().expect("a temporary directory"));
        let launch = Launch::new(env!("CARGO_BIN_EXE_conformance-site"), store.path(), &up)
            .env("PERENNIAL_RENDER_TIMEOUT_MS", timeout.as_millis())
            .env("PERENNIAL_LEASE_MS", 1000)
            .env("PERENNIAL_MAX_CONCURRENT_RENDERS", LIMIT);
        let site = launch.start().await;
        Self { up, site, _store: store }
    }

    /// A visit to a page that has been good: at once, whatever happens behind it.
    async fn visit(&self, path: &str) -> String {
        let asked = Instant::now();
        let answer = self.site.get(path).await;
        let took = asked.elapsed();
        assert_eq!(answer.status, 200, "{path}: {answer}");
        assert!(took < AT_ONCE, "{path}: a visitor waited {took:?}");
        answer.value()
    }
}

/// How long the process said it would leave a page alone when it failed last, and how often it has failed.
fn back_off(log: &Log, path: &str) -> (Duration, usize) {
    let about = |line: &&String| line.contains("render failed") && line.contains(&format!("page={path} "));
    let lines = log.lines();
    let failed: Vec<_> = lines.iter().filter(about).collect();
    let last = failed.last().expect("a failure in the log");
    let ms = last.split("retry_in_ms=").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    (Duration::from_millis(ms.expect("a number")), failed.len())
}

/// Does something wrong with every render of a page, until its renewal has failed; then does right. Tells how long it
/// took until the new page was shown, and what the back-off was.
async fn recovers(one: &One, name: &str, wrong: Reply) -> (Duration, Duration) {
    let path = format!("/blog/{name}");
    one.up.on(&path, json!({ "value": "good", "revalidate": 1 }));
    one.site.get(&path).await.expect(200, "MISS");
    pass(Duration::from_millis(1100)).await;
    one.up.on(&path, wrong);
    let failed = format!("page={path} ");
    until("a failed renewal", async || {
        assert_eq!(one.visit(&path).await, "good", "{name}");
        one.site.log.find(|line| line.contains("render failed") && line.contains(&failed))
    })
    .await;
    let (right, calls) = (Instant::now(), one.up.count(&path));
    let (back_off, _) = back_off(&one.site.log, &path);
    one.up.on(&path, json!({ "value": "right", "revalidate": 600 }));
    until("the new page", async || {
        let value = one.visit(&path).await;
        assert!(value == "good" || value == "right", "{name}: {value} is shown");
        (value == "right").then_some(())
    })
    .await;
    assert_eq!(one.up.count(&path), calls + 1, "{name}: called during its back-off");
    (right.elapsed(), back_off)
}

/// Every way to go wrong, on a page of its own, all at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renderer_that_misbehaves_is_left_alone_for_its_back_off() {
    let one = Rc::new(One::start().await);
    let late = Reply::value("late").after(TIMEOUT + Duration::from_millis(400));
    let wrongs = [
        ("hangs", Reply::value("never").behind(&Gate::new())),
        ("panics", json!({ "panic": true }).into()),
        ("throws", Reply::throw("no")),
        ("throws-while-showing", json!({ "value": "half", "render_throw": true }).into()),
        ("gives-half", Reply::raw(r#"{"value":"half","#)),
        ("gives-nothing", json!({ "empty": true }).into()),
        ("hangs-up", Reply::hang_up()),
        ("comes-late", late),
        ("answers-500", Reply::status(500)),
        ("answers-429", Reply::status(429).retry_after("2")),
        ("answers-503", Reply::status(503).retry_after("2")),
    ];
    let here = tokio::task::LocalSet::new();
    let all = here.run_until(async {
        let mut running = JoinSet::new();
        for (name, wrong) in wrongs {
            let one = one.clone();
            running.spawn_local(async move { (name, recovers(&one, name, wrong).await) });
        }
        running.join_all().await
    });
    let mut recovered = all.await;
    recovered.sort_unstable();
    for (name, (took, back_off)) in recovered {
        println!("a renderer {name}: new page {took:.2?} after it does right (back-off {back_off:.2?})");
        if name.starts_with("answers-4") || name == "answers-503" {
            assert_eq!(back_off, Duration::from_secs(2), "{name}: `Retry-After` wins");
        }
        // A render, and the next visitor, on a busy machine.
        assert!(took < back_off + Duration::from_secs(3), "{name}: only after {took:?}");
    }
    // Of the two that were given up at their time limit the upstream may learn a little later.
    assert!(one.up.most_at_once() <= LIMIT + 2, "{} renders at once", one.up.most_at_once());
}

/// As many renders hang as there may be, and more wait for their place: stored pages are shown, publishers are served,
/// and all ends by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renders_that_hang_hold_up_nobody_else() {
    const HUNG: usize = 3 * LIMIT;
    let timeout = 4 * TIMEOUT;
    let one = One::with(timeout).await;
    one.site.get("/never").await.expect(200, "MISS");
    let mut waiting = JoinSet::new();
    for i in 0..HUNG {
        let path = format!("/blog/h{i}");
        one.up.on(&path, Reply::value("never").behind(&Gate::new()));
        let client = one.site.client();
        waiting.spawn(async move { client.get(&path).await });
    }
    one.up.wait_for_all_calls(1 + LIMIT).await;
    let (began, mut carried_out) = (Instant::now(), 0);
    // Until the first of them end.
    for turn in (0..20).take_while(|turn| *turn == 0 || began.elapsed() < timeout / 2) {
        one.up.on("/never", Reply::value(&turn.to_string()));
        let asked = Instant::now();
        crate::success(&one.site.revalidate("/never").await);
        assert!(asked.elapsed() < AT_ONCE, "a publisher waited {:?}", asked.elapsed());
        assert_eq!(one.visit("/never").await, turn.to_string());
        carried_out += 1;
    }
    let at_once = one.up.most_at_once();
    // A publisher's renders have places of their own.
    assert!(at_once <= LIMIT + 1, "{at_once} renders at once");
    for answer in waiting.join_all().await {
        answer.expect(500, "").nostore();
    }
    // A publisher's own render that hangs is told as failed at its time limit, and can be called again at once.
    one.up.next("/never", Reply::value("never").behind(&Gate::new()));
    let asked = Instant::now();
    let refused = one.site.revalidate("/never").await;
    assert_eq!(refused.status, 500, "{refused}");
    assert!(asked.elapsed() < timeout + AT_ONCE, "{:?}", asked.elapsed());
    one.up.on("/never", Reply::value("after"));
    crate::success(&one.site.revalidate("/never").await);
    assert_eq!(one.visit("/never").await, "after");
    println!(
        "{HUNG} renders hang, {at_once} at once at most: {carried_out} calls of a publisher carried out meanwhile"
    );
}

/// B4.60: an upstream that is down: connections are refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_is_down() {
    const PATH: &str = "/blog/s";
    let outage = Duration::from_secs(given("SURVIVAL_OUTAGE_S", 5));
    let one = One::start().await;
    one.up.on(PATH, json!({ "value": "old", "revalidate": 1 }));
    one.site.get(PATH).await.expect(200, "MISS");
    pass(Duration::from_millis(1100)).await;
    one.up.on(PATH, json!({ "value": "new", "revalidate": 600 }));
    one.up.refuse(true);
    let (down, mut visits) = (Instant::now(), 0);
    while down.elapsed() < outage {
        assert_eq!(one.visit(PATH).await, "old");
        visits += 1;
        pass(Duration::from_millis(50)).await;
    }
    until_true("a failure in the log", || one.site.log.count("render failed") > 0).await;
    let (back_off, failures) = back_off(&one.site.log, PATH);
    one.up.refuse(false);
    let up = Instant::now();
    while one.visit(PATH).await != "new" {
        visits += 1;
        assert!(up.elapsed() < back_off + Duration::from_secs(3), "nothing new after {:?}", up.elapsed());
        pass(Duration::from_millis(50)).await;
    }
    println!(
        "an upstream down for {outage:?}: {visits} visits at once, {failures} renders tried, new page {:.2?} after its \
         end (back-off {back_off:.2?})",
        up.elapsed()
    );
    // 1.35 to 1.5 s, doubling to 30 s.
    let most = (0..).scan(0.0, |at, n| {
        *at += (1.35 * 2_f64.powi(n)).min(30.0);
        Some(*at)
    });
    let most = 1 + most.take_while(|at| *at <= outage.as_secs_f64() + 1.0).count();
    assert!(failures <= most, "{failures} renders in {outage:?}, at most {most}");
}
