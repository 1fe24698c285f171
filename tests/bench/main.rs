//! The benchmark: what a stored page costs beside bare hyper, in one run on one machine, and whether a crowd costs
//! more than one render. Builds on the release profile; run it with `tests/run bench`.
//!
//! Times are reported, never judged: machines differ. Numbers of renders are judged.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    missing_docs,
    reason = "a program that measures: it reads the machine's clock and prints"
)]

mod hits;
mod server;
mod stampede;

use std::path::Path;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, DATE, HeaderName};
use serde_json::{Value, json};
use tests::{Answer, Asks as _, Reply, Upstream};

use server::Server;

const USAGE: &str = "bench [--seconds 3] [--rounds 9] [--connections 32]
Hits of one stored page against bare hyper, in turns; memory; start; stampedes. Also writes target/bench.json.";

/// Text that makes the page about 20 KB, the weight of a page of the peers this is compared with.
const PAD_BYTES: usize = 19_400;

/// How the load is made.
pub(crate) struct Load {
    pub(crate) seconds: u32,
    pub(crate) rounds: u32,
    pub(crate) connections: u32,
}

#[tokio::main]
async fn main() -> Result<(), String> {
    let load = options()?;
    // `target/release/bench` works in `target/bench`.
    let programs =
        std::env::current_exe().expect("this program is a file").parent().expect("in a folder").to_owned();
    let target = programs.parent().expect("in `target`").to_owned();
    let workplace = target.join("bench");
    let _ = std::fs::remove_dir_all(&workplace);
    std::fs::create_dir_all(&workplace).map_err(|e| format!("cannot make {}: {e}", workplace.display()))?;

    let upstream = Upstream::start().await;
    upstream.on("/never", json!({ "value": "measured", "pad_bytes": PAD_BYTES }));
    let ours = Server {
        name: "perennial",
        program: programs.join("conformance-site"),
        args: vec!["start".into()],
        env: vec![
            ("UPSTREAM_URL".into(), upstream.url()),
            ("RUST_LOG".into(), "error".into()),
            ("PERENNIAL_STORE".into(), workplace.join("store").display().to_string()),
        ],
    };

    // The first start fills the store; every later one finds the page there.
    let running = ours.start().await;
    let page = running.client().get("/never").await.expect(200, "HIT");
    running.stop().await;
    let body = workplace.join("page.html");
    std::fs::write(&body, &page.body).expect("a writable folder");
    let floor = Server {
        name: "bare hyper",
        program: programs.join("hyper_floor"),
        args: floor_args(&body, &page),
        env: vec![],
    };

    let hits = hits::measure(&[&ours, &floor], &load).await;
    let start = json!({ ours.name: ours.start_ms().await, floor.name: floor.start_ms().await });
    let stampedes =
        [stampede::on_a_new_page(&ours, &upstream).await, stampede::at_expiry(&ours, &upstream).await];
    let report = json!({
        "page_bytes": page.body.len(), "connections": load.connections, "seconds": load.seconds,
        "hits": hits, "start_ms": start, "stampedes": stampedes,
    });
    print(&report);
    let file = target.join("bench.json");
    std::fs::write(&file, format!("{report:#}\n"))
        .map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    judge(&stampedes)
}

/// The same bytes after the same header fields, so that client and kernel have the same to do.
fn floor_args(body: &Path, page: &Answer) -> Vec<String> {
    let own = |name: &HeaderName| name == CONTENT_LENGTH || name == DATE;
    let fields = page.headers.iter().filter(|(name, _)| !own(name));
    let fields =
        fields.map(|(name, value)| format!("{name}:{}", value.to_str().expect("our fields are text")));
    ["ADDRESS".to_owned(), body.display().to_string()].into_iter().chain(fields).collect()
}

fn options() -> Result<Load, String> {
    let mut load = Load { seconds: 3, rounds: 9, connections: 32 };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let field = match name.as_str() {
            "--seconds" => &mut load.seconds,
            "--rounds" => &mut load.rounds,
            "--connections" => &mut load.connections,
            _ => return Err(USAGE.into()),
        };
        *field =
            args.next().and_then(|text| text.parse().ok()).filter(|n| (1..=60).contains(n)).ok_or(USAGE)?;
    }
    Ok(load)
}

fn print(report: &Value) {
    println!(
        "\nhits of a stored page of {} bytes, {} connections",
        report["page_bytes"], report["connections"]
    );
    println!(
        "{:<12} {:>10} {:>10} {:>10} {:>10} {:>12} {:>12}",
        "", "req/s", "CPU µs", "p99 µs", "errors", "peak MB", "start ms"
    );
    for server in report["hits"]["servers"].as_array().into_iter().flatten() {
        let name = server["name"].as_str().unwrap_or_default();
        println!(
            "{name:<12} {:>10.0} {:>10.2} {:>10.0} {:>10} {:>12.1} {:>12.1}",
            server["per_second"].as_f64().unwrap_or_default(),
            server["cpu_us"].as_f64().unwrap_or_default(),
            server["p99_us"].as_f64().unwrap_or_default(),
            server["errors"],
            server["peak_bytes"].as_f64().unwrap_or_default() / 1e6,
            report["start_ms"][name].as_f64().unwrap_or_default(),
        );
    }
    println!(
        "ratio of requests {:.2} (target 0.80), of CPU {:.2}",
        report["hits"]["ratio"].as_f64().unwrap_or_default(),
        report["hits"]["cpu_ratio"].as_f64().unwrap_or_default(),
    );
    for crowd in report["stampedes"].as_array().into_iter().flatten() {
        println!(
            "{} requests {}: {} render(s), answers {}, slowest {:.0} ms",
            crowd["requests"],
            crowd["when"].as_str().unwrap_or_default(),
            crowd["renders"],
            crowd["answers"],
            crowd["slowest_ms"].as_f64().unwrap_or_default(),
        );
    }
}

/// A crowd costs one render, and everybody gets the page.
fn judge(stampedes: &[Value]) -> Result<(), String> {
    for crowd in stampedes {
        let all_good = crowd["answers"]
            .as_object()
            .is_some_and(|kinds| kinds.keys().all(|kind| kind.starts_with("200 ")));
        if crowd["renders"] != 1 || !all_good {
            return Err(format!("a crowd must cost one render and get its page: {crowd}"));
        }
    }
    println!("\n{} passed, 0 failed", stampedes.len());
    Ok(())
}

/// An upstream that takes its time, so that a crowd meets the render under way.
fn slow(body: Value) -> Reply {
    Reply::from(body).after(Duration::from_millis(300))
}
