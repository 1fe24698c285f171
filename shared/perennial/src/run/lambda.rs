//! The HTTP events of AWS Lambda: a function's URL asks, a handler answers.

mod answer;

use std::future::Future;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Response;
use http::header::HOST;
use http::request::Parts;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use lambda_http::request::LambdaRequest;
use lambda_http::{
    Body, Error, LambdaEvent, Request, RequestExt as _, Service as _, StreamAdapter, lambda_runtime,
    service_fn,
};

use crate::key::url::{as_sent, query_as_sent};
use crate::run::lambda::answer::Answer;

/// Answers events until the process ends: each with a whole answer, or with a `stream` of it, as the `InvokeMode` of the
/// function's URL has it (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html>).
///
/// # Errors
/// The end of Lambda's runtime API.
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
        lambda_runtime::run(service_fn(move |event| adapter.clone().call(tamed(event)))).await
    } else {
        // `lambda_http`'s own adapter copies a body several times, and looks for its charset.
        let service = service_fn(move |event| {
            let answer = answer(tamed(event).payload.into());
            // Boxed, as by that adapter: the compiler has a limit of how deep futures are in one another.
            Box::pin(async move { Ok::<_, Error>(Answer::of(answer.await).await?) })
        });
        lambda_runtime::run(service).await
    }
}

fn tamed(mut event: LambdaEvent<LambdaRequest>) -> LambdaEvent<LambdaRequest> {
    if let LambdaRequest::ApiGatewayV2(event) = &mut event.payload {
        tame(event);
    }
    event
}

/// Takes out of an event what its conversion to a request would panic at: the visitor would get 502, and an alarm ring.
fn tame(event: &mut ApiGatewayV2httpRequest) {
    // Nothing goes by the host.
    event.headers.remove(HOST);
    event.request_context.domain_name = None;
    if event.raw_path.as_ref().is_some_and(|path| !path.starts_with('/')) {
        // No URL of this function: a malformed path.
        event.raw_path = Some("/%".into());
    }
    event.raw_query_string = event.raw_query_string.take().map(|query| query_as_sent(&query));
    // Bytes that are not what they are said to be are passed on as they are: no call, and nothing was signed.
    event.is_base64_encoded &= event.body.as_ref().is_none_or(|body| STANDARD.decode(body).is_ok());
}
