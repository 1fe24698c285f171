//! What stands before the functions: their URLs, as one address. It turns requests into events and answers back, byte by
//! byte as a function's URL does. The local server has one too, but it decodes paths and rewrites queries, which a
//! function's URL passes on as they were sent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::answer::{Ask, Asks as _};
use crate::client::Client;
use crate::deployed::Deployed;

/// The paths, at the top and below the site's base path, that the template's distribution sends to revalidate.
const PUBLISHERS: [&str; 4] = ["/api/revalidate", "/api/draft", "/api/draft/clear", "/api/publish"];

/// And those below these.
const BELOW: [&str; 2] = ["/api/revalidate/", "/api/publish/"];

/// Listens until it is dropped.
pub struct Front {
    addr: SocketAddr,
    functions: Arc<Functions>,
    _server: AbortOnDropHandle<()>,
}

struct Functions {
    server: Client,
    serve: String,
    revalidate: String,
    base_path: String,
    /// Calls of serve that are under way.
    serving: AtomicUsize,
}

type Broken = Box<dyn std::error::Error + Send + Sync>;

impl Front {
    /// Before the functions of a stack.
    pub async fn start(stack: &Deployed) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound port");
        let functions = Arc::new(Functions {
            server: Client { addr: stack.aws.server() },
            serve: stack.resource("Serve").to_owned(),
            revalidate: stack.resource("Revalidate").to_owned(),
            base_path: stack.base_path().to_owned(),
            serving: AtomicUsize::new(0),
        });
        let of = functions.clone();
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let functions = of.clone();
                let service = hyper::service::service_fn(move |request| answer(functions.clone(), request));
                // Longer heads than the limits of serve, which is to refuse them itself.
                let mut http = hyper::server::conn::http1::Builder::new();
                http.max_buf_size(1 << 20);
                connections.spawn(http.serve_connection(TokioIo::new(stream), service));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { addr, functions, _server: AbortOnDropHandle::new(server) }
    }

    /// How many calls of serve are under way.
    pub fn serving(&self) -> usize {
        self.functions.serving.load(Ordering::SeqCst)
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client { addr: self.addr }
    }
}

async fn answer(
    functions: Arc<Functions>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Broken> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path = head.uri.path();
    let path = path.strip_prefix(&*functions.base_path).unwrap_or(path);
    let is_publisher = PUBLISHERS.contains(&path) || BELOW.iter().any(|below| path.starts_with(below));
    let function = if is_publisher { &functions.revalidate } else { &functions.serve };
    let target = format!("/2015-03-31/functions/{function}/invocations");
    let ask = Ask::new(Method::POST, target).body(event(&head, &body).to_string());
    // An invocation goes on when whoever asked for it goes away.
    let invoked = tokio::spawn(async move {
        let one = usize::from(!is_publisher);
        functions.serving.fetch_add(one, Ordering::SeqCst);
        let answer = functions.server.ask(ask).await;
        functions.serving.fetch_sub(one, Ordering::SeqCst);
        answer
    });
    response(&invoked.await?.body)
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads>
fn event(head: &http::request::Parts, body: &[u8]) -> Value {
    let mut headers = serde_json::Map::new();
    let mut cookies: Vec<Value> = Vec::new();
    for name in head.headers.keys() {
        let all: Vec<_> = head
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        if name == "cookie" {
            cookies.extend(all.iter().flat_map(|all| all.split("; ")).map(Value::from));
        } else {
            headers.insert(name.as_str().to_owned(), all.join(",").into());
        }
    }
    let host = "urlid.lambda-url.us-east-1.on.aws";
    for (name, value) in [
        ("host", host),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-for", "127.0.0.1"),
    ] {
        headers.insert(name.to_owned(), value.into());
    }
    let path = head.uri.path();
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": head.uri.query().unwrap_or(""),
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "urlid",
            "domainName": host,
            "domainPrefix": "urlid",
            "http": { "method": head.method.as_str(), "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": headers.get("user-agent") },
            "requestId": "00000000-0000-0000-0000-000000000000",
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000",
            "timeEpoch": 1_767_225_600_000_u64,
        },
        "isBase64Encoded": false,
    });
    if !cookies.is_empty() {
        event["cookies"] = cookies.into();
    }
    if !body.is_empty() {
        let is_text = head
            .headers
            .get("content-type")
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.starts_with("text/") || kind.starts_with("application/json"));
        match std::str::from_utf8(body).ok().filter(|_| is_text) {
            Some(text) => event["body"] = text.into(),
            None => {
                event["body"] = STANDARD.encode(body).into();
                event["isBase64Encoded"] = true.into();
            }
        }
    }
    event
}

fn response(answered: &[u8]) -> Result<Response<Full<Bytes>>, Broken> {
    let answered: Value = serde_json::from_slice(answered)?;
    let Some(status) = answered["statusCode"].as_u64() else {
        // What a URL answers for a function that failed. The body is for whoever reads the test's message.
        return Ok(Response::builder().status(502).body(Full::new(Bytes::from(answered.to_string())))?);
    };
    let mut response = Response::builder().status(u16::try_from(status)?);
    for (name, value) in answered["headers"].as_object().into_iter().flatten() {
        response = response.header(name, value.as_str().ok_or("a field is not a text")?);
    }
    for cookie in answered["cookies"].as_array().into_iter().flatten() {
        response = response.header("set-cookie", cookie.as_str().ok_or("a cookie is not a text")?);
    }
    let body = answered["body"].as_str().unwrap_or("");
    let body =
        if answered["isBase64Encoded"] == true { STANDARD.decode(body)? } else { body.as_bytes().to_vec() };
    Ok(response.body(Full::new(Bytes::from(body)))?)
}
