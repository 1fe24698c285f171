//! A flood of made-up paths against one process: invariant 11.
//!
//! What an attacker can reach with URLs alone is bounded: memory, bytes on disk, records. What real visitors look at stays
//! in memory and in the store. `FLOOD_PATHS` says how many paths, 100,000 if it is unset.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a process is watched by the machine's clock; how large the flood was is chosen outside, and told"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tests::answer::PERSON;
use tests::{Answer, Ask, Asks as _, Launch, Running, Upstream};
use tokio::net::TcpStream;

const CONNECTIONS: usize = 16;
/// Pages that real visitors look at, all the while.
const REAL: usize = 20;
/// A real visitor comes after so many made-up paths.
const REAL_EVERY: usize = 50;

const MEMORY_CACHE_BYTES: u64 = 2_000_000;
const MAX_STORED_NOT_FOUND: usize = 1_000;
/// As the site has it.
const FEW: usize = 500;
/// Failed first renders that the embedded store keeps in mind, and how many come before it looks.
const FAILED_FIRSTS: usize = 10_000 + 256;
/// What a process needs besides: threads, renders under way, SQLite's pages, and what the allocator keeps. It has it by
/// the middle of the flood.
const MEMORY_BESIDES_BYTES: u64 = 64 << 20;
const MEMORY_LATER_BYTES: u64 = 24 << 20;
/// Of a stored page's two bodies, compressed, and its record; and of a note that a path failed.
const STORED_PAGE_BYTES: u64 = 4096;
const FAILED_BYTES: u64 = 512;
/// SQLite writes into a log first.
const LOG_BYTES: u64 = 16 << 20;

/// The made-up path of that number, and what it is answered. Every hundred has a share of each kind.
fn made_up(n: usize) -> (String, u16) {
    // No two alike, in no order: an odd number has an inverse.
    let name = (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    match n % 100 {
        0..50 => (format!("/wp-{name:x}/x.php"), 404),
        50..67 => (format!("/nofb/{name:x}"), 404),
        67..84 => (format!("/fb/{name:x}"), 200),
        84..87 => (format!("/blog/gone-{name:x}"), 404),
        87..98 => (format!("/blog/bad-{name:x}"), 500),
        _ => (format!("/few/{name:x}"), 200),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_paths_reach_nothing() {
    let paths = std::env::var("FLOOD_PATHS").map_or(100_000, |n| n.parse().expect("FLOOD_PATHS is a number"));
    let (store, up) = (tempfile::tempdir().expect("a temporary directory"), Upstream::start().await);
    let launch = Launch::new(env!("CARGO_BIN_EXE_flood-site"), store.path(), &up)
        .env("RUST_LOG", "off")
        .env("PERENNIAL_MEMORY_CACHE_BYTES", MEMORY_CACHE_BYTES)
        .env("PERENNIAL_MAX_STORED_NOT_FOUND", MAX_STORED_NOT_FOUND);
    let site = launch.start().await;
    let mut ids = Vec::new();
    for n in 0..REAL {
        ids.push(site.get(&real(n)).await.expect(200, "MISS").id());
    }
    let before = (latency(&site, &ids).await, site.memory_bytes(), bytes_under(store.path()));
    let began = Instant::now();
    let (next, half) = (Arc::new(AtomicUsize::new(0)), paths / 2);
    flood(&site, &next, half, &ids).await;
    let halfway = site.memory_bytes();
    next.store(half, Ordering::Relaxed);
    flood(&site, &next, paths, &ids).await;
    let took = began.elapsed();
    let (memory, disk) = (site.memory_bytes(), bytes_under(store.path()));
    let after = latency(&site, &ids).await;
    println!(
        "{paths} made-up paths in {took:?}: {} MB more in memory, {} MB more on disk; a real page takes {:.2} times as long \
         as before ({:?}, {after:?})",
        memory.saturating_sub(before.1) >> 20,
        (disk - before.2) >> 20,
        after.as_secs_f64() / before.0.as_secs_f64(),
        before.0,
    );
    let most = before.1 + MEMORY_CACHE_BYTES + MEMORY_BESIDES_BYTES;
    assert!(memory < most, "{memory} bytes resident, {} before", before.1);
    assert!(
        memory < halfway + MEMORY_LATER_BYTES,
        "{memory} bytes resident, {halfway} after half of the flood"
    );
    assert!(cached_bytes(&site).await <= MEMORY_CACHE_BYTES);
    let kept = (MAX_STORED_NOT_FOUND + FEW) as u64 * STORED_PAGE_BYTES + FAILED_FIRSTS as u64 * FAILED_BYTES;
    assert!(disk - before.2 < kept + LOG_BYTES, "{} bytes more on disk", disk - before.2);
    records(&launch).await;
    real_pages_stayed(site, &launch, store.path(), &ids).await;
}

fn real(n: usize) -> String {
    format!("/blog/real-{n}")
}

/// Sends the made-up paths from the next one up to `end`, over some connections at once. Real visitors come between them,
/// and find their pages.
async fn flood(site: &Running, next: &Arc<AtomicUsize>, end: usize, ids: &[String]) {
    let ids = Arc::new(ids.to_vec());
    let attackers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (next, ids, addr) = (next.clone(), ids.clone(), site.client().addr);
            tokio::spawn(async move {
                let mut connection = connect(addr).await;
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= end {
                        break;
                    }
                    let (path, status) = made_up(n);
                    let answer = ask(&mut connection, &path).await;
                    assert_eq!(answer.status, status, "{path}: {answer}");
                    if n % REAL_EVERY == 0 {
                        let n = n / REAL_EVERY % REAL;
                        let answer = ask(&mut connection, &real(n)).await.expect(200, "HIT");
                        assert_eq!(answer.id(), ids[n]);
                    }
                }
            })
        })
        .collect();
    for attacker in attackers {
        attacker.await.expect("every answer was right");
    }
}

async fn connect(addr: std::net::SocketAddr) -> SendRequest<Empty<Bytes>> {
    let stream = TcpStream::connect(addr).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection);
    sender
}

async fn ask(connection: &mut SendRequest<Empty<Bytes>>, path: &str) -> Answer {
    let request = http::Request::get(path).header("host", "x").header("user-agent", PERSON);
    connection.ready().await.expect("an open connection");
    let answer =
        connection.send_request(request.body(Empty::new()).expect("a request")).await.expect("an answer");
    let (head, body) = answer.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    Answer { status: head.status.as_u16(), headers: head.headers, body }
}

/// The median time of a hit on a real page.
async fn latency(site: &Running, ids: &[String]) -> Duration {
    let mut connection = connect(site.client().addr).await;
    let mut took = Vec::new();
    for n in 0..50 * ids.len() {
        let began = Instant::now();
        let answer = ask(&mut connection, &real(n % ids.len())).await;
        took.push(began.elapsed());
        assert_eq!(answer.expect(200, "HIT").id(), ids[n % ids.len()]);
    }
    took.sort();
    took[took.len() / 2]
}

/// What the process itself says of its memory cache.
async fn cached_bytes(site: &Running) -> u64 {
    let asked = Ask::get("/_perennial/metrics").header("authorization", "Bearer test-secret");
    let text = site.ask(asked).await.expect(200, "").text();
    let line = text.lines().find_map(|line| line.strip_prefix("perennial_memory_cache_bytes "));
    line.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("no bytes of the memory cache in {text}"))
}

/// What the store holds, as `pages` lists it.
async fn records(launch: &Launch) {
    let listed = launch.run(&["pages", "--json"]).await.success().output;
    let records: Vec<Value> = listed.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let count = |fits: &dyn Fn(&Value) -> bool| records.iter().filter(|record| fits(record)).count();
    let gone = count(&|r| r["kind"] == "not-found");
    let few = count(&|r| r["path"].as_str().is_some_and(|path| path.starts_with("/few/")));
    let failed = count(&|r| r["kind"].is_null());
    println!(
        "{} records: {gone} not found, {few} of the limited route, {failed} notes of failures",
        records.len()
    );
    // Renders that run at once count before any of them is stored.
    let at_once = 8;
    assert!(gone <= MAX_STORED_NOT_FOUND + at_once, "{gone} not found");
    assert!(few <= FEW + at_once, "{few} of the limited route");
    assert!(failed <= FAILED_FIRSTS, "{failed} notes of failures");
    assert_eq!(records.len(), gone + few + failed + REAL, "and the real pages, nothing else");
}

/// Without their files real pages are still there, from memory; with them and without memory, too.
async fn real_pages_stayed(site: Running, launch: &Launch, store: &Path, ids: &[String]) {
    let (bodies, aside) = (store.join("bodies"), store.join("aside"));
    std::fs::rename(&bodies, &aside).expect("a folder of bodies");
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(site.get(&real(n)).await.expect(200, "HIT").id(), *id, "from memory");
    }
    site.stop().await.success();
    std::fs::rename(&aside, &bodies).expect("the folder back");
    let site = launch.clone().env("PERENNIAL_MEMORY_CACHE_BYTES", 0).start().await;
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(site.get(&real(n)).await.expect(200, "HIT").id(), *id, "from the store");
    }
}

fn bytes_under(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_under(&entry.path()),
            Ok(metadata) => metadata.len(),
            // Removed meanwhile.
            Err(_) => 0,
        })
        .sum()
}
