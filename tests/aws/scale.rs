//! What invalidating a tag costs beside the number of pages that carry it, on AWS's own DynamoDB for one machine: it
//! takes more records than the server of the other tests, which sorts all of a partition for each query.

use std::time::{Duration, Instant};

use perennial::parts::base::manual_clock::ManualClock;
use perennial::parts::ports::job::{Job, Task};
use perennial::parts::ports::journal::Journal as _;
use perennial::parts::ports::pages::Pages as _;
use perennial::parts::ports::stores::Stores as _;
use perennial::parts::ports::suite::pages;
use perennial::{Context, Failure, Outcome, Page, Route, Site};
use serde_json::{Value, json};
use tests::between::Between;
use tests::{Ask, Aws};
use tokio::task::JoinSet;

use crate::requests::Function;
use crate::second_opinion::Dynamo;
use crate::settings;

/// The number of pages in the first comparison.
const FEW: u64 = 1_000;

/// Items in one BatchWriteItem
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>).
const BATCH_ITEMS_MAX: usize = 25;

/// Batches written at once.
const BATCHES_AT_ONCE: u64 = 8;

/// Measurements for each number of pages; the test prints the fastest.
const ROUNDS: usize = 3;

/// Pages that are rendered through the functions: one is the model of all others, some tell whether it is a good one,
/// and one is read.
const RENDERED: u64 = 10;

/// How many pages the test has; 1,000,000 take six minutes and 4 GB.
fn pages_of_scale() -> u64 {
    std::env::var("SCALE_PAGES").ok().and_then(|n| n.parse().ok()).unwrap_or(4_000)
}

struct Text;

impl Page for Text {
    type Props = ();
    async fn props(&self, _: &Context) -> Result<Outcome<()>, Failure> {
        Ok(Outcome::page(()).tag("t"))
    }
    fn render(&self, (): &(), _: &Context) -> Result<String, Failure> {
        Ok("<!doctype html><p>text".into())
    }
}

/// The items of page 0 as the functions wrote them. `items` makes another page's items of them.
struct Model {
    items: Vec<String>,
}

impl Model {
    fn name(n: u64) -> String {
        format!("n{n}n")
    }

    /// The text of a key, and its hash.
    fn key(n: u64) -> (String, String) {
        let key = pages::kit::page(&Self::name(n));
        (key.as_str().to_owned(), key.hash().to_owned())
    }

    fn shard(hash: &str) -> String {
        let first = u8::from_str_radix(&hash[..2], 16).expect("a hash");
        format!("pages#b#{}", first % 8)
    }

    /// The items of a page in the table, sorted by `sk`.
    async fn stored(server: &Dynamo, n: u64) -> Vec<Value> {
        let pk = json!({ ":pk": { "S": format!("page#b#{}", Self::key(n).1) } });
        let asked = json!({ "TableName": "pages", "KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": pk });
        let mut found: Value =
            serde_json::from_slice(&server.ask("Query", &asked.to_string()).await.body).expect("JSON");
        let items = found["Items"].as_array_mut().expect("items");
        for item in items.iter_mut() {
            // The random name of the call that took the lease.
            item.as_object_mut().expect("an item").remove("holder");
        }
        std::mem::take(items)
    }

    fn items(&self, n: u64) -> Vec<Value> {
        let ((model, model_hash), (key, hash)) = (Self::key(0), Self::key(n));
        let named = |item: &String| {
            let text = item.replace(&Self::shard(&model_hash), &Self::shard(&hash));
            let text = text.replace(&model_hash, &hash).replace(&model, &key);
            serde_json::from_str(&text).expect("JSON")
        };
        self.items.iter().map(named).collect()
    }

    /// Makes the model of the first rendered page, and checks that the model gives the items of every rendered page.
    async fn take(server: &Dynamo) -> Self {
        let items = Self::stored(server, 0).await.iter().map(Value::to_string).collect();
        let model = Self { items };
        for n in 0..RENDERED {
            let stored = Self::stored(server, n).await;
            let kinds: Vec<_> = stored.iter().map(|item| &item["sk"]["S"]).collect();
            assert_eq!(kinds, ["record", "slot"]);
            assert_eq!(stored, model.items(n), "written as the functions write");
        }
        model
    }

    /// Writes pages of these numbers.
    async fn fill(&self, server: &Dynamo, numbers: std::ops::Range<u64>) {
        let pages_at_once = (BATCH_ITEMS_MAX / self.items.len()) as u64;
        let mut writing = JoinSet::new();
        for first in numbers.clone().step_by(pages_at_once as usize) {
            let pages = first..(first + pages_at_once).min(numbers.end);
            let puts: Vec<_> = pages
                .flat_map(|n| self.items(n))
                .map(|item| json!({ "PutRequest": { "Item": item } }))
                .collect();
            let body = json!({ "RequestItems": { "pages": puts } }).to_string();
            let client = server.client;
            writing.spawn(async move { Dynamo::ask_at(client, "BatchWriteItem", &body).await });
            if writing.len() as u64 >= BATCHES_AT_ONCE {
                written(writing.join_next().await.expect("one of them").expect("written"));
            }
        }
        writing.join_all().await.into_iter().for_each(written);
    }
}

fn written(answer: tests::Answer) {
    let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(answer["UnprocessedItems"], json!({}));
}

/// The cost of one operation: its calls to AWS services and its duration.
struct Cost {
    calls: Vec<String>,
    took: Duration,
}

struct World {
    server: Dynamo,
    aws: Aws,
    between: Between,
    function: Function,
    clock: ManualClock,
}

impl World {
    async fn new() -> Self {
        let (server, aws) = (Dynamo::start().await, Aws::start().await);
        let distribution = crate::edge::distribution(&aws).await;
        server.ask("CreateTable", &tests::aws::table("pages").to_string()).await;
        let between = Between::beside(&aws, server.client.addr).await;
        let more = [
            ("AWS_ENDPOINT_URL", &*between.url()),
            ("PERENNIAL_TABLE", "pages"),
            ("PERENNIAL_DISTRIBUTION", &*distribution),
            ("PERENNIAL_INLINE_BODY_BYTES", "0"),
            ("PERENNIAL_MAX_RENEWALS", "20"),
        ];
        let (clock, site) = (ManualClock::default(), Site::new().route(Route::new("/suite/{name}", Text)));
        let function = Function::of(site, &clock, settings(&aws, "b", &more));
        Self { server, aws, between, function, clock }
    }

    async fn cost<T>(&self, what: impl Future<Output = T>) -> (T, Cost) {
        self.between.calls();
        let began = Instant::now();
        let done = what.await;
        let took = began.elapsed();
        let mut calls = self.between.calls();
        calls.sort();
        (done, Cost { calls, took })
    }

    /// The next walk in the queue, with everything else out of its way.
    async fn walk(&self) -> Job {
        self.job("a walk", |task| matches!(task, Task::Walk(_))).await
    }

    /// The next job of a kind in the queue, with everything else out of its way.
    async fn job(&self, what: &str, is_it: fn(&Task) -> bool) -> Job {
        tests::until::until(what, async || {
            let asked = json!({ "QueueUrl": self.aws.queue_url });
            let answer = self.aws.json("AmazonSQS.ReceiveMessage", &asked).await;
            let message = answer["Messages"].get(0)?;
            let done = json!({ "QueueUrl": self.aws.queue_url, "ReceiptHandle": message["ReceiptHandle"] });
            self.aws.json("AmazonSQS.DeleteMessage", &done).await;
            let job = Job::from_json(message["Body"].as_str().expect("a text")).expect("a job");
            is_it(&job.task).then_some(job)
        })
        .await
    }

    /// Invalidates a tag, reads one of its pages, splits the walk by route and renews the first pages. Returns the
    /// cost of each of these four steps.
    async fn round(&self) -> [Cost; 4] {
        // The lease that the previous round's visit took has expired.
        self.clock.advance(Duration::from_secs(60));
        let engine = &self.function.engine;
        let tags = ["tag:t".to_owned()];
        let (marked, tag) = self.cost(engine.invalidate(&tags, Some(""))).await;
        let marked = marked.expect("marked");
        assert_eq!((marked.queued, marked.more), (100, true));
        let (answer, read) = self.cost(self.function.ask(Ask::get("/suite/n7n"))).await;
        answer.expect(200, "STALE");
        let split = self.walk().await;
        let (is_left, split) = self.cost(engine.work_or_retry(&split)).await;
        assert!(!is_left);
        let walk = self.walk().await;
        let (is_left, walked) = self.cost(engine.work_or_retry(&walk)).await;
        assert!(!is_left);
        let kept = engine.stores().journal().get(&marked.epoch.to_string()).await.expect("read");
        assert_eq!(kept.expect("progress").routes[0].renewed, 20);
        [tag, read, split, walked]
    }
}

/// `SCALE_PAGES=1000000 cargo test -p tests --test aws scale:: -- --nocapture` prints what a tag, the first read
/// after it and the first steps of its renewal cost beside 1,000 pages.
#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "a measurement is printed")]
async fn a_tag_costs_the_same_for_any_number_of_records() {
    let w = World::new().await;
    for n in 0..RENDERED {
        let path = format!("/suite/{}", Model::name(n));
        w.function.ask(Ask::get(path)).await.expect(200, "MISS");
    }
    let model = Model::take(&w.server).await;
    let (mut stored, mut costs) = (RENDERED, Vec::new());
    for count in [FEW, pages_of_scale()] {
        let began = Instant::now();
        model.fill(&w.server, stored..count).await;
        println!("{} pages written in {:?}", count - stored, began.elapsed());
        stored = count;
        let (mut counted, mut fastest) = (Vec::new(), [Duration::MAX; 4]);
        for _ in 0..ROUNDS {
            let round = w.round().await;
            fastest = std::array::from_fn(|n| fastest[n].min(round[n].took));
            counted.push(round.map(|cost| cost.calls));
        }
        let last = counted.last().expect("a round");
        let told =
            ["a tag", "the next read", "the walk's start", "20 renewals"].iter().zip(fastest).zip(last);
        let told = told.map(|((what, took), calls)| format!("{what} {took:?} in {} requests", calls.len()));
        println!("{count} pages: {}", told.collect::<Vec<_>>().join(", "));
        costs.push(counted.split_off(1));
    }
    assert_eq!(costs[0], costs[1]);
}

/// The two numbers of pages that the test deletes.
const DELETED: [u64; 2] = [RENDERED, 1_500];

/// The delay that the proxy adds to each call.
const CALL: Duration = Duration::from_millis(5);

/// Before, the order to the edge was the last of 13,597 calls with 1,501 pages, after 83 s.
#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "a measurement is printed")]
async fn a_deletion_tells_the_edge_at_once_for_any_number_of_records() {
    let w = World::new().await;
    for n in 0..RENDERED {
        w.function.ask(Ask::get(format!("/suite/{}", Model::name(n)))).await.expect(200, "MISS");
    }
    let model = Model::take(&w.server).await;
    let (engine, tags) = (&w.function.engine, ["tag:t".to_owned()]);
    let (mut stored, mut writes) = (RENDERED, Vec::new());
    for count in DELETED {
        model.fill(&w.server, stored..count).await;
        stored = count;
        w.between.delay(CALL);
        let mut fastest = Duration::MAX;
        for round in 0..ROUNDS {
            // The window of the previous purge has passed.
            w.clock.advance(Duration::from_secs(60));
            let (marked, cost) = w.cost(engine.delete_tagged(&tags, "")).await;
            let marked = marked.expect("deleted");
            assert_eq!((marked.queued as u64, marked.more), (count.min(100), count > 100));
            fastest = fastest.min(cost.took);
            assert!(cost.calls.len() < 30, "{count} pages: {:?}", cost.calls);
            let is_write = |call: &&String| !["BatchGetItem", "Query"].contains(&call.as_str());
            let written: Vec<_> = cost.calls.iter().filter(is_write).cloned().collect();
            writes.push(written);
            println!("{count} pages, round {round}: {:?} in {} calls", cost.took, cost.calls.len());
        }
        println!("a deletion of a tag on {count} pages tells the edge within {fastest:?}");
        assert!(fastest < Duration::from_secs(1), "{count} pages: {fastest:?}");
        w.between.delay(Duration::ZERO);
    }
    // Three `UpdateItem`: the epoch, and the tag in two writes. `SendMessage` is the job, `POST` is the purge.
    assert_eq!(writes[0], ["POST", "SendMessage", "UpdateItem", "UpdateItem", "UpdateItem"]);
    assert!(writes.iter().all(|round| *round == writes[0]), "{writes:?}");

    let removal = w.job("a removal", |task| matches!(task, Task::Remove(_))).await;
    assert!(!engine.work_or_retry(&removal).await);
    let pages = engine.stores().pages();
    let left = pages.list("", None, usize::MAX).await.expect("a list");
    assert_eq!(left.len() as u64, stored);
    assert_eq!(left.iter().filter(|(_, snapshot)| snapshot.is_gone()).count(), 0, "all are removed");
}
