//! What visitors get, and how soon, while the table or the bucket struggles: a key that has too many readers, a table that
//! does not answer, a slow bucket. Each prints what it has measured.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use perennial::Settings;
use perennial::testing::ManualClock;
use serde_json::json;
use tests::between::{Between, Call, Fault};
use tests::{Answer, Ask, Aws, Reply, Upstream};

use crate::requests::Function;
use crate::settings;

/// What goes wrong with every call of some names, for now.
#[derive(Clone, Default)]
struct Plan(Arc<Mutex<(Vec<&'static str>, Option<Fault>)>>);

impl Plan {
    fn set(&self, names: &[&'static str], fault: Option<Fault>) {
        *self.0.lock().expect("unpoisoned") = (names.to_vec(), fault);
    }

    fn fault(&self, call: &Call) -> Option<Fault> {
        let plan = self.0.lock().expect("unpoisoned");
        plan.1.filter(|_| plan.0.contains(&&*call.name))
    }
}

struct World {
    up: Upstream,
    clock: ManualClock,
    plan: Plan,
    between: Between,
    settings: Settings,
}

impl World {
    async fn new() -> Self {
        let aws = Aws::start().await;
        let plan = Plan::default();
        let planned = plan.clone();
        let between = Between::with(&aws, move |call| planned.fault(call)).await;
        let settings = settings(&aws, "b", &[("AWS_ENDPOINT_URL", &between.url())]);
        Self { up: Upstream::start().await, clock: ManualClock::default(), plan, between, settings }
    }

    /// A process that has just started.
    fn cold(&self) -> Function {
        Function::start(&self.up, &self.clock, self.settings.clone())
    }

    /// A visit, how long it took, and the calls that it made.
    async fn visit(&self, function: &Function, path: &str) -> (Answer, Duration, usize) {
        self.between.calls();
        let asked = Instant::now();
        let answer = tests::until::soon("an answer", function.ask(Ask::get(path))).await;
        (answer, asked.elapsed(), self.between.calls().len())
    }

    /// A visit that is answered as stale for a second, and no error.
    async fn stale(&self, function: &Function, path: &str) -> (Duration, usize) {
        let (answer, took, calls) = self.visit(function, path).await;
        let answer = answer.expect(200, "STALE");
        assert!(answer.header("cache-control").contains("s-maxage=1,"), "{answer}");
        (took, calls)
    }
}

/// What a stored page may take while one of its tags cannot be read.
const HOT_KEY: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_page_is_answered_as_stale_while_a_key_beside_it_is_hot() {
    let w = World::new().await;
    w.up.on("/tagged/a", json!({ "value": "a", "tags": ["x"], "revalidate": 60 }));
    let function = w.cold();
    function.ask(Ask::get("/tagged/a")).await.expect(200, "MISS");
    function.ask(Ask::get("/tagged/a")).await.expect(200, "HIT");
    for key in ["tag#site", "tag#route:", "tag#tag:x", "tag#"] {
        w.plan.set(&["BatchGetItem"], Some(Fault::Hot(key)));
        let (in_memory, calls) = w.stale(&function, "/tagged/a").await;
        let (in_store, more) = w.stale(&w.cold(), "/tagged/a").await;
        println!(
            "stored page under a throttled hot key `{key}`: in memory 200 after {in_memory:.0?} with {calls} calls, else after {in_store:.0?} with {more}"
        );
        assert!(in_memory < HOT_KEY && in_store < HOT_KEY, "200 within a second");
        // Two more calls for what was left, and three attempts of a second call for tags that are not known before.
        assert!(calls <= 3 && more <= 6, "{calls}, {more}");
    }
    w.plan.set(&[], None);
    function.ask(Ask::get("/tagged/a")).await.expect(200, "HIT");
    assert_eq!(w.up.count("/tagged/a"), 1, "nothing is rendered because a key is hot");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_was_never_rendered_is_while_a_key_beside_it_is_hot() {
    let w = World::new().await;
    w.up.on("/never", json!({ "value": "n", "revalidate": false }));
    w.plan.set(&["BatchGetItem"], Some(Fault::Hot("tag#site")));
    let (answer, took, calls) = w.visit(&w.cold(), "/never").await;
    println!(
        "a page that was never rendered, under a throttled hot key: 200 after {took:.0?} with {calls} calls"
    );
    let answer = answer.expect(200, "MISS");
    // Whether it was invalidated while it was rendered cannot be told.
    assert!(answer.header("cache-control").contains("s-maxage=1,"), "{answer}");
    w.plan.set(&[], None);
    w.cold().ask(Ask::get("/never")).await.expect(200, "HIT");
}

/// What has too many calls is not helped by more of them.
#[tokio::test(flavor = "multi_thread")]
async fn visitors_do_not_multiply_the_calls_for_a_hot_key() {
    const VISITS: usize = 50;
    let w = World::new().await;
    w.up.on("/never", json!({ "value": "n", "revalidate": false }));
    let function = w.cold();
    function.ask(Ask::get("/never")).await.expect(200, "MISS");
    w.plan.set(&["BatchGetItem"], Some(Fault::Hot("tag#site")));
    let (mut calls, mut slowest) = (0, Duration::ZERO);
    for _ in 0..VISITS {
        let (took, made) = w.stale(&function, "/never").await;
        (calls, slowest) = (calls + made, slowest.max(took));
    }
    println!("{VISITS} visits under a throttled hot key: {calls} calls, the slowest {slowest:.0?}");
    let retries = w.settings.limits.max_store_retries as usize;
    assert_eq!(calls, VISITS + retries, "PERENNIAL_MAX_STORE_RETRIES");
}

/// A process that has heard of a deletion does not show the page again because it cannot hear of it once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_known_to_be_deleted_is_not_shown_while_its_tags_cannot_be_read() {
    let w = World::new().await;
    w.up.on("/tagged/a", json!({ "value": "a", "tags": ["x"], "revalidate": false }));
    let function = w.cold();
    function.ask(Ask::get("/tagged/a")).await.expect(200, "MISS");
    // The mark alone: as between it and the removal of many pages, or in another build.
    let pages = perennial::Stores::pages(function.engine.stores());
    let gone = perennial::pages::Stamp::Gone;
    perennial::pages::Pages::invalidate(pages, &["tag:x".into()], gone).await.expect("marked");
    w.up.on("/tagged/a", Reply::status(500));
    function.ask(Ask::get("/tagged/a")).await.expect(500, "");
    w.plan.set(&["BatchGetItem"], Some(Fault::ServerError));
    function.ask(Ask::get("/tagged/a")).await.expect(500, "");
}
