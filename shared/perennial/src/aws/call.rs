//! Calls signed by hand, to services whose SDK would be compiled for one operation.

use std::error::Error;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;
use http::Request;

use super::errors::Failure;
use crate::clock::{Clock, SystemClock, within};
use crate::settings::Aws;
use crate::store::StoreError;

/// For one answer. These services take some hundred milliseconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// All that is called here may be repeated.
const ATTEMPTS: u32 = 3;

/// Before the second attempt; doubled before each later one.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Sends signed calls.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    connector: SharedHttpConnector,
    identity: Identity,
    region: String,
    endpoint_url: Option<String>,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// The permission it needs: `service:Operation`. The service is the one it is signed for.
    pub(crate) action: &'static str,
    /// Ends the sentence "cannot …".
    pub(crate) what: &'a str,
    /// The path, encoded.
    pub(crate) path: &'a str,
    /// `content-type`, and what else is needed.
    pub(crate) headers: &'a [(&'static str, &'a str)],
    /// What is posted.
    pub(crate) body: String,
    /// Whether it changes anything.
    pub(crate) writes: bool,
}

impl Caller {
    pub(crate) fn new(aws: &Aws, connector: SharedHttpConnector, credentials: &Credentials) -> Self {
        Self {
            connector,
            identity: credentials.clone().into(),
            region: aws.region.clone(),
            endpoint_url: aws.endpoint_url.clone(),
        }
    }

    /// Asks a service that speaks JSON 1.1.
    ///
    /// # Errors
    /// Those of [`Caller::call`].
    pub(crate) async fn json(
        &self,
        action: &'static str,
        target: &str,
        what: &str,
        body: String,
    ) -> Result<Bytes, StoreError> {
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        self.call(Call { action, what, path: "/", headers: &headers, body, writes: false }).await
    }

    /// Posts, and again if another attempt may bring another answer. A call that writes must be one that may be repeated.
    ///
    /// # Errors
    /// What the service says, and what to do about it.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Bytes, StoreError> {
        let told = |failure: Failure| failure.judge(call.action, &call.what, call.writes);
        let mut wait = BACK_OFF;
        for _ in 1..ATTEMPTS {
            match self.attempt(&call).await {
                Err(failure) if failure.may_pass() => SystemClock.sleep(wait).await,
                done => return done.map_err(told),
            }
            wait *= 2;
        }
        self.attempt(&call).await.map_err(told)
    }

    /// Opens a connection to a host, and leaves it to be used; whatever is answered.
    pub(crate) async fn open(&self, url: &str) -> Result<(), Failure> {
        let request = Request::head(url).body(SdkBody::empty());
        self.send(request.map_err(|e| Failure::NotSent(e.to_string()))?).await.map(drop)
    }

    async fn attempt(&self, call: &Call<'_>) -> Result<Bytes, Failure> {
        let request = self.signed(call).map_err(|e| Failure::NotSent(e.to_string()))?;
        let (status, body) = self.send(request).await?;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let (code, message) = error_of(&String::from_utf8_lossy(&body));
        Err(Failure::Answered { status, code, message })
    }

    async fn send(&self, request: Request<SdkBody>) -> Result<(u16, Bytes), Failure> {
        let request = HttpRequest::try_from(request).map_err(|e| Failure::NotSent(e.to_string()))?;
        let answer = async {
            let response = self.connector.call(request).await.map_err(|e| Failure::of_connector(&e))?;
            let status = response.status().as_u16();
            let body = ByteStream::new(response.into_body()).collect().await;
            Ok((status, body.map_err(|e| Failure::Lost(e.to_string()))?.into_bytes()))
        };
        let answer = within(&SystemClock, ATTEMPT_TIMEOUT, answer).await;
        answer.unwrap_or_else(|| Err(Failure::Lost("no answer came in time".into())))
    }

    fn signed(&self, call: &Call<'_>) -> Result<Request<SdkBody>, Box<dyn Error + Send + Sync>> {
        let service = call.action.split(':').next().unwrap_or_default();
        let (host, region) = endpoint(service, &self.region);
        let url = match &self.endpoint_url {
            Some(url) => format!("{}{}", url.trim_end_matches('/'), call.path),
            None => format!("https://{host}{}", call.path),
        };
        let parameters = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(region)
            .name(service)
            .time(SystemClock.now().to_system())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let body = SignableBody::Bytes(call.body.as_bytes());
        let signable = SignableRequest::new("POST", &url, call.headers.iter().copied(), body)?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        let mut request = Request::post(&url);
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(SdkBody::from(&*call.body))?;
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

/// The host of a service, and the region its calls are signed for
/// (<https://docs.aws.amazon.com/general/latest/gr/rande.html>).
pub(crate) fn endpoint<'a>(service: &str, region: &'a str) -> (String, &'a str) {
    let china = region.starts_with("cn-");
    let domain = match region {
        _ if china => "amazonaws.com.cn",
        region if region.starts_with("eusc-") => "amazonaws.eu",
        _ => "amazonaws.com",
    };
    match service {
        // One for all regions of a partition.
        "cloudfront" if china => (format!("cloudfront.cn-northwest-1.{domain}"), "cn-northwest-1"),
        "cloudfront" => (format!("cloudfront.{domain}"), "us-east-1"),
        service => (format!("{service}.{region}.{domain}"), region),
    }
}

/// Name and message of an error, which is JSON or XML.
fn error_of(body: &str) -> (String, String) {
    let json: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let field = |names: [&str; 2]| {
        let json = json.as_ref()?;
        names.iter().find_map(|name| json.get(name)?.as_str()).map(str::to_owned)
    };
    let element = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>"))?;
        Some(rest.split_once('<')?.0.to_owned())
    };
    let code = field(["__type", "code"]).or_else(|| element("Code")).unwrap_or_default();
    let message = field(["message", "Message"]).or_else(|| element("Message")).unwrap_or_default();
    // `com.amazonaws.ssm#ParameterNotFound` of some services.
    (code.rsplit('#').next().unwrap_or_default().to_owned(), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_those_of_the_partition() {
        for (service, region, expected) in [
            ("ssm", "eu-west-1", ("ssm.eu-west-1.amazonaws.com", "eu-west-1")),
            ("cloudfront", "eu-west-1", ("cloudfront.amazonaws.com", "us-east-1")),
            ("ssm", "cn-north-1", ("ssm.cn-north-1.amazonaws.com.cn", "cn-north-1")),
            ("cloudfront", "cn-north-1", ("cloudfront.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1")),
            ("ssm", "eusc-de-east-1", ("ssm.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1")),
        ] {
            let (host, signed_for) = endpoint(service, region);
            assert_eq!((&*host, signed_for), expected);
        }
    }

    #[test]
    fn errors_are_read_as_each_service_writes_them() {
        for (body, expected) in [
            (r#"{"__type":"ParameterNotFound"}"#, ("ParameterNotFound", "")),
            (
                r#"{"__type":"com.amazonaws#AccessDeniedException","Message":"no"}"#,
                ("AccessDeniedException", "no"),
            ),
            (
                "<ErrorResponse xmlns=\"x\"><Error><Type>Sender</Type><Code>NoSuchDistribution</Code><Message>gone</Message></Error></ErrorResponse>",
                ("NoSuchDistribution", "gone"),
            ),
            ("<html>Bad Gateway", ("", "")),
            ("", ("", "")),
        ] {
            let (code, message) = error_of(body);
            assert_eq!((&*code, &*message), expected, "{body}");
        }
    }
}
