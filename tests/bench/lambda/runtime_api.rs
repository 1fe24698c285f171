//! Lambda's runtime API (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>) for one process of a
//! function, and the moments at which it was asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tests::until::soon;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

/// Under way until it is dropped.
pub(crate) struct RuntimeApi {
    pub(crate) addr: SocketAddr,
    events: mpsc::UnboundedSender<Bytes>,
    said: mpsc::UnboundedReceiver<Said>,
    _tasks: JoinSet<()>,
}

/// What the function has said.
enum Said {
    /// It waits for an event.
    Ready(Instant),
    /// Its answer has been read to the end.
    Answer(Instant, Bytes),
    /// It gave up the event, or itself.
    Error(String),
}

struct Api {
    events: Mutex<mpsc::UnboundedReceiver<Bytes>>,
    said: mpsc::UnboundedSender<Said>,
}

/// How long an invocation may take, as the function is told.
const TIMEOUT: Duration = Duration::from_secs(60);

impl RuntimeApi {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let (events, waiting) = mpsc::unbounded_channel();
        let (saying, said) = mpsc::unbounded_channel();
        let api = Arc::new(Api { events: Mutex::new(waiting), said: saying });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("accept");
                stream.set_nodelay(true).expect("a socket");
                let api = api.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| api.clone().answer(request));
                    // The process is killed in the middle of a request for the next event.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { addr, events, said, _tasks: tasks }
    }

    /// Waits until the function asks for an event.
    pub(crate) async fn ready(&mut self) -> Instant {
        match self.next().await {
            Said::Ready(at) => at,
            Said::Answer(..) => panic!("the function answered twice"),
            Said::Error(error) => panic!("the function failed: {error}"),
        }
    }

    /// Hands it an event: the time until its answer was there, and the answer. The function is ready before and after.
    pub(crate) async fn invoke(&mut self, event: &Bytes) -> (Duration, Bytes) {
        let began = Instant::now();
        self.events.send(event.clone()).expect("the API is under way");
        let (at, answer) = match self.next().await {
            Said::Answer(at, answer) => (at, answer),
            Said::Ready(_) => panic!("the function took an event and did not answer"),
            Said::Error(error) => panic!("the function failed: {error}"),
        };
        self.ready().await;
        (at - began, answer)
    }

    async fn next(&mut self) -> Said {
        soon("the function says something", self.said.recv()).await.expect("the API is under way")
    }
}

impl Api {
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let path = request.uri().path().to_owned();
        if path.ends_with("/invocation/next") {
            self.say(Said::Ready(Instant::now()));
            let event = self.events.lock().await.recv().await;
            return Ok(event.map_or_else(gone, handed_out));
        }
        let body = request.into_body().collect().await?.to_bytes();
        self.say(match path.rsplit('/').next() {
            Some("response") => Said::Answer(Instant::now(), body),
            _ => Said::Error(format!("{path}: {}", String::from_utf8_lossy(&body))),
        });
        Ok(Response::builder().status(StatusCode::ACCEPTED).body(Full::default()).expect("an answer"))
    }

    fn say(&self, said: Said) {
        // Nobody listens any more once the process has been measured.
        let _ = self.said.send(said);
    }
}

fn gone() -> Response<Full<Bytes>> {
    Response::builder().status(StatusCode::GONE).body(Full::default()).expect("an answer")
}

fn handed_out(event: Bytes) -> Response<Full<Bytes>> {
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") + TIMEOUT;
    Response::builder()
        .header("content-type", "application/json")
        .header("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
        .header("lambda-runtime-deadline-ms", deadline.as_millis().to_string())
        .header(
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:measured",
        )
        .header(
            "lambda-runtime-trace-id",
            "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0",
        )
        .body(Full::new(event))
        .expect("an answer")
}
