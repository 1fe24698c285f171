//! The ports on one account, and how their connections are opened before they are needed.

use std::sync::Arc;

use crate::base::clock::Clock;
use crate::base::limits::Limits;
use crate::ports::edge::NoEdge;
use crate::ports::stores::Ports;
use crate::stores::aws::account::Account;
use crate::stores::aws::bodies::S3Bodies;
use crate::stores::aws::dynamodb::Table;
use crate::stores::aws::journal::DynamoJournal;
use crate::stores::aws::pages::DynamoPages;
use crate::stores::aws::queue::SqsQueue;
use crate::stores::aws::retries::Retries;
use crate::stores::aws::settings::AwsSettings;

/// DynamoDB, S3 and SQS.
pub type AwsStores = Ports<DynamoPages, S3Bodies, SqsQueue, NoEdge, DynamoJournal>;

/// The stores that the settings name, in this account, for one build. Opens no connection yet: see [`warm`].
pub fn open(
    account: &Account,
    settings: &AwsSettings,
    limits: &Limits,
    build: &Arc<str>,
    clock: Arc<dyn Clock>,
) -> AwsStores {
    let AwsSettings { table, bucket, queue_url, .. } = settings;
    let table = Table::new(account.dynamodb(), table);
    let retries = Retries::new(limits.max_store_retries);
    Ports {
        pages: DynamoPages::new(table.clone(), build.clone(), clock.clone(), retries),
        bodies: S3Bodies::new(account.lazily(Account::s3), bucket, build, limits.max_body_bytes),
        queue: SqsQueue::new(account.lazily(Account::sqs), queue_url.clone()),
        edge: NoEdge,
        journal: DynamoJournal::new(table, clock),
        build: build.clone(),
        are_local: false,
    }
}

/// Opens the connections that the first request would otherwise wait for. While a function of Lambda is made ready it has
/// a whole processor: run this beside the rest. What goes wrong is logged, and met again by whoever needs that store.
pub async fn warm(account: &Account, stores: &AwsStores) {
    let caller = &account.caller;
    let open = |url: String| async move { caller.open(&url).await };
    let bucket = format!("{}/", caller.bucket_url(stores.bodies.bucket()));
    let (bucket, queue) = (open(bucket), open(caller.url("sqs", "/")));
    let (table, bucket, queue) = tokio::join!(stores.pages.read_nothing(), bucket, queue);
    if let Err(error) = table {
        tracing::error!("the table cannot be used: {error}");
    }
    for (store, opened) in [("bucket", bucket), ("queue", queue)] {
        if let Err(failure) = opened {
            tracing::error!("the {store} cannot be reached: {failure:?}");
        }
    }
}
