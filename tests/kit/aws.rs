//! AWS on this machine: ministack, one server for all tests of a process, and a deployment's table, bucket and queue on
//! it for each test.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::answer::{Answer, Ask, Asks};
use crate::client::Client;
use crate::until::until;

/// Ends the server when this process ends, however it does: nobody holds the other end of its standard input any more.
const UNTIL_WE_END: &str = "\"$@\" </dev/null & server=$!; cat >/dev/null; kill $server";

/// A deployment's stores, empty. Other tests have others.
#[derive(Clone, Debug)]
pub struct Aws {
    pub(crate) server: SocketAddr,
    /// Name of the table.
    pub table: String,
    /// Name of the bucket.
    pub bucket: String,
    /// The queue.
    pub queue_url: String,
    /// The queue of what cannot be worked.
    pub dead_letters_url: String,
}

impl Aws {
    /// Makes what the template makes.
    pub async fn start() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let server = server().await;
        let name = format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let bare = Self {
            server,
            table: name.clone(),
            bucket: name.clone(),
            queue_url: String::new(),
            dead_letters_url: String::new(),
        };
        bare.json("DynamoDB_20120810.CreateTable", &table(&name)).await;
        let made = bare.rest(Method::PUT, &format!("/{name}"), "").await;
        assert_eq!(made.status, 200, "{}", made.text());
        let dead_letters_url = bare.queue(&format!("{name}-dead"), json!({})).await;
        let redrive = json!({
            "deadLetterTargetArn": format!("arn:aws:sqs:us-east-1:000000000000:{name}-dead"),
            // As a string: attributes are texts, and so are the numbers inside this one.
            "maxReceiveCount": "5",
        });
        let attributes = json!({ "RedrivePolicy": redrive.to_string() });
        let queue_url = bare.queue(&name, attributes).await;
        Self { queue_url, dead_letters_url, ..bare }
    }

    async fn queue(&self, name: &str, attributes: Value) -> String {
        let asked = json!({ "QueueName": name, "Attributes": attributes });
        let made = self.json("AmazonSQS.CreateQueue", &asked).await;
        made["QueueUrl"].as_str().expect("a queue has a URL").to_owned()
    }

    /// Where the server listens.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// What the server is called by.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server)
    }

    /// The settings of a program on these stores.
    pub fn settings(&self) -> Vec<(String, String)> {
        let stores = [
            ("PERENNIAL_TABLE", &self.table),
            ("PERENNIAL_BUCKET", &self.bucket),
            ("PERENNIAL_QUEUE_URL", &self.queue_url),
        ];
        let stores = stores.map(|(name, value)| (name.to_owned(), value.clone()));
        stores.into_iter().chain(account(self.server)).collect()
    }

    /// Calls an operation of a service that speaks JSON, by its target. The server checks no signatures.
    ///
    /// # Panics
    /// If it fails.
    pub async fn json(&self, target: &str, body: &Value) -> Value {
        let ask = Ask::new(Method::POST, "/").header("x-amz-target", target).body(body.to_string());
        let answer = self.ask(ask.header("content-type", "application/x-amz-json-1.0")).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        // Some operations answer with nothing.
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    /// Calls an operation of a service that speaks forms and XML.
    ///
    /// # Panics
    /// If it fails.
    pub async fn query(&self, service: &str, fields: &[(&str, &str)]) -> String {
        query(self.server, service, fields).await
    }

    /// The items of each order that a distribution has got, the newest order first.
    pub async fn orders(&self, distribution: &str) -> Vec<Vec<String>> {
        let target = format!("/2020-05-31/distribution/{distribution}/invalidation");
        let mut orders = Vec::new();
        for order in elements(&self.rest(Method::GET, &target, "").await.text(), "Id") {
            let order = self.rest(Method::GET, &format!("{target}/{order}"), "").await;
            orders.push(elements(&order.text(), "Path"));
        }
        orders
    }

    /// Calls a service that speaks in methods and paths.
    pub async fn rest(&self, method: Method, target: &str, body: impl Into<Bytes>) -> Answer {
        self.ask(Ask::new(method, target).body(body)).await
    }
}

impl Asks for Aws {
    async fn ask(&self, ask: Ask) -> Answer {
        Client { addr: self.server }.ask(ask).await
    }
}

/// The settings of a program that calls the server.
pub(crate) fn account(server: SocketAddr) -> [(String, String); 4] {
    [
        ("AWS_ENDPOINT_URL", &*format!("http://{server}")),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
}

pub(crate) async fn query(server: SocketAddr, service: &str, fields: &[(&str, &str)]) -> String {
    let ask = Ask::new(Method::POST, "/").header("authorization", &*signed_for(service));
    let ask = ask.header("content-type", "application/x-www-form-urlencoded").body(form(fields));
    let answer = Client { addr: server }.ask(ask).await;
    assert_eq!(answer.status, 200, "{fields:?}: {answer}");
    answer.text()
}

pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// Names the service that is called; nobody checks the signature.
pub(crate) fn signed_for(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    )
}

/// The server of this process.
pub(crate) async fn server() -> SocketAddr {
    static SERVER: OnceCell<SocketAddr> = OnceCell::const_new();
    *SERVER.get_or_init(serve).await
}

/// What all elements of a name hold in an answer of a service that speaks XML.
pub fn elements(xml: &str, name: &str) -> Vec<String> {
    let start = format!("<{name}>");
    xml.split(&start).skip(1).filter_map(|rest| Some(rest.split_once('<')?.0.to_owned())).collect()
}

/// The template's table, as `CreateTable` takes it.
pub fn table(name: &str) -> Value {
    let keys = |hash: &str, range: &str| json!([{ "AttributeName": hash, "KeyType": "HASH" }, { "AttributeName": range, "KeyType": "RANGE" }]);
    let text = |name: &str| json!({ "AttributeName": name, "AttributeType": "S" });
    json!({
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": keys("pk", "sk"),
        "AttributeDefinitions": [text("pk"), text("sk"), text("lpk"), text("lsk")],
        "GlobalSecondaryIndexes": [{
            "IndexName": "list",
            "KeySchema": keys("lpk", "lsk"),
            "Projection": { "ProjectionType": "KEYS_ONLY" },
        }],
    })
}

async fn serve() -> SocketAddr {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests crate has a parent folder");
    let program = root.join(".tools/ministack/bin/ministack");
    assert!(program.exists(), "ministack is missing: run tests/tools/install ministack");
    let addr = free_address();
    let mut command = Command::new("sh");
    command.args(["-c", UNTIL_WE_END, "sh"]).arg(&program).env_clear();
    // Its defaults are all interfaces, here and for a broker of its own.
    command.envs([("BIND_HOST", "127.0.0.1"), ("MINISTACK_HOST", "127.0.0.1"), ("IOT_MTLS_ENABLED", "0")]);
    command.env("GATEWAY_PORT", addr.port().to_string()).env("AWS_ENDPOINT_URL", format!("http://{addr}"));
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    let server = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    // Held open until this process ends.
    std::mem::forget(server.expect("`sh` runs").stdin);
    until("ministack answers", async || {
        let health = Client { addr }.try_ask(Ask::get("/_ministack/health")).await.ok()?;
        (health.status == 200).then_some(())
    })
    .await;
    addr
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port on loopback");
    listener.local_addr().expect("bound")
}
