//! B3.51 and section 5 for several engines on one store: publishers' calls in several processes share renders.

use tests::until::{soon, until};
use tests::{Answer, Ask, Asks as _, Gate, Reply, answer::revalidate_target};
use tokio::task::JoinHandle;

use crate::world::{World, ms, s};

fn call(w: &World) -> JoinHandle<Answer> {
    w.begin(Ask::get(revalidate_target("/never")))
}

/// A call at each, all of which have marked the page when this returns.
async fn calls_at(all: &[&World]) -> Vec<JoinHandle<Answer>> {
    let before = all[0].epoch().await;
    let calls = all.iter().map(|w| call(w)).collect();
    let marked = before + all.len() as u64;
    until("all calls have marked the page", async || (all[0].epoch().await == marked).then_some(())).await;
    calls
}

/// Ends when all are answered; those who wait for another process look again as the clock goes on.
async fn answers(w: &World, calls: Vec<JoinHandle<Answer>>) -> Vec<Answer> {
    until("all calls are answered", async || {
        w.advance(ms(200));
        // Slowly: leases are extended meanwhile.
        w.idle().await;
        calls.iter().all(JoinHandle::is_finished).then_some(())
    })
    .await;
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.expect("joined"));
    }
    answers
}

/// However many calls come at however many processes while one renders, one more render does for all of them.
#[tokio::test]
async fn calls_at_several_processes_cost_two_renders() {
    let a = World::new().await;
    let (b, c, d) = (a.beside(), a.beside(), a.beside());
    a.get("/never").await.expect(200, "MISS");
    let gate = Gate::new();
    a.up.next("/never", Reply::value("first").behind(&gate));
    a.up.on("/never", Reply::value("second"));
    let mut calls = vec![call(&a)];
    a.up.wait_for_calls("/never", 2).await;
    // The second call at each waits for the first one there, not for another process's.
    for _ in 0..2 {
        calls.extend(calls_at(&[&a, &b, &c, &d]).await);
    }
    assert!(calls.iter().all(|call| !call.is_finished()), "answered by a render that began before the call");
    gate.open();
    for answer in answers(&a, calls).await {
        answer.expect(200, "").holds("\"revalidated\":true");
    }
    assert_eq!(a.up.count("/never"), 3, "renders: the visitor's, and two for nine calls");
    for w in [&a, &b, &c, &d] {
        assert_eq!(w.get("/never").await.expect(200, "HIT").value(), "second");
    }
}

/// Rule 5.3: the failure of the render that was for all of them is everybody's, not tried again by one after the other.
#[tokio::test]
async fn calls_at_several_processes_share_a_failure() {
    let a = World::new().await;
    let (b, c) = (a.beside(), a.beside());
    let old = a.get("/never").await.expect(200, "MISS");
    let gate = Gate::new();
    a.up.next("/never", Reply::value("well").behind(&gate));
    a.up.on("/never", Reply::throw("no"));
    let early = call(&a);
    a.up.wait_for_calls("/never", 2).await;
    let late = calls_at(&[&b, &c, &a]).await;
    gate.open();
    early.await.expect("joined").expect(200, "");
    for answer in answers(&a, late).await {
        answer.expect(500, "").holds("no");
    }
    assert_eq!(a.up.count("/never"), 3);
    let shown = a.get("/never").await.expect(200, "STALE");
    assert!(shown.value() == "well" && shown.id() != old.id());
}

/// Rule 4.3: a hung render of one call is a failure after its time limit; another process's call then has its own.
#[tokio::test]
async fn a_hung_call_holds_others_up_for_its_time_limit() {
    // Longer than the render may take: how a lease is extended is another story.
    let a = World::with(|limits| (limits.render_timeout, limits.lease) = (s(20), s(60))).await;
    let b = a.beside();
    a.get("/never").await.expect(200, "MISS");
    a.up.next("/never", Reply::value("hung").behind(&Gate::new()));
    a.up.on("/never", Reply::value("new"));
    let hung = call(&a);
    a.up.wait_for_calls("/never", 2).await;
    let others = calls_at(&[&b]).await;
    // Not at once: it lives.
    for _ in 0..6 {
        a.advance(s(3));
        a.idle().await;
    }
    assert!(
        !hung.is_finished() && others.iter().all(|call| !call.is_finished()) && a.up.count("/never") == 2
    );
    a.advance(s(2));
    let hung = soon("the hung call's answer", hung).await.expect("joined");
    hung.expect(500, "").holds("took longer");
    for answer in answers(&a, others).await {
        answer.expect(200, "");
    }
    assert_eq!(b.get("/never").await.expect(200, "HIT").value(), "new");
}

/// One that waits for a place in its own process keeps others waiting no longer than its render might have taken.
#[tokio::test]
async fn a_call_without_a_place_lets_others_go_first() {
    let a = World::with(|limits| {
        limits.render_timeout = s(20);
        limits.max_wait = s(300);
        limits.lease = s(6);
        limits.max_concurrent_renders = 1;
    })
    .await;
    let b = a.beside();
    a.get("/never").await.expect(200, "MISS");
    let gate = Gate::new();
    let behind = gate.clone();
    a.up.otherwise(move |_| Reply::value("slow").behind(&behind));
    a.up.on("/never", Reply::value("new"));
    let slow: Vec<_> = (0..4).map(|i| a.begin(Ask::get(revalidate_target(&format!("/blog/{i}"))))).collect();
    a.up.wait_for_all_calls(2).await;
    // These have their leases, and wait behind the one that renders.
    let waits = calls_at(&[&a]).await;
    until("it has its lease", async || a.is_demanded("/never").await.then_some(())).await;
    let began = a.now();
    let others = calls_at(&[&b]).await;
    until("the other process's call is answered", async || {
        a.advance(s(1));
        a.idle().await;
        others.iter().all(JoinHandle::is_finished).then_some(())
    })
    .await;
    for answer in others {
        answer.await.expect("joined").expect(200, "");
    }
    assert!(a.now().since(began) >= s(20), "not held up by a call that may get its place");
    assert!(waits.iter().all(|call| !call.is_finished()), "it has a place");
    gate.open();
    for answer in answers(&a, waits).await {
        answer.expect(200, "");
    }
    drop(slow);
}
