//! The upstream that decides every render: an HTTP server on a free port, scripted by the test.
//!
//! A call is logged when it arrives and its reply is chosen then; a [`Gate`] holds the reply back, so that a test
//! can look at the site while a render is under way without guessing how long anything takes.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::until::soon;

/// One call of a data function.
#[derive(Clone, Debug)]
pub struct Call {
    /// The route's pattern.
    pub route: String,
    /// The page's decoded path.
    pub path: String,
    /// `build`, `first`, `stale` or `on-demand`.
    pub reason: String,
    /// The page's parameters.
    pub params: Value,
    /// Its declared query parameters.
    pub query: Value,
}

/// Holds replies back until it is opened.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets through all replies behind it, now and later.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn passed(&self) {
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// What the upstream does with one call.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    retry_after: Option<String>,
    body: String,
    delay: Duration,
    gate: Option<Gate>,
    hang_up: bool,
}

impl<T: Into<Value>> From<T> for Reply {
    fn from(body: T) -> Self {
        Self::raw(body.into().to_string())
    }
}

impl Reply {
    /// 200 with a body that need not be JSON.
    pub fn raw(body: impl Into<String>) -> Self {
        Self {
            status: 200,
            retry_after: None,
            body: body.into(),
            delay: Duration::ZERO,
            gate: None,
            hang_up: false,
        }
    }

    /// A page that shows this value.
    pub fn value(value: &str) -> Self {
        json!({ "value": value }).into()
    }

    /// The data function fails with this message.
    pub fn throw(message: &str) -> Self {
        json!({ "throw": message }).into()
    }

    /// Only a status.
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::raw("") }
    }

    /// Closes the connection without an answer.
    pub fn hang_up() -> Self {
        Self { hang_up: true, ..Self::raw("") }
    }

    /// With `Retry-After`.
    pub fn retry_after(mut self, text: impl Into<String>) -> Self {
        self.retry_after = Some(text.into());
        self
    }

    /// Held back until the gate opens.
    pub fn behind(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    /// Held back for so long: for loads, where rates matter.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

type Script = Arc<dyn Fn(&Call) -> Reply + Send + Sync>;

#[derive(Default)]
struct State {
    standing: HashMap<String, Script>,
    otherwise: Option<Script>,
    queued: HashMap<String, VecDeque<Reply>>,
    lists: HashMap<String, Reply>,
    calls: Vec<Call>,
    /// Reasons of the calls under way.
    running: Vec<String>,
    most_running: usize,
}

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    refusing: AtomicBool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server. It ends with the value.
pub struct Upstream {
    addr: SocketAddr,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Upstream {
    /// On a free port of the loopback, answering every call with the value `v`.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound port");
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: watch::Sender::new(()),
            refusing: AtomicBool::new(false),
        });
        let server = tokio::spawn(serve(listener, shared.clone()));
        Self { addr, shared, server }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// From now on, the reply for a decoded path.
    pub fn on(&self, path: &str, reply: impl Into<Reply>) {
        let reply = reply.into();
        self.script(path, move |_| reply.clone());
    }

    /// From now on, what decides the reply for a decoded path.
    pub fn script(&self, path: &str, script: impl Fn(&Call) -> Reply + Send + Sync + 'static) {
        self.shared.state().standing.insert(path.to_owned(), Arc::new(script));
    }

    /// From now on, what decides the reply for all other paths.
    pub fn otherwise(&self, script: impl Fn(&Call) -> Reply + Send + Sync + 'static) {
        self.shared.state().otherwise = Some(Arc::new(script));
    }

    /// The reply to the next call for a path that has none queued before it; used once.
    pub fn next(&self, path: &str, reply: impl Into<Reply>) {
        self.shared.state().queued.entry(path.to_owned()).or_default().push_back(reply.into());
    }

    /// What `paths` of a route gives: a list of parameter objects.
    pub fn list(&self, pattern: &str, params: impl Into<Value>) {
        self.list_reply(pattern, json!({ "params": params.into() }));
    }

    /// What `paths` of a route is answered, right or wrong.
    pub fn list_reply(&self, pattern: &str, reply: impl Into<Reply>) {
        self.shared.state().lists.insert(pattern.to_owned(), reply.into());
    }

    /// Whether connections are closed as soon as they are made.
    pub fn refuse(&self, yes: bool) {
        self.shared.refusing.store(yes, Ordering::SeqCst);
    }

    /// All calls so far, for a decoded path.
    pub fn calls(&self, path: &str) -> Vec<Call> {
        self.shared.state().calls.iter().filter(|call| call.path == path).cloned().collect()
    }

    /// The paths of all calls so far, in order.
    pub fn paths(&self) -> Vec<String> {
        self.shared.state().calls.iter().map(|call| call.path.clone()).collect()
    }

    /// How many calls there were for a decoded path.
    pub fn count(&self, path: &str) -> usize {
        self.calls(path).len()
    }

    /// How many calls there were for all paths.
    pub fn count_all(&self) -> usize {
        self.shared.state().calls.len()
    }

    /// The reasons of all calls for a path, in order.
    pub fn reasons(&self, path: &str) -> Vec<String> {
        self.calls(path).into_iter().map(|call| call.reason).collect()
    }

    /// The largest number of calls that were under way at once.
    pub fn most_at_once(&self) -> usize {
        self.shared.state().most_running
    }

    /// How many calls with this reason are under way.
    pub fn under_way(&self, reason: &str) -> usize {
        self.shared.state().running.iter().filter(|running| *running == reason).count()
    }

    /// Waits until there were `n` calls for a path.
    ///
    /// # Panics
    /// If that takes too long.
    pub async fn wait_for_calls(&self, path: &str, n: usize) {
        self.wait(&format!("{n} calls for {path}"), |state| {
            state.calls.iter().filter(|c| c.path == path).count() >= n
        })
        .await;
    }

    /// Waits until there were `n` calls for all paths.
    pub async fn wait_for_all_calls(&self, n: usize) {
        self.wait(&format!("{n} calls"), |state| state.calls.len() >= n).await;
    }

    /// Waits until no call is under way.
    pub async fn wait_until_idle(&self) {
        self.wait("no call under way", |state| state.running.is_empty()).await;
    }

    async fn wait(&self, what: &str, mut done: impl FnMut(&State) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        soon(what, async {
            while !done(&self.shared.state()) {
                let _ = changed.changed().await;
            }
        })
        .await;
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Dropping the set ends its connections with the server.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        if shared.refusing.load(Ordering::SeqCst) {
            continue;
        }
        let shared = shared.clone();
        let service = hyper::service::service_fn(move |request| answer(shared.clone(), request));
        connections.spawn(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
        );
        while connections.try_join_next().is_some() {}
    }
}

/// A call under way; its end is seen even when the caller went away.
struct Running {
    shared: Arc<Shared>,
    reason: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if let Some(at) = state.running.iter().position(|reason| *reason == self.reason) {
            state.running.swap_remove(at);
        }
        drop(state);
        self.shared.changed.send_replace(());
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: http::Request<Incoming>,
) -> Result<http::Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let query: HashMap<String, String> =
        form_urlencoded::parse(request.uri().query().unwrap_or("").as_bytes()).into_owned().collect();
    let field = |name: &str| query.get(name).cloned().unwrap_or_default();
    if request.uri().path() == "/paths" {
        let reply = shared.state().lists.get(&field("route")).cloned();
        return respond(reply.unwrap_or_else(|| json!({ "params": [] }).into())).await;
    }
    let json = |name: &str| serde_json::from_str(&field(name)).unwrap_or(Value::Null);
    let call = Call {
        route: field("route"),
        path: field("path"),
        reason: field("reason"),
        params: json("params"),
        query: json("query"),
    };
    let reason = call.reason.clone();
    let reply = begin(&shared, call);
    let _running = Running { shared, reason };
    respond(reply).await
}

fn begin(shared: &Shared, call: Call) -> Reply {
    let mut state = shared.state();
    let queued = state.queued.get_mut(&call.path).and_then(VecDeque::pop_front);
    let reply = queued.unwrap_or_else(|| {
        let script = state.standing.get(&call.path).or(state.otherwise.as_ref()).cloned();
        script.map_or_else(|| Reply::value("v"), |script| script(&call))
    });
    state.running.push(call.reason.clone());
    state.most_running = state.most_running.max(state.running.len());
    state.calls.push(call);
    drop(state);
    shared.changed.send_replace(());
    reply
}

async fn respond(
    reply: Reply,
) -> Result<http::Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    if let Some(gate) = &reply.gate {
        gate.passed().await;
    }
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    if reply.hang_up {
        return Err("the script hangs up".into());
    }
    let mut response =
        http::Response::builder().status(reply.status).header("content-type", "application/json");
    if let Some(text) = reply.retry_after {
        response = response.header("retry-after", text);
    }
    Ok(response.body(Full::new(Bytes::from(reply.body)))?)
}
