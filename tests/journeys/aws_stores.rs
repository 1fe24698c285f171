//! The stores of these journeys: a table and a bucket on a local server. The queue is the embedded one, because the
//! test moves the queue's clock forward.

use std::sync::Arc;

use perennial::Clock;
use perennial::parts::ports::edge::NoEdge;
use perennial::parts::ports::stores::Ports;
use perennial::parts::run::settings::Settings;
use perennial::parts::stores::aws::account::Account;
use perennial::parts::stores::aws::bodies::S3Bodies;
use perennial::parts::stores::aws::journal::DynamoJournal;
use perennial::parts::stores::aws::pages::DynamoPages;
use perennial::parts::stores::aws::stores::open;
use perennial::parts::stores::embedded::queue::SqliteQueue;
use tempfile::TempDir;
use tests::Aws;

pub(crate) type TestStores = Ports<DynamoPages, S3Bodies, SqliteQueue, NoEdge, DynamoJournal>;

/// The local server and the folder that hold these stores.
#[derive(Clone)]
pub(crate) struct Place {
    aws: Aws,
    queue: Arc<TempDir>,
}

impl Place {
    pub(crate) async fn new() -> Self {
        Self { aws: Aws::start().await, queue: Arc::new(TempDir::new().expect("a temporary directory")) }
    }

    /// Opens the stores for one process of a build.
    pub(crate) fn open(&self, build: &str, clock: Arc<dyn Clock>) -> TestStores {
        let build = ("BUILD_ID".to_owned(), build.to_owned());
        let settings = Settings::read(self.aws.settings().into_iter().chain([build])).expect("settings");
        let aws = settings.aws.as_ref().expect("stores on AWS");
        let account = Account::open(&aws.account).expect("an account");
        let stores = open(&account, aws, &settings.limits, &settings.build_id, clock.clone());
        let queue = SqliteQueue::open(self.queue.path(), settings.build_id, clock);
        stores.map_queue(|_| queue)
    }

    /// The names of all bodies in the bucket.
    pub(crate) async fn bodies(&self) -> Vec<String> {
        let listed = self.aws.rest(http::Method::GET, &format!("/{}?list-type=2", self.aws.bucket), "").await;
        let text = listed.text();
        let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
        keys.filter_map(|key| key.rsplit('/').next()).map(str::to_owned).collect()
    }
}
