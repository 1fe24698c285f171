//! What strangers can use up together: files, memory, the log.

#![allow(clippy::print_stdout, reason = "measurements are printed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tests::client::Client;
use tests::until::{pass, soon, until, until_true};
use tests::{Ask, Asks as _, Launch, Running, Upstream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{Fixture, launch};

/// However few files a process may open, idle connections leave the store as many as it needs, and who has something to
/// ask is answered.
#[tokio::test]
async fn idle_connections_leave_the_store_its_files() {
    for files in [64, 1024] {
        let up = Upstream::start().await;
        let (launch, _store) = launch(&up, &[]);
        let site = launch.limited(&format!("-n {files}")).start().await;
        site.log.wait_for(&["connections at once", &format!("{files} files may be open")]).await;
        let page = site.get("/never").await.expect(200, "MISS");
        let mut idle = Vec::new();
        for n in 0..files + 80 {
            idle.push(site.client().leave("").await);
            if n % 16 == 0 || n > files {
                assert_eq!(site.get("/never").await.expect(200, "HIT").id(), page.id());
            }
        }
        up.on("/blog/new", json!({ "revalidate": false, "pad_bytes": 100_000 }));
        site.get("/blog/new").await.expect(200, "MISS");
        assert_eq!(site.revalidate("/never").await.json()["revalidated"], json!(true));
        assert_ne!(site.get("/never").await.expect(200, "HIT").id(), page.id());
        assert_eq!(site.log.count("could not be accepted"), 0, "{}", site.log.text());
        assert_eq!(site.log.count("ERROR"), 0, "{}", site.log.text());
    }
}

/// The limit of files is raised as far as the system allows.
#[tokio::test]
async fn the_limit_of_files_is_raised_at_the_start() {
    let up = Upstream::start().await;
    let (launch, _store) = launch(&up, &[]);
    let site = launch.wrapped("ulimit -S -n 128; exec \"$@\"").start().await;
    let line = site.log.wait_for(&["connections at once", "files may be open"]).await;
    let files = line.split("; ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    assert!(files.is_some_and(|files| files > 128), "{line}");
}

/// A connection that is in use is never the one that gives way.
#[tokio::test]
async fn a_request_under_way_keeps_its_connection() {
    let f = Fixture::with(&[("PERENNIAL_MAX_CONNECTIONS", "2")]).await;
    let gate = tests::Gate::new();
    f.up.on("/blog/held", tests::Reply::value("held").behind(&gate));
    let mut held =
        f.site.client().leave("GET /blog/held HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    f.up.wait_for_calls("/blog/held", 1).await;
    for _ in 0..20 {
        f.site.client().leave("GET /never HTTP/1.1\r\nhost: x\r\nx-unfinished:").await;
        f.get("/never").await;
    }
    gate.open();
    let mut answer = String::new();
    soon("the answer", held.read_to_string(&mut answer)).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Whatever strangers send, the log has a few lines about it, and the metrics have the numbers.
#[tokio::test]
async fn strangers_cannot_flood_the_log() {
    const CALLS: usize = 10_000;
    const AT_ONCE: usize = 200;
    let f = Fixture::start().await;
    let lines = f.site.log.lines().len();
    let call = "GET /api/revalidate?path=/never&secret=wrong HTTP/1.1\r\nhost: x\r\n\r\n".repeat(AT_ONCE);
    for _ in 0..CALLS / AT_ONCE {
        assert_eq!(f.site.client().raw(call.as_bytes()).await.statuses(), [401; AT_ONCE]);
    }
    let others = [
        "POST /api/revalidate HTTP/1.1\r\nhost: x\r\nx-hub-signature-256: sha256=00\r\ncontent-length: 0\r\n\r\n",
        "GET /%zz HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /never HTTP/1.1\r\nhost: x\r\ncookie: __perennial_draft=made.up\r\n\r\n",
        "GET /_perennial/metrics HTTP/1.1\r\nhost: x\r\nauthorization: Bearer wrong\r\n\r\n",
        "POST /api/publish/events HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
    ];
    for other in others.iter().cycle().take(700) {
        drop(f.site.client().leave(other).await);
    }
    f.get("/never").await;
    let metrics = Ask::get("/_perennial/metrics").header("authorization", "Bearer test-secret");
    let counts = f.ask(metrics).await.expect(200, "").text();
    let of = |name: &str| {
        let line = counts.lines().find(|line| line.starts_with(name)).expect("a counter");
        line.rsplit(' ').next().and_then(|count| count.parse::<usize>().ok()).expect("a number")
    };
    assert!(of("perennial_limited_log_lines_total{kind=\"refused_call\"}") >= CALLS, "{counts}");
    let left_out = of("perennial_left_out_log_lines_total{kind=\"refused_call\"}");
    assert!(left_out > CALLS / 2, "{counts}");
    let written = f.site.log.lines().len() - lines;
    println!("{CALLS} refused calls, and others: {written} lines of log");
    // One a second of each kind.
    assert!(written < 200, "{written} lines:\n{}", f.site.log.text());
    let refused = f.site.log.count("was refused");
    assert!(refused > 0 && refused < 100, "{refused} lines");
}

/// Failed first renders of made-up paths are the same.
#[tokio::test]
async fn made_up_paths_whose_renders_fail_cannot_flood_the_log() {
    let f = Fixture::start().await;
    f.up.otherwise(|_| tests::Reply::status(500));
    for n in 0..400 {
        f.get(&format!("/blog/made-up-{n}")).await.expect(500, "");
    }
    let failed = f.site.log.count("render failed");
    assert!((100..300).contains(&failed), "{failed} lines");
    // The next line, a second later, says how many there were.
    until("the number left out", async || {
        f.get("/blog/made-up").await.expect(500, "");
        f.site.log.find(|line| line.contains("render failed") && line.contains("left_out="))
    })
    .await;
}

/// What a process holds of connections that send or read slowly.
struct Attack {
    client: Client,
    connected: Arc<AtomicUsize>,
    kept: tokio::task::JoinSet<()>,
}

impl Attack {
    /// One that sends this, reads so many bytes, and then does nothing until the server ends it.
    fn add(&mut self, request: String, reads: usize) {
        let (client, connected) = (self.client, self.connected.clone());
        self.kept.spawn(async move {
            let Ok(mut stream) = TcpStream::connect(client.addr).await else { return };
            connected.fetch_add(1, Ordering::Relaxed);
            let _ = stream.write_all(request.as_bytes()).await;
            let _ = stream.read_exact(&mut vec![0; reads]).await;
            std::future::pending::<()>().await;
        });
    }
}

async fn site_with_a_large_page(up: &Upstream, launch: &Launch) -> Running {
    up.on("/blog/large", json!({ "revalidate": false, "pad_bytes": 14 << 20 }));
    let first = launch.start().await;
    first.get("/blog/large").await.expect(200, "MISS");
    first.get("/never").await.expect(200, "MISS");
    first.stop().await.success();
    // One that has not rendered it.
    launch.start().await
}

/// Slow readers of a large page, unfinished heads and bodies with made-up signatures, all at the same time: memory has
/// limits for all of them together, and a visitor is served meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_take_little_memory_together() {
    const READERS: usize = 1_000;
    const HEADS: usize = 4_000;
    const BODIES: usize = 2_000;
    const LIMIT_BYTES: u64 = 256 << 20;
    rlimit::increase_nofile_limit(u64::MAX).expect("the limit of files");
    let up = Upstream::start().await;
    let (launch, _store) = launch(&up, &[("PERENNIAL_HEAD_TIMEOUT_MS", "60000")]);
    let site = site_with_a_large_page(&up, &launch).await;
    site.get("/never").await.expect(200, "HIT");
    let before = site.memory_bytes();
    let mut attack = Attack { client: site.client(), connected: Arc::default(), kept: Default::default() };
    for n in 0..HEADS {
        let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {}", "x".repeat(120_000));
        attack.add(head, 1);
        if n < READERS {
            let coding = ["br", "identity"][n % 2];
            attack.add(
                format!("GET /blog/large HTTP/1.1\r\nhost: x\r\naccept-encoding: {coding}\r\n\r\n"),
                4096,
            );
        }
        if n < BODIES {
            let signature = "0".repeat(64);
            let head = format!(
                "POST /api/revalidate HTTP/1.1\r\nhost: x\r\nx-hub-signature-256: sha256={signature}\r\n\
                 content-length: 262144\r\n\r\n"
            );
            attack.add(head + &"x".repeat(262_000), 1);
        }
        if n % 100 == 0 {
            site.get("/never").await.expect(200, "HIT");
        }
    }
    let all = READERS + HEADS + BODIES;
    until_true("all connections", || attack.connected.load(Ordering::Relaxed) == all).await;
    for _ in 0..20 {
        site.get("/never").await.expect(200, "HIT");
        pass(Duration::from_millis(100)).await;
    }
    for coding in ["br", "identity"] {
        until("the large page", async || {
            let ask = Ask::get("/blog/large").header("accept-encoding", coding);
            let answer = site.client().try_ask(ask).await.ok()?;
            assert!(answer.status == 200 || answer.headers.contains_key("retry-after"), "{answer}");
            (answer.status == 200).then_some(())
        })
        .await;
    }
    let (now, peak) = (site.memory_bytes(), site.peak_memory_bytes());
    println!(
        "{READERS} slow readers, {HEADS} unfinished heads and {BODIES} unverified bodies: {} MB more in memory, {} MB at most",
        now.saturating_sub(before) >> 20,
        (peak - before) >> 20
    );
    assert!(peak - before < LIMIT_BYTES, "{} MB", (peak - before) >> 20);
    attack.kept.abort_all();
}

/// A page that takes much more memory than its stored bytes is not loaded for each of its visitors.
#[tokio::test]
async fn a_page_that_decompresses_to_much_is_passed_on() {
    let up = Upstream::start().await;
    let (launch, _store) = launch(&up, &[("PERENNIAL_MEMORY_CACHE_BYTES", "1000000")]);
    // Compressed it is small: every byte is the same.
    up.on("/blog/even", json!({ "revalidate": false, "value": "x".repeat(3 << 20) }));
    let first = launch.start().await;
    let page = first.get("/blog/even").await.expect(200, "MISS");
    first.stop().await.success();
    let site = launch.start().await;
    let before = site.memory_bytes();
    let mut readers = Vec::new();
    for _ in 0..40 {
        readers.push(site.client().leave("GET /blog/even HTTP/1.1\r\nhost: x\r\n\r\n").await);
    }
    for reader in &mut readers {
        reader.read_exact(&mut [0; 12]).await.expect("the beginning of an answer");
    }
    let taken = site.memory_bytes().saturating_sub(before);
    println!("40 slow readers of a page that compresses well: {} MB", taken >> 20);
    assert!(taken < 80 << 20, "{taken} bytes");
    drop(readers);
    assert_eq!(site.get("/blog/even").await.expect(200, "HIT").body, page.body);
}

/// Past the memory for large bodies a visitor is told to come back; who reads is not hurt by who does not.
#[tokio::test]
async fn past_the_memory_for_large_bodies_a_visitor_is_told_to_come_back() {
    let up = Upstream::start().await;
    let (launch, _store) = launch(&up, &[("PERENNIAL_STREAM_MEMORY_BYTES", "3000000")]);
    let site = site_with_a_large_page(&up, &launch).await;
    let ask = || Ask::get("/blog/large");
    // Two fit. They read on for as long as they are looked at, a little at a time.
    let mut readers = Vec::new();
    for _ in 0..2 {
        let mut reader = site.client().leave("GET /blog/large HTTP/1.1\r\nhost: x\r\n\r\n").await;
        reader.read_exact(&mut [0; 4096]).await.expect("the beginning");
        readers.push(reader);
    }
    let refused = async {
        let answer = site.ask(ask()).await;
        (answer.status, answer.headers.contains_key("retry-after"))
    };
    let reading = async {
        loop {
            for reader in &mut readers {
                reader.read_exact(&mut [0; 16_384]).await.expect("who reads keeps its connection");
            }
            pass(Duration::from_millis(20)).await;
        }
    };
    let told = tokio::select! { told = refused => told, never = reading => never };
    assert_eq!(told, (503, true));
    site.log.wait_for(&["PERENNIAL_STREAM_MEMORY_BYTES"]).await;
    // From now on they stand still: they give way.
    until("the large page", async || (site.ask(ask()).await.status == 200).then_some(())).await;
}

/// Past the memory for bodies whose signature is not known to be right, a delivery is told to come back; a caller who has
/// shown a secret is not.
#[tokio::test]
async fn past_the_memory_for_unverified_bodies_a_delivery_is_told_to_come_back() {
    let f = Fixture::with(&[("PERENNIAL_UNVERIFIED_MEMORY_BYTES", "100")]).await;
    let head = "POST /api/revalidate HTTP/1.1\r\nhost: x\r\ncontent-length: 17\r\n";
    let signed = format!("{head}x-hub-signature-256: sha256={}\r\n\r\n", "0".repeat(64));
    let slow: Vec<_> = left(&f.site, &signed, 3).await;
    let raw = f.site.client().raw(format!("{signed}{{\"path\":\"/never\"}}").as_bytes()).await;
    assert!([401, 503].contains(&raw.statuses()[0]), "{raw:?}");
    let known = format!("{head}x-revalidate-secret: test-secret\r\n\r\n{{\"path\":\"/never\"}}");
    assert_eq!(f.site.client().raw(known.as_bytes()).await.statuses(), [200]);
    // Those that stand still are told to come back as soon as others wait.
    let mut told = Vec::new();
    for mut stream in slow {
        let mut text = String::new();
        if soon("an answer", stream.read_to_string(&mut text)).await.is_ok() {
            told.push(text);
        }
    }
    assert!(told.iter().any(|text| text.contains("503") && text.contains("retry-after")), "{told:?}");
}

async fn left(site: &Running, request: &str, count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(site.client().leave(request).await);
    }
    streams
}
