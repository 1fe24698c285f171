//! The stores of an AWS account: DynamoDB, S3, SQS, CloudFront.

mod call;
pub(crate) mod errors;
mod http;
mod secrets;
mod stores;

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::http::{SharedHttpClient, http_client_fn};
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

use crate::freshness::CLOCK_SKEW_MAX;
use crate::settings::Aws;
use crate::store::StoreError;

pub(crate) use call::{Call, Caller};
pub use secrets::read_secrets;
pub use stores::AwsStores;

/// For one answer of DynamoDB or SQS, which take milliseconds. A visitor waits, and another attempt finds another server.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// For one answer of S3: a body of 16 MB at the 50 Mbit/s of a small function.
const BODY_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// A function that was frozen finds its connections closed: the second attempt is for that, the third for real trouble.
const ATTEMPTS: u32 = 3;

/// Before the second attempt, with jitter; the SDK's own second is longer than a visitor waits.
const FIRST_BACK_OFF: Duration = Duration::from_millis(50);

/// Before the third.
const LAST_BACK_OFF: Duration = Duration::from_millis(500);

// A call that asks for a lease says what time it is: its last attempt must not take leases granted since for promises of
// a clock that is ahead.
const _: () = assert!(
    (ATTEMPT_TIMEOUT.as_millis() + LAST_BACK_OFF.as_millis()) * (ATTEMPTS as u128)
        < CLOCK_SKEW_MAX.as_millis()
);

/// How long a body that is being read may stand still.
const STALL: Duration = Duration::from_secs(5);

/// An account: its keys, and the one HTTP client through which it is called.
#[derive(Clone, Debug)]
pub struct Account {
    aws: Aws,
    credentials: Credentials,
    http: SharedHttpClient,
    pub(crate) caller: Caller,
}

/// Configures a client of the SDK. Each service has its own type for the same settings.
macro_rules! configured {
    ($sdk:ident, $account:expr, $attempt:expr) => {{
        let mut config = $sdk::config::Config::builder()
            .behavior_version($sdk::config::BehaviorVersion::v2026_01_12())
            .region($sdk::config::Region::new($account.aws.region.clone()))
            .credentials_provider($account.credentials.clone())
            // The keys are good for the life of the process.
            .identity_cache($sdk::config::IdentityCache::no_cache())
            .http_client($account.http.clone())
            .timeout_config(timeouts($attempt))
            .retry_config(retries());
        config.set_endpoint_url($account.aws.endpoint_url.clone());
        config
    }};
}

impl Account {
    /// The account that the settings name. Opens no connection yet.
    ///
    /// # Errors
    /// `AWS_CA_BUNDLE` cannot be used.
    pub fn open(aws: &Aws) -> Result<Self, StoreError> {
        let keys = aws.credentials.clone();
        let credentials = Credentials::new(
            keys.access_key_id,
            keys.secret_access_key,
            keys.session_token,
            None,
            "the environment",
        );
        let connector = http::connector(aws)?;
        let caller = Caller::new(aws, connector.clone(), &credentials);
        let http = http_client_fn(move |_, _| connector.clone());
        Ok(Self { aws: aws.clone(), credentials, http, caller })
    }

    fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let config = configured!(aws_sdk_dynamodb, self, ATTEMPT_TIMEOUT);
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    fn s3(&self) -> aws_sdk_s3::Client {
        use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
        // Bodies have their SHA-256 for a name, and are checked against it: another sum would be counted for nothing.
        let config = configured!(aws_sdk_s3, self, BODY_ATTEMPT_TIMEOUT)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .stalled_stream_protection(
                StalledStreamProtectionConfig::enabled().upload_enabled(false).grace_period(STALL).build(),
            )
            // A server of one's own has no name for each bucket.
            .force_path_style(self.aws.endpoint_url.is_some());
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// What connections to the bucket and the queue's service are opened with.
    fn urls(&self) -> [String; 2] {
        let (bucket, region) = (&self.aws.bucket, &self.aws.region);
        match &self.aws.endpoint_url {
            Some(url) => [url.clone(), url.clone()],
            None => {
                let host = |service| call::endpoint(service, region).0;
                [format!("https://{bucket}.{}/", host("s3")), format!("https://{}/", host("sqs"))]
            }
        }
    }

    fn sqs(&self) -> aws_sdk_sqs::Client {
        let config = configured!(aws_sdk_sqs, self, ATTEMPT_TIMEOUT);
        aws_sdk_sqs::Client::from_conf(config.build())
    }
}

fn timeouts(attempt: Duration) -> TimeoutConfig {
    // The connector has a time-out of its own for connecting.
    TimeoutConfig::builder().disable_connect_timeout().operation_attempt_timeout(attempt).build()
}

fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(FIRST_BACK_OFF)
        .with_max_backoff(LAST_BACK_OFF)
}
