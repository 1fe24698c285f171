//! An HTTP proxy between the stores and the server: writes down each call, and lets some go wrong.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use perennial::parts::look::body::Body;
use perennial::parts::ports::error::StoreError;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

use crate::client::Client;
use crate::{Ask, Aws};

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Refused because there are too many; nothing happens.
    Throttled,
    /// The connection breaks before the call arrives.
    LostBefore,
    /// It is carried out, and the connection breaks before its answer.
    LostAfter,
    /// It is carried out, and half of its answer comes; the connection breaks with [`Between::break_off`].
    LostMidway,
    /// It takes a while.
    Slow,
    /// It takes so long.
    Late(Duration),
    /// It is never answered, and never carried out.
    Silent,
    /// BatchGetItem leaves items unread whose partition key begins so, as DynamoDB does if that key has more readers than
    /// one key takes; asked for nothing else, it refuses the call. Other calls pass.
    Hot(&'static str),
    /// The service has an error of its own; nothing happens.
    ServerError,
}

type Plan = Box<dyn Fn(&Call) -> Option<Fault> + Send + Sync>;

/// A call that arrives.
pub struct Call {
    /// `BatchGetItem`, `SendMessage`; `GET` for S3.
    pub name: String,
    /// Whether it has been tried before.
    pub is_repeated: bool,
}

struct State {
    server: SocketAddr,
    /// Where calls of DynamoDB go instead.
    dynamodb: Option<SocketAddr>,
    calls: Mutex<Vec<String>>,
    plan: Plan,
    break_off: Notify,
    /// How long each call is held, in milliseconds.
    delay_ms: AtomicU64,
}

/// Under way until it is dropped.
pub struct Between {
    addr: SocketAddr,
    state: Arc<State>,
    accepting: AbortHandle,
}

impl Between {
    /// Lets everything through.
    pub async fn start(aws: &Aws) -> Self {
        Self::with(aws, |_| None).await
    }

    /// Lets everything through, and takes calls of DynamoDB to a server of its own.
    pub async fn beside(aws: &Aws, dynamodb: SocketAddr) -> Self {
        Self::before(aws.server(), Some(dynamodb), Box::new(|_| None)).await
    }

    /// Asks what goes wrong with each call, as it arrives.
    pub async fn with(aws: &Aws, plan: impl Fn(&Call) -> Option<Fault> + Send + Sync + 'static) -> Self {
        Self::before(aws.server(), None, Box::new(plan)).await
    }

    async fn before(server: SocketAddr, dynamodb: Option<SocketAddr>, plan: Plan) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let (calls, break_off) = (Mutex::default(), Notify::new());
        let delay_ms = AtomicU64::new(0);
        let state = Arc::new(State { server, dynamodb, calls, plan, break_off, delay_ms });
        let passed = state.clone();
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accept");
                let state = passed.clone();
                let answer = service_fn(move |request| pass(state.clone(), request));
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                // It ends with an error where a fault wants it to.
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Self { addr, state, accepting: accepting.abort_handle() }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Holds each call for so long from now on.
    pub fn delay(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).expect("a short time");
        self.state.delay_ms.store(ms, Ordering::Relaxed);
    }

    /// Breaks the connection of an answer that is [`Fault::LostMidway`], or of the next one.
    pub fn break_off(&self) {
        self.state.break_off.notify_one();
    }

    /// Names of the calls since the last time this was asked: `BatchGetItem`, `SendMessage`, `GET` for S3.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.state.calls.lock().expect("unpoisoned"))
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn target(request: &Request<Incoming>) -> Option<&str> {
    request.headers().get("x-amz-target").and_then(|target| target.to_str().ok())
}

/// `DynamoDB_20120810.GetItem` is `GetItem`; a call of S3 goes by its method.
fn name(request: &Request<Incoming>) -> String {
    let operation = target(request).and_then(|target| target.split('.').next_back());
    operation.map_or_else(|| request.method().to_string(), str::to_owned)
}

async fn pass(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, std::io::Error> {
    let attempt = request.headers().get("amz-sdk-request").and_then(|value| value.to_str().ok());
    let is_repeated = attempt.is_some_and(|attempt| !attempt.contains("attempt=1"));
    let call = Call { name: name(&request), is_repeated };
    state.calls.lock().expect("unpoisoned").push(call.name.clone());
    let broken = || std::io::Error::other("as planned");
    let delay = Duration::from_millis(state.delay_ms.load(Ordering::Relaxed));
    if !delay.is_zero() {
        crate::until::pass(delay).await;
    }
    let fault = (state.plan)(&call);
    match fault {
        Some(Fault::LostBefore) => return Err(broken()),
        Some(Fault::Throttled) => {
            return Ok(error(&call.name, 400, "ProvisionedThroughputExceededException"));
        }
        Some(Fault::ServerError) => return Ok(error(&call.name, 500, "InternalServerError")),
        Some(Fault::Slow) => crate::until::pass(Duration::from_millis(200)).await,
        Some(Fault::Late(pause)) => crate::until::pass(pause).await,
        Some(Fault::Silent) => std::future::pending().await,
        Some(Fault::Hot(_) | Fault::LostAfter | Fault::LostMidway) | None => {}
    }
    let is_dynamodb = target(&request).is_some_and(|target| target.starts_with("DynamoDB_"));
    let (head, body) = request.into_parts();
    let mut body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let mut unread = None;
    if let Some(Fault::Hot(key)) = fault
        && call.name == "BatchGetItem"
    {
        let (rest, left) = without(&body, key);
        let Some(rest) = rest else {
            return Ok(error(&call.name, 400, "ProvisionedThroughputExceededException"));
        };
        (body, unread) = (rest, left);
    }
    let mut ask = Ask::new(head.method, head.uri.to_string()).body(body);
    for (name, value) in &head.headers {
        if name != "content-length" && name != "transfer-encoding" {
            ask = ask.header(name.as_str(), value.to_str().expect("a readable header"));
        }
    }
    let addr = state.dynamodb.filter(|_| is_dynamodb).unwrap_or(state.server);
    let answer = Client { addr }.try_ask(ask).await.map_err(std::io::Error::other)?;
    if fault == Some(Fault::LostAfter) {
        return Err(broken());
    }
    let mut response = Response::new(Body::default());
    *response.status_mut() = http::StatusCode::from_u16(answer.status).expect("a status");
    *response.headers_mut() = answer.headers;
    *response.body_mut() = match (fault, unread) {
        (Some(Fault::LostMidway), _) => half(state, &answer.body),
        (_, Some(unread)) => {
            response.headers_mut().remove("content-length");
            // The SDK checks it against the body.
            response.headers_mut().remove("x-amz-crc32");
            let mut said: Value = serde_json::from_slice(&answer.body).expect("JSON");
            said["UnprocessedKeys"] = unread;
            said.to_string().into()
        }
        _ => answer.body.into(),
    };
    response.headers_mut().remove("transfer-encoding");
    response.headers_mut().remove("connection");
    Ok(response)
}

/// What BatchGetItem asks for without items whose partition key begins with `key`, unless that is nothing; and what it
/// then leaves unread, if that is anything.
fn without(asked: &Bytes, key: &str) -> (Option<Bytes>, Option<Value>) {
    let mut asked: Value = serde_json::from_slice(asked).expect("JSON");
    let mut unread = asked["RequestItems"].clone();
    let is_hot = |item: &Value| item["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with(key));
    let keep = |tables: &mut Value, hot: bool| {
        let tables = tables.as_object_mut().expect("tables").values_mut();
        let keys = tables.map(|table| table["Keys"].as_array_mut().expect("keys"));
        keys.map(|keys| {
            keys.retain(|item| is_hot(item) == hot);
            keys.len()
        })
        .sum::<usize>()
    };
    let rest = keep(&mut asked["RequestItems"], false);
    let left = keep(&mut unread, true);
    ((rest > 0).then(|| asked.to_string().into()), (left > 0).then_some(unread))
}

/// The first half of a body; it breaks off when it is told to.
fn half(state: Arc<State>, all: &Bytes) -> Body {
    let (say, parts) = mpsc::channel(1);
    let begin = all.slice(..all.len() / 2);
    tokio::spawn(async move {
        let _ = say.send(Ok(begin)).await;
        state.break_off.notified().await;
        let _ = say.send(Err(StoreError::refused("as planned"))).await;
    });
    Body::Stream(parts)
}

/// An error as the service that was called spells it.
fn error(name: &str, status: u16, code: &str) -> Response<Body> {
    if ["GET", "HEAD", "PUT", "DELETE"].contains(&name) {
        let mut response = Response::new("<Error><Code>SlowDown</Code></Error>".into());
        *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        return response;
    }
    let text = format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"as planned"}}"#);
    let mut response = Response::new(text.into());
    *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
    response
        .headers_mut()
        .insert("content-type", http::HeaderValue::from_static("application/x-amz-json-1.0"));
    response
}
