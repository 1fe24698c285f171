//! Turns errors of AWS into errors of the ports: whether a write may have landed, and what to do.

use std::error::Error;
use std::fmt::{self, Display};
use std::sync::Arc;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use hyper_util::client::legacy::Error as ClientError;

use crate::ports::error::{StoreError, StoreErrorKind};
use crate::stores::aws::item::Item;

/// The error of a reading call. `action` is the permission that the call needs (`dynamodb:GetItem`); `what` completes the
/// sentence "cannot …".
pub(crate) fn read_error(action: &str, what: impl Display, failure: &Failure) -> StoreError {
    failure.judge(action, &what, false)
}

/// The error of a writing call: [`StoreErrorKind::Unsure`](crate::ports::error::StoreErrorKind::Unsure) if the write
/// may have landed.
pub(crate) fn write_error(action: &str, what: impl Display, failure: &Failure) -> StoreError {
    failure.judge(action, &what, true)
}

/// The failure of a call.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The call was not sent: there was no connection, or the request could not be made.
    NotSent(Cause),
    /// The call was sent, and its answer is lost or unreadable.
    Lost(Cause),
    /// The service answered with an error.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The service's name for the error; empty without one.
        code: String,
        /// The service's message, with the SDK's error.
        message: Cause,
    },
    /// The condition of a write to the table did not hold. Holds the item that refused it, if DynamoDB has returned it.
    Refused(Option<Item>),
}

/// The text of a failure, and its source.
#[derive(Clone, Default)]
pub(crate) struct Cause {
    text: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Cause {
    /// The text of this error.
    pub(crate) fn of(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let source: Arc<dyn Error + Send + Sync> = Arc::from(error.into());
        Self { text: source.to_string(), source: Some(source) }
    }
}

impl<T: Into<String>> From<T> for Cause {
    fn from(text: T) -> Self {
        Self { text: text.into(), source: None }
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Failure {
    /// The failure of an SDK call, after all attempts.
    pub(crate) fn of<E>(error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let failure = Self::of_sdk(&error);
        match error.into_source() {
            Ok(source) => failure.caused_by(source),
            Err(_) => failure,
        }
    }

    /// The same failure with its source.
    pub(crate) fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        match &mut self {
            Self::NotSent(cause) | Self::Lost(cause) | Self::Answered { message: cause, .. } => {
                cause.source = Some(Arc::from(source.into()));
            }
            Self::Refused(_) => {}
        }
        self
    }

    fn of_sdk<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        match error {
            SdkError::ConstructionFailure(_) => {
                Self::NotSent("the request cannot be written (is a setting no URL or no region?)".into())
            }
            SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
                Some(error) => Self::of_connector(error),
                None => Self::Lost("the connection broke".into()),
            },
            SdkError::ServiceError(answer) => Self::Answered {
                status: answer.raw().status().as_u16(),
                code: answer.err().code().unwrap_or_default().to_owned(),
                message: answer.err().message().unwrap_or_default().into(),
            },
            SdkError::TimeoutError(_) => Self::late(),
            _ => Self::Lost("the answer cannot be read".into()),
        }
    }

    /// The failure of a request that the SDK has sent through the HTTP client.
    pub(crate) fn of_connector(error: &ConnectorError) -> Self {
        match chain(error).find_map(|cause| cause.downcast_ref::<ClientError>()) {
            Some(client) => Self::of_client(client),
            None if error.is_user() => Self::NotSent(causes(error).into()),
            None => Self::Lost(causes(error).into()),
        }
    }

    /// The failure of a request of the HTTP client.
    pub(crate) fn of_client(error: &ClientError) -> Self {
        if error.is_connect() {
            Self::NotSent(causes(error).into())
        } else {
            Self::Lost(causes(error).into())
        }
    }

    /// The failure of a call without an answer in time.
    pub(crate) fn late() -> Self {
        Self::Lost("no answer came in time".into())
    }

    /// Whether another attempt may succeed.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Answered { status, code, .. } => *status >= 500 || is_throttling(code),
            Self::NotSent(_) | Self::Lost(_) => true,
            Self::Refused(_) => false,
        }
    }

    /// The error for the caller of a port.
    pub(crate) fn judge(&self, action: &str, what: &dyn Display, writes: bool) -> StoreError {
        let service = action.split(':').next().unwrap_or_default();
        let text = match self {
            Self::NotSent(cause) => {
                format!("cannot {what}: {service} cannot be reached ({cause}): {}", unreachable(&cause.text))
            }
            Self::Lost(cause) => format!("cannot {what}: {service} gave no answer ({cause})"),
            Self::Answered { status, code, message } => {
                let advice = advice(action, code, *status);
                format!("cannot {what}: {service} answered {status} {code} ({message}){advice}")
            }
            Self::Refused(_) => format!("cannot {what}: its condition does not hold"),
        };
        let error = StoreError::new(self.kind(writes), text);
        match self {
            Self::NotSent(cause) | Self::Lost(cause) | Self::Answered { message: cause, .. } => {
                match cause.source.clone() {
                    Some(source) => error.caused_by(source),
                    None => error,
                }
            }
            Self::Refused(_) => error,
        }
    }

    /// The kind of the error for the caller of a port.
    fn kind(&self, writes: bool) -> StoreErrorKind {
        match self {
            Self::Lost(_) if writes => StoreErrorKind::Unsure,
            Self::NotSent(_) | Self::Lost(_) => StoreErrorKind::Unavailable,
            Self::Refused(_) => StoreErrorKind::Refused,
            Self::Answered { code, .. } if is_throttling(code) => StoreErrorKind::Throttled,
            Self::Answered { status: 500.., .. } if writes => StoreErrorKind::Unsure,
            Self::Answered { status: 500.., .. } => StoreErrorKind::Unavailable,
            Self::Answered { code, .. } if is_denied(code) || is_of_keys(code) => StoreErrorKind::Denied,
            Self::Answered { code, .. } if is_missing(code) || is_elsewhere(code) => StoreErrorKind::Gone,
            Self::Answered { status: 404, .. } => StoreErrorKind::Gone,
            Self::Answered { status: 403, .. } => StoreErrorKind::Denied,
            Self::Answered { .. } => StoreErrorKind::Refused,
        }
    }
}

/// Whether the service refused the call because it gets too many calls.
fn is_throttling(code: &str) -> bool {
    let names = [
        "LimitExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
        "TooManyInvalidationsInProgress",
        "TooManyRequestsException",
    ];
    names.contains(&code) || code.contains("Throttl") || code.contains("ThroughputExceeded")
}

/// Advice for the operator about an answer, after a colon; empty if the only cure is another attempt.
fn advice(action: &str, code: &str, status: u16) -> String {
    let (service, setting) = setting_of(action);
    let text = match code {
        "TooManyInvalidationsInProgress" => {
            "name fewer pages at once: lower PERENNIAL_MAX_PURGES, or set PERENNIAL_EDGE_PURGE to `tags`"
                .to_owned()
        }
        "InvalidArgument" if service == "cloudfront" => {
            "the distribution may not know cache tags: give it a CacheTagConfig, or set PERENNIAL_EDGE_PURGE to `paths`".to_owned()
        }
        code if is_throttling(code) => match service {
            "dynamodb" => "raise the table's maximum throughput, or the account's quota for on-demand tables".to_owned(),
            service => format!("ask for a higher quota of {service} requests if this lasts"),
        },
        code if is_denied(code) => allow(action),
        code if is_of_keys(code) => {
            "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN".to_owned()
        }
        code if is_elsewhere(code) => {
            format!("check AWS_REGION and {setting}: what it names is in another region")
        }
        "RequestTimeTooSkewed" => "set the machine's clock".to_owned(),
        code if status == 404 || is_missing(code) => format!("check {setting} and AWS_REGION"),
        _ if status == 403 => allow(action),
        _ => return String::new(),
    };
    format!(": {text}")
}

fn allow(action: &str) -> String {
    // Without the permission to list the bucket, S3 answers 403 instead of 404 for a missing object.
    let also = if action == "s3:GetObject" { " and `s3:ListBucket`" } else { "" };
    format!("allow `{action}`{also} in the policy of this function's role")
}

fn is_denied(code: &str) -> bool {
    ["AccessDenied", "AccessDeniedException", "AuthorizationError"].contains(&code)
}

/// Whether the credentials are invalid or expired.
fn is_of_keys(code: &str) -> bool {
    let names = [
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    ];
    names.contains(&code)
}

/// Whether the named resource is in another region.
fn is_elsewhere(code: &str) -> bool {
    ["AuthorizationHeaderMalformed", "PermanentRedirect"].contains(&code)
}

fn is_missing(code: &str) -> bool {
    let names = ["NoSuchBucket", "NoSuchDistribution", "ParameterNotFound", "ResourceNotFoundException"];
    names.contains(&code) || code.ends_with("QueueDoesNotExist") || code.ends_with("NonExistentQueue")
}

/// The service of an action, and the setting that names its resource.
fn setting_of(action: &str) -> (&str, &'static str) {
    let service = action.split(':').next().unwrap_or_default();
    let setting = match service {
        "dynamodb" => "PERENNIAL_TABLE",
        "s3" => "PERENNIAL_BUCKET",
        "sqs" => "PERENNIAL_QUEUE_URL",
        "cloudfront" => "PERENNIAL_DISTRIBUTION",
        "ssm" => "PERENNIAL_DISTRIBUTION_FROM, or PERENNIAL_REVALIDATE_SECRETS_FROM",
        _ => "PERENNIAL_REVALIDATE_SECRETS_FROM",
    };
    (service, setting)
}

fn unreachable(cause: &str) -> &'static str {
    if cause.contains("certificate") {
        "name the roots to trust in AWS_CA_BUNDLE, a PEM file"
    } else {
        "check AWS_REGION and AWS_ENDPOINT_URL, and inside a VPC its endpoints"
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The texts of an error and of its sources, without repetitions.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut told: Vec<String> = Vec::new();
    for cause in chain(error).map(ToString::to_string) {
        if !told.iter().any(|earlier| earlier.contains(&cause)) {
            told.push(cause);
        }
    }
    told.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, code: &str) -> Failure {
        Failure::Answered { status, code: code.into(), message: "said".into() }
    }

    fn shown(action: &str, failure: &Failure) -> String {
        write_error(action, "write x", failure).to_string()
    }

    #[test]
    fn only_what_may_have_landed_is_unsure() {
        for (failure, landed) in [
            (answered(400, "ProvisionedThroughputExceededException"), false),
            (answered(400, "ValidationException"), false),
            (answered(403, "AccessDenied"), false),
            (answered(404, "NoSuchBucket"), false),
            (answered(503, "SlowDown"), false),
            (answered(500, "InternalServerError"), true),
            (answered(502, ""), true),
            (Failure::NotSent("no region".into()), false),
            (Failure::Lost("connection reset".into()), true),
        ] {
            let written = write_error("s3:PutObject", "write x", &failure);
            assert_eq!(written.kind() == StoreErrorKind::Unsure, landed, "{failure:?}");
            let read = read_error("s3:GetObject", "read x", &failure);
            assert_ne!(read.kind(), StoreErrorKind::Unsure, "a read changes nothing: {failure:?}");
            let in_trouble = read.kind().is_trouble();
            assert_eq!(in_trouble, failure.may_pass(), "whoever is denied has an answer: {failure:?}");
        }
    }

    #[test]
    fn a_kind_says_what_a_caller_does() {
        for (failure, kind) in [
            (answered(400, "ThrottlingException"), StoreErrorKind::Throttled),
            (answered(503, "SlowDown"), StoreErrorKind::Throttled),
            (answered(500, "InternalServerError"), StoreErrorKind::Unavailable),
            (answered(400, "AccessDeniedException"), StoreErrorKind::Denied),
            (answered(403, ""), StoreErrorKind::Denied),
            (answered(400, "ExpiredTokenException"), StoreErrorKind::Denied),
            (answered(400, "ResourceNotFoundException"), StoreErrorKind::Gone),
            (answered(404, "NoSuchBucket"), StoreErrorKind::Gone),
            (answered(301, "PermanentRedirect"), StoreErrorKind::Gone),
            (answered(400, "ValidationException"), StoreErrorKind::Refused),
            (Failure::Refused(None), StoreErrorKind::Refused),
            (Failure::NotSent("no region".into()), StoreErrorKind::Unavailable),
            (Failure::Lost("connection reset".into()), StoreErrorKind::Unavailable),
        ] {
            assert_eq!(read_error("s3:GetObject", "read x", &failure).kind(), kind, "{failure:?}");
        }
    }

    #[test]
    fn an_error_keeps_what_it_was_made_of() {
        let lost = Failure::Lost(Cause::of(std::io::Error::other("reset")));
        let error = read_error("s3:GetObject", "read x", &lost);
        assert_eq!(error.to_string(), "cannot read x: s3 gave no answer (reset)");
        assert_eq!(error.source().expect("a source").to_string(), "reset");
    }

    #[test]
    fn a_failure_of_the_sdk_says_whether_the_call_left() {
        use aws_smithy_runtime_api::http::StatusCode;
        use aws_smithy_types::body::SdkBody;
        use aws_smithy_types::error::ErrorMetadata;

        type Sdk = SdkError<ErrorMetadata, HttpResponse>;
        let said = ErrorMetadata::builder().code("ValidationException").message("said").build();
        let answer = HttpResponse::new(StatusCode::try_from(400).unwrap(), SdkBody::empty());
        let broken = || std::io::Error::other("broken").into();
        for (error, expected) in [
            (Sdk::construction_failure("no region"), "NotSent"),
            (Sdk::dispatch_failure(ConnectorError::user(broken())), "NotSent"),
            (Sdk::dispatch_failure(ConnectorError::io(broken())), "Lost"),
            (Sdk::timeout_error("2 s"), "Lost"),
            (
                Sdk::response_error(
                    "no JSON",
                    HttpResponse::new(StatusCode::try_from(200).unwrap(), SdkBody::empty()),
                ),
                "Lost",
            ),
            (
                Sdk::service_error(said, answer),
                "Answered { status: 400, code: \"ValidationException\", message: \"said\" }",
            ),
        ] {
            let told = format!("{:?}", Failure::of_sdk(&error));
            assert!(told.starts_with(expected), "{told} of {error:?}");
        }
    }

    #[test]
    fn what_will_not_change_is_not_asked_again() {
        for (failure, may_pass) in [
            (Failure::Refused(None), false),
            (answered(403, "AccessDenied"), false),
            (answered(404, ""), false),
            (answered(400, "ThrottlingException"), true),
            (answered(500, "InternalServerError"), true),
            (Failure::Lost("connection reset".into()), true),
        ] {
            assert_eq!(failure.may_pass(), may_pass, "{failure:?}");
        }
    }

    #[test]
    fn the_message_says_what_to_do() {
        for (action, error, parts) in [
            (
                "s3:PutObject",
                answered(403, "AccessDenied"),
                ["cannot write x: s3 answered 403", "allow `s3:PutObject`"],
            ),
            (
                "s3:GetObject",
                answered(403, ""),
                ["allow `s3:GetObject` and `s3:ListBucket`", "this function's role"],
            ),
            (
                "dynamodb:UpdateItem",
                answered(400, "AccessDeniedException"),
                ["said", "allow `dynamodb:UpdateItem`"],
            ),
            ("dynamodb:Query", answered(400, "ResourceNotFoundException"), ["PERENNIAL_TABLE", "AWS_REGION"]),
            ("s3:GetObject", answered(404, "NoSuchBucket"), ["PERENNIAL_BUCKET", "AWS_REGION"]),
            (
                "sqs:SendMessage",
                answered(400, "AWS.SimpleQueueService.NonExistentQueue"),
                ["PERENNIAL_QUEUE_URL", "check"],
            ),
            ("sqs:SendMessage", answered(400, "QueueDoesNotExist"), ["PERENNIAL_QUEUE_URL", "check"]),
            (
                "cloudfront:CreateInvalidation",
                answered(404, "NoSuchDistribution"),
                ["PERENNIAL_DISTRIBUTION", "check"],
            ),
            (
                "cloudfront:CreateInvalidation",
                answered(400, "TooManyInvalidationsInProgress"),
                ["PERENNIAL_MAX_PURGES", "fewer"],
            ),
            (
                "ssm:GetParameter",
                answered(400, "ParameterNotFound"),
                ["PERENNIAL_DISTRIBUTION_FROM", "check"],
            ),
            ("dynamodb:Query", answered(400, "ThrottlingException"), ["throughput", "quota"]),
            ("s3:GetObject", answered(301, "PermanentRedirect"), ["AWS_REGION", "another region"]),
            ("sqs:SendMessage", answered(403, "ExpiredToken"), ["AWS_SESSION_TOKEN", "answered 403"]),
        ] {
            let text = shown(action, &error);
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        }
        assert!(!shown("s3:PutObject", &answered(500, "InternalError")).ends_with(": "));
    }

    #[test]
    fn a_cause_is_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer: inner")]
        struct Outer(#[source] std::io::Error);
        assert_eq!(causes(&Outer(std::io::Error::other("inner"))), "outer: inner");
        let error = Outer(std::io::Error::other("other"));
        assert_eq!(causes(&error), "outer: inner: other");
    }
}
