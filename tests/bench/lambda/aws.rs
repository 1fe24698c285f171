//! AWS as the functions see it: over TLS, and quick. What is read is asked of the local server once and then repeated,
//! because that server takes longer for an answer than a function does for a visitor.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tests::client::Client;
use tests::{Answer, Ask, Asks as _, Aws};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Under way until the program ends.
pub(crate) struct Replay {
    /// Where it listens.
    pub(crate) url: String,
    /// The root of its certificate, as PEM.
    pub(crate) root: String,
}

struct Known {
    server: Client,
    answers: Mutex<HashMap<Question, Answer>>,
}

/// Which questions are the same: method, target, operation and body. The members of a JSON object come in any order,
/// so of the body only length and sum count.
type Question = (Method, String, String, usize, u64);

impl Replay {
    /// In front of the server, in the task of whoever waits.
    pub(crate) async fn start(aws: &Aws) -> Self {
        let (root, config) = tls();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("https://{}", listener.local_addr().expect("bound"));
        let server = Client { addr: aws.server() };
        let known = Arc::new(Known { server, answers: Mutex::default() });
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accept");
                stream.set_nodelay(true).expect("a socket");
                let (acceptor, known) = (acceptor.clone(), known.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| known.clone().answer(request));
                    // A process that has been measured is killed, and its connections with it.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let _ = hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    }
                });
            }
        });
        Self { url, root }
    }
}

impl Known {
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let operation = head.headers.get("x-amz-target").map_or("", |name| name.to_str().expect("a name"));
        let reads = match operation {
            "" => head.method == Method::GET || head.method == Method::HEAD,
            name => name.ends_with("GetItem"),
        };
        let sum = body.iter().map(|byte| u64::from(*byte)).sum();
        let question = (head.method.clone(), head.uri.to_string(), operation.to_owned(), body.len(), sum);
        if let Some(answer) = self.answers.lock().expect("unpoisoned").get(&question) {
            return Ok(as_response(answer.clone()));
        }
        let ask = Ask::new(head.method, head.uri.to_string()).body(body);
        let answer = self.server.ask(Ask { headers: end_to_end(&head.headers), ..ask }).await;
        let mut answers = self.answers.lock().expect("unpoisoned");
        match reads {
            true => drop(answers.insert(question, answer.clone())),
            // What was read may have changed.
            false => answers.clear(),
        }
        Ok(as_response(answer))
    }
}

/// Header fields that a server in between passes on.
fn end_to_end(fields: &HeaderMap) -> Vec<(String, String)> {
    let own = ["connection", "content-length", "date", "expect", "host", "transfer-encoding"];
    let passed = fields.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    passed.map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned())).collect()
}

fn as_response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in end_to_end(&answer.headers) {
        response = response.header(name, value);
    }
    response.body(Full::new(answer.body)).expect("an answer")
}

/// A certificate under a root of its own, with one between them as those of AWS have.
fn tls() -> (String, ServerConfig) {
    let authority = |name: &str| {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        (params, KeyPair::generate().expect("a key"))
    };
    let (params, key) = authority("root");
    let root = CertifiedIssuer::self_signed(params, key).expect("a certificate");
    let (params, key) = authority("between");
    let between = CertifiedIssuer::signed_by(params, key, &root).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name").signed_by(&key, &between);
    let chain: Vec<CertificateDer<'static>> =
        vec![leaf.expect("a certificate").der().clone(), between.der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key);
    (root.pem(), config.expect("a certificate and its key"))
}
