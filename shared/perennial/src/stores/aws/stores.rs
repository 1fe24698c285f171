//! The ports on one account, and how their connections are opened before they are needed.

use std::sync::Arc;

use crate::base::clock::Clock;
use crate::cdn::cloudfront::{CloudFront, Distribution, Order};
use crate::key::url::Urls;
use crate::ports::stores::Ports;
use crate::run::settings::Settings;
use crate::site::ReadySite;
use crate::stores::aws::account::Account;
use crate::stores::aws::bodies::S3Bodies;
use crate::stores::aws::dynamodb::Table;
use crate::stores::aws::journal::DynamoJournal;
use crate::stores::aws::pages::DynamoPages;
use crate::stores::aws::queue::SqsQueue;
use crate::stores::aws::retries::Retries;
use crate::stores::aws::settings::{Aws, EdgePurge};

/// DynamoDB, S3 and SQS, behind CloudFront.
pub type AwsStores = Ports<DynamoPages, S3Bodies, SqsQueue, CloudFront, DynamoJournal>;

/// The stores that the settings name, for the build that they name. Opens no connection yet: see [`warm`].
pub fn open(account: &Account, settings: &Settings, site: &ReadySite, clock: Arc<dyn Clock>) -> AwsStores {
    let (aws, build, limits) = (&account.aws, &settings.build_id, &settings.limits);
    let table = Table::new(account.dynamodb(), &aws.table);
    let retries = Retries::new(limits.max_store_retries);
    let order = Order {
        by_tag: aws.edge_purge == EdgePurge::Tags,
        items_max: aws.max_purges,
        window: aws.edge_window,
        urls: Urls {
            base_path: site.base_path().to_owned(),
            trailing_slash: site.trailing_slash(),
            build: build.clone(),
        },
    };
    Ports {
        pages: DynamoPages::new(table.clone(), build.clone(), clock.clone(), retries),
        bodies: S3Bodies::new(account.lazily(Account::s3), &aws.bucket, build, limits.max_body_bytes),
        queue: SqsQueue::new(account.lazily(Account::sqs), aws.queue_url.clone()),
        edge: CloudFront::new(account.clone(), distribution(aws), order),
        journal: DynamoJournal::new(table, clock),
        build: build.clone(),
        are_local: false,
    }
}

/// Opens the connections that the first request would otherwise wait for. While a function of Lambda is made ready it has
/// a whole processor: run this beside the rest. What goes wrong is logged, and met again by whoever needs that store.
pub async fn warm(account: &Account, stores: &AwsStores) {
    let open = |url: String| async move { account.caller.open(&url).await };
    let caller = &account.caller;
    let bucket = format!("{}/", caller.bucket_url(&account.aws.bucket));
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

fn distribution(aws: &Aws) -> Distribution {
    match (&aws.distribution, &aws.distribution_from) {
        _ if aws.edge_purge == EdgePurge::Off => Distribution::None,
        (Some(id), _) => Distribution::Id(id.clone()),
        (None, Some(name)) => Distribution::Parameter(name.clone()),
        (None, None) => Distribution::None,
    }
}
