//! Signed calls without an SDK client, for services of which one operation is needed.

use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::base::clock::{Clock, Millis, SystemClock, within};
use crate::ports::error::StoreError;
use crate::stores::aws::errors::{Cause, Failure};
use crate::stores::aws::http::Http;
use crate::stores::aws::retries::ATTEMPTS;
use crate::stores::aws::settings::AccountSettings;

/// The time for one answer. These services take some hundred milliseconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause before the second attempt; doubled before the third.
const BACK_OFF: Duration = Duration::from_millis(100);

/// The largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Sends signed calls.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    http: Http,
    identity: Identity,
    region: String,
    endpoint_url: Option<String>,
}

/// One call.
pub(crate) struct Call<'a> {
    /// The permission for the call: `service:Operation`. The signature is for that service.
    pub(crate) action: &'static str,
    pub(crate) method: Method,
    /// The URL, from [`Caller::url`].
    pub(crate) url: &'a str,
    /// `content-type`, and further header fields of the operation.
    pub(crate) headers: &'a [(&'static str, &'a str)],
    pub(crate) body: Bytes,
}

fn service(action: &str) -> &str {
    action.split(':').next().unwrap_or_default()
}

impl Caller {
    pub(crate) fn new(settings: &AccountSettings, http: Http, credentials: Credentials) -> Self {
        Self {
            http,
            identity: credentials.into(),
            region: settings.region.clone(),
            endpoint_url: settings.endpoint_url.clone(),
        }
    }

    /// The URL of a path of a service. The path is percent-encoded already.
    pub(crate) fn url(&self, service: &str, path: &str) -> String {
        match &self.endpoint_url {
            Some(url) => format!("{}{path}", url.trim_end_matches('/')),
            None => format!("https://{}{path}", endpoint(service, &self.region).0),
        }
    }

    /// The URL of a bucket.
    pub(crate) fn bucket_url(&self, bucket: &str) -> String {
        match &self.endpoint_url {
            // Local servers do not give each bucket a host name. A bucket's name with a dot does not match AWS's certificates.
            None if !bucket.contains('.') => {
                format!("https://{bucket}.{}", endpoint("s3", &self.region).0)
            }
            _ => self.url("s3", &format!("/{bucket}")),
        }
    }

    /// Makes a reading call of a service with the protocol AWS JSON 1.1.
    ///
    /// # Errors
    /// The service refuses or does not answer. The message says what to do.
    pub(crate) async fn json(
        &self,
        action: &'static str,
        target: &str,
        what: impl Display,
        body: String,
    ) -> Result<Bytes, StoreError> {
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        let url = self.url(service(action), "/");
        let call = Call { action, method: Method::POST, url: &url, headers: &headers, body: body.into() };
        self.call(call).await.map_err(|failure| failure.judge(action, &what, false))
    }

    /// Makes a call, and repeats it after a failure that may pass. A writing call must be one that may be repeated.
    ///
    /// # Errors
    /// The error of the last attempt.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Bytes, Failure> {
        let (mut attempt, mut back_off) = (1, BACK_OFF);
        loop {
            match in_time(self.attempt(&call, attempt)).await {
                Err(failure) if attempt < ATTEMPTS && failure.may_pass() => {
                    SystemClock.sleep(some_of(back_off)).await;
                }
                done => return done,
            }
            attempt += 1;
            back_off *= 2;
        }
    }

    /// Opens a connection to a host, and leaves it in the client's pool. The answer does not matter.
    pub(crate) async fn open(&self, url: &str) -> Result<(), Failure> {
        let request = Request::head(url).body(SdkBody::empty());
        let request = request.map_err(|e| Failure::NotSent(Cause::of(e)))?;
        in_time(async { read(self.send(request).await?).await.map(drop) }).await
    }

    async fn attempt(&self, call: &Call<'_>, attempt: u32) -> Result<Bytes, Failure> {
        let request = self.signed(call, attempt, SystemClock.now());
        let request = request.map_err(|e| Failure::NotSent(Cause::of(e)))?;
        let answer = self.send(request).await?;
        let status = answer.status();
        let body = read(answer).await?;
        if status.is_success() {
            return Ok(body);
        }
        let (code, message) = error_of(&String::from_utf8_lossy(&body));
        Err(Failure::Answered { status: status.as_u16(), code, message: message.into() })
    }

    async fn send(&self, request: Request<SdkBody>) -> Result<Response<Incoming>, Failure> {
        self.http.request(request).await.map_err(|e| Failure::of_client(&e).caused_by(e))
    }

    fn signed(
        &self,
        call: &Call<'_>,
        attempt: u32,
        now: Millis,
    ) -> Result<Request<SdkBody>, Box<dyn Error + Send + Sync>> {
        let service = service(call.action);
        let parameters = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(endpoint(service, &self.region).1)
            .name(service)
            .time(now.to_system())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let body = SignableBody::Bytes(&call.body);
        let signable =
            SignableRequest::new(call.method.as_str(), call.url, call.headers.iter().copied(), body)?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        let mut request = Request::builder().method(&call.method).uri(call.url);
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        // The SDKs send this field, too; it shows in traces.
        request = request.header("amz-sdk-request", format!("attempt={attempt}; max={ATTEMPTS}"));
        let mut request = request.body(SdkBody::from(call.body.clone()))?;
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

/// The body of an answer; empty if it is larger than [`ANSWER_BYTES_MAX`].
async fn read(answer: Response<Incoming>) -> Result<Bytes, Failure> {
    let length = answer.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    match length {
        Some(length) if ANSWER_BYTES_MAX < length => Ok(Bytes::new()),
        _ => Ok(answer.into_body().collect().await.map_err(|e| Failure::Lost(Cause::of(e)))?.to_bytes()),
    }
}

async fn in_time<T>(call: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    within(&SystemClock, ATTEMPT_TIMEOUT, call).await.unwrap_or_else(|| Err(Failure::late()))
}

/// A random part of a pause, so that callers that were refused together do not return together.
pub(crate) fn some_of(pause: Duration) -> Duration {
    let mut random = [u8::MAX];
    // Without randomness the result is the whole pause.
    let _ = getrandom::fill(&mut random);
    pause * u32::from(random[0]) / u32::from(u8::MAX)
}

/// The host of a service, and the region for which its calls are signed
/// (<https://docs.aws.amazon.com/general/latest/gr/rande.html>).
fn endpoint<'a>(service: &str, region: &'a str) -> (String, &'a str) {
    let china = region.starts_with("cn-");
    let domain = match region {
        _ if china => "amazonaws.com.cn",
        region if region.starts_with("eusc-") => "amazonaws.eu",
        _ => "amazonaws.com",
    };
    match service {
        // CloudFront has one endpoint for all regions of a partition.
        "cloudfront" if china => (format!("cloudfront.cn-northwest-1.{domain}"), "cn-northwest-1"),
        "cloudfront" => (format!("cloudfront.{domain}"), "us-east-1"),
        service => (format!("{service}.{region}.{domain}"), region),
    }
}

/// The name and the message of a service's error, from JSON or XML.
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
    // Some services send a name like `com.amazonaws.ssm#ParameterNotFound`.
    (code.rsplit('#').next().unwrap_or_default().to_owned(), message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::settings::Settings;
    use crate::stores::aws::http::client;

    fn caller(more: &[(&str, &str)]) -> Caller {
        let (id, key) = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let given = [
            ("PERENNIAL_TABLE", "t"),
            ("PERENNIAL_BUCKET", "b"),
            ("PERENNIAL_QUEUE_URL", "q"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", id),
            ("AWS_SECRET_ACCESS_KEY", key),
        ];
        let given = given.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let account = Settings::read(given).unwrap().aws.unwrap().account;
        Caller::new(&account, client(&account).unwrap(), Credentials::new(id, key, None, None, "test"))
    }

    #[test]
    fn a_bucket_is_called_by_its_name_where_it_has_one() {
        let of = |more, bucket| caller(more).bucket_url(bucket);
        assert_eq!(of(&[], "b"), "https://b.s3.us-east-1.amazonaws.com");
        assert_eq!(of(&[], "b.c"), "https://s3.us-east-1.amazonaws.com/b.c");
        assert_eq!(of(&[("AWS_ENDPOINT_URL", "http://[::1]:1/")], "b"), "http://[::1]:1/b");
    }

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

    /// Each quarter of the pause is as likely as the others.
    #[test]
    fn those_who_were_refused_together_wait_for_parts_of_the_pause_that_are_spread_over_all_of_it() {
        let pause = Duration::from_millis(200);
        let mut quarters = [0; 5];
        for _ in 0..4_000 {
            let part = some_of(pause);
            assert!(part <= pause, "{part:?}");
            quarters[part.as_micros() as usize / 50_000] += 1;
        }
        assert!(quarters[..4].iter().all(|&quarter| quarter > 800), "{quarters:?}");
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
