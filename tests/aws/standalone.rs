//! One process that serves the site from the stores of an account, and works its queue itself.

use std::time::Duration;

use serde_json::json;
use tests::process::{Launch, Running};
use tests::until::{pass, until};
use tests::{Ask, Asks as _, Aws, Reply, Upstream};

use crate::edge::distribution;

const SECRET: &str = "a-secret-for-standalone";

struct Host {
    aws: Aws,
    up: Upstream,
    folder: tempfile::TempDir,
}

impl Host {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { aws: Aws::start().await, up: Upstream::start().await, folder }
    }

    fn launch(&self) -> Launch {
        let store = self.folder.path().join("store");
        let launch = Launch::new(env!("CARGO_BIN_EXE_conformance-site"), &store, &self.up);
        let launch = launch.env("PERENNIAL_REVALIDATE_SECRETS", SECRET);
        self.aws.settings().into_iter().fold(launch, |launch, (name, value)| launch.env(&name, value))
    }

    /// How many messages the queue holds that somebody has taken, or may take.
    async fn queued(&self) -> u64 {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let asked = json!({ "QueueUrl": self.aws.queue_url, "AttributeNames": names });
        let told = self.aws.json("AmazonSQS.GetQueueAttributes", &asked).await;
        let count = |name: &&str| told["Attributes"][*name].as_str().expect("a number").parse::<u64>();
        names.iter().map(|name| count(name).expect("a number")).sum()
    }
}

async fn until_shown(site: &Running, path: &str, value: &str) {
    until(&format!("{path} shows {value}"), async || {
        site.get(path).await.text().contains(value).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stale_page_is_renewed_by_a_worker_of_the_process() {
    let h = Host::new().await;
    h.up.on("/blog/a", Reply::value("first"));
    let site = h.launch().start().await;
    site.get("/blog/a").await.expect(200, "MISS");
    site.get("/blog/a").await.expect(200, "HIT");
    h.up.on("/blog/a", json!({ "value": "second", "revalidate": 600 }));
    pass(Duration::from_millis(2100)).await;
    assert!(site.get("/blog/a").await.expect(200, "STALE").text().contains("first"));
    until_shown(&site, "/blog/a", "second").await;
    until("the job is removed from the queue", async || (h.queued().await == 0).then_some(())).await;
    assert!(!h.folder.path().join("store").exists(), "nothing is kept on the machine");
    site.stop().await.success();
}

#[tokio::test]
async fn a_publisher_has_pages_renewed_by_tag() {
    let h = Host::new().await;
    let tagged = |value: &str| json!({ "value": value, "tags": ["news"] });
    h.up.on("/tagged/a", tagged("first"));
    let site = h.launch().start().await;
    site.get("/tagged/a").await.expect(200, "MISS");
    h.up.on("/tagged/a", tagged("second"));
    let call = Ask::new(http::Method::POST, "/api/revalidate").body(json!({ "tags": ["news"] }).to_string());
    let call = call.header("authorization", &*format!("Bearer {SECRET}"));
    assert_eq!(site.ask(call.header("content-type", "application/json")).await.status, 202);
    until_shown(&site, "/tagged/a", "second").await;
}

/// The wait for a job is twenty seconds long: nobody waits for its end.
#[tokio::test]
async fn a_process_with_nothing_to_do_stops_at_once() {
    let h = Host::new().await;
    let site = h.launch().env("PERENNIAL_SHUTDOWN_GRACE_MS", 15_000).start().await;
    pass(Duration::from_millis(500)).await;
    let asked = std::time::Instant::now();
    site.stop().await.success();
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

/// A distribution needs an account, and no stores in it.
#[tokio::test]
async fn the_embedded_store_tells_a_distribution_what_changed() {
    let h = Host::new().await;
    let id = distribution(&h.aws).await;
    h.up.on("/tagged/a", json!({ "value": "first", "tags": ["news"] }));
    let store = h.folder.path().join("store");
    let launch = Launch::new(env!("CARGO_BIN_EXE_conformance-site"), &store, &h.up);
    let launch = launch.env("PERENNIAL_REVALIDATE_SECRETS", SECRET).env("PERENNIAL_DISTRIBUTION", &id);
    let is_of_account = |name: &str| name.starts_with("AWS_");
    let account = h.aws.settings().into_iter().filter(|(name, _)| is_of_account(name));
    let site = account.fold(launch, |launch, (name, value)| launch.env(&name, value)).start().await;
    let answer = site.get("/tagged/a").await.expect(200, "MISS");
    assert_eq!(answer.header("cache-tag"), "path:/tagged/a,route:/tagged/{slug},site,tag:news");
    assert!(store.join("pages.db").exists(), "the page is on this machine");
    let call =
        Ask::get("/api/revalidate?path=/tagged/a").header("authorization", &*format!("Bearer {SECRET}"));
    assert_eq!(site.ask(call).await.status, 200);
    assert_eq!(h.aws.orders(&id).await, [["#path:/tagged/a"]]);
    site.stop().await.success();
}

#[tokio::test]
async fn a_site_under_development_is_rendered_for_each_request() {
    let h = Host::new().await;
    let site = h.launch().serve("dev").await;
    h.up.on("/blog/a", Reply::value("first"));
    site.get("/blog/a").await.expect(200, "BYPASS");
    h.up.on("/blog/a", Reply::value("second"));
    assert!(site.get("/blog/a").await.expect(200, "BYPASS").text().contains("second"));
    site.stop().await.success();
}
