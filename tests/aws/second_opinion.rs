//! Records on AWS's own DynamoDB for one machine: conditions mean there what they mean on AWS.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use http::Method;
use perennial::SystemClock;
use perennial::parts::ports::stores::Stores as _;
use perennial::parts::run::settings::Settings;
use tests::client::Client;
use tests::until::until;
use tests::{Answer, Ask, Asks as _};

use crate::{account, open_stores};

/// Ends with the test.
pub(crate) struct Dynamo {
    process: Child,
    pub(crate) client: Client,
}

impl Drop for Dynamo {
    fn drop(&mut self) {
        // It holds nothing that is needed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Dynamo {
    pub(crate) async fn start() -> Self {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests crate has a parent folder");
        let folder = root.join(".tools/dynamodb-local");
        assert!(folder.exists(), "it is missing: run tests/tools/install dynamodb-local");
        let addr = TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).expect("a free port");
        let process = Command::new("java")
            .args([
                "-Djava.library.path=DynamoDBLocal_lib",
                "-jar",
                "DynamoDBLocal.jar",
                "-inMemory",
                "-port",
            ])
            .arg(addr.port().to_string())
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("`java` runs");
        let server = Self { process, client: Client { addr } };
        until("it answers", async || server.client.try_ask(call("ListTables", "{}")).await.ok()).await;
        server
    }

    pub(crate) async fn ask(&self, operation: &str, body: &str) -> Answer {
        Self::ask_at(self.client, operation, body).await
    }

    pub(crate) async fn ask_at(client: Client, operation: &str, body: &str) -> Answer {
        let answer = client.ask(call(operation, body)).await;
        assert_eq!(answer.status, 200, "{operation}: {}", answer.text());
        answer
    }
}

fn call(operation: &str, body: &str) -> Ask {
    // It wants a signature, and checks none.
    let signature = "AWS4-HMAC-SHA256 Credential=test/20200101/us-east-1/dynamodb/aws4_request, \
                     SignedHeaders=host, Signature=x";
    Ask::new(Method::POST, "/")
        .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
        .header("content-type", "application/x-amz-json-1.0")
        .header("authorization", signature)
        .body(body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_keep_the_contract() {
    let server = Dynamo::start().await;
    server.ask("CreateTable", &tests::aws::table("pages").to_string()).await;
    let given = |build: &str| {
        let url = format!("http://{}", server.client.addr);
        let given = [
            ("BUILD_ID", build),
            ("PERENNIAL_TABLE", "pages"),
            ("PERENNIAL_BUCKET", "none"),
            ("PERENNIAL_QUEUE_URL", "http://none"),
            ("AWS_ENDPOINT_URL", &url),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ];
        Settings::read(given.map(|(name, value)| (name.to_owned(), value.to_owned()))).expect("settings")
    };
    let open = |build: &str| {
        let settings = given(build);
        open_stores(&account(&settings), &settings, Arc::new(SystemClock)).pages().clone()
    };
    perennial::parts::ports::suite::pages::run(open).await;
    perennial::parts::ports::suite::pages::run_undisturbed(&open("b")).await;
}
