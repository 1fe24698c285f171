//! Where the stores of an AWS account are.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::base::reader::Reader;
use crate::base::text::{Written, read_own};

/// Where the stores of an AWS account are, and how to reach them.
#[derive(Clone, Debug)]
pub struct Aws {
    /// `PERENNIAL_TABLE` (none): DynamoDB table of records, leases and epochs. Asks for the bucket and the queue as well.
    pub table: String,
    /// `PERENNIAL_BUCKET` (none): S3 bucket of bodies.
    pub bucket: String,
    /// `PERENNIAL_QUEUE_URL` (none): SQS queue of jobs.
    pub queue_url: String,
    /// `PERENNIAL_DISTRIBUTION` (none): id of the CloudFront distribution in front.
    pub distribution: Option<String>,
    /// `PERENNIAL_DISTRIBUTION_FROM` (none): name of the SSM parameter that holds that id instead.
    pub distribution_from: Option<String>,
    /// `PERENNIAL_EDGE_PURGE` (`tags`): how the distribution is told what changed: by cache `tags`, by `paths`, or `off`.
    pub edge_purge: EdgePurge,
    /// `PERENNIAL_MAX_PURGES` (100): tags or paths named in one order to the distribution; more make it one for the whole
    /// site.
    pub max_purges: usize,
    /// `PERENNIAL_EDGE_WINDOW_MS` (250): so long after an order to the distribution began, the next one of this process
    /// begins at the earliest, and has what is asked for meanwhile; 65535 at most. CloudFront bills each item of an order, and
    /// takes seconds to carry one out: a quarter of a second more is hardly seen, and a burst is four orders a second.
    pub edge_window: Duration,
    /// `AWS_REGION`, as Lambda gives it.
    pub region: String,
    /// `AWS_ENDPOINT_URL` (none): instead of AWS's own endpoints.
    pub endpoint_url: Option<String>,
    /// `AWS_CA_BUNDLE` (none): PEM file of the only roots to trust, instead of those compiled in.
    pub ca_bundle: Option<PathBuf>,
    /// The keys.
    pub credentials: AwsCredentials,
}

/// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, as Lambda gives them. They stay valid for the
/// life of a Lambda process.
#[derive(Clone)]
pub struct AwsCredentials {
    /// The key's id.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
    /// The token of temporary keys.
    pub session_token: Option<String>,
}

impl std::fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AwsCredentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// How a CloudFront distribution is told what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgePurge {
    /// Invalidation by cache tag: one item a tag, whatever number of pages carry it.
    Tags,
    /// Invalidation by path: single pages by their path, everything else by all paths.
    Paths,
    /// Not at all: the distribution finds out when its copy gets old.
    Off,
}

impl FromStr for EdgePurge {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "tags" => Ok(Self::Tags),
            "paths" => Ok(Self::Paths),
            "off" => Ok(Self::Off),
            _ => Err("must be `tags`, `paths` or `off`"),
        }
    }
}

impl Written for EdgePurge {
    fn read(text: &str) -> Result<Self, String> {
        read_own(text)
    }
}

impl Aws {
    /// Reads them from settings; none without a table.
    pub(crate) fn read(r: &mut Reader) -> Option<Self> {
        let [table, bucket, queue_url] = AWS_STORES.map(|name| r.text(name));
        let aws = Self {
            bucket: with_table(r, &table, "PERENNIAL_BUCKET", bucket),
            queue_url: with_table(r, &table, "PERENNIAL_QUEUE_URL", queue_url),
            distribution: r.text("PERENNIAL_DISTRIBUTION"),
            distribution_from: r.text("PERENNIAL_DISTRIBUTION_FROM"),
            edge_purge: r.or("PERENNIAL_EDGE_PURGE", EdgePurge::Tags),
            max_purges: r.above_zero("PERENNIAL_MAX_PURGES", 100),
            edge_window: Duration::from_millis(r.or::<u16>("PERENNIAL_EDGE_WINDOW_MS", 250).into()),
            region: beside_table(r, "AWS_REGION", &table),
            endpoint_url: r.text("AWS_ENDPOINT_URL"),
            ca_bundle: r.text("AWS_CA_BUNDLE").map(PathBuf::from),
            credentials: AwsCredentials {
                access_key_id: beside_table(r, "AWS_ACCESS_KEY_ID", &table),
                secret_access_key: beside_table(r, "AWS_SECRET_ACCESS_KEY", &table),
                session_token: r.text("AWS_SESSION_TOKEN"),
            },
            table: table.clone().unwrap_or_default(),
        };
        table.map(|_| aws)
    }
}

const AWS_STORES: [&str; 3] = ["PERENNIAL_TABLE", "PERENNIAL_BUCKET", "PERENNIAL_QUEUE_URL"];

/// A setting of the stores on AWS, which are used all together or not at all.
fn with_table(r: &mut Reader, table: &Option<String>, name: &str, given: Option<String>) -> String {
    if table.is_some() != given.is_some() {
        let names = AWS_STORES.join(", ");
        r.errors.push(format!("{name} and PERENNIAL_TABLE are given together or not at all: {names}"));
    }
    given.unwrap_or_default()
}

/// What Lambda sets by itself, needed only beside a table.
fn beside_table(r: &mut Reader, name: &'static str, table: &Option<String>) -> String {
    let given = r.text(name);
    if table.is_some() && given.is_none() {
        r.errors.push(format!("{name} is not set, and PERENNIAL_TABLE is: set it as the AWS CLI has it (`aws configure export-credentials --format env`)"));
    }
    given.unwrap_or_default()
}
