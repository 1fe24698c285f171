//! The stores of an AWS account: DynamoDB, S3, SQS, CloudFront.

mod call;
pub(crate) mod dynamodb;
pub(crate) mod errors;
mod http;
pub(crate) mod item;
mod secrets;
mod stores;

use aws_credential_types::Credentials;

use crate::settings::Aws;
use crate::store::StoreError;

pub(crate) use call::{Answer, Call, Caller};
pub use secrets::read_secrets;
pub use stores::AwsStores;

/// An account: its keys, and the one HTTP client through which it is called.
#[derive(Clone, Debug)]
pub struct Account {
    aws: Aws,
    pub(crate) caller: Caller,
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
        Ok(Self { aws: aws.clone(), caller: Caller::new(aws, http::client(aws)?, credentials) })
    }
}
