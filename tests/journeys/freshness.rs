//! B1 and section 2 of the semantics: time.

use std::time::Duration;

use perennial::{Clock as _, Millis};
use serde_json::{Value, json};
use tests::answer::PERSON;
use tests::{Ask, Asks as _, Gate, Reply};

use crate::world::{World, ms, s};

/// B1.2, B1.3, B1.7: the first visitor after expiry gets the old page and starts one renewal, however long nobody
/// came.
#[tokio::test]
async fn a_stale_page_is_shown_once_more() {
    for wait in [s(2), s(6), s(86_400 * 365)] {
        let w = World::new().await;
        let old = w.get("/blog/a").await.expect(200, "MISS").cc(2);
        w.advance(ms(1999));
        w.get("/blog/a").await.expect(200, "HIT");
        w.settle().await;
        assert_eq!(w.up.count("/blog/a"), 1, "renewed before its time");
        w.advance(wait - ms(1999));
        let stale = w.get("/blog/a").await.expect(200, "STALE");
        assert_eq!(stale.id(), old.id());
        w.settle().await;
        let new = w.get("/blog/a").await.expect(200, "HIT").cc(2);
        assert_ne!(new.id(), old.id());
        assert_eq!(w.get("/blog/a").await.expect(200, "HIT").id(), new.id());
        assert_eq!(w.up.reasons("/blog/a"), ["first", "stale"]);
    }
}

/// Rule 2.3: without traffic nothing happens.
#[tokio::test]
async fn without_traffic_nothing_happens() {
    let w = World::new().await;
    w.get("/blog/a").await.expect(200, "MISS");
    w.advance(s(3600));
    w.settle().await;
    assert_eq!(w.up.count_all(), 1);
}

/// B1.4, B1.5: no period, or `false`, is for ever.
#[tokio::test]
async fn never_is_never() {
    let w = World::new().await;
    w.up.on("/blog/f", json!({ "revalidate": false }));
    for path in ["/never", "/blog/f", "/tagged/t"] {
        let first = w.get(path).await.expect(200, "MISS").cc_forever();
        for _ in 0..3 {
            w.advance(s(86_400 * 400));
            assert_eq!(w.get(path).await.expect(200, "HIT").cc_forever().id(), first.id());
            w.settle().await;
        }
        assert_eq!(w.up.count(path), 1);
    }
}

/// B1.6: `true` is one second.
#[tokio::test]
async fn true_is_one_second() {
    let w = World::new().await;
    w.up.on("/blog/t", json!({ "revalidate": true }));
    w.get("/blog/t").await.expect(200, "MISS").cc(1);
    w.advance(ms(999));
    w.get("/blog/t").await.expect(200, "HIT");
    w.advance(ms(1));
    w.get("/blog/t").await.expect(200, "STALE");
}

/// B1.8, B1.9, B1.10: every render says anew how long it lasts, whatever started it.
#[tokio::test]
async fn periods_change_from_render_to_render() {
    let forever = 86_400 * 365;
    let table: [(Value, Value, u64, u64); 4] = [
        (json!(1), json!(60), 60, 59),
        (json!(1), json!(false), forever, forever * 10),
        (json!(false), json!(1), 1, 0),
        (json!(60), json!(true), 1, 0),
    ];
    for (before, after, cc, holds) in table {
        let w = World::new().await;
        w.up.on("/blog/p", json!({ "revalidate": before }));
        w.get("/blog/p").await.expect(200, "MISS");
        w.up.on("/blog/p", json!({ "revalidate": after }));
        if before == json!(1) {
            w.advance(s(1));
            w.get("/blog/p").await.expect(200, "STALE");
            w.settle().await;
        } else {
            w.revalidate("/blog/p").await.expect(200, "");
        }
        let new = w.get("/blog/p").await.expect(200, "HIT").cc(cc);
        w.advance(s(holds));
        assert_eq!(w.get("/blog/p").await.expect(200, "HIT").id(), new.id(), "{before} then {after}");
        w.settle().await;
        assert_eq!(w.up.count("/blog/p"), 2);
        if cc != forever {
            w.advance(s(1));
            w.get("/blog/p").await.expect(200, "STALE");
        }
    }
}

/// B1.11, rule 2.1: freshness runs from the render's start, so content is never older than N plus one render.
#[tokio::test]
async fn freshness_runs_from_the_start() {
    let w = World::new().await;
    let gate = Gate::new();
    w.up.next("/blog/s", Reply::value("as of the start").behind(&gate));
    let first = {
        let asked = w.begin(Ask::get("/blog/s").agent(PERSON));
        w.up.wait_for_calls("/blog/s", 1).await;
        w.advance(ms(1500));
        gate.open();
        asked.await.expect("joined").expect(200, "MISS")
    };
    assert!(first.s_maxage() <= Some(1), "500 ms are left: {first}");
    w.get("/blog/s").await.expect(200, "HIT");
    w.advance(ms(500));
    w.get("/blog/s").await.expect(200, "STALE");
    w.settle().await;
    assert_eq!(w.get("/blog/s").await.expect(200, "HIT").value(), "v");
}

/// A render that takes longer than its own period is stale when it is stored, and shown all the same.
#[tokio::test]
async fn a_render_longer_than_its_period() {
    let w = World::new().await;
    let gate = Gate::new();
    w.up.next("/blog/s", Reply::value("slow").behind(&gate));
    let asked = w.begin(Ask::get("/blog/s").agent(PERSON));
    w.up.wait_for_calls("/blog/s", 1).await;
    w.advance(s(5));
    gate.open();
    let first = asked.await.expect("joined");
    assert_eq!((first.status, first.value()), (200, "slow".to_owned()));
    w.get("/blog/s").await.expect(200, "STALE");
    w.settle().await;
    w.get("/blog/s").await.expect(200, "HIT");
    assert_eq!(w.up.count("/blog/s"), 2);
}

/// Rule 2.4: from a named instant on the page is stale, whatever its period.
#[tokio::test]
async fn pages_expire_at_an_instant() {
    let w = World::new().await;
    let instant = time::OffsetDateTime::from(w.clock.now().plus(s(10)).to_system());
    let instant =
        instant.format(&time::format_description::well_known::Rfc3339).expect("a year of four digits");
    w.up.on("/never", json!({ "value": "before", "expires_at": instant }));
    w.get("/never").await.expect(200, "MISS").cc(10);
    w.up.on("/never", Reply::value("after"));
    w.advance(ms(9_999));
    w.get("/never").await.expect(200, "HIT").cc(1);
    w.advance(ms(1));
    assert_eq!(w.get("/never").await.expect(200, "STALE").value(), "before");
    w.settle().await;
    assert_eq!(w.get("/never").await.expect(200, "HIT").cc_forever().value(), "after");
}

/// Rule 2.6: a page stamped in the future is stale no later than N after it was first seen.
#[tokio::test]
async fn clock_steps() {
    let w = World::new().await;
    let old = w.get("/blog/c").await.expect(200, "MISS");
    let stepped = w.clock.now();
    w.clock.set(Millis(stepped.0 - 3_600_000));
    let seen = w.get("/blog/c").await;
    assert_eq!((seen.status, seen.id()), (200, old.id()));
    w.settle().await;
    w.advance(s(2));
    w.get("/blog/c").await;
    w.settle().await;
    let new = w.get("/blog/c").await;
    assert_ne!(new.id(), old.id(), "stuck until the old clock's time");
    w.clock.set(stepped);
    w.advance(s(3600));
    w.get("/blog/c").await.expect(200, "STALE");
}

/// B6.91, B6.94: whatever form the request has, a stale page asks for its renewal.
#[tokio::test]
async fn every_form_of_request_starts_the_renewal() {
    let data = tests::data_target("dev-build", "/blog/a");
    for (form, status) in [
        (Ask::head("/blog/a"), 200),
        (Ask::get("/blog/a").header("if-none-match", "TAG"), 304),
        (Ask::get("/blog/a").header("if-none-match", "*"), 304),
        (Ask::get(data.as_str()), 200),
        (Ask::get("/blog/a").agent(tests::answer::GOOGLEBOT), 200),
        (Ask::get("/blog/a").header("purpose", "prefetch"), 200),
        (Ask::get("/blog/a?x=1").header("accept-encoding", "br"), 200),
    ] {
        let w = World::new().await;
        let old = w.get("/blog/a").await.expect(200, "MISS");
        let mut ask = form.clone();
        ask.headers
            .iter_mut()
            .filter(|(_, value)| value == "TAG")
            .for_each(|(_, value)| *value = old.etag().to_owned());
        w.advance(s(2));
        let stale = w.ask(ask.clone()).await.expect(status, "STALE");
        assert!(stale.s_maxage() <= Some(1), "{stale}");
        w.settle().await;
        assert_eq!(w.up.count("/blog/a"), 2, "{form:?}");
        if status == 304 {
            assert!(stale.body.is_empty() && stale.headers.contains_key("vary"), "{stale}");
            let again = Ask::get("/blog/a").header("if-none-match", old.etag());
            assert_ne!(w.ask(again).await.expect(200, "HIT").id(), old.id());
        }
    }
}

/// B6.102, invariant 8: a stale answer is never more cacheable than a fresh one; lifetime less `age` is what is left.
#[tokio::test]
async fn lifetimes() {
    let w = World::new().await;
    w.up.on("/blog/l", json!({ "revalidate": 100 }));
    w.get("/blog/l").await.expect(200, "MISS").cc(100);
    for (passed, left) in [(0, 100), (40, 60), (59, 1)] {
        w.advance(s(passed));
        let hit = w.get("/blog/l").await.expect(200, "HIT");
        // A cache downstream subtracts the age from the lifetime (RFC 9111 section 4.2).
        let age: u64 = hit.header("age").parse().expect("age");
        assert_eq!(hit.s_maxage().map(|lifetime| lifetime - age), Some(left), "{hit}");
        assert!(hit.header("cache-status").contains(&format!("ttl={left}")), "{hit}");
    }
    w.advance(s(1));
    let stale = w.get("/blog/l").await.expect(200, "STALE");
    assert!(stale.s_maxage() <= Some(1), "{stale}");
    let fresh_swr = w
        .get("/blog/new")
        .await
        .directive("stale-while-revalidate")
        .map(|d| d.parse::<u64>().expect("a number"));
    let stale_swr = stale.directive("stale-while-revalidate").map(|d| d.parse::<u64>().expect("a number"));
    assert!(stale_swr <= fresh_swr, "{stale}");
}

/// A page whose content did not change keeps its tag and its date: only its freshness is new.
#[tokio::test]
async fn unchanged_content_keeps_its_tag() {
    let w = World::new().await;
    w.up.script("/blog/u", |call| json!({ "id": "fixed", "value": call.path }).into());
    let old = w.get("/blog/u").await.expect(200, "MISS");
    w.advance(s(2));
    w.get("/blog/u").await.expect(200, "STALE");
    w.settle().await;
    let renewed = w.get("/blog/u").await.expect(200, "HIT").cc(2);
    // The page says why it was rendered; with that the same it would be the same bytes.
    assert_eq!(renewed.reason(), "stale");
    w.advance(s(2));
    w.get("/blog/u").await.expect(200, "STALE");
    w.settle().await;
    let again = w.get("/blog/u").await.expect(200, "HIT").cc(2);
    assert_eq!(
        (again.etag(), again.header("last-modified")),
        (renewed.etag(), renewed.header("last-modified"))
    );
    assert_ne!(again.etag(), old.etag());
    assert_eq!(w.up.count("/blog/u"), 3);
}

/// A period of its own for each variant.
#[tokio::test]
async fn variants_have_their_own_clocks() {
    let w = World::new().await;
    w.get("/vary/x?page=1").await.expect(200, "MISS");
    w.advance(Duration::from_millis(1500));
    w.get("/vary/x?page=2").await.expect(200, "MISS");
    w.advance(Duration::from_millis(500));
    w.get("/vary/x?page=1").await.expect(200, "STALE");
    w.get("/vary/x?page=2").await.expect(200, "HIT");
}
