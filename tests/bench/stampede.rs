//! Two hundred visitors at the same moment.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::client::Client;
use tests::until::pass;
use tests::{Asks as _, Upstream};

use crate::server::Server;
use crate::slow;

const CROWD: usize = 200;

/// Nobody has seen the page yet.
pub(crate) async fn on_a_new_page(server: &Server, upstream: &Upstream) -> Value {
    let running = server.start().await;
    let path = "/blog/new";
    upstream.on(path, slow(json!({ "value": "new", "revalidate": 60 })));
    let result = crowd(running.client(), upstream, path, "for a page nobody has seen").await;
    running.stop().await;
    result
}

/// The page has just become old.
pub(crate) async fn at_expiry(server: &Server, upstream: &Upstream) -> Value {
    let running = server.start().await;
    let path = "/blog/old";
    // Fresh for longer than the crowd needs, so that it expires once.
    upstream.on(path, slow(json!({ "value": "old", "revalidate": 3 })));
    running.client().get(path).await.expect(200, "MISS");
    pass(Duration::from_millis(3100)).await;
    let result = crowd(running.client(), upstream, path, "for a page that has just become old").await;
    running.stop().await;
    result
}

async fn crowd(client: Client, upstream: &Upstream, path: &str, when: &str) -> Value {
    let before = upstream.count(path);
    let visitors: Vec<_> = (0..CROWD).map(|_| tokio::spawn(visit(client, path.to_owned()))).collect();
    let (mut answers, mut slowest) = (BTreeMap::<String, u32>::new(), Duration::ZERO);
    for visitor in visitors {
        let (kind, took) = visitor.await.expect("a visitor that does not panic");
        *answers.entry(kind).or_default() += 1;
        slowest = slowest.max(took);
    }
    upstream.wait_for_calls(path, before + 1).await;
    upstream.wait_until_idle().await;
    json!({
        "when": when, "requests": CROWD, "renders": upstream.count(path) - before,
        "answers": answers, "slowest_ms": slowest.as_secs_f64() * 1000.0,
    })
}

async fn visit(client: Client, path: String) -> (String, Duration) {
    let began = Instant::now();
    let answer = client.get(&path).await;
    (format!("{} {}", answer.status, answer.label()), began.elapsed())
}
