//! B1. Freshness, as far as it needs a process; the rest is in `journeys`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tests::answer::PERSON;
use tests::until::pass;
use tests::{Ask, Asks as _, Gate, Reply, Upstream};

use crate::{Fixture, until_new};

/// B1.1, B1.4, B15.195: built pages are hits without a data call.
#[tokio::test]
async fn built_pages_are_hits() {
    let up = Upstream::start().await;
    up.on("/", json!({ "value": "home", "revalidate": 60 }));
    up.list("/blog/{slug}", json!([{ "slug": "a" }]));
    let f = Fixture::built(up, &[]).await;
    let calls = f.up.count_all();
    let first = f.get("/").await.expect(200, "HIT").cc(60);
    assert_eq!((first.value(), first.reason()), ("home".to_owned(), "build".to_owned()));
    for _ in 0..2 {
        assert_eq!(f.get("/").await.expect(200, "HIT").id(), first.id());
    }
    assert_eq!(f.data("/").await.expect(200, "HIT").id(), first.id());
    f.get("/never").await.expect(200, "HIT").cc_forever();
    assert_eq!(f.get("/blog/a").await.reason(), "build");
    assert_eq!(f.up.count_all(), calls, "a data call for a built page");
}

/// B1.2, B1.3 in real time: the old page at once, while its renewal runs; then the new one, by one call.
#[tokio::test]
async fn a_stale_page_is_answered_at_once_and_renewed_once() {
    let f = Fixture::start().await;
    f.up.on("/blog/a", json!({ "value": "old", "revalidate": 1 }));
    let old = f.get("/blog/a").await.expect(200, "MISS").cc(1);
    pass(Duration::from_millis(1100)).await;
    let gate = Gate::new();
    f.up.on("/blog/a", Reply::from(json!({ "value": "new", "revalidate": 60 })).behind(&gate));
    for _ in 0..5 {
        let answer = f.get("/blog/a").await.expect(200, "STALE");
        assert_eq!(answer.id(), old.id());
        assert!(answer.s_maxage() <= Some(1), "a stale page more cacheable than a fresh one: {answer}");
    }
    f.up.wait_for_calls("/blog/a", 2).await;
    gate.open();
    let new = until_new(&f, "/blog/a", &old.id()).await.expect(200, "HIT").cc(60);
    assert_eq!((new.value(), new.reason()), ("new".to_owned(), "stale".to_owned()));
    assert_eq!(f.up.count("/blog/a"), 2);
}

/// B1.12: under load, one call a period, and nobody sees an older page after a newer one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_costs_one_call_a_period_and_never_goes_back() {
    const SECONDS: u64 = 4;
    let f = Fixture::start().await;
    let renders = AtomicUsize::new(0);
    f.up.script("/blog/hot", move |_| {
        let value = format!("{:04}", renders.fetch_add(1, Ordering::SeqCst));
        Reply::from(json!({ "value": value, "revalidate": 1 })).after(Duration::from_millis(100))
    });
    f.get("/blog/hot").await.expect(200, "MISS");
    let client = f.site.client();
    let reader = move || async move {
        let end = Instant::now() + Duration::from_secs(SECONDS);
        let mut newest = String::new();
        while Instant::now() < end {
            let answer = client.get("/blog/hot").await;
            assert_eq!(answer.status, 200, "{answer}");
            assert!(answer.value() >= newest, "{} after {newest}", answer.value());
            newest = answer.value();
            pass(Duration::from_millis(20)).await;
        }
    };
    let readers: Vec<_> = (0..4).map(|_| tokio::spawn(reader())).collect();
    for reader in readers {
        reader.await.expect("a reader");
    }
    let calls = f.up.count("/blog/hot");
    assert!(
        (SECONDS as usize - 1..=SECONDS as usize + 1).contains(&calls),
        "{calls} calls in {SECONDS} periods"
    );
}

/// B1.13, B1.14: what visitors say about caching causes no render and changes no answer.
#[tokio::test]
async fn visitors_cannot_force_a_render() {
    let f = Fixture::start().await;
    let first = f.get("/never").await.expect(200, "MISS");
    for (name, value) in [
        ("cache-control", "no-cache"),
        ("cache-control", "no-store, max-age=0"),
        ("pragma", "no-cache"),
        ("purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("x-middleware-prefetch", "1"),
    ] {
        let answer = f.ask(Ask::get("/never").agent(PERSON).header(name, value)).await.expect(200, "HIT");
        assert_eq!(answer.id(), first.id(), "{name}: {value}");
    }
    assert_eq!(f.up.count("/never"), 1);
}

/// B1.16: the query is no part of a page's identity, and cannot become a parameter.
#[tokio::test]
async fn undeclared_query_parameters_do_not_matter() {
    let f = Fixture::start().await;
    f.up.on("/blog/a", json!({ "revalidate": false }));
    let first = f.get("/blog/a?a=1").await.expect(200, "MISS");
    for target in
        ["/blog/a?a=2", "/blog/a?slug=zzz", "/blog/a?page=2", "/blog/a?", "/blog/a?%FF%00=%zz", "/blog/a"]
    {
        let answer = f.get(target).await.expect(200, "HIT");
        assert_eq!((answer.id(), answer.params()), (first.id(), json!({ "slug": "a" })), "{target}");
    }
    assert_eq!(f.up.count("/blog/a"), 1);
    assert_eq!(f.up.calls("/blog/a")[0].query, json!({}));
}

/// Rule 6.1: a declared parameter with an allowed value is a page of its own; any other value is ignored.
#[tokio::test]
async fn declared_query_parameters_are_an_allow_list() {
    let f = Fixture::start().await;
    f.up.on("/vary/x", json!({ "revalidate": false }));
    let plain = f.get("/vary/x").await.expect(200, "MISS");
    let second = f.get("/vary/x?page=2&utm=1").await.expect(200, "MISS");
    assert_ne!(second.id(), plain.id());
    assert_eq!(f.up.calls("/vary/x")[1].query, json!({ "page": "2" }));
    for (target, id) in [
        ("/vary/x?page=2", second.id()),
        ("/vary/x?a=b&page=2", second.id()),
        ("/vary/x?page=%32", second.id()),
        ("/vary/x?page=21", plain.id()),
        ("/vary/x?page=0", plain.id()),
        ("/vary/x?page=02", plain.id()),
        ("/vary/x?page=", plain.id()),
        ("/vary/x?PAGE=2", plain.id()),
    ] {
        assert_eq!(f.get(target).await.expect(200, "HIT").id(), id, "{target}");
    }
    assert_eq!(f.up.count("/vary/x"), 2);
}
