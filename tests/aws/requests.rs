//! What each way to answer a visitor costs in calls to AWS: counted, so that a hit stays one round trip.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use perennial::parts::base::manual_clock::ManualClock;
use perennial::parts::engine::Engine;
use perennial::parts::look::body::Body;
use perennial::parts::ports::pages::Pages as _;
use perennial::parts::ports::pages::snapshot::Inline;
use perennial::parts::ports::stores::Stores as _;
use perennial::parts::ports::suite::pages::kit::{lease_request_and_record, page};
use perennial::parts::record::page_record::Record;
use perennial::parts::run::settings::Settings;
use perennial::{Clock, Site};
use perennial_serve::{Renewal, Serve};
use serde_json::json;
use tests::between::Between;
use tests::{Answer, Ask, Aws, Upstream};

use crate::edge::cloudfront;
use crate::{Fronted, account, open_stores, settings};

/// The serve function of the conformance site, on stores whose calls are counted.
pub(crate) struct Function {
    pub(crate) engine: Arc<Engine<Fronted>>,
    serve: Serve<Fronted>,
}

impl Function {
    pub(crate) fn start(up: &Upstream, clock: &ManualClock, settings: Settings) -> Self {
        Self::of(tests::conformance::site(up.url()), clock, settings)
    }

    pub(crate) fn of(site: Site, clock: &ManualClock, settings: Settings) -> Self {
        Self::by(site, Arc::new(clock.clone()), settings)
    }

    pub(crate) fn by(site: Site, clock: Arc<dyn Clock>, settings: Settings) -> Self {
        let site = Arc::new(site.ready(None, None).expect("a site"));
        let account = account(&settings);
        let stores = open_stores(&account, &settings, clock.clone());
        let stores = stores.with_edge(cloudfront(&account, &settings, &site));
        let engine = Engine::new(site, stores, clock, settings.limits);
        Self { serve: Serve::new(engine.clone(), Renewal::Before), engine }
    }

    /// The answer as it begins.
    pub(crate) async fn begin(&self, ask: Ask) -> Response<Body> {
        let request = ask.headers.iter().fold(http::Request::builder(), |r, (n, v)| r.header(n, v));
        let parts = request.method(ask.method).uri(ask.target).body(()).expect("a request").into_parts().0;
        Box::pin(self.serve.handle(&parts)).await
    }

    pub(crate) async fn ask(&self, ask: Ask) -> Answer {
        let (head, body) = self.begin(ask).await.into_parts();
        let body = http_body_util::BodyExt::collect(body).await.expect("a body in memory").to_bytes();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }
}

struct World {
    up: Upstream,
    clock: ManualClock,
    between: Between,
    settings: Settings,
}

impl World {
    async fn new() -> Self {
        let aws = Aws::start().await;
        let between = Between::start(&aws).await;
        let settings = settings(&aws, "b", &[("AWS_ENDPOINT_URL", &between.url())]);
        Self { up: Upstream::start().await, clock: ManualClock::default(), between, settings }
    }

    /// A process that has just started.
    fn cold(&self) -> Function {
        Function::start(&self.up, &self.clock, self.settings.clone())
    }

    /// The calls that one request makes, those that are made at once joined by a plus: in the order of their names.
    async fn costs(&self, function: &Function, ask: Ask, status: u16, label: &str) -> Vec<String> {
        self.between.calls();
        function.ask(ask).await.expect(status, label);
        self.between.calls()
    }
}

/// A page that brotli cannot make small: its body is in S3 alone.
pub(crate) fn large() -> String {
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        char::from(b'0' + (noise % 64) as u8)
    };
    (0..40_000).map(|_| next()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hit_is_one_round_trip() {
    let w = World::new().await;
    w.up.on("/blog/small", tests::Reply::value("small"));
    w.up.on("/blog/large", tests::Reply::value(&large()));
    let first = w.cold();
    first.ask(Ask::get("/blog/small")).await.expect(200, "MISS");
    let etag = first.ask(Ask::get("/blog/large")).await.expect(200, "MISS").etag().to_owned();

    let function = w.cold();
    let hit = |path: &str| w.costs(&function, Ask::get(path), 200, "HIT");
    assert_eq!(hit("/blog/small").await, ["BatchGetItem"], "a body beside its record");
    assert_eq!(hit("/blog/small").await, ["BatchGetItem"], "a body in memory");
    assert_eq!(hit("/blog/large").await, ["BatchGetItem", "GET"], "a body in S3");
    assert_eq!(hit("/blog/large").await, ["BatchGetItem"], "now in memory");
    let asked = Ask::get("/blog/large").header("if-none-match", etag);
    assert_eq!(w.costs(&w.cold(), asked, 304, "HIT").await, ["BatchGetItem"], "304 reads no body");
}

/// A body that is passed on is never in memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_hit_that_is_streamed_is_two_round_trips() {
    let mut w = World::new().await;
    w.settings.limits.stream_body_bytes = Some(10_000);
    w.up.on("/blog/large", tests::Reply::value(&large()));
    let first = w.cold().ask(Ask::get("/blog/large")).await.expect(200, "MISS");
    let function = w.cold();
    for _ in 0..2 {
        let hit = w.costs(&function, Ask::get("/blog/large"), 200, "HIT").await;
        assert_eq!(hit, ["BatchGetItem", "GET"]);
    }
    let asked = Ask::get("/blog/large").header("if-none-match", first.etag());
    assert_eq!(w.costs(&function, asked, 304, "HIT").await, ["BatchGetItem"]);
    assert_eq!(w.costs(&function, Ask::head("/blog/large"), 200, "HIT").await, ["BatchGetItem"]);
}

/// What was invalidated while it was rendered is read last.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_visit_costs_three_reads_besides_its_writes() {
    let w = World::new().await;
    w.up.on("/tagged/m", json!({ "value": "m", "tags": ["x"] }));
    let mut costs = w.costs(&w.cold(), Ask::get("/tagged/m"), 200, "MISS").await;
    let reads = costs.iter().filter(|name| *name == "BatchGetItem").count();
    assert_eq!((reads, costs.last().map(String::as_str)), (3, Some("BatchGetItem")), "{costs:?}");
    costs.retain(|name| name != "BatchGetItem");
    costs.sort();
    // Bodies and what is kept of them beside the record; lease, record, and the end of the lease.
    assert_eq!(costs, ["PUT", "PUT", "PutItem", "PutItem", "UpdateItem", "UpdateItem", "UpdateItem"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_with_tags_costs_another_round_trip_once() {
    let w = World::new().await;
    w.up.on("/tagged/a", json!({ "value": "a", "tags": ["x", "y"] }));
    w.cold().ask(Ask::get("/tagged/a")).await.expect(200, "MISS");
    let function = w.cold();
    let hit = || w.costs(&function, Ask::get("/tagged/a"), 200, "HIT");
    assert_eq!(hit().await, ["BatchGetItem", "BatchGetItem"], "its tags are known only from its record");
    assert_eq!(hit().await, ["BatchGetItem"]);
}

/// A call reads a hundred keys at most: record and lease, the page's own three tags, and these.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_with_200_tags_costs_two_more_calls_a_hit() {
    let w = World::new().await;
    let tags: Vec<_> = (0..200).map(|n| format!("post {n}, новости")).collect();
    w.up.on("/tagged/b", json!({ "value": "b", "tags": tags }));
    w.cold().ask(Ask::get("/tagged/b")).await.expect(200, "MISS");
    let function = w.cold();
    let hit = || w.costs(&function, Ask::get("/tagged/b"), 200, "HIT");
    assert_eq!(hit().await, ["BatchGetItem"; 3], "the record first, then its tags");
    assert_eq!(hit().await, ["BatchGetItem"; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_page_costs_its_winner_a_write_and_a_message_and_others_nothing() {
    let w = World::new().await;
    w.up.on("/blog/s", tests::Reply::value("old"));
    let function = w.cold();
    function.ask(Ask::get("/blog/s")).await.expect(200, "MISS");
    w.clock.advance(Duration::from_secs(3));
    let another = w.cold();
    let stale = |function| w.costs(function, Ask::get("/blog/s"), 200, "STALE");
    assert_eq!(stale(&function).await, ["BatchGetItem", "UpdateItem", "SendMessage"]);
    assert_eq!(stale(&function).await, ["BatchGetItem"], "a lease is held");
    assert_eq!(stale(&another).await, ["BatchGetItem"], "in every process");

    // The renewal fails: nobody asks again before its time.
    w.up.on("/blog/s", tests::Reply::status(500));
    let job = perennial::parts::ports::job::Job {
        v: 1,
        build: "b".into(),
        key: "/blog/{slug}|s".into(),
        task: perennial::parts::ports::job::Task::Refresh { ticket: 2, reason: perennial::Reason::Stale },
    };
    assert!(!function.engine.work_or_retry(&job).await, "carried out, badly");
    assert_eq!(stale(&another).await, ["BatchGetItem"], "it is not time to try again");
}

/// Rule 5.6: what an invalidation asks of the services, and a question of how far it is, is the same for any number of
/// pages beyond the first few hundred.
#[tokio::test(flavor = "multi_thread")]
async fn an_invalidation_costs_the_same_for_any_number_of_pages() {
    let w = World::new().await;
    let function = w.cold();
    let (ask, record) = lease_request_and_record();
    let pages = function.engine.stores().pages();
    let mut costs = Vec::new();
    for some in [0..150, 150..450] {
        let records = some.map(|n| {
            let record =
                Record { generation: 1, tags: vec!["t".into()], started_at: ask.now, ..record.clone() };
            (page(&n.to_string()), record, Inline::default())
        });
        pages.publish(&records.collect::<Vec<_>>(), &[]).await.expect("pages");
        w.between.calls();
        let marked = function.engine.invalidate(&["tag:t".into()], Some("")).await.expect("marked");
        assert_eq!((marked.queued, marked.more), (100, true));
        let mut calls = w.between.calls();
        calls.sort();
        costs.push(calls);
    }
    let writes = costs[0].iter().filter(|call| ["UpdateItem", "SendMessage"].contains(&&***call)).count();
    assert_eq!(writes, 3, "the epoch, the tag, one job: {:?}", costs[0]);
    assert_eq!(costs[0], costs[1]);
}
