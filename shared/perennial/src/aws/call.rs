//! Calls to AWS, signed here: a few operations of a few services. The SDKs would take longer for a call than DynamoDB
//! does, and be two thirds of a function.

use std::error::Error;
use std::fmt::Display;
use std::future::{Future, ready};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::response::Parts;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};

use super::errors::Failure;
use super::http::Http;
use crate::clock::{Clock, Millis, SystemClock, within};
use crate::settings::Aws;
use crate::store::StoreError;

/// All that is called here may be repeated. A function that was frozen finds its connections closed: the second attempt
/// is for that, the third for real trouble.
const ATTEMPTS: u32 = 3;

/// Larger answers are left unread, unless a call says more. DynamoDB ends its own at 16 MB.
const ANSWER_BYTES_MAX: u64 = 32 << 20;

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
    /// The permission it needs: `service:Operation`. The service is the one it is signed for.
    pub(crate) action: &'static str,
    pub(crate) method: Method,
    /// See [`Caller::url`].
    pub(crate) url: &'a str,
    /// `content-type`, and what else is needed.
    pub(crate) headers: &'a [(&'static str, &'a str)],
    pub(crate) body: Bytes,
}

/// What a service has answered, with a status below 300.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Parts,
    /// All of it; empty if it is larger than [`ANSWER_BYTES_MAX`].
    pub(crate) body: Bytes,
}

impl Answer {
    /// A header field's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }
}

/// An answer whose head has come.
pub(crate) struct Arriving {
    body: Incoming,
    bytes: Option<u64>,
    timeout: Duration,
}

impl Arriving {
    /// How long the service says that it is.
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// The next bytes of it; none after the last. Each have the time of a whole answer, while somebody waits for them.
    ///
    /// # Errors
    /// The answer ends early, or too little of it comes in time.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let frame = within(&SystemClock, self.timeout, self.body.frame()).await;
            let frame = frame.ok_or_else(late)?.transpose().map_err(|e| Failure::Lost(e.to_string()))?;
            match frame.map(Frame::into_data) {
                None => return Ok(None),
                Some(Ok(bytes)) => return Ok(Some(bytes)),
                // Trailers.
                Some(Err(_)) => {}
            }
        }
    }
}

/// For one answer, and before the second attempt, which finds another server; doubled before the third.
fn pace(service: &str) -> (Duration, Duration) {
    match service {
        // They take milliseconds, and a visitor waits.
        "dynamodb" | "sqs" => (Duration::from_secs(2), Duration::from_millis(50)),
        // A body of 16 MB at the 50 Mbit/s of a small function.
        "s3" => (Duration::from_secs(5), Duration::from_millis(50)),
        // They take some hundred milliseconds.
        _ => (Duration::from_secs(5), Duration::from_millis(100)),
    }
}

fn service(action: &str) -> &str {
    action.split(':').next().unwrap_or_default()
}

impl Caller {
    pub(crate) fn new(aws: &Aws, http: Http, credentials: Credentials) -> Self {
        Self {
            http,
            identity: credentials.into(),
            region: aws.region.clone(),
            endpoint_url: aws.endpoint_url.clone(),
        }
    }

    /// Where a service is, with an encoded path.
    pub(crate) fn url(&self, service: &str, path: &str) -> String {
        match &self.endpoint_url {
            Some(url) => format!("{}{path}", url.trim_end_matches('/')),
            None => format!("https://{}{path}", endpoint(service, &self.region).0),
        }
    }

    /// Where a bucket is, without a path.
    pub(crate) fn bucket_url(&self, bucket: &str) -> String {
        match &self.endpoint_url {
            // A server of one's own has no name for each bucket, and no certificate has names with more dots.
            None if !bucket.contains('.') => {
                format!("https://{bucket}.{}", endpoint("s3", &self.region).0)
            }
            _ => self.url("s3", &format!("/{bucket}")),
        }
    }

    /// Asks a service that speaks JSON 1.1 something that changes nothing.
    ///
    /// # Errors
    /// What the service says, and what to do about it.
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
        let answer = self.call(call).await.map_err(|failure| failure.judge(action, &what, false))?;
        Ok(answer.body)
    }

    /// Calls, and again if another attempt may bring another answer. A call that writes must be one that may be repeated.
    ///
    /// # Errors
    /// That of the last attempt.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Answer, Failure> {
        self.repeat(call, read).await
    }

    /// The same for an answer that is large: its body is read by the caller, and not asked for again.
    ///
    /// # Errors
    /// That of the last attempt.
    pub(crate) async fn begin(&self, call: Call<'_>) -> Result<Arriving, Failure> {
        let (timeout, _) = pace(service(call.action));
        let arriving = |answer: Response<Incoming>| {
            let (head, body) = answer.into_parts();
            ready(Ok(Arriving { body, bytes: length(&head), timeout }))
        };
        self.repeat(call, arriving).await
    }

    /// Calls, and again if another attempt may bring another answer, of which `take` takes what is wanted.
    async fn repeat<T, F>(&self, call: Call<'_>, take: impl Fn(Response<Incoming>) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let (timeout, mut back_off) = pace(service(call.action));
        let mut attempt = 1;
        loop {
            match within(&SystemClock, timeout, self.attempt(&call, attempt, &take))
                .await
                .unwrap_or_else(|| Err(late()))
            {
                Err(failure) if attempt < ATTEMPTS && failure.may_pass() => {
                    SystemClock.sleep(some_of(back_off)).await;
                }
                done => return done,
            }
            attempt += 1;
            back_off *= 2;
        }
    }

    /// Opens a connection to a host, and leaves it to be used; whatever is answered.
    pub(crate) async fn open(&self, url: &str) -> Result<(), Failure> {
        let request = Request::head(url).body(Full::default());
        let request = request.map_err(|e| Failure::NotSent(e.to_string()))?;
        let answer = async { read(self.send(request).await?).await.map(drop) };
        within(&SystemClock, pace("").0, answer).await.unwrap_or_else(|| Err(late()))
    }

    async fn attempt<T, F>(
        &self,
        call: &Call<'_>,
        attempt: u32,
        take: impl Fn(Response<Incoming>) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let request = self.signed(call, attempt, SystemClock.now());
        let request = request.map_err(|e| Failure::NotSent(e.to_string()))?;
        let answer = self.send(request).await?;
        if answer.status().is_success() {
            return take(answer).await;
        }
        let Answer { head, body } = read(answer).await?;
        let (code, message) = error_of(&String::from_utf8_lossy(&body));
        Err(Failure::Answered { status: head.status.as_u16(), code, message, body })
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        self.http.request(request).await.map_err(|e| Failure::of_client(&e))
    }

    fn signed(
        &self,
        call: &Call<'_>,
        attempt: u32,
        now: Millis,
    ) -> Result<Request<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
        let service = service(call.action);
        let mut settings = SigningSettings::default();
        if service == "s3" {
            // Objects' names are taken as they are sent (<https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>).
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        let parameters = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(endpoint(service, &self.region).1)
            .name(service)
            .time(now.to_system())
            .settings(settings)
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
        // As the SDKs tell it, for whoever reads a trace.
        request = request.header("amz-sdk-request", format!("attempt={attempt}; max={ATTEMPTS}"));
        let mut request = request.body(Full::new(call.body.clone()))?;
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

async fn read(response: Response<Incoming>) -> Result<Answer, Failure> {
    let (head, body) = response.into_parts();
    let body = match length(&head) {
        Some(length) if ANSWER_BYTES_MAX < length => Bytes::new(),
        _ => body.collect().await.map_err(|e| Failure::Lost(e.to_string()))?.to_bytes(),
    };
    Ok(Answer { head, body })
}

fn length(head: &Parts) -> Option<u64> {
    head.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn late() -> Failure {
    Failure::Lost("no answer came in time".into())
}

/// Between none and all of a pause, so that those who were refused together do not come back together.
fn some_of(pause: Duration) -> Duration {
    let mut random = [u8::MAX];
    // Without randomness it is the whole pause.
    let _ = getrandom::fill(&mut random);
    pause * u32::from(random[0]) / u32::from(u8::MAX)
}

/// The host of a service, and the region its calls are signed for
/// (<https://docs.aws.amazon.com/general/latest/gr/rande.html>).
fn endpoint<'a>(service: &str, region: &'a str) -> (String, &'a str) {
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
    use crate::aws::http::client;
    use crate::settings::Settings;

    /// Who asks for a lease says what time it is. The last attempt must not take a lease that was granted since for the
    /// promise of a clock that is ahead.
    #[test]
    fn a_call_for_a_lease_is_shorter_than_clocks_may_differ() {
        let (timeout, back_off) = pace("dynamodb");
        assert!((timeout + 2 * back_off) * ATTEMPTS < crate::freshness::CLOCK_SKEW_MAX);
    }

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
        let aws = Settings::read(given).unwrap().aws.unwrap();
        Caller::new(&aws, client(&aws).unwrap(), Credentials::new(id, key, None, None, "test"))
    }

    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>
    #[test]
    fn objects_are_signed_as_amazons_examples_are() {
        let (caller, host) = (caller(&[]), "https://examplebucket.s3.amazonaws.com");
        let signature = |action, method, path: &str, headers: &[(&'static str, &str)], body| {
            let url = format!("{host}{path}");
            let call = Call { action, method, url: &url, headers, body: Bytes::from_static(body) };
            let request = caller.signed(&call, 1, Millis(1_369_353_600_000)).unwrap();
            let text = request.headers()["authorization"].to_str().unwrap();
            text.split_once("Signature=").unwrap().1.to_owned()
        };
        assert_eq!(
            signature("s3:GetObject", Method::GET, "/test.txt", &[("range", "bytes=0-9")], b""),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        let headers =
            [("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")];
        assert_eq!(
            signature("s3:PutObject", Method::PUT, "/test%24file.text", &headers, b"Welcome to Amazon S3."),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
        );
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
