//! HTTP events of AWS Lambda function URLs, answered by a handler.

mod answer;

use std::future::Future;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Response;
use http::header::{HOST, HeaderMap, HeaderName};
use http::request::Parts;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use lambda_http::request::LambdaRequest;
use lambda_http::{
    Body, Error, LambdaEvent, Request, RequestExt as _, Service as _, StreamAdapter, lambda_runtime,
    service_fn,
};

use crate::key::url::{as_sent, query_as_sent};
use crate::run::lambda::answer::Answer;

/// Answers events until the process ends: with whole answers, or with streams if `stream` is set. `stream` must agree with the
/// `InvokeMode` of the function's URL: `BUFFERED` or `RESPONSE_STREAM`
/// (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html>).
///
/// # Errors
/// Lambda's runtime API has failed.
pub async fn run<A>(
    stream: bool,
    answer: impl Fn(Parts, Body) -> A + Clone + Send + 'static,
) -> Result<(), Error>
where
    A: Future<Output = Response<crate::look::body::Body>> + Send + 'static,
{
    let answer = move |request: Request| {
        let target = as_sent(request.raw_http_path(), request.uri());
        let (mut parts, body) = request.into_parts();
        parts.uri = target;
        give_back_host(&mut parts.headers);
        answer(parts, body)
    };
    if stream {
        let service = service_fn(move |request| {
            let answer = answer(request);
            async move {
                let mut answer = answer.await;
                let headers = std::mem::take(answer.headers_mut());
                *answer.headers_mut() = answer::streamable(headers);
                Ok::<_, Error>(answer)
            }
        });
        let adapter = StreamAdapter::from(service);
        lambda_runtime::run(service_fn(move |event| adapter.clone().call(sanitized(event)))).await
    } else {
        // Not `lambda_http`'s own adapter: it copies a body several times, and searches for its charset.
        let service = service_fn(move |event| {
            let answer = answer(sanitized(event).payload.into());
            // Boxed, because the compiler limits how deeply futures nest.
            Box::pin(async move { Ok::<_, Error>(Answer::of(answer.await).await?) })
        });
        lambda_runtime::run(service).await
    }
}

/// The bytes of an event's body.
pub fn bytes(body: Body) -> Bytes {
    match body {
        Body::Text(text) => text.into(),
        Body::Binary(bytes) => bytes.into(),
        _ => Bytes::new(),
    }
}

/// Where the host stands while an event becomes a request.
const SET_ASIDE: HeaderName = HeaderName::from_static("x-perennial-host");

/// The host is back in its place for the services of a site; no other field has its name.
fn give_back_host(headers: &mut HeaderMap) {
    if let Some(host) = headers.remove(SET_ASIDE) {
        headers.insert(HOST, host);
    }
}

fn sanitized(mut event: LambdaEvent<LambdaRequest>) -> LambdaEvent<LambdaRequest> {
    if let LambdaRequest::ApiGatewayV2(event) = &mut event.payload {
        sanitize(event);
    }
    event
}

/// Replaces values at which the conversion of an event to a request would panic: the visitor would get 502, and the alarm on
/// errors would go off.
fn sanitize(event: &mut ApiGatewayV2httpRequest) {
    // The conversion would make a URL of the host. A field of that name that a visitor has sent does not count.
    event.headers.remove(SET_ASIDE);
    if let Some(host) = event.headers.remove(HOST) {
        event.headers.insert(SET_ASIDE, host);
    }
    event.request_context.domain_name = None;
    if event.raw_path.as_ref().is_some_and(|path| !path.starts_with('/')) {
        // A path that no URL has. `/%` is malformed, too, and gets the same answer.
        event.raw_path = Some("/%".into());
    }
    event.raw_query_string = event.raw_query_string.take().map(|query| query_as_sent(&query));
    // A body that is not the base64 it claims to be is passed on unchanged: no call and no signature matches it.
    event.is_base64_encoded &= event.body.as_ref().is_none_or(|body| STANDARD.decode(body).is_ok());
}
