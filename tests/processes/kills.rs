//! B9.133, invariants 5 to 7: a process killed at any instant leaves whole pages and nothing stuck.

use std::time::Duration;

use serde_json::json;
use tests::conformance::pad;
use tests::until::pass;
use tests::{Answer, Asks as _};

use crate::{Host, success};

const PAD_BYTES: usize = 3_000_000;

/// The page is complete, and all of one render.
#[track_caller]
fn whole(html: &Answer) {
    let text = html.text();
    assert!(text.ends_with("</html>"), "cut off: {html}");
    assert!(text.contains(&pad(&html.id(), PAD_BYTES)), "torn: {html}");
}

/// B9.133: `kill -9` at twenty different instants of an on-demand call: before, in and after the store's writes.
#[tokio::test]
async fn killed_at_any_instant() {
    let h = Host::new().await.env("PERENNIAL_LEASE_MS", "1000");
    h.up.otherwise(|_| json!({ "revalidate": false, "pad_bytes": PAD_BYTES }).into());
    let site = h.launch.start().await;
    let mut newest = site.get("/never").await.expect(200, "MISS").id();
    site.stop().await.success();
    for round in 0..20_u64 {
        let site = h.launch.start().await;
        let client = site.client();
        let calls = h.up.count("/never");
        let call = tokio::spawn(async move {
            client.try_ask(tests::Ask::get(tests::answer::revalidate_target("/never"))).await
        });
        h.up.wait_for_calls("/never", calls + 1).await;
        pass(Duration::from_millis(round * 15)).await;
        site.kill().await;
        let acknowledged = call.await.expect("joined").is_ok_and(|answer| answer.status == 200);

        let site = h.launch.start().await;
        let html = site.get("/never").await;
        assert_eq!(html.status, 200, "round {round}: {html}");
        whole(&html);
        let data = site.data("/never").await;
        assert_eq!(data.status, 200, "round {round}: {data}");
        // The killed render may be redone by these very requests; two answers in a row of one label agree.
        if html.label() == data.label() {
            assert_eq!(data.id(), html.id(), "round {round}");
        }
        if acknowledged {
            assert_ne!(html.id(), newest, "round {round}: the acknowledged page is gone");
        }
        newest = html.id();
        site.stop().await.success();
    }
}

/// Invariant 7: what a killed process was rendering is rendered by the next, within the lease.
#[tokio::test]
async fn a_killed_first_render_is_taken_over() {
    let h = Host::new().await.env("PERENNIAL_LEASE_MS", "1000");
    h.up.next("/blog/k", tests::Reply::value("never").behind(&tests::Gate::new()));
    let site = h.launch.start().await;
    let connection = site.client().leave("GET /blog/k HTTP/1.1\r\nhost: x\r\n\r\n").await;
    h.up.wait_for_calls("/blog/k", 1).await;
    site.kill().await;
    drop(connection);
    let site = h.launch.start().await;
    let page = site.get("/blog/k").await;
    assert_eq!(page.status, 200, "{page}");
    assert_eq!(site.get("/blog/k").await.expect(200, "HIT").id(), page.id());
}

/// Invariant 6: an acknowledged invalidation outlives the process that made it, even if its render never ended.
#[tokio::test]
async fn an_invalidation_outlives_its_process() {
    let h = Host::new().await.env("PERENNIAL_LEASE_MS", "1000");
    let site = h.launch.start().await;
    let old = site.get("/never").await.expect(200, "MISS");
    h.up.next("/never", tests::Reply::value("never").behind(&tests::Gate::new()));
    let client = site.client();
    let call = tokio::spawn(async move {
        client.try_ask(tests::Ask::get(tests::answer::revalidate_target("/never"))).await
    });
    h.up.wait_for_calls("/never", 2).await;
    site.kill().await;
    assert!(call.await.expect("joined").is_err());
    let site = h.launch.start().await;
    assert_eq!(site.get("/never").await.expect(200, "STALE").id(), old.id());
    crate::until_new(&site, "/never", &old.id()).await;
    success(&site.revalidate("/never").await);
}

/// Rule 5.6: the renewal of many pages goes on after its process was killed, with the end of the leases, without visitors.
#[tokio::test]
async fn a_renewal_goes_on_after_a_kill() {
    let h = Host::new().await.env("PERENNIAL_LEASE_MS", "1000");
    let site = h.launch.start().await;
    let pages = ["/tagged/a", "/tagged/b", "/tagged/c"];
    for page in pages {
        site.get(page).await.expect(200, "MISS");
        h.up.next(page, tests::Reply::value("never").behind(&tests::Gate::new()));
    }
    let accepted = site.get("/api/revalidate?secret=test-secret&site=true").await.expect(202, "").json();
    for page in pages {
        h.up.wait_for_calls(page, 2).await;
    }
    site.kill().await;
    let site = h.launch.start().await;
    let progress = format!("/api/revalidate/{}?secret=test-secret", accepted["id"]);
    tests::until::until("the end of the renewal", async || {
        site.get(&progress).await.expect(200, "").json()["done"].as_bool().filter(|done| *done)
    })
    .await;
    for page in pages {
        site.get(page).await.expect(200, "HIT");
    }
}

/// How often the process that renders is killed while two others read.
const KILLS: u64 = 100;

/// Invariants 1, 5, 6: a renderer is killed at a hundred instants of regenerating a 3 MB page while two processes read
/// it. No reader ever sees a torn page, an error, or older content after newer, and no revalidation is lost: once the
/// page is marked its new content comes, from the killed process or from whoever takes over.
#[tokio::test]
async fn a_hundred_kills_under_two_readers() {
    let h = Host::new().await.env("PERENNIAL_LEASE_MS", "300");
    let content = |n: u64| json!({ "value": format!("{n:04}"), "revalidate": false, "pad_bytes": PAD_BYTES });
    h.up.on("/never", content(0));
    let readers = [h.launch.start().await, h.launch.start().await];
    for reader in &readers {
        whole(&reader.get("/never").await);
    }
    let stop = tokio_util::sync::CancellationToken::new();
    let watches = readers.each_ref().map(|reader| tokio::spawn(watch(reader.client(), stop.clone())));
    let mut acknowledged = 0;
    for n in 1..=KILLS {
        h.up.on("/never", content(n));
        let victim = h.launch.start().await;
        let (client, calls) = (victim.client(), h.up.count("/never"));
        let target = tests::answer::revalidate_target("/never");
        let call = tokio::spawn(async move { client.try_ask(tests::Ask::get(target)).await });
        // From the first request for content on, the page is marked.
        h.up.wait_for_calls("/never", calls + 1).await;
        pass(Duration::from_millis(n * 37 % 500)).await;
        victim.kill().await;
        let value = format!("{n:04}");
        if call.await.expect("joined").is_ok_and(|answer| answer.status == 200) {
            acknowledged += 1;
            for reader in &readers {
                assert_eq!(reader.get("/never").await.value(), value, "lost an acknowledged revalidation");
            }
        }
        tests::until::until(&format!("revalidation {n} to take effect"), async || {
            (readers[0].get("/never").await.value() == value).then_some(())
        })
        .await;
        assert_eq!(readers[1].get("/never").await.value(), value, "one store, two truths");
    }
    stop.cancel();
    let mut reads = 0;
    for watch in watches {
        reads += watch.await.expect("no torn, failed or older page");
    }
    println!(
        "{KILLS} kills, {acknowledged} of them after the acknowledgement, {reads} pages read, none lost or torn"
    );
}

/// Reads until it is stopped; tells how often.
async fn watch(client: tests::client::Client, stop: tokio_util::sync::CancellationToken) -> usize {
    let (mut newest, mut reads) = (String::new(), 0);
    // Making the padding takes longer than reading it: once for each render.
    let (mut id, mut padding) = (String::new(), String::new());
    while !stop.is_cancelled() {
        let page = client.get("/never").await;
        assert_eq!(page.status, 200, "{page}");
        if page.id() != id {
            id = page.id();
            padding = pad(&id, PAD_BYTES);
        }
        let text = page.text();
        assert!(text.contains(&padding) && text.ends_with("</html>"), "torn: {page}");
        assert!(page.value() >= newest, "{} after {newest}", page.value());
        newest = page.value();
        reads += 1;
        pass(Duration::from_millis(15)).await;
    }
    reads
}
