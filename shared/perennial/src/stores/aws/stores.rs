//! The ports on one account, and how their connections are opened before they are needed.

use std::sync::Arc;

use crate::base::clock::Clock;
use crate::cdn::cloudfront::{CloudFront, Distribution, Order};
use crate::key::url::Urls;
use crate::ports::error::StoreError;
use crate::ports::stores::Stores;
use crate::run::settings::Settings;
use crate::site::ReadySite;
use crate::stores::aws::account::Account;
use crate::stores::aws::bodies::S3Bodies;
use crate::stores::aws::dynamodb::Table;
use crate::stores::aws::errors::read_error;
use crate::stores::aws::item::AttributeValue;
use crate::stores::aws::journal::DynamoPublishes;
use crate::stores::aws::pages::DynamoPages;
use crate::stores::aws::queue::SqsJobs;
use crate::stores::aws::retries::Retries;
use crate::stores::aws::settings::{Aws, EdgePurge};

/// DynamoDB, S3, SQS and CloudFront, for one build.
#[derive(Clone)]
pub struct AwsStores {
    account: Account,
    table: Table,
    build: Arc<str>,
    pages: DynamoPages,
    bodies: S3Bodies,
    jobs: SqsJobs,
    edge: CloudFront,
    publishes: DynamoPublishes,
}

impl AwsStores {
    /// The stores that the settings name, for the build that they name. Opens no connection yet: see
    /// [`AwsStores::warm`].
    pub fn new(account: &Account, settings: &Settings, site: &ReadySite, clock: Arc<dyn Clock>) -> Self {
        let (aws, build) = (&account.aws, &settings.build_id);
        let table = Table::new(account.dynamodb(), &aws.table);
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
        Self {
            account: account.clone(),
            build: build.clone(),
            pages: DynamoPages::new(
                table.clone(),
                build.clone(),
                clock.clone(),
                Retries::new(settings.limits.max_store_retries),
            ),
            publishes: DynamoPublishes::new(table.clone(), clock),
            table,
            bodies: S3Bodies::new(
                account.lazily(Account::s3),
                &aws.bucket,
                build,
                settings.limits.max_body_bytes,
            ),
            jobs: SqsJobs::new(account.lazily(Account::sqs), aws.queue_url.clone()),
            edge: CloudFront::new(account.clone(), distribution(aws), order),
        }
    }

    /// Opens the connections that the first request would otherwise wait for. While a function of Lambda is made
    /// ready it has a whole processor: run this beside the rest. What goes wrong is logged, and met again by whoever
    /// needs that store.
    pub async fn warm(&self) {
        let open = |url: String| async move { self.account.caller.open(&url).await };
        let caller = &self.account.caller;
        let bucket = format!("{}/", caller.bucket_url(&self.account.aws.bucket));
        let (bucket, queue) = (open(bucket), open(caller.url("sqs", "/")));
        let (table, bucket, queue) = tokio::join!(self.read_nothing(), bucket, queue);
        if let Err(error) = table {
            tracing::error!("the table cannot be used: {error}");
        }
        for (store, opened) in [("bucket", bucket), ("queue", queue)] {
            if let Err(failure) = opened {
                tracing::error!("the {store} cannot be reached: {failure:?}");
            }
        }
    }

    /// The cheapest call that goes all the way: half a read unit.
    async fn read_nothing(&self) -> Result<(), StoreError> {
        let nothing = ["pk", "sk"].map(|name| (name.to_owned(), AttributeValue::S("nothing".into())));
        let asked = self.table.get_item(nothing.into()).send().await;
        asked.map(drop).map_err(|e| read_error("dynamodb:GetItem", "read the table", &e))
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

impl Stores for AwsStores {
    type Pages = DynamoPages;
    type Bodies = S3Bodies;
    type Jobs = SqsJobs;
    type Edge = CloudFront;
    type Publishes = DynamoPublishes;

    fn pages(&self) -> &DynamoPages {
        &self.pages
    }

    fn bodies(&self) -> &S3Bodies {
        &self.bodies
    }

    fn jobs(&self) -> &SqsJobs {
        &self.jobs
    }

    fn edge(&self) -> &CloudFront {
        &self.edge
    }

    fn publishes(&self) -> &DynamoPublishes {
        &self.publishes
    }

    fn build(&self) -> &Arc<str> {
        &self.build
    }
}
