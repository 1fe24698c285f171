//! Crowds: B8.117 and B8.123 with real processes.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tests::client::Client;
use tests::until::{pass, soon, until_true};
use tests::{Asks as _, Gate, Launch, Reply, Running, Upstream};
use tokio::task::JoinSet;

const PAGES: usize = 500;
const VISITORS: usize = 200;

struct Group {
    up: Upstream,
    processes: Vec<Running>,
    _store: TempDir,
}

impl Group {
    async fn start(processes: usize, limit: usize) -> Self {
        let (up, store) = (Upstream::start().await, TempDir::new().expect("a temporary directory"));
        let launch = Launch::new(env!("CARGO_BIN_EXE_conformance-site"), store.path(), &up);
        let launch = launch.env("PERENNIAL_MAX_CONCURRENT_RENDERS", limit);
        let mut running = Vec::new();
        for _ in 0..processes {
            running.push(launch.start().await);
        }
        Self { up, processes: running, _store: store }
    }

    fn client(&self, turn: usize) -> Client {
        self.processes[turn % self.processes.len()].client()
    }
}

/// Five hundred old pages are asked for within a second: nobody waits, never more than eight renders run at once, and
/// every page is rendered once.
async fn five_hundred_old_pages(processes: usize) {
    const LIMIT: usize = 8;
    let g = Group::start(processes, LIMIT / processes).await;
    let page = |i: usize| format!("/blog/p{i}");
    g.up.otherwise(|_| json!({ "value": "old", "revalidate": 1 }).into());
    let mut filling = JoinSet::new();
    for i in 0..PAGES {
        let client = g.client(i);
        filling.spawn(async move { client.get(&page(i)).await.expect(200, "MISS").id() });
    }
    let old: HashSet<_> = filling.join_all().await.into_iter().collect();
    assert_eq!(old.len(), PAGES);
    pass(Duration::from_millis(1100)).await;
    let new = || Reply::from(json!({ "value": "new", "revalidate": 600 })).after(Duration::from_millis(100));
    g.up.otherwise(move |_| new());

    let (began, mut crowd) = (Instant::now(), JoinSet::new());
    for i in 0..PAGES {
        // Spread over three quarters of a second.
        pass(
            Duration::from_micros(1500)
                .saturating_mul(u32::try_from(i).expect("small"))
                .saturating_sub(began.elapsed()),
        )
        .await;
        let client = g.client(i);
        crowd.spawn(async move {
            let asked = Instant::now();
            let answer = client.get(&page(i)).await.expect(200, "STALE");
            (asked.elapsed(), answer.id())
        });
    }
    let (mut waits, ids): (Vec<_>, Vec<_>) = crowd.join_all().await.into_iter().unzip();
    assert!(ids.iter().all(|id| old.contains(id)), "an answer waited for its renewal");
    waits.sort_unstable();
    let all = began.elapsed();
    until_true("every page renewed", || g.up.count_all() == 2 * PAGES).await;
    g.up.wait_until_idle().await;
    let renewed = began.elapsed();
    for i in 0..PAGES {
        let answer = tests::until::until("the new page", async || {
            let answer = g.client(i).get(&page(i)).await;
            (answer.value() == "new").then_some(answer)
        });
        answer.await.expect(200, "HIT");
    }
    println!(
        "{PAGES} old pages, {processes} processes: {all:.2?} to ask, median {:.1?}, 99 % within {:.1?}, the slowest \
         {:.1?}; renewed after {renewed:.2?}, at most {} at once",
        waits[PAGES / 2],
        waits[PAGES * 99 / 100],
        waits[PAGES - 1],
        g.up.most_at_once()
    );
    assert_eq!(g.up.count_all(), 2 * PAGES, "a page was rendered twice");
    assert!(g.up.most_at_once() <= LIMIT, "{} renders at once", g.up.most_at_once());
    // Far less than the renewals take, and far more than an answer needs on a machine that does other things too.
    assert!(waits[PAGES * 99 / 100] < Duration::from_secs(1), "99 % within {:?}", waits[PAGES * 99 / 100]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_old_pages_of_one_process() {
    five_hundred_old_pages(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_old_pages_of_four_processes() {
    five_hundred_old_pages(4).await;
}

/// Two hundred visitors of a page that nobody has rendered, at four processes: one render, one page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_visitors_of_a_missing_page() {
    let g = Group::start(4, 8).await;
    let gate = Gate::new();
    g.up.on("/blog/m", Reply::from(json!({ "revalidate": 600 })).behind(&gate));
    let mut crowd = JoinSet::new();
    for i in 0..VISITORS {
        let client = g.client(i);
        crowd.spawn(async move { client.get("/blog/m").await });
    }
    g.up.wait_for_calls("/blog/m", 1).await;
    // Others are answered although all those wait.
    for i in 0..8 {
        g.client(i).get("/never").await;
    }
    gate.open();
    let answers = soon("all answers", crowd.join_all()).await;
    let ids: HashSet<_> = answers.iter().map(|answer| (answer.status, answer.id())).collect();
    assert_eq!((ids.len(), g.up.count("/blog/m")), (1, 1), "{ids:?}");
    assert!(ids.iter().all(|(status, _)| *status == 200));
    println!("{VISITORS} visitors of a missing page at 4 processes: 1 render, 1 page");
}
