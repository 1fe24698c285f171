//! The service of the conformance site: tells what it was asked, and misbehaves where its path says so.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame};
use perennial::{BoxError, OriginalUri, RequestBody};
use serde_json::json;
use tokio::sync::watch;
use tower_service::Service;

/// The prefix under which the conformance site has it.
pub const PREFIX: &str = "/svc";

/// Answers what it was asked, as JSON.
#[derive(Clone)]
pub struct Echo {
    /// Whether `/go` was asked.
    goes: watch::Sender<bool>,
}

impl Default for Echo {
    fn default() -> Self {
        Self { goes: watch::Sender::new(false) }
    }
}

impl Service<Request<RequestBody>> for Echo {
    type Response = Response<Parts>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Parts>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}

impl Echo {
    async fn answer(self, request: Request<RequestBody>) -> Result<Response<Parts>, BoxError> {
        let built = Response::builder();
        let path = request.uri().path().to_owned();
        Ok(match &*path {
            "/panic" => panic!("as the path says"),
            "/error" => return Err("as the path says".into()),
            "/pending" => pending().await,
            "/upgrade" => built.status(101).body(Parts::default())?,
            "/unread" => built.body(Parts::of("without the body"))?,
            "/empty" => built.status(204).body(Parts::default())?,
            "/cacheable" => {
                built.header("cache-control", "public, s-maxage=60").body(Parts::of("for a while"))?
            }
            "/cookies" => {
                let built = built.header("set-cookie", "a=1; Path=/").header("set-cookie", "b=2");
                built.header("connection", "close").header("x-kept", "yes").body(Parts::of("two"))?
            }
            "/go" => {
                self.goes.send_replace(true);
                built.body(Parts::of("gone"))?
            }
            "/parts" => {
                built.body(Parts { first: Some("one".into()), then: second(self.goes.subscribe(), false) })?
            }
            "/broken" => {
                built.body(Parts { first: Some("one".into()), then: second(self.goes.subscribe(), true) })?
            }
            "/endless" => built.body(Parts { first: Some("one".into()), then: Box::pin(pending()) })?,
            _ => {
                let (head, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                let told = json!({
                    "method": head.method.as_str(),
                    "path": head.uri.path(),
                    "query": head.uri.query(),
                    "original": head.extensions.get::<OriginalUri>().map(|original| original.0.to_string()),
                    "headers": fields(&head.headers),
                    "body": STANDARD.encode(&body),
                });
                built.header("content-type", "application/json").body(Parts::of(told.to_string()))?
            }
        })
    }
}

/// All lines of each field.
fn fields(headers: &HeaderMap) -> BTreeMap<&str, Vec<String>> {
    let lines =
        |name| headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    headers.keys().map(|name| (name.as_str(), lines(name).collect())).collect()
}

/// An answer in one part, or with a second one that comes later.
pub struct Parts {
    first: Option<Bytes>,
    then: Pin<Box<dyn Future<Output = Option<Bytes>> + Send>>,
}

impl Default for Parts {
    fn default() -> Self {
        Self { first: None, then: Box::pin(async { None }) }
    }
}

impl Parts {
    fn of(text: impl Into<Bytes>) -> Self {
        Self { first: Some(text.into()), ..Self::default() }
    }
}

/// The second part, once `/go` was asked; or a panic in its place.
fn second(
    mut goes: watch::Receiver<bool>,
    panics: bool,
) -> Pin<Box<dyn Future<Output = Option<Bytes>> + Send>> {
    Box::pin(async move {
        let _ = goes.wait_for(|goes| *goes).await;
        assert!(!panics, "as the path says");
        Some("two".into())
    })
}

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let then = std::task::ready!(self.then.as_mut().poll(cx));
        self.then = Box::pin(async { None });
        Poll::Ready(then.map(|bytes| Ok(Frame::data(bytes))))
    }
}
