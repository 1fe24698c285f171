//! A function under measurement.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::Load;
use crate::runtime_api::RuntimeApi;

/// How to start it.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) env: Vec<(&'static str, String)>,
    pub(crate) log: PathBuf,
}

/// What it took in one round. Times are those of a clock; `cpu` is the process's own time on the processor.
#[derive(Clone, Copy, Default)]
pub(crate) struct Costs {
    /// From the start of the process until it asked for its first event: the median of its starts.
    pub(crate) init_ms: f64,
    pub(crate) init_cpu_ms: f64,
    /// Of its first answer: the median of its starts.
    pub(crate) first_ms: f64,
    pub(crate) first_cpu_ms: f64,
    /// Of all later answers.
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) cpu_us: f64,
    /// The most memory it has ever held.
    pub(crate) peak_bytes: f64,
}

/// What it answered: Lambda's JSON for function URLs.
pub(crate) struct Said {
    pub(crate) body: String,
    pub(crate) cache: String,
}

impl Function {
    async fn start(&self, build: &str) -> (Process, f64) {
        let mut api = RuntimeApi::start().await;
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(&self.log).expect("a writable folder");
        let mut command = Command::new(&self.program);
        command.env_clear().envs(self.env.iter().map(|(name, value)| (*name, value)));
        command.env("AWS_LAMBDA_RUNTIME_API", api.addr.to_string()).env("BUILD_ID", build);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let began = Instant::now();
        let mut child =
            command.spawn().unwrap_or_else(|e| panic!("cannot run {}: {e}", self.program.display()));
        let ready = tokio::select! {
            ready = api.ready() => ready,
            ended = child.wait() => panic!("{} ended ({ended:?}): see {}", self.name, self.log.display()),
        };
        (Process { child, api }, (ready - began).as_secs_f64() * 1e3)
    }

    /// Has a page rendered and stored, and gives it as it is answered from the store.
    pub(crate) async fn render(&self, build: &str, event: &Bytes) -> String {
        let (mut process, _) = self.start(build).await;
        let first = read(&process.api.invoke(event).await.1);
        let second = read(&process.api.invoke(event).await.1);
        assert_eq!((&*first.cache, &*second.cache), ("MISS", "HIT"), "see {}", self.log.display());
        assert_eq!(first.body, second.body);
        process.stop().await;
        second.body
    }

    /// Starts it as often as the load says, and has the last process answer.
    pub(crate) async fn measure(&self, build: &str, event: &Bytes, expected: &str, load: &Load) -> Costs {
        let (mut init, mut init_cpu, mut first, mut first_cpu) = (vec![], vec![], vec![], vec![]);
        let mut last = None;
        for _ in 0..load.cold {
            let (mut process, init_ms) = self.start(build).await;
            let idle = process.cpu_us();
            let (time, answer) = process.api.invoke(event).await;
            self.check(&answer, expected);
            init.push(init_ms);
            init_cpu.push(idle / 1e3);
            first.push(time.as_secs_f64() * 1e3);
            first_cpu.push((process.cpu_us() - idle) / 1e3);
            if let Some(earlier) = last.replace(process) {
                earlier.stop().await;
            }
        }
        let mut process = last.expect("one cold start at least");
        let before = process.cpu_us();
        let mut times = Vec::with_capacity(load.warm);
        for _ in 0..load.warm {
            let (time, answer) = process.api.invoke(event).await;
            times.push(time.as_secs_f64() * 1e6);
            self.check(&answer, expected);
        }
        let cpu_us = (process.cpu_us() - before) / load.warm as f64;
        let peak_bytes = process.peak_bytes();
        process.stop().await;
        times.sort_by(f64::total_cmp);
        Costs {
            init_ms: median(&mut init),
            init_cpu_ms: median(&mut init_cpu),
            first_ms: median(&mut first),
            first_cpu_ms: median(&mut first_cpu),
            p50_us: times[times.len() / 2],
            p99_us: times[times.len() * 99 / 100],
            cpu_us,
            peak_bytes,
        }
    }

    fn check(&self, answer: &Bytes, expected: &str) {
        // To parse each answer would cost as much as to make it: its length tells one page from another.
        let long_enough = answer.len() > expected.len();
        assert!(
            long_enough,
            "{} answered {}: see {}",
            self.name,
            String::from_utf8_lossy(answer),
            self.log.display()
        );
    }
}

/// A process of it; killed when dropped.
struct Process {
    child: Child,
    api: RuntimeApi,
}

impl Process {
    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id().expect("still running"))
    }

    /// Time on the processor so far, the kernel's part included: the first field of each thread's `schedstat`, in
    /// nanoseconds.
    fn cpu_us(&self) -> f64 {
        let threads = std::fs::read_dir(self.proc("task")).expect("Linux tells about processes");
        let nanoseconds = threads.map(|thread| {
            let file = thread.expect("a thread").path().join("schedstat");
            let text = std::fs::read_to_string(file).unwrap_or_default();
            text.split(' ').next().and_then(|field| field.parse::<f64>().ok()).unwrap_or_default()
        });
        nanoseconds.sum::<f64>() / 1e3
    }

    fn peak_bytes(&self) -> f64 {
        let status = std::fs::read_to_string(self.proc("status")).expect("Linux tells about processes");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") * 1024.0
    }

    async fn stop(mut self) {
        self.child.kill().await.expect("our own process");
    }
}

/// Reads an answer.
fn read(answer: &Bytes) -> Said {
    let answer: Value = serde_json::from_slice(answer).expect("JSON");
    assert_eq!(answer["statusCode"], 200, "{answer}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Said { body: text(&answer["body"]), cache: text(&answer["headers"]["x-perennial-cache"]) }
}

/// A visitor's request as a function URL hands it on.
pub(crate) fn event(path: &str) -> Bytes {
    let event = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "isBase64Encoded": false,
        "headers": {
            "accept": "text/html", "accept-encoding": "identity", "host": "example.lambda-url.us-east-1.on.aws",
            "user-agent": "Amazon CloudFront", "via": "2.0 example.cloudfront.net (CloudFront)",
            "x-amz-cf-id": "oKrLTp7r1Hx7dGBNd3CAYAsGWSLmZ7eEJyLqjBTlcS1GJQHnN3aMPg==",
            "x-forwarded-for": "203.0.113.7", "x-forwarded-port": "443", "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "anonymous", "apiId": "example", "domainName": "example.lambda-url.us-east-1.on.aws",
            "domainPrefix": "example", "requestId": "8476a536-e9f4-11e8-9739-2dfe598c3fcd", "routeKey": "$default",
            "stage": "$default", "time": "01/Jan/2026:00:00:00 +0000", "timeEpoch": 1_767_225_600_000_u64,
            "http": {
                "method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7",
                "userAgent": "Amazon CloudFront",
            },
        },
    });
    Bytes::from(event.to_string())
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
