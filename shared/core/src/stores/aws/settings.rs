//! Where an AWS account is, and its stores.

use std::path::PathBuf;

use crate::base::reader::Reader;

/// An AWS account, and how to reach it.
#[derive(Clone, Debug)]
pub struct AccountSettings {
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

/// Where the stores of an AWS account are.
#[derive(Clone, Debug)]
pub struct AwsSettings {
    /// The account that they are in.
    pub account: AccountSettings,
    /// `PERENNIAL_TABLE` (none): DynamoDB table of records, leases and epochs. Asks for the bucket and the queue as well.
    pub table: String,
    /// `PERENNIAL_BUCKET` (none): S3 bucket of bodies.
    pub bucket: String,
    /// `PERENNIAL_QUEUE_URL` (none): SQS queue of jobs.
    pub queue_url: String,
}

impl AccountSettings {
    /// Reads them from settings. `needed_by` is a setting that is given and asks for an account.
    pub(crate) fn read(r: &mut Reader, needed_by: Option<&'static str>) -> Self {
        Self {
            region: needed(r, "AWS_REGION", needed_by),
            endpoint_url: r.text("AWS_ENDPOINT_URL"),
            ca_bundle: r.text("AWS_CA_BUNDLE").map(PathBuf::from),
            credentials: AwsCredentials {
                access_key_id: needed(r, "AWS_ACCESS_KEY_ID", needed_by),
                secret_access_key: needed(r, "AWS_SECRET_ACCESS_KEY", needed_by),
                session_token: r.text("AWS_SESSION_TOKEN"),
            },
        }
    }
}

/// What Lambda sets by itself.
fn needed(r: &mut Reader, name: &'static str, needed_by: Option<&'static str>) -> String {
    let given = r.text(name);
    if let (None, Some(by)) = (&given, needed_by) {
        r.errors.push(format!("{name} is not set, and {by} is: set it as the AWS CLI has it (`aws configure export-credentials --format env`)"));
    }
    given.unwrap_or_default()
}

impl AwsSettings {
    /// The setting that asks for these stores, if it is given.
    pub(crate) fn asked_by(r: &mut Reader) -> Option<&'static str> {
        r.text("PERENNIAL_TABLE").map(|_| "PERENNIAL_TABLE")
    }

    /// Reads them from settings; none without a table.
    pub(crate) fn read(r: &mut Reader, account: &AccountSettings) -> Option<Self> {
        let [table, bucket, queue_url] = AWS_STORES.map(|name| r.text(name));
        let aws = Self {
            account: account.clone(),
            bucket: with_table(r, &table, "PERENNIAL_BUCKET", bucket),
            queue_url: with_table(r, &table, "PERENNIAL_QUEUE_URL", queue_url),
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
