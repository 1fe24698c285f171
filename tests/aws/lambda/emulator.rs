//! The three functions as Lambda runs them: programs that fetch events from a runtime API. The API and the URL in front
//! are cargo-lambda's; the store is embedded and shared by the three.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tests::Asks;
use tests::answer::{Answer, Ask};
use tests::client::Client;
use tests::until::until;
use tokio::process::{Child, Command};

/// The secret of the revalidate endpoint.
pub(crate) const SECRET: &str = "lambda-secret";

/// The program that [`Lambda::of_test_program`] runs. The emulator knows functions by the programs of the workspace.
pub(crate) const TEST_PROGRAM: &str = "conformance-function";

/// Under way; everything is killed and removed when dropped.
pub(crate) struct Lambda {
    client: Client,
    _processes: Vec<Child>,
    store: tempfile::TempDir,
}

impl Lambda {
    /// Starts the emulator and the functions on a new store.
    pub(crate) async fn start() -> Self {
        Self::of(["serve", "regenerate", "revalidate"].map(|name| (name, None)), &[]).await
    }

    /// The same with one function: the test program [`TEST_PROGRAM`], told what to be.
    pub(crate) async fn of_test_program(told: &str) -> Self {
        Self::of([(TEST_PROGRAM, Some(told))], &[]).await
    }

    /// The serve function of the conformance site, without an upstream, with these settings.
    pub(crate) async fn of_conformance_site(settings: &[(&str, &str)]) -> Self {
        let settings = [&[("UPSTREAM_URL", "http://127.0.0.1:1")], settings].concat();
        Self::of([(TEST_PROGRAM, Some("serve"))], &settings).await
    }

    async fn of(
        functions: impl IntoIterator<Item = (&'static str, Option<&str>)>,
        settings: &[(&str, &str)],
    ) -> Self {
        let addr = free_address();
        let store = tempfile::tempdir().expect("a temporary folder");
        let mut processes = vec![emulator(addr)];
        let client = Client { addr };
        until("the emulator listens", async || tokio::net::TcpStream::connect(addr).await.ok()).await;
        for (name, told) in functions {
            processes.push(function(name, told, addr, store.path(), settings));
        }
        Self { client, _processes: processes, store }
    }

    /// Invokes a function with an event and gives its answer.
    pub(crate) async fn invoke(&self, function: &str, event: &serde_json::Value) -> Answer {
        let target = format!("/2015-03-31/functions/{function}/invocations");
        self.ask(Ask::new(http::Method::POST, target).body(event.to_string())).await
    }

    /// What a function has logged.
    pub(crate) fn log(&self, function: &str) -> String {
        std::fs::read_to_string(log_file(self.store.path(), function)).unwrap_or_default()
    }
}

impl Asks for Lambda {
    async fn ask(&self, ask: Ask) -> Answer {
        self.client.ask(ask).await
    }
}

fn emulator(addr: SocketAddr) -> Child {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests crate has a parent folder");
    let program = root.join(".tools/venv/bin/cargo-lambda");
    assert!(
        program.exists(),
        "cargo-lambda is not installed: run `tests/tools/install cargo-lambda`, or `tests/run`"
    );
    let mut command = Command::new(program);
    command.args(["lambda", "watch", "--only-lambda-apis", "--disable-cors", "--invoke-address"]);
    command.arg(addr.ip().to_string()).arg("--invoke-port").arg(addr.port().to_string());
    command
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command.spawn().expect("cargo-lambda starts")
}

/// The program of that name, which may be told what to be.
fn function(
    name: &str,
    told: Option<&str>,
    addr: SocketAddr,
    store: &Path,
    settings: &[(&str, &str)],
) -> Child {
    let program = programs().join(name);
    assert!(
        program.exists(),
        "{} is not built: run `cargo build --workspace`, or `tests/run`",
        program.display()
    );
    let log = std::fs::File::create(log_file(store, name)).expect("a writable folder");
    let mut command = Command::new(program);
    command.args(told);
    command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command.stdout(log.try_clone().expect("a second handle")).stderr(log);
    command.envs([
        ("AWS_LAMBDA_RUNTIME_API", format!("http://{addr}/.rt/{name}")),
        ("AWS_LAMBDA_FUNCTION_NAME", name.to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}")),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "local".to_owned()),
        ("PERENNIAL_STORE", store.join("store").display().to_string()),
        ("PERENNIAL_REVALIDATE_SECRETS", SECRET.to_owned()),
    ]);
    command.envs(settings.iter().copied());
    command.spawn().expect("the function starts")
}

fn log_file(store: &Path, function: &str) -> PathBuf {
    store.join(format!("{function}.log"))
}

/// `target/debug`, from `target/debug/deps/lambda-…`.
pub(crate) fn programs() -> PathBuf {
    let this = std::env::current_exe().expect("this program is a file");
    this.ancestors().nth(2).expect("in `target/debug/deps`").to_owned()
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound port")
}
