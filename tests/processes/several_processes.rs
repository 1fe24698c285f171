//! B10. Several processes on one store act as one.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use perennial::parts::base::rfc3339::to_rfc3339;
use perennial::parts::ports::pages::Pages as _;
use perennial::parts::ports::suite::pages::kit::page;
use perennial::{Clock as _, SystemClock};
use serde_json::{Value, json};
use tests::until::{pass, soon, until};
use tests::{Asks as _, Gate, Reply, Running};

use crate::{Host, success, until_new};

async fn two(h: &Host) -> (Running, Running) {
    (h.launch.start().await, h.launch.start().await)
}

/// B10.142, B10.144, B10.145, B10.151: what one does, the other shows, whatever it holds in memory.
#[tokio::test]
async fn what_one_does_the_other_shows() {
    for memory in ["0", "50000000"] {
        let h = Host::new().await.env("PERENNIAL_MEMORY_CACHE_BYTES", memory);
        let (a, b) = two(&h).await;
        let page = a.get("/never").await.expect(200, "MISS");
        assert_eq!(b.get("/never").await.expect(200, "HIT").id(), page.id());
        assert_eq!(b.data("/never").await.expect(200, "HIT").id(), page.id());
        success(&a.revalidate("/never").await);
        let new = b.get("/never").await.expect(200, "HIT");
        assert_ne!(new.id(), page.id(), "memory {memory}: an older page after the call was acknowledged");
        assert_eq!(a.get("/never").await.expect(200, "HIT").id(), new.id());
        h.up.on("/blog/gone", json!({ "not_found": true, "revalidate": 60 }));
        a.get("/blog/gone").await.expect(404, "MISS");
        b.get("/blog/gone").await.expect(404, "HIT");
        h.up.on("/never", json!({ "not_found": true }));
        success(&b.revalidate("/never").await);
        a.get("/never").await.expect(404, "HIT");
        assert_eq!((h.up.count("/never"), h.up.count("/blog/gone")), (3, 1));
    }
}

/// B10.146: both see it stale, one renews it.
#[tokio::test]
async fn both_see_it_stale_one_renews_it() {
    let h = Host::new().await;
    let (a, b) = two(&h).await;
    h.up.on("/blog/s", json!({ "revalidate": 1 }));
    let old = a.get("/blog/s").await.expect(200, "MISS");
    b.get("/blog/s").await.expect(200, "HIT");
    pass(Duration::from_millis(1100)).await;
    let gate = Gate::new();
    h.up.on("/blog/s", Reply::from(json!({ "revalidate": 60 })).behind(&gate));
    for _ in 0..3 {
        let (from_a, from_b) = tokio::join!(a.get("/blog/s"), b.get("/blog/s"));
        assert_eq!(from_a.expect(200, "STALE").id(), old.id());
        assert_eq!(from_b.expect(200, "STALE").id(), old.id());
    }
    h.up.wait_for_calls("/blog/s", 2).await;
    gate.open();
    let new = until_new(&a, "/blog/s", &old.id()).await;
    assert_eq!(until_new(&b, "/blog/s", &old.id()).await.id(), new.id());
    assert_eq!(h.up.count("/blog/s"), 2);
}

/// Invariant 4 for first renders: both wait for the one render.
#[tokio::test]
async fn both_miss_it_one_renders_it() {
    let h = Host::new().await;
    let (a, b) = two(&h).await;
    let gate = Gate::new();
    h.up.on("/blog/m", Reply::from(json!({ "revalidate": 60 })).behind(&gate));
    let asked: Vec<_> = [a.client(), b.client(), a.client(), b.client()]
        .into_iter()
        .map(|client| tokio::spawn(async move { client.get("/blog/m").await }))
        .collect();
    h.up.wait_for_calls("/blog/m", 1).await;
    a.get("/never").await;
    b.get("/never").await;
    gate.open();
    let mut ids = HashSet::new();
    for answer in asked {
        let answer = soon("an answer", answer).await.expect("joined");
        assert_eq!(answer.status, 200, "{answer}");
        ids.insert(answer.id());
    }
    assert_eq!((ids.len(), h.up.count("/blog/m")), (1, 1));
}

/// Simultaneous on-demand calls at both: all succeed, and the newest content is what stays.
#[tokio::test]
async fn on_demand_at_both() {
    let h = Host::new().await;
    let (a, b) = two(&h).await;
    let renders = AtomicU64::new(0);
    h.up.script("/never", move |_| Reply::value(&renders.fetch_add(1, Ordering::SeqCst).to_string()));
    a.get("/never").await.expect(200, "MISS");
    for _ in 0..5 {
        let before = h.up.count("/never");
        let (from_a, from_b) = tokio::join!(a.revalidate("/never"), b.revalidate("/never"));
        success(&from_a);
        success(&from_b);
        let shown: usize = a.get("/never").await.expect(200, "HIT").value().parse().expect("a number");
        assert!(shown >= before, "render {shown} is shown, {before} were done before the calls");
        assert_eq!(b.get("/never").await.value(), shown.to_string());
    }
}

/// B3.51: however many calls come at however many processes while one renders, one more render does for all of them.
#[tokio::test]
async fn on_demand_at_four_at_once() {
    let h = Host::new().await;
    let sites =
        [h.launch.start().await, h.launch.start().await, h.launch.start().await, h.launch.start().await];
    sites[0].get("/never").await.expect(200, "MISS");
    let gate = Gate::new();
    h.up.next("/never", Reply::value("first").behind(&gate));
    h.up.on("/never", Reply::value("second"));
    let call = |site: &Running| {
        let client = site.client();
        tokio::spawn(async move { client.revalidate("/never").await })
    };
    let mut calls = vec![call(&sites[3])];
    h.up.wait_for_calls("/never", 2).await;
    let epoch = async || h.pages().prepare(&page("any"), 0).await.expect("the epoch").epoch;
    for round in 1..=3 {
        calls.extend(sites.iter().map(call));
        let marked = 1 + round * sites.len() as u64;
        until("all calls have marked the page", async || (epoch().await == marked).then_some(())).await;
    }
    gate.open();
    for answer in calls {
        success(&soon("a call", answer).await.expect("joined"));
    }
    assert_eq!(h.up.count("/never"), 3, "renders: the visitor's, and two for 13 calls");
    for site in &sites {
        assert_eq!(site.get("/never").await.expect(200, "HIT").value(), "second");
    }
}

/// Invariant 7: a killed process's call holds the next one up for its lease.
#[tokio::test]
async fn a_dead_publishers_call_holds_nobody_up() {
    let h = Host::new().await.env("PERENNIAL_LEASE_MS", "1000");
    let (a, b) = two(&h).await;
    a.get("/never").await.expect(200, "MISS");
    h.up.next("/never", Reply::value("never").behind(&Gate::new()));
    let client = a.client();
    let call = tokio::spawn(async move {
        client.leave("GET /api/revalidate?path=/never&secret=test-secret HTTP/1.1\r\nhost: x\r\n\r\n").await
    });
    h.up.wait_for_calls("/never", 2).await;
    a.kill().await;
    let killed = Instant::now();
    success(&b.revalidate("/never").await);
    assert!(killed.elapsed() < Duration::from_secs(10), "taken over after {:?}", killed.elapsed());
    assert_eq!(b.get("/never").await.expect(200, "HIT").reason(), "on-demand");
    drop(call);
}

/// B10.148, invariant 1: a render that was held up cannot replace one that began after it.
#[tokio::test]
async fn the_newer_render_wins() {
    let h = Host::new().await.env("PERENNIAL_LEASE_MS", "1000");
    let (a, b) = two(&h).await;
    let first = a.get("/never").await.expect(200, "MISS");
    let gate = Gate::new();
    h.up.next("/never", Reply::value("held up").behind(&gate));
    let client = a.client();
    let call = tokio::spawn(async move { client.revalidate("/never").await });
    h.up.wait_for_calls("/never", 2).await;
    a.pause().await;
    h.up.on("/never", Reply::value("newer"));
    success(&b.revalidate("/never").await);
    let newer = b.get("/never").await.expect(200, "HIT");
    assert_eq!(newer.value(), "newer");
    assert_ne!(newer.id(), first.id());
    a.resume().await;
    gate.open();
    // However that call ends, it ends; and the newer page stays.
    soon("the held-up call", call).await.expect("joined");
    for site in [&a, &b] {
        assert_eq!(site.get("/never").await.expect(200, "HIT").id(), newer.id());
    }
}

/// B10.149, invariant 7: the lease of a killed process ends by itself.
#[tokio::test]
async fn a_dead_process_holds_nobody_up() {
    let h = Host::new().await.env("PERENNIAL_LEASE_MS", "1000");
    let (a, b) = two(&h).await;
    h.up.on("/blog/s", json!({ "revalidate": 1 }));
    let old = a.get("/blog/s").await.expect(200, "MISS");
    pass(Duration::from_millis(1100)).await;
    h.up.next("/blog/s", Reply::value("never").behind(&Gate::new()));
    h.up.next("/blog/m", Reply::value("never").behind(&Gate::new()));
    a.get("/blog/s").await.expect(200, "STALE");
    let connection = a.client().leave("GET /blog/m HTTP/1.1\r\nhost: x\r\n\r\n").await;
    h.up.wait_for_calls("/blog/s", 2).await;
    h.up.wait_for_calls("/blog/m", 1).await;
    a.kill().await;
    drop(connection);
    assert_eq!(b.get("/blog/s").await.expect(200, "STALE").id(), old.id());
    let killed = Instant::now();
    assert_eq!(b.get("/blog/m").await.status, 200);
    until_new(&b, "/blog/s", &old.id()).await;
    assert!(killed.elapsed() < Duration::from_secs(10), "taken over after {:?}", killed.elapsed());
}

/// B10.150: a failure one process saw holds back the others too.
#[tokio::test]
async fn back_off_is_shared() {
    let h = Host::new().await;
    let (a, b) = two(&h).await;
    h.up.on("/blog/e", json!({ "revalidate": 1 }));
    let old = a.get("/blog/e").await.expect(200, "MISS");
    h.up.on("/blog/e", Reply::throw("no"));
    pass(Duration::from_millis(1100)).await;
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        assert_eq!(a.get("/blog/e").await.expect(200, "STALE").id(), old.id());
        assert_eq!(b.get("/blog/e").await.expect(200, "STALE").id(), old.id());
        pass(Duration::from_millis(50)).await;
    }
    // At 0, about 1 and about 3 s.
    let failed = h.up.count("/blog/e") - 1;
    assert!((1..=4).contains(&failed), "{failed} failed renders in 3 s");
}

/// Invariants 1 and 6 across processes: what an on-demand call has acknowledged, nobody misses anywhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_content_is_never_missed_anywhere() {
    let h = Host::new().await;
    let (a, b) = two(&h).await;
    let content = Arc::new(AtomicU64::new(0));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let shown = content.clone();
    h.up.script("/blog/w", move |_| {
        json!({ "value": shown.load(Ordering::SeqCst).to_string(), "revalidate": 1 }).into()
    });
    a.get("/blog/w").await.expect(200, "MISS");
    let done = Arc::new(AtomicBool::new(false));
    let clients = [a.client(), b.client()];
    let readers: Vec<_> = (0..4)
        .map(|i| {
            let (acknowledged, done) = (acknowledged.clone(), done.clone());
            tokio::spawn(async move {
                let mut newest = 0;
                for turn in i.. {
                    if done.load(Ordering::SeqCst) {
                        break;
                    }
                    let at_least = acknowledged.load(Ordering::SeqCst).max(newest);
                    let answer = clients[turn % 2].get("/blog/w").await;
                    newest = answer.value().parse().expect("a number");
                    assert!(
                        newest >= at_least,
                        "{newest} after {at_least} was acknowledged or seen: {answer}"
                    );
                }
            })
        })
        .collect();
    let end = Instant::now() + Duration::from_secs(3);
    for turn in 0.. {
        if Instant::now() > end {
            break;
        }
        let version = content.fetch_add(1, Ordering::SeqCst) + 1;
        success(&clients[turn % 2].revalidate("/blog/w").await);
        acknowledged.store(version, Ordering::SeqCst);
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.expect("a reader");
    }
}

/// A command beside the running server does what the endpoint does.
#[tokio::test]
async fn the_revalidate_command() {
    let h = Host::new().await;
    let site = h.launch.start().await;
    let old = site.get("/never").await.expect(200, "MISS");
    let beside = h.launch.clone().env("PERENNIAL_LISTEN", site.client().addr);
    beside.run(&["revalidate", "/never"]).await.success();
    until("the new page", async || (site.get("/never").await.id() != old.id()).then_some(())).await;
    beside.run(&["revalidate", "/none"]).await.failure(&["/none"]);
}

/// Rule 5.6: how far a renewal is can be waited for, also after a restart in the middle of it; a failing page is named, and
/// is no success. What was published is told by a command that needs no server.
#[tokio::test]
async fn a_renewal_can_be_waited_for() {
    let h = Host::new().await.env("PERENNIAL_LEASE_MS", "1000");
    let tagged = |value: &str| json!({ "value": value, "tags": ["t"], "revalidate": false });
    let pages: Vec<_> = (0..6).map(|n| format!("/tagged/{n}")).collect();
    h.up.otherwise(move |_| tagged("old").into());
    let site = h.launch.start().await;
    for page in &pages {
        site.get(page).await.expect(200, "MISS");
    }
    let gate = Gate::new();
    let behind = gate.clone();
    h.up.otherwise(move |_| Reply::from(tagged("new")).behind(&behind));
    let beside = h.launch.clone().env("PERENNIAL_LISTEN", site.client().addr);
    let called = beside.run(&["revalidate", "--tag", "t"]).await.success();
    let called: Value = serde_json::from_str(called.output.trim()).expect("JSON");
    h.up.wait_for_all_calls(pages.len() + 1).await;
    site.kill().await;
    gate.open();
    let site = h.launch.start().await;
    let beside = h.launch.clone().env("PERENNIAL_LISTEN", site.client().addr);
    // What a killed process had begun comes back when its leases have ended.
    let id = called["id"].to_string();
    until_renewed(&site, &id).await;
    let waited = beside.run(&["revalidate", "--progress", &id, "--wait"]).await.success();
    assert!(waited.output.contains(", 0 left (0 failing)"), "{}", waited.output);
    for page in &pages {
        assert_eq!(site.get(page).await.expect(200, "HIT").value(), "new", "{page}");
    }

    for how in [&["--wait"][..], &[]] {
        let unknown = beside.run(&[&["revalidate", "--progress", "999999"], how].concat()).await;
        unknown.failure(&["no publish `999999` is known"]);
    }

    h.up.on("/tagged/3", Reply::throw("no"));
    let failed = beside.run(&["revalidate", "--tag", "t", "--wait"]).await;
    failed.failure(&["5 renewed, 1 failed, 1 left (1 failing) of 6 pages", "failed: \"/tagged/3\"", "no"]);
    let later = beside.run(&["revalidate", "/never", "--at", "2099-01-01T00:00:00Z"]).await;
    later.failure(&["more than a year from now"]);
    let in_an_hour = to_rfc3339(SystemClock.now().plus(Duration::from_secs(3600)));
    let later = beside.run(&["revalidate", "/blog/later", "--at", &in_an_hour]).await.success();
    let later: Value = serde_json::from_str(later.output.trim()).expect("JSON");
    beside.run(&["revalidate", "/never"]).await.success();
    site.stop().await;
    let later = later["id"].as_str().expect("a name");
    let cancelled = h.launch.run(&["publishes", "--cancel", later]).await.success().output;
    assert!(cancelled.contains("cancelled") && cancelled.contains("/blog/later"), "{cancelled}");
    h.launch.run(&["publishes", "--cancel", &id]).await.failure(&["has begun already"]);
    h.launch.run(&["publishes", "--cancel", "p1-ab"]).await.failure(&["no publish `p1-ab` is known"]);
    let told = h.launch.run(&["publishes"]).await.success().output;
    for part in ["now tag:t", "now /never", "done", "9caf06bb"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = h.launch.run(&["publishes", "--json", "-n", "1"]).await.success().output;
    let newest: Value = serde_json::from_str(told.trim()).expect("one object");
    assert_eq!((&newest["paths"], &newest["went"]), (&json!(["/never"]), &json!("done")));
}

/// Visitors have what the killed process held renewed, once its leases have ended.
async fn until_renewed(site: &impl tests::Asks, id: &str) {
    until("the end of the renewal", async || {
        for n in 0..6 {
            site.get(&format!("/tagged/{n}")).await;
        }
        let told = site.get(&format!("/api/revalidate/{id}?secret=test-secret")).await.json();
        (told["left"] == 0).then_some(())
    })
    .await;
}
