//! The site as a process: started, looked at, stopped or killed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::answer::{Answer, Ask, Asks};
use crate::client::Client;
use crate::until::{soon, until};
use crate::upstream::Upstream;

/// How to run the program: environment and nothing inherited but `PATH`.
#[derive(Clone, Debug)]
pub struct Launch {
    program: PathBuf,
    env: BTreeMap<String, String>,
    wrapper: Option<String>,
}

impl Launch {
    /// The program on this store and upstream, listening on a free port.
    pub fn new(program: &str, store: &Path, upstream: &Upstream) -> Self {
        let launch = Self { program: program.into(), env: BTreeMap::new(), wrapper: None };
        let store = store.to_str().expect("a temporary directory with a plain name");
        launch
            .env("PERENNIAL_STORE", store)
            .env("UPSTREAM_URL", upstream.url())
            .env("PERENNIAL_LISTEN", "127.0.0.1:0")
    }

    /// The same under limits of the shell's `ulimit`, set before the program starts.
    pub fn limited(mut self, ulimit: &str) -> Self {
        // A write beyond a limit is to fail, not to end the process: an ignored signal stays ignored.
        self.wrapper = Some(format!("trap '' XFSZ; ulimit {ulimit}; exec \"$@\""));
        self
    }

    /// The same, started by a script of the shell that ends in `exec "$@"`.
    pub fn wrapped(mut self, script: impl Into<String>) -> Self {
        self.wrapper = Some(script.into());
        self
    }

    /// With an environment variable.
    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.env.insert(name.to_owned(), value.to_string());
        self
    }

    fn spawn(&self, args: &[&str]) -> Running {
        let mut command = match &self.wrapper {
            None => Command::new(&self.program),
            Some(script) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", script, "sh"]).arg(&self.program);
                shell
            }
        };
        command.args(args).env_clear().envs(&self.env).kill_on_drop(true);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|e| panic!("cannot run {}: {e}", self.program.display()));
        let log = Log::default();
        let readers = [
            tokio::spawn(log.clone().read(child.stdout.take().expect("piped"))),
            tokio::spawn(log.clone().read(child.stderr.take().expect("piped"))),
        ];
        let pid = child.id().expect("just started");
        Running { child, pid, log, readers: readers.into(), addr: None, build: self.build() }
    }

    fn build(&self) -> String {
        self.env.get("BUILD_ID").cloned().unwrap_or_else(|| "dev-build".to_owned())
    }

    /// Starts a server (`start`) and waits until it listens.
    pub async fn start(&self) -> Running {
        self.serve("start").await
    }

    /// Starts a server without a command (build, then start) and waits until it listens.
    pub async fn serve_bare(&self) -> Running {
        self.listening(self.spawn(&[])).await
    }

    /// Starts a server by that command and waits until it listens.
    pub async fn serve(&self, command: &str) -> Running {
        self.listening(self.spawn(&[command])).await
    }

    async fn listening(&self, mut running: Running) -> Running {
        let addr = until("the line `listening on`", async || {
            if let Ok(Some(status)) = running.child.try_wait() {
                panic!("the server ended with {status}:\n{}", running.log.text());
            }
            let line = running.log.find(|line| line.contains("listening on http://"))?;
            line.split("http://").nth(1)?.trim().trim_end_matches('/').parse::<SocketAddr>().ok()
        });
        running.addr = Some(addr.await);
        running
    }

    /// Runs a command to its end.
    pub async fn run(&self, args: &[&str]) -> Finished {
        let running = self.spawn(args);
        running.wait().await
    }
}

/// The lines a process has written to stdout and stderr, or several to their files.
#[derive(Clone, Debug, Default)]
pub struct Log {
    read: Arc<Mutex<Vec<String>>>,
    files: Vec<PathBuf>,
}

impl Log {
    /// What is in these files, once they are there.
    pub fn of_files(files: Vec<PathBuf>) -> Self {
        Self { files, ..Self::default() }
    }

    async fn read(self, from: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(from).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            let line = String::from_utf8_lossy(&line).into_owned();
            self.read.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for file in &self.files {
            let text = std::fs::read(file).unwrap_or_default();
            lines.extend(String::from_utf8_lossy(&text).lines().map(str::to_owned));
        }
        lines
    }

    /// All lines so far as one text.
    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// The first line that fits.
    pub fn find(&self, fits: impl Fn(&str) -> bool) -> Option<String> {
        self.lines().into_iter().find(|line| fits(line))
    }

    /// How many lines hold a text.
    pub fn count(&self, part: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(part)).count()
    }

    /// Waits for a line that holds all the parts.
    pub async fn wait_for(&self, parts: &[&str]) -> String {
        until(&format!("a log line with {parts:?}"), async || {
            self.find(|line| parts.iter().all(|p| line.contains(p)))
        })
        .await
    }
}

/// A process under way; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    pid: u32,
    /// What it has written.
    pub log: Log,
    readers: Vec<tokio::task::JoinHandle<()>>,
    addr: Option<SocketAddr>,
    build: String,
}

/// A process that ended.
#[derive(Debug)]
pub struct Finished {
    /// How.
    pub status: ExitStatus,
    /// All it wrote, stdout and stderr.
    pub output: String,
}

impl Finished {
    /// Checks that it ended with 0.
    #[track_caller]
    pub fn success(self) -> Self {
        assert!(self.status.success(), "{}\n{}", self.status, self.output);
        self
    }

    /// Checks that it ended with another code than 0, by itself, and said all of these.
    #[track_caller]
    pub fn failure(self, parts: &[&str]) -> Self {
        assert!(
            self.status.code().is_some_and(|code| code != 0),
            "expected a failure, got {}\n{}",
            self.status,
            self.output
        );
        for part in parts {
            assert!(self.output.contains(part), "expected {part:?} in:\n{}", self.output);
        }
        self
    }
}

impl Running {
    /// A client of the server.
    pub fn client(&self) -> Client {
        Client { addr: self.addr.expect("a command does not listen") }
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Resident memory in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most resident memory there ever was, in bytes.
    pub fn peak_memory_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of that name");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") * 1024
    }

    /// Asks it to end; it drains first.
    pub async fn terminate(&self) {
        self.signal("TERM").await;
    }

    /// Stops its clockwork: it keeps its sockets and locks and does nothing.
    pub async fn pause(&self) {
        self.signal("STOP").await;
    }

    /// Lets a paused process go on.
    pub async fn resume(&self) {
        self.signal("CONT").await;
    }

    async fn signal(&self, name: &str) {
        // By the shell's own `kill`: no program needed, no unsafe code.
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid)]).status().await;
        assert!(sent.is_ok_and(|status| status.success()), "cannot send {name} to {}", self.pid);
    }

    /// Kills it at once, as `kill -9` does, and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }

    /// [`Running::terminate`], then waits for the end.
    pub async fn stop(self) -> Finished {
        self.terminate().await;
        self.wait().await
    }

    /// Waits for the end.
    pub async fn wait(mut self) -> Finished {
        let status = soon("the process's end", self.child.wait()).await.expect("waited");
        for reader in self.readers.drain(..) {
            let _ = reader.await;
        }
        Finished { status, output: self.log.text() }
    }
}

impl Asks for Running {
    async fn ask(&self, ask: Ask) -> Answer {
        self.client().ask(ask).await
    }

    async fn data(&self, path: &str) -> Answer {
        self.ask(Ask::get(crate::answer::data_target(&self.build, path)).agent(crate::answer::PERSON)).await
    }
}
