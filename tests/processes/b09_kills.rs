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
