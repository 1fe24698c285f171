//! B9. Restarts and deployments change nothing visible.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::until::{pass, soon};
use tests::{Asks as _, Gate, Reply, data_target};

use crate::{Host, success, until_new};

/// B9.127, B9.129: every kind of entry survives, with its clock and its period.
#[tokio::test]
async fn entries_survive_a_restart() {
    let h = Host::new().await;
    h.up.on("/blog/timed", json!({ "revalidate": 600 }));
    h.up.on("/blog/gone", json!({ "not_found": true, "revalidate": 600 }));
    h.up.on(
        "/blog/moved",
        json!({ "redirect": { "destination": "/", "permanent": true }, "revalidate": 600 }),
    );
    h.up.on("/blog/large", json!({ "revalidate": 600, "pad_bytes": 200_000 }));
    let site = h.launch.start().await;
    let timed = site.get("/blog/timed").await.expect(200, "MISS");
    let never = site.get("/never").await.expect(200, "MISS");
    let large = site.get("/blog/large").await.expect(200, "MISS");
    site.get("/blog/gone").await.expect(404, "MISS");
    site.get("/blog/moved").await.expect(308, "MISS");
    let calls = h.up.count_all();
    site.stop().await.success();
    let site = h.launch.start().await;
    assert_eq!(site.get("/blog/timed").await.expect(200, "HIT").cc(600).id(), timed.id());
    assert_eq!(site.get("/never").await.expect(200, "HIT").cc_forever().etag(), never.etag());
    assert_eq!(site.get("/blog/large").await.expect(200, "HIT").body, large.body);
    assert_eq!(site.data("/blog/timed").await.expect(200, "HIT").id(), timed.id());
    site.get("/blog/gone").await.expect(404, "HIT");
    assert_eq!(site.get("/blog/moved").await.expect(308, "HIT").header("location"), "/");
    assert_eq!(h.up.count_all(), calls);
}

/// B9.130, B9.139: what was learnt at runtime wins over what the build gave.
#[tokio::test]
async fn runtime_state_wins_over_the_build() {
    let h = Host::new().await;
    h.up.on("/", json!({ "revalidate": 1 }));
    h.launch.run(&["build"]).await.success();
    h.up.on("/", json!({ "value": "runtime", "revalidate": 600 }));
    let site = h.launch.start().await;
    pass(Duration::from_millis(1100)).await;
    let old = site.get("/").await.expect(200, "STALE");
    let new = until_new(&site, "/", &old.id()).await.expect(200, "HIT");
    let calls = h.up.count("/");
    site.stop().await.success();
    let site = h.launch.start().await;
    assert_eq!(site.get("/").await.expect(200, "HIT").id(), new.id());
    pass(Duration::from_millis(1200)).await;
    assert_eq!(site.get("/").await.expect(200, "HIT").cc(600).id(), new.id());
    assert_eq!(h.up.count("/"), calls);
}

/// B9.131: age goes on while nothing runs.
#[tokio::test]
async fn age_survives_a_restart() {
    let h = Host::new().await;
    h.up.on("/blog/a", json!({ "revalidate": 2 }));
    let site = h.launch.start().await;
    let old = site.get("/blog/a").await.expect(200, "MISS");
    // At the latest.
    let born = Instant::now();
    pass(Duration::from_millis(1000)).await;
    site.stop().await.success();
    let site = h.launch.start().await;
    pass(Duration::from_millis(2100).saturating_sub(born.elapsed())).await;
    assert_eq!(site.get("/blog/a").await.expect(200, "STALE").id(), old.id());
}

/// B9.134: a request that waits for its render gets its page before the process ends.
#[tokio::test]
async fn termination_drains_requests() {
    let h = Host::new().await;
    let gate = Gate::new();
    h.up.on("/blog/slow", Reply::from(json!({ "revalidate": false })).behind(&gate));
    let site = h.launch.start().await;
    let client = site.client();
    let asked = tokio::spawn(async move { client.get("/blog/slow").await });
    h.up.wait_for_calls("/blog/slow", 1).await;
    site.terminate().await;
    // It listens no longer, so that a load balancer goes elsewhere.
    tests::until::until("the port to close", async || {
        client.try_ask(tests::Ask::get("/never")).await.is_err().then_some(())
    })
    .await;
    gate.open();
    let page = soon("the answer", asked).await.expect("joined").expect(200, "MISS");
    site.wait().await.success();
    let site = h.launch.start().await;
    assert_eq!(site.get("/blog/slow").await.expect(200, "HIT").id(), page.id());
}

/// B9.135: a renewal at the end is finished or given back; the old page is whole either way.
#[tokio::test]
async fn termination_during_a_renewal() {
    let h = Host::new().await;
    h.up.on("/blog/r", json!({ "value": "old", "revalidate": 1 }));
    let site = h.launch.start().await;
    let old = site.get("/blog/r").await.expect(200, "MISS");
    pass(Duration::from_millis(1100)).await;
    let gate = Gate::new();
    h.up.next("/blog/r", Reply::value("new").behind(&gate));
    site.get("/blog/r").await.expect(200, "STALE");
    h.up.wait_for_calls("/blog/r", 2).await;
    site.terminate().await;
    gate.open();
    site.wait().await.success();
    h.up.on("/blog/r", Reply::value("new"));
    let site = h.launch.start().await;
    let first = site.get("/blog/r").await;
    assert_eq!(first.status, 200, "{first}");
    assert!(first.id() == old.id() || first.value() == "new", "{first}");
    // Nothing of the ended process is in the way of the next renewal.
    assert_eq!(until_new(&site, "/blog/r", &old.id()).await.value(), "new");
}

/// B9.140, invariant 10: builds never mix, an older one finds its state again, and what was invalidated meanwhile
/// is not fresh in it.
#[tokio::test]
async fn deployments_do_not_mix() {
    let h = Host::new().await;
    let (one, two) = (h.launch.clone().env("BUILD_ID", "one"), h.launch.clone().env("BUILD_ID", "two"));
    h.up.list("/blog/{slug}", json!([{ "slug": "a" }]));
    h.up.otherwise(|_| json!({ "revalidate": false }).into());
    one.run(&["build"]).await.success();
    let first = one.start().await;
    let built = first.get("/blog/a").await.expect(200, "HIT");
    success(&first.revalidate("/blog/a").await);
    let runtime = first.get("/blog/a").await.expect(200, "HIT");
    assert_ne!(runtime.id(), built.id());
    let only_here = first.get("/blog/only-one").await.expect(200, "MISS");
    let touched = first.get("/never").await.expect(200, "HIT");

    two.run(&["build"]).await.success();
    assert_eq!(
        first.get("/blog/a").await.expect(200, "HIT").id(),
        runtime.id(),
        "the next build changed the live one"
    );
    let second = two.start().await;
    first.stop().await.success();
    let next = second.get("/blog/a").await.expect(200, "HIT");
    assert_eq!(next.prop("build"), "two");
    assert_eq!(second.data("/blog/a").await.expect(200, "HIT").id(), next.id());
    second.get(&data_target("one", "/blog/a")).await.expect(404, "").nostore();
    assert_eq!(second.get("/blog/only-one").await.expect(200, "MISS").prop("build"), "two");
    success(&second.revalidate("/never").await);
    second.stop().await.success();

    let back = one.start().await;
    assert_eq!(back.get("/blog/a").await.expect(200, "HIT").id(), runtime.id());
    assert_eq!(back.data("/blog/a").await.expect(200, "HIT").id(), runtime.id());
    assert_eq!(back.get("/blog/only-one").await.expect(200, "HIT").id(), only_here.id());
    back.get(&data_target("two", "/blog/a")).await.expect(404, "");
    let stale = back.get("/never").await.expect(200, "STALE");
    assert_eq!(stale.id(), touched.id());
    assert_eq!(until_new(&back, "/never", &stale.id()).await.prop("build"), "one");
}

/// Section 5: what is deleted is gone at once, also where another build still shows it, or comes back.
#[tokio::test]
async fn what_is_deleted_is_gone_in_every_build() {
    let h = Host::new().await;
    let (one, two) = (h.launch.clone().env("BUILD_ID", "one"), h.launch.clone().env("BUILD_ID", "two"));
    let pages = ["/blog/a", "/tagged/b", "/tagged/c"];
    h.up.otherwise(|_| json!({ "revalidate": false, "tags": ["private"] }).into());
    h.up.on("/tagged/c", json!({ "revalidate": false, "tags": ["other"] }));
    let (first, second) = (one.start().await, two.start().await);
    for path in pages {
        first.get(path).await.expect(200, "MISS");
        first.get(path).await.expect(200, "HIT");
        second.get(path).await.expect(200, "MISS");
    }
    h.up.otherwise(|_| json!({ "not_found": true }).into());
    for call in ["path=/blog/a", "tag=private"] {
        success(&second.get(&format!("/api/revalidate?secret=test-secret&mode=delete&{call}")).await);
    }
    // One that was running, and one after a rollback.
    for path in &pages[..2] {
        first.get(path).await.expect(404, "MISS");
    }
    first.get("/tagged/c").await.expect(200, "HIT");
    first.stop().await.success();
    let back = one.start().await;
    for path in &pages[..2] {
        back.get(path).await.expect(404, "HIT");
    }
    back.get("/tagged/c").await.expect(200, "HIT");
}

/// A process starts, serves and stops whatever state its upstream is in.
#[tokio::test]
async fn the_upstream_is_not_needed_to_start_or_stop() {
    let h = Host::new().await;
    let site = h.launch.start().await;
    let page = site.get("/never").await.expect(200, "MISS");
    site.stop().await.success();
    h.up.refuse(true);
    let site = h.launch.start().await;
    assert_eq!(site.get("/never").await.expect(200, "HIT").id(), page.id());
    site.get("/blog/a").await.expect(500, "").nostore();
    site.get("/nofb/a").await.expect(404, "").nostore();
    site.stop().await.success();
    h.up.refuse(false);
    // On an empty store the routes are asked what they list; here one never answers.
    h.up.list_reply("/nofb/{slug}", Reply::raw("{}").behind(&Gate::new()));
    let site = h.launch.clone().env("BUILD_ID", "other").start().await;
    site.get("/never").await.expect(200, "MISS");
    let stopping = Instant::now();
    site.stop().await.success();
    assert!(stopping.elapsed() < Duration::from_secs(5), "stopping took {:?}", stopping.elapsed());
}

/// B12.165: the store knows no base path.
#[tokio::test]
async fn a_store_moves_to_another_base_path() {
    let h = Host::new().await;
    let site = h.launch.clone().env("PERENNIAL_BASE_PATH", "/docs").start().await;
    let page = site.get("/docs/never").await.expect(200, "MISS");
    site.stop().await.success();
    let site = h.launch.clone().env("PERENNIAL_BASE_PATH", "/help").start().await;
    assert_eq!(site.get("/help/never").await.expect(200, "HIT").id(), page.id());
    site.get("/docs/never").await.expect(404, "");
    site.stop().await.success();
    let site = h.launch.start().await;
    assert_eq!(site.get("/never").await.expect(200, "HIT").id(), page.id());
}

/// Section 8: termination is heard also while no further connection may be accepted; and those that wait are served
/// once there is room.
#[tokio::test]
async fn termination_is_heard_at_the_limit_of_connections() {
    let h = Host::new()
        .await
        .env("PERENNIAL_MAX_CONNECTIONS", "1")
        .env("PERENNIAL_HEAD_TIMEOUT_MS", "120000")
        .env("PERENNIAL_SHUTDOWN_GRACE_MS", "500");
    let site = h.launch.start().await;
    let held = site.client().leave("GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await;
    h.up.wait_for_calls("/never", 1).await;
    drop(held);
    site.get("/never").await.expect(200, "HIT");
    let held = site.client().leave("GET /never HTTP/1.1\r\nhost: x\r\nx-unfinished:").await;
    let waiting = site.client().leave("GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await;
    site.stop().await.success();
    drop((held, waiting));
}
