//! B4 and section 4: failing regenerations change nothing that visitors see.

use serde_json::json;
use tests::{Asks as _, Gate, Reply};

use crate::world::{World, ms, s};

/// B4.57, B4.58, B4.59, B4.65: the old page for everyone, one call, and the new page once it works again.
#[tokio::test]
async fn a_failing_renewal_changes_nothing() {
    for failure in [
        Reply::throw("no"),
        Reply::status(500),
        Reply::status(404),
        Reply::hang_up(),
        Reply::raw("{"),
        json!({ "panic": true }).into(),
        json!({ "render_throw": true }).into(),
        json!({ "empty": true }).into(),
        json!({ "revalidate": 0 }).into(),
        json!({ "redirect": { "destination": "//evil.example", "permanent": true } }).into(),
        json!({ "keep_stale": true }).into(),
    ] {
        let w = World::new().await;
        let old = w.get("/blog/e").await.expect(200, "MISS");
        w.advance(s(2));
        w.up.on("/blog/e", failure.clone());
        for _ in 0..5 {
            assert_eq!(w.get("/blog/e").await.expect(200, "STALE").id(), old.id());
            assert_eq!(w.data("/blog/e").await.expect(200, "STALE").id(), old.id());
            w.settle().await;
            w.advance(ms(100));
        }
        assert_eq!(w.up.count("/blog/e"), 2, "{failure:?}");
        w.up.on("/blog/e", Reply::value("well"));
        w.advance(s(3));
        assert_eq!(w.get("/blog/e").await.expect(200, "STALE").id(), old.id());
        w.settle().await;
        assert_eq!(w.get("/blog/e").await.expect(200, "HIT").cc(2).value(), "well");
    }
}

/// B4.60: an outage of 12 s under 10 requests a second.
#[tokio::test]
async fn an_outage() {
    let w = World::new().await;
    w.get("/blog/e").await.expect(200, "MISS");
    w.up.on("/blog/e", Reply::status(503));
    for _ in 0..120 {
        w.advance(ms(100));
        assert_eq!(w.get("/blog/e").await.status, 200);
        w.settle().await;
    }
    let calls = w.up.count("/blog/e") - 1;
    assert!((1..=6).contains(&calls), "{calls} calls in 12 s");
    w.up.on("/blog/e", Reply::value("well"));
    let mut waited = 0;
    while w.get("/blog/e").await.value() != "well" {
        w.settle().await;
        w.advance(ms(100));
        waited += 100;
        assert!(waited <= 30_000, "not recovered after {waited} ms");
    }
}

/// B4.61: retried within 30 s of a failure at the latest, for ever, and not on every request.
#[tokio::test]
async fn the_back_off_ends_at_thirty_seconds() {
    let w = World::new().await;
    w.up.on("/blog/e", json!({ "revalidate": 60 }));
    w.get("/blog/e").await.expect(200, "MISS");
    w.up.on("/blog/e", Reply::throw("no"));
    w.advance(s(60));
    let (mut calls, mut last_call, mut gaps) = (1, 0, Vec::new());
    for now in (0..600_000_u64).step_by(500) {
        w.get("/blog/e").await.expect(200, "STALE");
        w.settle().await;
        if w.up.count("/blog/e") > calls {
            calls = w.up.count("/blog/e");
            gaps.push(now - last_call);
            last_call = now;
        }
        w.advance(ms(500));
    }
    gaps.remove(0);
    assert!(gaps.iter().all(|gap| (500..=30_500).contains(gap)), "{gaps:?}");
    assert!(gaps.windows(2).take(4).all(|pair| pair[0] < pair[1]), "not growing: {gaps:?}");
    assert!(gaps.len() < 40, "{} tries in 600 s", gaps.len());
}

/// Rule 4.1: `Retry-After` wins over the back-off, whether it is shorter or longer, seconds or a date.
#[tokio::test]
async fn retry_after_wins() {
    for (status, seconds) in [(503, 20), (429, 20), (503, 1)] {
        let w = World::new().await;
        w.get("/blog/r").await.expect(200, "MISS");
        w.advance(s(2));
        w.up.next("/blog/r", Reply::status(status).retry_after(seconds.to_string()));
        w.get("/blog/r").await.expect(200, "STALE");
        w.settle().await;
        w.advance(s(seconds) - ms(1));
        w.get("/blog/r").await.expect(200, "STALE");
        w.settle().await;
        assert_eq!(w.up.count("/blog/r"), 2, "before the {seconds} s were over");
        w.advance(ms(1));
        w.get("/blog/r").await.expect(200, "STALE");
        w.settle().await;
        w.get("/blog/r").await.expect(200, "HIT");
        assert_eq!(w.up.count("/blog/r"), 3);
    }
}

/// Rule 4.1: a `Retry-After` of 0 is a second: an outage is not answered by a render for every visit.
#[tokio::test]
async fn retry_after_is_no_licence_to_hammer() {
    let w = World::new().await;
    w.get("/blog/r").await.expect(200, "MISS");
    w.up.on("/blog/r", Reply::status(503).retry_after("0"));
    w.advance(s(2));
    for calls in [2, 3] {
        for _ in 0..5 {
            w.get("/blog/r").await.expect(200, "STALE");
            w.settle().await;
        }
        assert_eq!(w.up.count("/blog/r"), calls);
        w.advance(s(1));
    }
}

/// The first table: a page that has nothing to show is tried by each visitor, although there was a page once.
#[tokio::test]
async fn a_missing_page_is_not_held_back() {
    let w = World::new().await;
    w.get("/blog/gone").await.expect(200, "MISS");
    let deleted = w.get("/api/revalidate?secret=test-secret&path=/blog/gone&mode=delete").await;
    deleted.expect(200, "");
    w.up.on("/blog/gone", Reply::throw("no"));
    for calls in 2..5 {
        w.get("/blog/gone").await.expect(500, "");
        assert_eq!(w.up.count("/blog/gone"), calls);
    }
    w.up.on("/blog/gone", Reply::value("back"));
    assert_eq!(w.get("/blog/gone").await.expect(200, "MISS").value(), "back");
}

/// B4.71, rule 4.3: a hung renewal ends at its time limit, is a failure, and readers never wait for it.
#[tokio::test]
async fn a_hung_renewal_ends() {
    let w = World::with(|limits| limits.render_timeout = s(2)).await;
    let old = w.get("/blog/h").await.expect(200, "MISS");
    w.advance(s(2));
    w.up.next("/blog/h", Reply::value("hung").behind(&Gate::new()));
    w.get("/blog/h").await.expect(200, "STALE");
    let renewal = w.work();
    w.up.wait_for_calls("/blog/h", 2).await;
    for _ in 0..3 {
        assert_eq!(w.get("/blog/h").await.expect(200, "STALE").id(), old.id());
    }
    assert!(!renewal.is_finished());
    w.advance(s(2));
    renewal.await.expect("joined");
    assert_eq!(w.get("/blog/h").await.expect(200, "STALE").id(), old.id());
    w.advance(s(3));
    w.get("/blog/h").await.expect(200, "STALE");
    w.settle().await;
    assert_ne!(w.get("/blog/h").await.expect(200, "HIT").id(), old.id());
    assert_eq!(w.up.count("/blog/h"), 3);
}

/// A success ends a row of failures: the next one backs off from the beginning.
#[tokio::test]
async fn a_success_resets_the_back_off() {
    let w = World::new().await;
    w.get("/blog/e").await.expect(200, "MISS");
    w.up.on("/blog/e", Reply::throw("no"));
    for _ in 0..4 {
        w.advance(s(31));
        w.get("/blog/e").await.expect(200, "STALE");
        w.settle().await;
    }
    w.up.on("/blog/e", Reply::value("well"));
    w.advance(s(31));
    w.get("/blog/e").await.expect(200, "STALE");
    w.settle().await;
    w.get("/blog/e").await.expect(200, "HIT");
    w.up.next("/blog/e", Reply::throw("no"));
    w.advance(s(2));
    w.get("/blog/e").await.expect(200, "STALE");
    w.settle().await;
    w.advance(s(3));
    w.get("/blog/e").await.expect(200, "STALE");
    w.settle().await;
    w.get("/blog/e").await.expect(200, "HIT");
}

/// Rule 4.2 and 7: first renders are not backed off, so each visitor tries.
#[tokio::test]
async fn first_renders_are_not_backed_off() {
    let w = World::new().await;
    w.up.on("/blog/f", Reply::throw("no"));
    for calls in 1..=5 {
        w.get("/blog/f").await.expect(500, "").nostore();
        assert_eq!(w.up.count("/blog/f"), calls);
    }
    w.up.on("/blog/f", Reply::value("well"));
    w.get("/blog/f").await.expect(200, "MISS");
}

/// B4.72: an error page that panics is answered by a plain one, and the process lives.
#[tokio::test]
async fn a_panicking_error_page() {
    let w =
        World::of(|site, _| site.error(|_| panic!("the error page")).not_found(|_| panic!("the 404 page")))
            .await;
    w.up.on("/blog/e", Reply::throw("no"));
    let answer = w.get("/blog/e").await.expect(500, "").nostore();
    assert!(!answer.body.is_empty() && !answer.text().contains("the error page"), "{answer}");
    let answer = w.get("/none").await.nostore();
    assert!(matches!(answer.status, 404 | 500), "{answer}");
    w.get("/never").await.expect(200, "MISS");
}
