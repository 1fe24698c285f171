//! Writes down what the AWS SDK sends.

use aws_sdk_cloudfront as cloudfront;
use aws_sdk_secretsmanager as secretsmanager;
use aws_sdk_ssm as ssm;
use aws_smithy_http_client::test_util::capture_request;
use serde_json::{Value, json};

/// What tells one request from another. The rest of the header fields are signatures, checksums and statistics.
const FIELDS: [&str; 2] = ["content-type", "x-amz-target"];

/// A client of a service that goes nowhere, one call of it, and what that sends.
macro_rules! request {
    ($service:ident, $name:literal, |$client:ident| $call:expr) => {{
        let (http, sent) = capture_request(None);
        let config = $service::Config::builder()
            .http_client(http)
            .region($service::config::Region::new("us-east-1"))
            .credentials_provider($service::config::Credentials::new("id", "key", None, None, "none"))
            .build();
        let $client = $service::Client::from_conf(config);
        // Nobody answers: what was sent is all that matters.
        let _ = $call.send().await;
        let sent = sent.expect_request();
        let body = String::from_utf8(sent.body().bytes().unwrap_or_default().to_vec()).expect("text");
        let fields: serde_json::Map<String, Value> = FIELDS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), sent.headers().get(*name)?.into())))
            .collect();
        json!({ "name": $name, "method": sent.method(), "url": sent.uri(), "fields": fields, "body": body })
    }};
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let paths = cloudfront::types::Paths::builder()
        .quantity(2)
        .items("#path:/a")
        .items("#tag:a&b")
        .build()
        .expect("paths");
    let batch = cloudfront::types::InvalidationBatch::builder()
        .paths(paths)
        .caller_reference("REFERENCE")
        .build()
        .expect("a batch");
    let requests = [
        request!(secretsmanager, "secretsmanager:GetSecretValue", |client| client
            .get_secret_value()
            .secret_id("arn:aws:secretsmanager:us-east-1:123456789012:secret:site")),
        request!(ssm, "ssm:GetParameter", |client| client
            .get_parameter()
            .name("/site/secrets")
            .with_decryption(true)),
        request!(cloudfront, "cloudfront:CreateInvalidation", |client| client
            .create_invalidation()
            .distribution_id("E1234567890")
            .invalidation_batch(batch.clone())),
    ];
    let text = serde_json::to_string_pretty(&requests).expect("JSON");
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/requests.json"), text + "\n").expect("written");
}
