//! Hits a second, with wrk, the servers in turns within each round so that noise hits all alike.

use serde_json::{Value, json};
use tokio::process::Command;

use crate::Load;
use crate::server::{Running, Server, median};

#[derive(Default)]
struct Rounds {
    per_second: Vec<f64>,
    /// The server's own processor time for one request, the kernel's part included.
    cpu_us: Vec<f64>,
    p99_us: Vec<f64>,
    errors: u64,
}

/// Medians over the rounds for each server, and of the first one's parts of the second one's in each round.
pub(crate) async fn measure(servers: &[&Server; 2], load: &Load) -> Value {
    let running = [servers[0].start().await, servers[1].start().await];
    let mut rounds = [Rounds::default(), Rounds::default()];
    for server in &running {
        wrk(server, load.connections, 1).await;
    }
    for round in 0..load.rounds {
        // Neither is always the first: the machine may be getting busier.
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for i in order {
            let before_us = running[i].cpu_us();
            let said = wrk(&running[i], load.connections, load.seconds).await;
            let rounds = &mut rounds[i];
            rounds.per_second.push(number_after(&said, "Requests/sec:"));
            rounds.cpu_us.push((running[i].cpu_us() - before_us) / requests(&said));
            rounds.p99_us.push(p99_us(&said));
            rounds.errors += errors(&said);
        }
    }
    let part = |a: &[f64], b: &[f64]| median(&mut a.iter().zip(b).map(|(a, b)| a / b).collect::<Vec<_>>());
    let ratio = part(&rounds[0].per_second, &rounds[1].per_second);
    let cpu_ratio = part(&rounds[1].cpu_us, &rounds[0].cpu_us);
    let mut rows = Vec::new();
    for ((server, running), mut rounds) in servers.iter().zip(running).zip(rounds) {
        rows.push(json!({
            "name": server.name,
            "per_second": median(&mut rounds.per_second),
            "cpu_us": median(&mut rounds.cpu_us),
            "p99_us": median(&mut rounds.p99_us),
            "errors": rounds.errors,
            "peak_bytes": running.peak_bytes(),
        }));
        running.stop().await;
    }
    json!({ "ratio": ratio, "cpu_ratio": cpu_ratio, "servers": rows })
}

async fn wrk(server: &Running, connections: u32, seconds: u32) -> String {
    let args = [
        "-t1".to_owned(),
        format!("-c{connections}"),
        format!("-d{seconds}s"),
        "--latency".to_owned(),
        server.url(),
    ];
    let output =
        Command::new("wrk").args(args).output().await.expect("`wrk` is installed by tests/tools/install");
    assert!(output.status.success(), "wrk failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The word after `label`, in what was said after `heading`.
fn word_after<'a>(said: &'a str, heading: &str, label: &str) -> &'a str {
    let below = said.split_once(heading).and_then(|(_, below)| below.split_once(label));
    let rest = below.unwrap_or_else(|| panic!("wrk did not say {label} after {heading}:\n{said}")).1;
    rest.split_whitespace().next().unwrap_or_default()
}

fn number_after(said: &str, label: &str) -> f64 {
    let word = word_after(said, "", label);
    word.trim_end_matches(',').parse().unwrap_or_else(|_| panic!("wrk said {label} {word}"))
}

/// Wrk writes `467046 requests in 5.01s, 8.63GB read`.
fn requests(said: &str) -> f64 {
    let before = said.split_once(" requests in").unwrap_or_else(|| panic!("wrk counted nothing:\n{said}")).0;
    before.split_whitespace().next_back().and_then(|word| word.parse().ok()).expect("a number")
}

/// From the distribution: the table above it has shares that may be 99 % as well.
fn p99_us(said: &str) -> f64 {
    microseconds(word_after(said, "Latency Distribution", " 99%"))
}

/// Wrk writes `731.00us`, `1.20ms`, `2.00s` or `1.00m`.
fn microseconds(text: &str) -> f64 {
    let unit_at = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let factor = match &text[unit_at..] {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 6e7,
        other => panic!("wrk measures in {other:?}?"),
    };
    text[..unit_at].parse::<f64>().expect("a number") * factor
}

/// Answers that were not 2xx or 3xx, and connections that broke.
fn errors(said: &str) -> u64 {
    let mut sum = 0.0;
    if said.contains("Non-2xx") {
        sum += number_after(said, "Non-2xx or 3xx responses:");
    }
    if let Some((_, rest)) = said.split_once("Socket errors:") {
        let line = rest.lines().next().unwrap_or_default();
        sum +=
            ["connect", "read", "write", "timeout"].map(|kind| number_after(line, kind)).iter().sum::<f64>();
    }
    sum as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_percentile_is_not_a_share_of_99_per_cent() {
        let said = "  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   214.89us  251.13us   5.18ms   96.99%
    Req/Sec    93.79k    15.74k  106.29k    81.82%
  Latency Distribution
     50%  152.00us
     99%    1.20ms
  279368 requests in 3.00s, 5.16GB read
Requests/sec:  93122.67";
        assert!((p99_us(said) - 1200.0).abs() < 1e-6);
        assert!((requests(said) - 279_368.0).abs() < 1e-6);
        assert!((number_after(said, "Requests/sec:") - 93_122.67).abs() < 1e-6);
    }
}
