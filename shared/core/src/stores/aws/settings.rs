//! The settings of an AWS account, and of the stores in it.

use std::path::PathBuf;

use crate::base::reader::Reader;

/// An AWS account.
#[derive(Clone, Debug)]
pub struct AccountSettings {
    /// `AWS_REGION`: Lambda sets it.
    pub region: String,
    /// `AWS_ENDPOINT_URL` (none): a URL that replaces AWS's endpoints.
    pub endpoint_url: Option<String>,
    /// `AWS_CA_BUNDLE` (none): a PEM file with roots that replace the compiled ones.
    pub ca_bundle: Option<PathBuf>,
    /// The credentials.
    pub credentials: AwsCredentials,
}

/// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`. Lambda sets them; they stay valid for the life of
/// its process.
#[derive(Clone)]
pub struct AwsCredentials {
    /// The id of the access key.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: String,
    /// The session token of temporary credentials.
    pub session_token: Option<String>,
}

impl std::fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AwsCredentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// The stores of an AWS account.
#[derive(Clone, Debug)]
pub struct AwsSettings {
    /// The account of the stores.
    pub account: AccountSettings,
    /// `PERENNIAL_TABLE` (none): the DynamoDB table of records, leases, epochs and the journal. Needs the bucket and the queue,
    /// too.
    pub table: String,
    /// `PERENNIAL_BUCKET` (none): the S3 bucket of bodies.
    pub bucket: String,
    /// `PERENNIAL_QUEUE_URL` (none): the URL of the SQS queue of jobs.
    pub queue_url: String,
}

impl AccountSettings {
    /// Reads the settings. `needed_by` is a given setting that needs an account.
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

/// A setting that Lambda sets by itself. It is an error only if another setting needs it.
fn needed(r: &mut Reader, name: &'static str, needed_by: Option<&'static str>) -> String {
    let given = r.text(name);
    if let (None, Some(by)) = (&given, needed_by) {
        r.errors.push(format!("{name} is not set, and {by} is: set it as the AWS CLI has it (`aws configure export-credentials --format env`)"));
    }
    given.unwrap_or_default()
}

impl AwsSettings {
    /// The name of the setting that chooses these stores, if it is given.
    pub(crate) fn asked_by(r: &mut Reader) -> Option<&'static str> {
        r.text("PERENNIAL_TABLE").map(|_| "PERENNIAL_TABLE")
    }

    /// Reads the settings; `None` without a table.
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

/// Reads a setting that must be given with `PERENNIAL_TABLE`, and only with it.
fn with_table(r: &mut Reader, table: &Option<String>, name: &str, given: Option<String>) -> String {
    if table.is_some() != given.is_some() {
        let names = AWS_STORES.join(", ");
        r.errors.push(format!("{name} and PERENNIAL_TABLE are given together or not at all: {names}"));
    }
    given.unwrap_or_default()
}
