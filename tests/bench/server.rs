//! A server under measurement.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tests::answer::Ask;
use tests::client::Client;
use tests::until::soon;
use tokio::process::{Child, Command};

/// How to start it.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    /// `ADDRESS` stands for where it is to listen.
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
}

/// Under way; killed when dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) addr: SocketAddr,
    /// From the start of the process to its first 200.
    pub(crate) start_ms: f64,
}

const PAGE: &str = "/never";

impl Server {
    /// Starts it and waits for its first 200.
    pub(crate) async fn start(&self) -> Running {
        let addr = free_address();
        let args = self.args.iter().map(|arg| arg.replace("ADDRESS", &addr.to_string()));
        let mut command = Command::new(&self.program);
        command.args(args).envs(self.env.iter().cloned()).env("PERENNIAL_LISTEN", addr.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let began = Instant::now();
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot run {}: {e}", self.program.display()));
        let client = Client { addr };
        soon(&format!("{} answers", self.name), async {
            let mut tick = tokio::time::interval(Duration::from_micros(500));
            while !client.try_ask(Ask::get(PAGE)).await.is_ok_and(|answer| answer.status == 200) {
                tick.tick().await;
            }
        })
        .await;
        Running { child, addr, start_ms: began.elapsed().as_secs_f64() * 1000.0 }
    }

    /// Process start to first 200: the median of five starts.
    pub(crate) async fn start_ms(&self) -> f64 {
        let mut times = Vec::new();
        for _ in 0..5 {
            let running = self.start().await;
            times.push(running.start_ms);
            running.stop().await;
        }
        median(&mut times)
    }
}

impl Running {
    pub(crate) fn client(&self) -> Client {
        Client { addr: self.addr }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}{PAGE}", self.addr)
    }

    /// The most memory it has ever held.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let pid = self.child.id().expect("still running");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().map_or(0, |kb| kb * 1024)
    }

    /// The processor time it has used in its own code and in the kernel, in microseconds (proc(5): fields 14 and 15
    /// of `stat`, in hundredths of a second).
    pub(crate) fn cpu_us(&self) -> f64 {
        let pid = self.child.id().expect("still running");
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("Linux tells about processes");
        // The second field, the program's name, may hold spaces; it ends at the last parenthesis.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks =
            after_name.split_whitespace().skip(11).take(2).map(|n| n.parse::<f64>().expect("a number"));
        ticks.sum::<f64>() * 10_000.0
    }

    /// Ends it and waits until it is gone.
    pub(crate) async fn stop(mut self) {
        self.child.kill().await.expect("our own process");
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound port")
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
