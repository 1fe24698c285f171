//! The stores of an AWS account: DynamoDB, S3, SQS, CloudFront.

mod call;
pub(crate) mod dynamodb;
pub(crate) mod errors;
mod http;
pub(crate) mod item;
mod secrets;
mod stores;

use aws_credential_types::Credentials;
use serde_json::{Value, json};

use crate::settings::Aws;
use crate::store::StoreError;

pub(crate) use call::{Answer, Arriving, Call, Caller};
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

/// The text of an SSM parameter, named by its ARN or its name; `None` if it has none.
///
/// # Errors
/// It cannot be read.
pub(crate) async fn read_parameter(account: &Account, name: &str) -> Result<Option<String>, StoreError> {
    let what = format!("read the parameter {name}");
    // Of one that is encrypted, too.
    let asked = json!({ "Name": name, "WithDecryption": true }).to_string();
    let answer = account.caller.json("ssm:GetParameter", "AmazonSSM.GetParameter", &what, asked).await?;
    let answer: Option<Value> = serde_json::from_slice(&answer).ok();
    let value = answer.as_ref().and_then(|answer| answer["Parameter"]["Value"].as_str()).map(str::trim);
    Ok(value.filter(|text| !text.is_empty()).map(str::to_owned))
}
