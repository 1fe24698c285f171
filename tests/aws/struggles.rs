//! What visitors get, and how soon, while the table or the bucket struggles: a key that has too many readers, a table that
//! does not answer, a slow bucket. Each prints what it has measured.

#![allow(clippy::print_stdout, reason = "measurements are printed")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use perennial::parts::base::manual_clock::ManualClock;
use perennial::parts::guard::breaker::BreakerState;
use perennial::parts::run::settings::Settings;
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

/// Everything that is asked of the table.
const TABLE: [&str; 6] = ["BatchGetItem", "GetItem", "UpdateItem", "PutItem", "DeleteItem", "Query"];

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

    /// A process whose clock is the machine's.
    fn in_time(&self) -> Function {
        let site = tests::conformance::site(self.up.url());
        Function::by(site, Arc::new(perennial::SystemClock), self.settings.clone())
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
    let pages = perennial::parts::ports::stores::Stores::pages(function.engine.stores());
    let gone = perennial::parts::ports::pages::snapshot::Stamp::Gone;
    perennial::parts::ports::pages::Pages::invalidate(pages, &["tag:x".into()], gone).await.expect("marked");
    w.up.on("/tagged/a", Reply::status(500));
    function.ask(Ask::get("/tagged/a")).await.expect(500, "");
    w.plan.set(&["BatchGetItem"], Some(Fault::ServerError));
    function.ask(Ask::get("/tagged/a")).await.expect(500, "");
}

/// What a page in memory may take once a store is left alone.
const LEFT_ALONE: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_does_not_answer_is_left_alone_and_tried_by_one_call() {
    let w = World::new().await;
    w.up.otherwise(|call| json!({ "value": call.path, "revalidate": 600 }).into());
    let function = w.in_time();
    function.ask(Ask::get("/blog/kept")).await.expect(200, "MISS");
    w.in_time().ask(Ask::get("/blog/stored")).await.expect(200, "MISS");
    w.plan.set(&TABLE, Some(Fault::Silent));
    let limits = &w.settings.limits;
    for visit in 1..=limits.store_failures {
        let (took, _) = w.stale(&function, "/blog/kept").await;
        println!("silent table, page in memory, visit {visit}: 200 after {took:.0?}");
        assert!(took < 2 * limits.store_wait, "PERENNIAL_STORE_WAIT_MS");
    }
    let pages = || perennial::parts::guard::breakers(function.engine.stores())[0];
    assert_eq!((pages().state(), pages().opened()), (BreakerState::Open, 1));
    let (took, calls) = w.stale(&function, "/blog/kept").await;
    println!("silent table, page in memory, after the first three failures: 200 after {took:.0?}");
    assert!(took < LEFT_ALONE && calls == 0, "{took:?}, {calls} calls");
    for path in ["/blog/stored", "/blog/new"] {
        let (answer, took, calls) = w.visit(&function, path).await;
        println!("silent table, {path}, after the first three failures: {} after {took:.0?}", answer.status);
        answer.expect(200, "MISS");
        assert_eq!(calls, 0, "{path} is rendered, and not kept");
    }
    let (answer, took, _) = w.visit(&w.in_time(), "/blog/stored").await;
    println!(
        "silent table, stored page, in a process that does not know of it: {} after {took:.0?}",
        answer.status
    );
    answer.expect(200, "MISS");

    tests::until::pass(limits.store_pause).await;
    let mut calls = 0;
    for _ in 0..20 {
        let (took, made) = w.stale(&function, "/blog/kept").await;
        calls += made;
        assert!(took < LEFT_ALONE + limits.store_trial_wait, "nobody waits long for the trial: {took:?}");
    }
    assert!(calls <= 1, "{calls} calls are a crowd");
    w.plan.set(&[], None);
    tests::until::pass(limits.store_pause).await;
    function.ask(Ask::get("/blog/kept")).await.expect(200, "HIT");
    assert_eq!(pages().state(), BreakerState::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_bucket_holds_up_a_visitor_for_no_longer_than_the_budget() {
    let w = World::new().await;
    w.up.on("/blog/l", Reply::value(&crate::requests::large()));
    w.in_time().ask(Ask::get("/blog/l")).await.expect(200, "MISS");
    w.plan.set(&["GET"], Some(Fault::Silent));
    let (answer, took, _) = w.visit(&w.in_time(), "/blog/l").await;
    println!("silent bucket, stored page whose body is in it: {} after {took:.0?}", answer.status);
    answer.expect(200, "MISS");
    assert!(took < 3 * w.settings.limits.store_wait, "PERENNIAL_STORE_WAIT_MS");
}

/// Whoever is denied, or asks for what must not be, is answered: the store is well.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_struggles_leaves_the_pages_alone() {
    let w = World::new().await;
    w.up.on("/blog/s", Reply::value("old"));
    let function = w.cold();
    function.ask(Ask::get("/blog/s")).await.expect(200, "MISS");
    w.plan.set(&["SendMessage"], Some(Fault::ServerError));
    for _ in 0..w.settings.limits.store_failures {
        w.clock.advance(Duration::from_secs(11));
        w.stale(&function, "/blog/s").await;
    }
    let states = perennial::parts::guard::breakers(function.engine.stores())
        .map(|breaker| (breaker.store(), breaker.state()));
    let open: Vec<_> = states.iter().filter(|(_, state)| *state != BreakerState::Closed).collect();
    assert_eq!(open, [&("jobs", BreakerState::Open)]);
}
