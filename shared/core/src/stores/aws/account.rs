//! An AWS account: its credentials, and the SDK's clients of its services.
//!
//! Calls of the SDK are boxed. Each consists of dozens of nested futures: without boxes, every crate that awaits an answer of
//! the site would have to raise the compiler's `recursion_limit`.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use serde_json::{Value, json};

use crate::ports::error::StoreError;
use crate::stores::aws::call::Caller;
use crate::stores::aws::http;
use crate::stores::aws::retries::ATTEMPTS;
use crate::stores::aws::settings::AccountSettings;

/// The time for one answer of DynamoDB or SQS, which normally takes milliseconds. It is short because a visitor waits, and the
/// next attempt reaches another server.
pub(crate) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// The time for one answer of S3: a small function, at 50 Mbit/s, receives 16 MB in half of it.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause before the second attempt, with jitter. The SDK's default of a second is longer than a visitor waits.
const FIRST_BACK_OFF: Duration = Duration::from_millis(50);

/// The pause before the third attempt.
const LAST_BACK_OFF: Duration = Duration::from_millis(100);

/// An account: its credentials, and the HTTP client for all its services.
#[derive(Clone, Debug)]
pub struct Account {
    settings: AccountSettings,
    credentials: Credentials,
    http: SharedHttpClient,
    pub(crate) caller: Caller,
}

/// A client of the SDK that is made at its first use, because making one takes a quarter of a millisecond.
pub(crate) type Lazily<C> = Arc<LazyLock<C, Box<dyn FnOnce() -> C + Send>>>;

/// Configures a client of the SDK. Each service has its own type for the same settings.
macro_rules! configured {
    ($sdk:ident, $account:expr, $attempt:expr) => {{
        let mut config = $sdk::config::Config::builder()
            .behavior_version($sdk::config::BehaviorVersion::v2026_01_12())
            .region($sdk::config::Region::new($account.settings.region.clone()))
            .credentials_provider($account.credentials.clone())
            // The credentials stay valid for the life of the process.
            .identity_cache($sdk::config::IdentityCache::no_cache())
            .http_client($account.http.clone())
            .timeout_config(timeouts($attempt))
            .retry_config(retries())
            // Readers time out on a stalled stream by themselves.
            .stalled_stream_protection($sdk::config::StalledStreamProtectionConfig::disabled());
        config.set_endpoint_url($account.settings.endpoint_url.clone());
        config
    }};
}

impl Account {
    /// The account that the settings name. Opens no connection yet.
    ///
    /// # Errors
    /// `AWS_CA_BUNDLE` cannot be used.
    pub fn open(settings: &AccountSettings) -> Result<Self, StoreError> {
        let keys = settings.credentials.clone();
        let credentials = Credentials::new(
            keys.access_key_id,
            keys.secret_access_key,
            keys.session_token,
            None,
            "the environment",
        );
        let client = http::client(settings)?;
        let http = http::for_sdk(&client);
        let caller = Caller::new(settings, client, credentials.clone());
        Ok(Self { settings: settings.clone(), credentials, http, caller })
    }

    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let config = configured!(aws_sdk_dynamodb, self, ATTEMPT_TIMEOUT);
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    /// A client that is made at its first use: most visitors need the table's client alone.
    pub(crate) fn lazily<C: 'static>(&self, make: fn(&Self) -> C) -> Lazily<C> {
        let account = self.clone();
        Arc::new(LazyLock::new(Box::new(move || make(&account))))
    }

    pub(crate) fn s3(&self) -> aws_sdk_s3::Client {
        use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
        // A body's name is its SHA-256, and readers check it. A further checksum would only cost time.
        let config = configured!(aws_sdk_s3, self, BODY_TIMEOUT)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            // Local servers do not give each bucket a host name.
            .force_path_style(self.settings.endpoint_url.is_some());
        aws_sdk_s3::Client::from_conf(config.build())
    }

    pub(crate) fn sqs(&self) -> aws_sdk_sqs::Client {
        let config = configured!(aws_sdk_sqs, self, ATTEMPT_TIMEOUT);
        aws_sdk_sqs::Client::from_conf(config.build())
    }
}

fn timeouts(attempt: Duration) -> TimeoutConfig {
    // The HTTP client has a time-out of its own for connecting.
    TimeoutConfig::builder().disable_connect_timeout().operation_attempt_timeout(attempt).build()
}

fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(FIRST_BACK_OFF)
        .with_max_backoff(LAST_BACK_OFF)
}

/// The value of the SSM parameter with this ARN or name; `None` if it has no value.
///
/// # Errors
/// The parameter cannot be read.
pub(crate) async fn read_parameter(account: &Account, name: &str) -> Result<Option<String>, StoreError> {
    let what = format!("read the parameter {name}");
    let asked = json!({ "Name": name, "WithDecryption": true }).to_string();
    let answer = account.caller.json("ssm:GetParameter", "AmazonSSM.GetParameter", &what, asked).await?;
    let answer: Option<Value> = serde_json::from_slice(&answer).ok();
    let value = answer.as_ref().and_then(|answer| answer["Parameter"]["Value"].as_str()).map(str::trim);
    Ok(value.filter(|text| !text.is_empty()).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lease request carries the caller's time. All attempts together must be shorter than the allowed clock skew: else a
    /// late attempt would take a newer lease for one of a clock that is ahead.
    #[test]
    fn a_call_for_a_lease_is_shorter_than_clocks_may_differ() {
        assert!((ATTEMPT_TIMEOUT + LAST_BACK_OFF) * ATTEMPTS < crate::freshness::CLOCK_SKEW_MAX);
    }
}
