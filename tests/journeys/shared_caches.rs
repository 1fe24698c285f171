//! Behind a shared cache: what a publisher was told is done is done for the cache's visitors too, in every mode; and
//! nobody sees older pages there than the settings say, whether or not it is ever told.

use std::time::Duration;

use http::Method;
use perennial::Clock as _;
use serde_json::{Value, json};
use tests::conformance::route;
use tests::rng::Rng;
use tests::{Ask, Asks as _, Reply};

use crate::world::{World, s};

fn call(body: &Value) -> Ask {
    Ask::new(Method::POST, "/api/revalidate")
        .header("authorization", "Bearer test-secret")
        .body(body.to_string())
}

/// Mode now, for a path: the answer comes once the cache has forgotten the old page, and says where the new one is.
#[tokio::test]
async fn a_renewed_page_is_new_at_the_edge() {
    let w = World::new().await;
    w.up.on("/never", Reply::value("old"));
    for label in ["MISS", "MISS"] {
        assert_eq!(w.edge().get("/never").await.expect(200, label).value(), "old", "the cache's own copy");
    }
    w.up.on("/never", Reply::value("new"));
    w.advance(s(1000));
    assert_eq!(w.edge().get("/never").await.value(), "old", "nobody has told it");
    let answer = w.ask(call(&json!({"path": "/never"}))).await.expect(200, "").json();
    let layers = json!({"store": "stored", "queue": 0, "memory": "checked", "edge": "accepted"});
    let id = &answer["id"];
    assert_eq!(answer, json!({"revalidated": true, "path": "/never", "id": id, "layers": layers}));
    assert!(id.as_str().is_some_and(|id| id.starts_with('p')), "{answer}");
    assert_eq!(w.edge().get("/never").await.expect(200, "HIT").value(), "new");
    assert_eq!(w.cache.orders(), [["path:/never"]]);
}

/// Rule 5.3 at the edge: the page stays and is tried again, which a copy that is fresh for a year would never ask for.
#[tokio::test]
async fn a_failed_call_is_tried_again_from_the_edge() {
    let w = World::new().await;
    let old = w.edge().get("/never").await.expect(200, "MISS");
    w.up.next("/never", Reply::throw("no"));
    w.up.on("/never", Reply::value("new"));
    let answer = w.ask(call(&json!({"path": "/never"}))).await.expect(500, "").json();
    let layers = json!({"store": "stale", "queue": 0, "memory": "checked", "edge": null});
    assert_eq!((&answer["revalidated"], &answer["layers"]), (&json!(false), &layers));
    assert_eq!(w.edge().get("/never").await.expect(200, "STALE").id(), old.id());
    w.advance(s(3));
    w.edge().get("/never").await.expect(200, "STALE");
    w.settle().await;
    w.advance(s(2));
    assert_eq!(w.edge().get("/never").await.expect(200, "HIT").value(), "new");
}

/// Mode stale: the cache asks again at once, and has the new page as soon as there is one.
#[tokio::test]
async fn a_marked_page_is_renewed_by_the_edges_next_visitor() {
    let w = World::new().await;
    w.edge().get("/never").await.expect(200, "MISS");
    w.up.on("/never", Reply::value("new"));
    let answer = w.ask(call(&json!({"path": "/never", "mode": "stale"}))).await.expect(200, "").json();
    let layers = json!({"store": "stale", "queue": 0, "memory": "checked", "edge": "accepted"});
    assert_eq!((&answer["mode"], &answer["layers"]), (&json!("stale"), &layers));
    w.edge().get("/never").await.expect(200, "STALE").cc(1);
    w.settle().await;
    w.advance(s(2));
    assert_eq!(w.edge().get("/never").await.expect(200, "HIT").value(), "new");
}

/// Mode delete: the page is gone for everybody when the call is answered.
#[tokio::test]
async fn a_deleted_page_is_gone_from_the_edge() {
    let w = World::new().await;
    w.edge().get("/blog/d").await.expect(200, "MISS");
    w.up.on("/blog/d", json!({ "not_found": true }));
    let answer = w.ask(call(&json!({"path": "/blog/d", "mode": "delete"}))).await.expect(200, "").json();
    assert_eq!(
        (&answer["layers"]["store"], &answer["layers"]["edge"]),
        (&json!("deleted"), &json!("accepted"))
    );
    w.edge().get("/blog/d").await.expect(404, "MISS");
}

/// Tags, routes and the site: one item of one order each, whatever number of pages carry them.
#[tokio::test]
async fn many_pages_are_one_item() {
    let w = World::new().await;
    let pages: Vec<_> = (0..30).map(|n| format!("/tagged/{n}")).collect();
    w.up.otherwise(|_| json!({ "value": "old", "tags": ["posts", "b"] }).into());
    for page in &pages {
        w.edge().get(page).await.expect(200, "MISS");
    }
    w.up.otherwise(|_| json!({ "value": "new", "tags": ["posts", "b"] }).into());
    let answer = w.ask(call(&json!({"tags": ["posts"]}))).await.expect(202, "").json();
    let layers = json!({"store": "stale", "queue": 30, "memory": "checked", "edge": "accepted"});
    assert_eq!(answer["layers"], layers);
    assert_eq!(w.cache.orders(), [["tag:posts"]]);
    for page in &pages {
        assert_eq!(w.edge().get(page).await.expect(200, "STALE").value(), "old");
    }
    w.settle().await;
    w.advance(s(2));
    for page in &pages {
        assert_eq!(w.edge().get(page).await.expect(200, "HIT").value(), "new");
    }
    w.ask(call(&json!({"route": "/tagged/{slug}", "mode": "stale"}))).await.expect(200, "");
    w.ask(call(&json!({"site": true, "mode": "stale"}))).await.expect(200, "");
    assert_eq!(w.cache.orders()[1..], [["route:/tagged/{slug}"], ["site"]]);
}

/// What the cache cannot carry goes by one broad tag: it is shown there, and new there after each of its tags was published;
/// pages with fewer tags are kept, and orders stay as they were where no page has too many.
#[tokio::test]
async fn a_page_with_too_many_tags_is_forgotten_with_each_of_them() {
    for (count, is_too_many) in [(47, false), (48, true), (200, true), (1_000, true)] {
        let w = World::new().await;
        let tags: Vec<_> = (0..count).map(|n| format!("post:{n}, новости")).collect();
        let page = |value: &str| json!({ "value": value, "tags": tags, "revalidate": false });
        w.up.on("/tagged/few", json!({ "value": "old", "tags": ["few"], "revalidate": false }));
        w.edge().get("/tagged/few").await.expect(200, "MISS");
        w.up.on("/tagged/many", page("first"));
        w.edge().get("/tagged/many").await.expect(200, "MISS");
        for (n, tag) in [&tags[0], &tags[count / 2], &tags[count - 1]].into_iter().enumerate() {
            w.ask(call(&json!({"path": "/tagged/many"}))).await.expect(200, "");
            w.advance(s(2));
            w.edge().get("/tagged/many").await.expect(200, "HIT");
            w.up.on("/tagged/many", page(&n.to_string()));
            w.beside().ask(call(&json!({"tag": tag, "mode": "delete"}))).await.expect(200, "");
            assert_eq!(w.edge().get("/tagged/many").await.value(), n.to_string(), "{count}: {tag}");
        }
        w.edge().get("/tagged/few").await.expect(200, "MISS");
        assert_eq!(w.up.count("/tagged/few"), 1);
        let orders = w.cache.orders();
        let broad = |order: &Vec<String>| order.contains(&"tag:perennial:many".to_owned());
        assert_eq!(
            orders.iter().filter(|order| broad(order)).count(),
            if is_too_many { 3 } else { 0 },
            "{orders:?}"
        );
    }
}

/// No call is answered before the cache has accepted an order that names its page; orders are gathered meanwhile.
#[tokio::test]
async fn calls_wait_for_the_cache_together() {
    let w = World::new().await;
    let held = w.cache.hold().await;
    let paths: Vec<_> = (0..12).map(|n| format!("/blog/{n}")).collect();
    let calls: Vec<_> = (0..40).map(|n| w.begin(call(&json!({"path": paths[n % 10]})))).collect();
    let many = w.begin(call(&json!({ "paths": paths })));
    for path in &paths {
        w.up.wait_for_calls(path, 1).await;
    }
    w.idle().await;
    assert!(calls.iter().all(|call| !call.is_finished()), "answered before the cache had accepted the order");
    drop(held);
    for call in calls.into_iter().chain([many]) {
        call.await.expect("joined").expect(200, "");
    }
    let orders = w.cache.orders();
    assert!(orders.len() <= 2 * paths.len() && orders.iter().all(|order| order.len() <= 20), "{orders:?}");
    for path in &paths {
        assert!(orders.iter().flatten().any(|tag| *tag == format!("path:{path}")), "{path}: {orders:?}");
    }
}

/// The call fails if the cache takes no order, says that the page is stored all the same, and may be repeated.
#[tokio::test]
async fn a_cache_that_was_not_told_is_named() {
    let w = World::new().await;
    w.edge().get("/never").await.expect(200, "MISS");
    w.up.on("/never", Reply::value("new"));
    w.cache.refuse(true);
    let answer = w.ask(call(&json!({"path": "/never"}))).await.expect(500, "").json();
    assert_eq!((&answer["layers"]["store"], &answer["layers"]["edge"]), (&json!("stored"), &json!("failed")));
    assert!(answer["error"].as_str().expect("text").contains("too many orders"), "{answer}");
    let answer = w.ask(call(&json!({"tag": "t", "mode": "stale"}))).await.expect(500, "").json();
    assert_eq!((&answer["layers"]["store"], &answer["layers"]["edge"]), (&json!("stale"), &json!("failed")));
    w.cache.refuse(false);
    w.ask(call(&json!({"path": "/never"}))).await.expect(200, "");
    assert_eq!(w.edge().get("/never").await.value(), "new");
}

/// Rule 2.4: a page that is to be gone at an instant is gone at the edge too.
#[tokio::test]
async fn an_expired_page_is_not_shown_by_the_edge() {
    let w = World::of(|site, up| site.route(route("/offer/{slug}", up, None).missing_when_expired())).await;
    let instant = time::OffsetDateTime::from(w.clock.now().plus(s(10)).to_system());
    let instant =
        instant.format(&time::format_description::well_known::Rfc3339).expect("a year of four digits");
    w.up.on("/offer/a", json!({ "expires_at": instant }));
    w.edge().get("/offer/a").await.expect(200, "MISS");
    w.up.on("/offer/a", json!({ "not_found": true }));
    w.advance(s(9));
    w.edge().get("/offer/a").await.expect(200, "MISS");
    w.advance(s(1));
    w.edge().get("/offer/a").await.expect(404, "MISS");
}

/// An editor's request meets nobody's copy, and leaves none.
#[tokio::test]
async fn a_draft_is_not_kept_at_the_edge() {
    let w = World::new().await;
    w.edge().get("/never").await.expect(200, "MISS");
    let opened = w.edge().get("/api/draft?secret=test-secret&path=/never").await.expect(307, "");
    let cookie = opened.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    for value in ["one", "two"] {
        w.up.on("/never", Reply::value(value));
        let draft = w.edge().ask(Ask::get("/never").header("cookie", cookie.clone())).await;
        assert_eq!(draft.expect(200, "BYPASS").value(), value);
    }
    assert_eq!(w.up.count("/never"), 3);
}

/// Whatever happens in whatever order: once a call for now or a deletion has succeeded, no visitor at the edge sees what
/// there was before it, from any process.
#[tokio::test]
async fn nothing_old_is_shown_at_the_edge_after_success() {
    const PATHS: [&str; 3] = ["/tagged/a", "/tagged/b", "/never"];
    let w = World::new().await;
    let other = w.beside();
    let mut rng = Rng::new(7);
    let (mut version, mut acknowledged) = (0_u64, [0_u64; 3]);
    let mut visits = 0;
    for _ in 0..400 {
        let (n, world) = (rng.below(3), *rng.pick(&[&w, &other]));
        match rng.below(10) {
            0 | 1 => {
                version += 1;
                let answer = json!({ "value": version.to_string(), "tags": ["t"], "revalidate": 60 });
                w.up.otherwise(move |_| answer.clone().into());
            }
            2 => w.up.next(PATHS[n], Reply::throw("no")),
            3 => {
                let mode = *rng.pick(&["now", "stale", "delete"]);
                let answer = world.ask(call(&json!({"path": PATHS[n], "mode": mode}))).await;
                if answer.status == 200 && mode != "stale" {
                    acknowledged[n] = version;
                }
            }
            4 => drop(world.ask(call(&json!({"tag": "t"}))).await.expect(202, "")),
            5 => world.settle().await,
            6 => w.advance(s(rng.between(0, 89))),
            _ => {
                let answer = world.edge().get(PATHS[n]).await;
                if answer.status == 200 {
                    visits += 1;
                    let seen: u64 = if version == 0 { 0 } else { answer.value().parse().unwrap_or(0) };
                    assert!(seen >= acknowledged[n], "{} shows {seen} after {}", PATHS[n], acknowledged[n]);
                }
            }
        }
    }
    assert!(visits > 50 && acknowledged.iter().all(|&version| version > 0), "{visits}: {acknowledged:?}");
}

/// Without any order, what the edge shows was rendered no longer ago than the page's period, what the route lets be
/// shown after it, and the two seconds of a stale answer.
#[tokio::test]
async fn the_edge_is_as_old_as_the_settings_say_and_no_older() {
    const BOUND: Duration = Duration::from_secs(20 + 60 + 2);
    let w = World::of(|site, up| site.route(route("/news/{slug}", up, Some(20)).max_stale(s(60)))).await;
    let mut rng = Rng::new(3);
    let mut oldest = Duration::ZERO;
    for _ in 0..300 {
        let now = w.clock.now();
        w.up.otherwise(move |_| Reply::value(&now.0.to_string()));
        let seen = w.edge().get("/news/a").await.value().parse().expect("the time of a render");
        oldest = oldest.max(now.since(perennial::Millis(seen)));
        assert!(oldest <= BOUND, "a page of {oldest:?} ago");
        if rng.below(2) == 0 {
            w.settle().await;
        }
        w.advance(s(*rng.pick(&[1, 3, 15, 30, 70, 100])));
    }
    assert!(oldest > s(60), "the bound was never tried: {oldest:?}");
}
