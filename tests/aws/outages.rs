//! What visitors and publishers see while a service of AWS fails: what is stored stays, what is rendered is shown, and
//! the log says what to do.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use perennial::parts::base::limits::Limits;
use perennial::parts::ports::bodies::Bodies as _;
use perennial::parts::ports::stores::Stores as _;
use perennial::parts::ports::suite::pages::kit::page;
use perennial::parts::run::settings::Settings;
use perennial::{Millis, RequestBody};
use perennial_serve::front::Front;
use perennial_serve::{Renewal, Serve};
use serde_json::json;
use tests::between::{Between, Fault};
use tests::{Answer, Ask, Aws, Reply, Upstream};

use crate::requests::{Function, large};
use crate::{settings, stores};

/// Calls that fail for now, by their names.
#[derive(Clone, Default)]
struct Down(Arc<Mutex<Failing>>);

#[derive(Default)]
struct Failing {
    names: Vec<&'static str>,
    /// The call that must have passed before.
    after: Option<&'static str>,
}

impl Down {
    fn only(&self, names: &[&'static str]) {
        *self.0.lock().expect("unpoisoned") = Failing { names: names.to_vec(), after: None };
    }

    /// Once a call of that name has passed.
    fn after(&self, name: &'static str, names: &[&'static str]) {
        *self.0.lock().expect("unpoisoned") = Failing { names: names.to_vec(), after: Some(name) };
    }

    fn fails(&self, name: &str) -> bool {
        let mut failing = self.0.lock().expect("unpoisoned");
        match failing.after {
            Some(after) => {
                failing.after = failing.after.filter(|_| after != name);
                false
            }
            None => failing.names.contains(&name),
        }
    }
}

struct World {
    up: Arc<Upstream>,
    clock: perennial::parts::base::manual_clock::ManualClock,
    aws: Aws,
    down: Down,
    _between: Between,
    settings: Settings,
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let aws = Aws::start().await;
        let down = Down::default();
        let names = down.clone();
        let plan = move |call: &tests::between::Call| names.fails(&call.name).then_some(Fault::ServerError);
        let between = Between::with(&aws, plan).await;
        let mut settings = settings(&aws, "b", &[("AWS_ENDPOINT_URL", &between.url())]);
        change(&mut settings.limits);
        let (up, clock) = (Arc::new(Upstream::start().await), Default::default());
        Self { up, clock, aws, down, _between: between, settings }
    }

    fn cold(&self) -> Function {
        Function::start(&self.up, &self.clock, self.settings.clone())
    }
}

/// Everything that is read or written about pages.
const TABLE: [&str; 5] = ["BatchGetItem", "UpdateItem", "PutItem", "DeleteItem", "Query"];

#[tokio::test(flavor = "multi_thread")]
async fn without_the_table_what_is_in_memory_is_shown_and_the_rest_is_rendered_under_a_limit() {
    let w = World::with(|limits| limits.max_concurrent_renders = 1).await;
    w.up.otherwise(|call| Reply::value(&format!("of {}", call.path)).after(Duration::from_millis(20)));
    let function = Arc::new(w.cold());
    function.ask(Ask::get("/blog/kept")).await.expect(200, "MISS");
    w.down.only(&TABLE);
    // Nobody can tell whether it was invalidated.
    let kept = function.ask(Ask::get("/blog/kept")).await.expect(200, "STALE");
    assert!(kept.header("cache-control").contains("s-maxage=1,"), "{kept}");
    assert_eq!(kept.value(), "of /blog/kept");
    let rendered: Vec<_> = (0..4)
        .map(|i| {
            let function = function.clone();
            tokio::spawn(async move { function.ask(Ask::get(format!("/blog/{i}"))).await })
        })
        .collect();
    for (i, answer) in rendered.into_iter().enumerate() {
        let answer = answer.await.expect("no panic").expect(200, "MISS");
        assert_eq!(answer.value(), format!("of /blog/{i}"));
        assert!(!answer.header("cache-status").contains("stored"), "{answer}");
    }
    assert_eq!(w.up.most_at_once(), 1, "PERENNIAL_MAX_CONCURRENT_RENDERS");

    w.down.only(&[]);
    w.clock.advance(Duration::from_secs(3));
    let again = w.cold().ask(Ask::get("/blog/0")).await.expect(200, "MISS");
    assert!(again.header("cache-status").contains("stored"), "nobody had kept it: {again}");
    w.cold().ask(Ask::get("/blog/0")).await.expect(200, "HIT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_gone_from_the_bucket_is_rendered_again() {
    let w = World::new().await;
    w.up.on("/blog/l", Reply::value(&large()));
    w.cold().ask(Ask::get("/blog/l")).await.expect(200, "MISS");
    let listed = w.aws.rest(http::Method::GET, &format!("/{}?list-type=2", w.aws.bucket), "").await.text();
    for key in listed.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next()) {
        w.aws.rest(http::Method::DELETE, &format!("/{}/{key}", w.aws.bucket), "").await;
    }
    w.cold().ask(Ask::get("/blog/l")).await.expect(200, "MISS");
    assert_eq!(w.up.count("/blog/l"), 2);
    w.cold().ask(Ask::get("/blog/l")).await.expect(200, "HIT");
}

/// A record of yesterday, put back by hand, is older than the slot has been told: a publisher's call replaces it.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_put_back_is_replaced_on_demand() {
    let w = World::new().await;
    w.up.on("/blog/s", Reply::value("old"));
    let function = w.cold();
    let page = function.engine.site().page_of_key("/blog/{slug}|s").expect("a page");
    function.engine.revalidate_page(&page, false).await.expect("rendered");
    let key = json!({ "pk": { "S": format!("page#b#{}", page.key().hash()) }, "sk": { "S": "record" } });
    let asked = json!({ "TableName": w.aws.table, "Key": key });
    let old = w.aws.json("DynamoDB_20120810.GetItem", &asked).await["Item"].take();
    function.engine.revalidate_page(&page, false).await.expect("rendered again");
    w.aws.json("DynamoDB_20120810.PutItem", &json!({ "TableName": w.aws.table, "Item": old })).await;
    w.up.on("/blog/s", Reply::value("new"));
    let replaced = tests::until::soon("an answer", function.engine.revalidate_page(&page, false)).await;
    replaced.expect("rendered a third time");
    assert_eq!(w.cold().ask(Ask::get("/blog/s")).await.expect(200, "HIT").value(), "new");
}

/// An answer that ends in its middle is asked for again, as one that does not come; and no more often.
#[tokio::test]
async fn a_body_that_breaks_off_is_read_again() {
    const NAME: &str = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
    for (broken, is_read) in [(1, true), (2, true), (3, false)] {
        let (aws, begun) = (Aws::start().await, AtomicU32::new(0));
        let plan = move |call: &tests::between::Call| {
            let breaks = call.name == "GET" && begun.fetch_add(1, Ordering::Relaxed) < broken;
            breaks.then_some(Fault::LostMidway)
        };
        let between = Between::with(&aws, plan).await;
        let stores = stores(&aws, "b", &[("AWS_ENDPOINT_URL", &between.url())]);
        let (page, content) = (page("a"), Bytes::from_static(b"content"));
        stores.bodies().put(&page, NAME, content.clone(), Millis(1)).await.expect("put");
        let breaking = async {
            loop {
                between.break_off();
                tokio::task::yield_now().await;
            }
        };
        let read = tokio::select! {
            read = stores.bodies().get(&page, NAME) => read,
            () = breaking => unreachable!("it never ends"),
        };
        assert_eq!(read.is_ok_and(|read| read == Some(content)), is_read, "{broken}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_fails_does_not_take_a_page_away() {
    let w = World::new().await;
    w.up.on("/blog/l", Reply::value(&large()));
    w.cold().ask(Ask::get("/blog/l")).await.expect(200, "MISS");
    w.down.only(&["GET", "PUT"]);
    let answer = w.cold().ask(Ask::get("/blog/l")).await.expect(200, "MISS");
    assert!(!answer.header("cache-status").contains("stored"), "{answer}");
    w.down.only(&[]);
    w.cold().ask(Ask::get("/blog/l")).await.expect(200, "HIT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_refuses_costs_a_visitor_nothing_and_the_next_one_asks_again() {
    let w = World::new().await;
    w.up.on("/blog/s", Reply::value("old"));
    let function = w.cold();
    function.ask(Ask::get("/blog/s")).await.expect(200, "MISS");
    w.clock.advance(Duration::from_secs(3));
    w.down.only(&["SendMessage"]);
    assert_eq!(function.ask(Ask::get("/blog/s")).await.expect(200, "STALE").value(), "old");
    w.down.only(&[]);
    function.ask(Ask::get("/blog/s")).await.expect(200, "STALE");
    let asked = json!({ "QueueUrl": w.aws.queue_url });
    let message = w.aws.json("AmazonSQS.ReceiveMessage", &asked).await;
    let job = message["Messages"][0]["Body"].as_str().expect("the lease was given back, and asked for again");
    assert!(job.contains("/blog/{slug}|s") && job.contains("refresh"), "{job}");
}

/// A job whose ticket was exchanged before the store failed: its second delivery brings the old ticket, and is not in
/// vain. One that was carried out is not carried out again, however old the page has grown since.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_cannot_begin_is_not_lost_and_a_repeated_one_not_repeated() {
    for down in [&["BatchGetItem"][..], &TABLE] {
        let w = World::new().await;
        w.up.on("/blog/s", Reply::value("old"));
        let function = w.cold();
        function.ask(Ask::get("/blog/s")).await.expect(200, "MISS");
        w.clock.advance(Duration::from_secs(3));
        function.ask(Ask::get("/blog/s")).await.expect(200, "STALE");
        // The ticket is taken up; nothing can be read any more, or not even the lease be given back.
        let job = refresh_of_s();
        w.down.after("UpdateItem", down);
        assert!(function.engine.work_or_retry(&job).await, "it is to be delivered again");
        w.down.only(&[]);
        // As long as the queue hides it: the lease has ended by then.
        w.clock.advance(Duration::from_secs(11));
        w.up.on("/blog/s", Reply::value("new"));
        assert!(!function.engine.work_or_retry(&job).await);
        assert_eq!(w.cold().ask(Ask::get("/blog/s")).await.expect(200, "HIT").value(), "new");
        w.clock.advance(Duration::from_secs(3));
        assert!(!function.engine.work_or_retry(&job).await);
        assert_eq!(w.up.count("/blog/s"), 2, "a job that was done renders again");
    }
}

/// The job of the first visitor who met the page `/blog/s` when it was stale.
fn refresh_of_s() -> perennial::parts::ports::job::Job {
    perennial::parts::ports::job::Job {
        v: 1,
        build: "b".into(),
        key: "/blog/{slug}|s".into(),
        task: perennial::parts::ports::job::Task::Refresh { ticket: 2, reason: perennial::Reason::Stale },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_cannot_be_stored_is_given_back_to_the_queue_or_shown_until_it_can() {
    let w = World::new().await;
    w.up.on("/blog/s", Reply::value("old"));
    let function = w.cold();
    function.ask(Ask::get("/blog/s")).await.expect(200, "MISS");
    w.clock.advance(Duration::from_secs(3));
    function.ask(Ask::get("/blog/s")).await.expect(200, "STALE");
    w.down.only(&TABLE);
    let job = refresh_of_s();
    assert!(function.engine.work_or_retry(&job).await, "it is to be delivered again");
    w.down.only(&[]);
    w.up.on("/blog/s", Reply::value("new"));
    assert!(!function.engine.work_or_retry(&job).await);
    assert_eq!(w.cold().ask(Ask::get("/blog/s")).await.expect(200, "HIT").value(), "new");
}

/// A probe sees at once that the table fails, asks it once a second at most, and sees when the table is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_not_ready_while_the_table_fails() {
    let w = World::with(|limits| limits.max_store_retries = 0).await;
    let serve = w.cold();
    let front = Front::new(serve.engine.clone(), Serve::new(serve.engine.clone(), Renewal::Before), true);
    let probe = async |target: &str| {
        let mut request = http::Request::get(target).body(()).expect("a request").into_parts().0;
        let (head, body) = front.answer(&mut request, RequestBody::default).await.into_parts();
        let body = http_body_util::BodyExt::collect(body).await.expect("a body in memory").to_bytes();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    };
    probe("/_perennial/ready").await.expect(200, "");
    w.down.only(&TABLE);
    probe("/_perennial/ready").await.expect(200, "");
    w.clock.advance(Duration::from_secs(1));
    let down = probe("/_perennial/ready").await.expect(503, "").nostore();
    assert_eq!(down.json(), json!({ "ready": false, "reason": "the store cannot be read" }));
    probe("/_perennial/live").await.expect(200, "");
    w.down.only(&[]);
    w.clock.advance(Duration::from_secs(1));
    probe("/_perennial/ready").await.expect(200, "");
}
