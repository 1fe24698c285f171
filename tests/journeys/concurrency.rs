//! B8 and B10 in one process: many visitors, and several engines on one store.

use std::collections::HashSet;

use serde_json::json;
use tests::{Ask, Asks as _, Gate, Reply};

use crate::world::{World, ms, s};

/// B8.120: everyone during a renewal gets the old page at once; there is one call.
#[tokio::test]
async fn everyone_during_a_renewal_gets_the_old_page() {
    let w = World::new().await;
    let old = w.get("/blog/a").await.expect(200, "MISS");
    w.advance(s(2));
    let gate = Gate::new();
    w.up.on("/blog/a", Reply::value("new").behind(&gate));
    let simultaneous: Vec<_> = (0..6).map(|_| w.begin(Ask::get("/blog/a"))).collect();
    for answer in simultaneous {
        assert_eq!(answer.await.expect("joined").expect(200, "STALE").id(), old.id());
    }
    let renewal = w.work();
    w.up.wait_for_calls("/blog/a", 2).await;
    for _ in 0..4 {
        assert_eq!(w.get("/blog/a").await.expect(200, "STALE").id(), old.id());
    }
    gate.open();
    renewal.await.expect("joined");
    assert_eq!(w.get("/blog/a").await.expect(200, "HIT").value(), "new");
    assert_eq!(w.up.count("/blog/a"), 2);
}

/// B8.123: five hundred pages go stale at once: never more renders than allowed, each page once, nobody waits.
#[tokio::test]
async fn a_stampede_keeps_to_the_limit() {
    const PAGES: usize = 500;
    let w = World::with(|limits| limits.max_concurrent_renders = 4).await;
    let mut ids = HashSet::new();
    for i in 0..PAGES {
        ids.insert(w.get(&format!("/blog/p{i}")).await.expect(200, "MISS").id());
    }
    w.advance(s(2));
    let gate = Gate::new();
    let behind = gate.clone();
    w.up.otherwise(move |_| Reply::value("new").behind(&behind));
    for i in 0..PAGES {
        assert!(ids.contains(&w.get(&format!("/blog/p{i}")).await.expect(200, "STALE").id()));
    }
    let workers: Vec<_> = (0..8).map(|_| w.work()).collect();
    w.up.wait_for_all_calls(PAGES + 4).await;
    gate.open();
    for worker in workers {
        worker.await.expect("joined");
    }
    w.settle().await;
    assert!(w.up.most_at_once() <= 4, "{} at once", w.up.most_at_once());
    assert_eq!(w.up.count_all(), 2 * PAGES);
    for i in 0..PAGES {
        assert_eq!(w.get(&format!("/blog/p{i}")).await.expect(200, "HIT").value(), "new");
    }
}

/// B10.142, B10.144, B10.146, B10.150: two engines on one store act as one, with and without memory.
#[tokio::test]
async fn two_engines_act_as_one() {
    for memory in [0, 1 << 20] {
        let a = World::with(|limits| limits.memory_cache_bytes = memory).await;
        let b = a.beside();
        let page = a.get("/blog/t").await.expect(200, "MISS");
        assert_eq!(b.get("/blog/t").await.expect(200, "HIT").id(), page.id());
        a.revalidate("/blog/t").await.expect(200, "");
        let new = b.get("/blog/t").await.expect(200, "HIT");
        assert_ne!(new.id(), page.id());
        assert_eq!(a.get("/blog/t").await.expect(200, "HIT").id(), new.id());
        a.advance(s(2));
        a.get("/blog/t").await.expect(200, "STALE");
        b.get("/blog/t").await.expect(200, "STALE");
        b.settle().await;
        a.settle().await;
        assert_eq!(a.up.count("/blog/t"), 3);
        assert_eq!(
            a.get("/blog/t").await.expect(200, "HIT").id(),
            b.get("/blog/t").await.expect(200, "HIT").id()
        );
        a.up.on("/blog/t", Reply::throw("no"));
        a.advance(s(2));
        for _ in 0..3 {
            a.get("/blog/t").await.expect(200, "STALE");
            a.settle().await;
            b.get("/blog/t").await.expect(200, "STALE");
            b.settle().await;
        }
        assert_eq!(a.up.count("/blog/t"), 4, "the back-off is not shared");
    }
}

/// Rule 4.2 for two engines: who waits for the other's first render shares its failure, also if it fails before they
/// have looked once.
#[tokio::test]
async fn a_failed_first_render_is_shared() {
    let a = World::new().await;
    let b = a.beside();
    let gate = Gate::new();
    a.up.on("/blog/e", Reply::throw("no").behind(&gate));
    let first = a.begin(Ask::get("/blog/e"));
    a.up.wait_for_calls("/blog/e", 1).await;
    let elsewhere = b.begin(Ask::get("/blog/e"));
    a.idle().await;
    gate.open();
    first.await.expect("joined").expect(500, "").nostore();
    a.advance(s(1));
    elsewhere.await.expect("joined").expect(500, "").nostore();
    assert_eq!(a.up.count("/blog/e"), 1, "the failure is not shared");
    // Who comes later tries again.
    a.up.on("/blog/e", Reply::value("well"));
    b.get("/blog/e").await.expect(200, "MISS");
}

/// Invariant 4: a renderer that lives keeps its page, however much longer than a lease it takes; one that is only
/// slow is not taken over.
#[tokio::test]
async fn a_living_render_keeps_its_lease() {
    let a = World::with(|limits| {
        limits.lease = s(10);
        limits.render_timeout = s(300);
        limits.max_wait = s(300);
    })
    .await;
    let b = a.beside();
    a.get("/blog/s").await.expect(200, "MISS");
    a.advance(s(2));
    let gate = Gate::new();
    a.up.otherwise({
        let behind = gate.clone();
        move |_| Reply::value("slow").behind(&behind)
    });
    a.get("/blog/s").await.expect(200, "STALE");
    let renewal = a.work();
    let first = a.begin(Ask::get("/blog/m"));
    a.up.wait_for_calls("/blog/s", 2).await;
    a.up.wait_for_calls("/blog/m", 1).await;
    let elsewhere = b.begin(Ask::get("/blog/m"));
    for _ in 0..12 {
        a.advance(s(4));
        a.idle().await;
        b.get("/blog/s").await.expect(200, "STALE");
        b.settle().await;
    }
    assert_eq!((a.up.count("/blog/s"), a.up.count("/blog/m")), (2, 1), "taken over from a living renderer");
    gate.open();
    renewal.await.expect("joined");
    let rendered = first.await.expect("joined");
    a.idle().await;
    // The other process looks again when its clock lets it.
    a.advance(s(1));
    let waited = tests::until::soon("the other's visitor", elsewhere).await.expect("joined");
    assert_eq!((waited.status, waited.id()), (200, rendered.id()));
    assert_eq!(b.get("/blog/s").await.value(), "slow");
}

/// B10.149, invariant 7: a lease whose holder is gone ends by itself.
#[tokio::test]
async fn a_dead_renderers_lease_ends() {
    let a = World::new().await;
    a.get("/blog/s").await.expect(200, "MISS");
    a.advance(s(2));
    // Granted and queued, and nobody ever works that queue's job: as if the process had died before it could.
    a.get("/blog/s").await.expect(200, "STALE");
    a.advance(s(9));
    a.get("/blog/s").await.expect(200, "STALE");
    a.advance(s(2));
    a.get("/blog/s").await.expect(200, "STALE");
    a.settle().await;
    a.get("/blog/s").await.expect(200, "HIT");
    assert_eq!(a.up.count("/blog/s"), 2, "both jobs rendered");
}

/// Invariant 6: a worker that dies gives its job back to the queue, which renews the page without another visit.
#[tokio::test]
async fn a_dead_workers_job_is_done_by_another() {
    let w = World::new().await;
    w.get("/blog/d").await.expect(200, "MISS");
    w.advance(s(2));
    w.up.next("/blog/d", Reply::value("never").behind(&Gate::new()));
    w.up.on("/blog/d", Reply::value("new"));
    w.get("/blog/d").await.expect(200, "STALE");
    let worker = w.work();
    w.up.wait_for_calls("/blog/d", 2).await;
    worker.abort();
    assert!(worker.await.is_err_and(|error| error.is_cancelled()));
    // The queue hides a job as long as a lease lasts, and longer only while its worker lives.
    w.advance(s(11));
    w.settle().await;
    assert_eq!(w.get("/blog/d").await.expect(200, "HIT").value(), "new");
    assert_eq!(w.up.count("/blog/d"), 3);
}

/// Invariants 1 and 4: a process that stops gives its lease back, and with it the right to store what it renders. The
/// page's tickets begin again: another process has the same one.
#[tokio::test]
async fn what_a_stopped_process_renders_is_not_stored() {
    for late in
        [Reply::value("of the stopped one"), Reply::throw("stopped"), json!({ "not_found": true }).into()]
    {
        let a = World::with(|limits| limits.max_stored_not_found = 0).await;
        let (b, c) = (a.beside(), a.beside());
        let (stopped, goes_on) = (Gate::new(), Gate::new());
        a.up.next("/blog/f", late.behind(&stopped));
        a.up.next("/blog/f", Reply::value("of the other").behind(&goes_on));
        let early = a.begin(Ask::get("/blog/f"));
        a.up.wait_for_calls("/blog/f", 1).await;
        a.shut_down().await;
        let other = b.begin(Ask::get("/blog/f"));
        a.up.wait_for_calls("/blog/f", 2).await;
        stopped.open();
        early.await.expect("joined");
        let waits = c.begin(Ask::get("/blog/f"));
        a.idle().await;
        assert!(!other.is_finished() && !waits.is_finished());
        goes_on.open();
        assert_eq!(other.await.expect("joined").expect(200, "MISS").value(), "of the other");
        a.advance(ms(500));
        let waited = tests::until::soon("the third one's visitor", waits).await.expect("joined");
        assert_eq!((waited.status, waited.value().as_str()), (200, "of the other"));
        assert_eq!(a.up.count("/blog/f"), 2);
    }
}

/// Invariant 6: a job that a stopped process had begun is delivered again.
#[tokio::test]
async fn a_stopped_workers_job_is_done_by_another() {
    let a = World::new().await;
    let b = a.beside();
    a.get("/blog/d").await.expect(200, "MISS");
    a.advance(s(2));
    let gate = Gate::new();
    a.up.next("/blog/d", Reply::value("too late").behind(&gate));
    a.up.on("/blog/d", Reply::value("new"));
    a.get("/blog/d").await.expect(200, "STALE");
    let worker = a.work();
    a.up.wait_for_calls("/blog/d", 2).await;
    a.shut_down().await;
    gate.open();
    worker.await.expect("joined");
    a.advance(s(101));
    b.settle().await;
    assert_eq!(b.get("/blog/d").await.expect(200, "HIT").value(), "new");
    assert_eq!(a.up.count("/blog/d"), 3);
}

/// B10.148, invariant 1: of two renders the one that began later stays, in whatever order they end.
#[tokio::test]
async fn the_render_that_began_later_wins() {
    let a = World::new().await;
    let b = a.beside();
    a.get("/blog/l").await.expect(200, "MISS");
    a.advance(s(2));
    let gate = Gate::new();
    a.up.next("/blog/l", Reply::value("began first").behind(&gate));
    a.get("/blog/l").await.expect(200, "STALE");
    let early = a.work();
    a.up.wait_for_calls("/blog/l", 2).await;
    a.up.on("/blog/l", Reply::value("began later"));
    b.revalidate("/blog/l").await.expect(200, "");
    assert_eq!(a.get("/blog/l").await.expect(200, "HIT").value(), "began later");
    gate.open();
    early.await.expect("joined");
    assert_eq!(a.get("/blog/l").await.expect(200, "HIT").value(), "began later");
    assert_eq!(b.get("/blog/l").await.expect(200, "HIT").value(), "began later");
}

/// Section 6 of the design: a visitor's wait for somebody else's render is bounded.
#[tokio::test]
async fn a_visitors_wait_is_bounded() {
    let w = World::with(|limits| {
        limits.max_wait = s(5);
        limits.render_timeout = s(600);
    })
    .await;
    w.up.next("/blog/w", Reply::value("hung").behind(&Gate::new()));
    let asked = w.begin(Ask::get("/blog/w"));
    w.up.wait_for_calls("/blog/w", 1).await;
    w.idle().await;
    w.advance(s(5));
    let answer = tests::until::soon("an answer", asked).await.expect("joined");
    assert!(matches!(answer.status, 500 | 503), "{answer}");
    answer.nostore();
}

/// Invariant 11: more visitors than may wait are told to come back, and cost nothing.
#[tokio::test]
async fn waiting_visitors_are_bounded() {
    let w = World::with(|limits| limits.max_waiting_visitors = 3).await;
    let gate = Gate::new();
    w.up.on("/blog/w", Reply::value("v").behind(&gate));
    let waiting: Vec<_> = (0..3).map(|_| w.begin(Ask::get("/blog/w"))).collect();
    w.up.wait_for_calls("/blog/w", 1).await;
    w.idle().await;
    w.get("/blog/w").await.expect(503, "").nostore();
    gate.open();
    for answer in waiting {
        answer.await.expect("joined").expect(200, "MISS");
    }
    w.get("/blog/w").await.expect(200, "HIT");
}

/// Invariant 9: an entry is the same whoever made it.
#[tokio::test]
async fn an_entry_does_not_depend_on_who_made_it() {
    let w = World::new().await;
    w.up.otherwise(|_| json!({ "id": "fixed", "revalidate": false }).into());
    let plain = w.get("/blog/a").await.expect(200, "MISS");
    let odd =
        Ask::get("/blog/b?x=1").agent("Googlebot").header("cookie", "a=b").header("accept-encoding", "br");
    w.ask(odd).await.expect(200, "MISS");
    let b = w.get("/blog/b").await.expect(200, "HIT");
    assert_eq!(
        b.text(),
        plain.text().replace("/blog/a", "/blog/b").replace("&quot;a&quot;", "&quot;b&quot;")
    );
}
