//! Rule 5.6: many pages at once, by tag, route or site; and the modes.

use http::Method;
use serde_json::{Value, json};
use tests::{Answer, Ask, Asks as _, Gate, Reply};

use crate::world::{World, s};

async fn call(w: &World, query: &str) -> Answer {
    w.ask(Ask::new(Method::POST, format!("/api/revalidate?secret=test-secret&{query}"))).await
}

async fn generate(w: &World, pages: &[(&str, &[&str])]) {
    for (path, tags) in pages {
        w.up.on(path, json!({ "value": "old", "tags": tags, "revalidate": false }));
        w.get(path).await.expect(200, "MISS");
    }
    w.up.otherwise(|_| json!({ "value": "new", "revalidate": false }).into());
    for (path, tags) in pages {
        w.up.on(path, json!({ "value": "new", "tags": tags, "revalidate": false }));
    }
}

/// Invariants 2 and 8: a first render that began before an invalidation elsewhere is shown, and is stale for the caches in
/// front as well: they were told already when its answer comes.
#[tokio::test]
async fn a_first_render_that_was_invalidated_elsewhere_is_answered_as_stale() {
    for query in ["tag=red&mode=stale", "path=/tagged/m&mode=stale", "route=/tagged/%7Bslug%7D", "site=true"]
    {
        let a = World::new().await;
        let b = a.beside();
        let gate = Gate::new();
        let page = |value: &str| Reply::from(json!({ "value": value, "tags": ["red"], "revalidate": 600 }));
        a.up.next("/tagged/m", page("old").behind(&gate));
        a.up.on("/tagged/m", page("new"));
        let waiting: Vec<_> = (0..2).map(|_| a.begin(Ask::get("/tagged/m"))).collect();
        a.up.wait_for_calls("/tagged/m", 1).await;
        a.idle().await;
        let answer = call(&b, query).await;
        assert!(matches!(answer.status, 200 | 202), "{query}: {answer}");
        gate.open();
        for answer in waiting {
            let answer = answer.await.expect("joined").expect(200, "MISS");
            assert_eq!((answer.value().as_str(), answer.s_maxage()), ("old", Some(1)), "{query}: {answer}");
        }
        a.get("/tagged/m").await.expect(200, "STALE");
        a.settle().await;
        assert_eq!(a.get("/tagged/m").await.expect(200, "HIT").cc(600).value(), "new", "{query}");
    }
}

/// Any text is a tag, spelt alike by the page and by whoever publishes it: in a query, in JSON, by a webhook.
#[tokio::test]
async fn any_text_is_a_tag_at_both_ends() {
    let long = "x".repeat(300);
    let w = World::new().await;
    for (n, tag) in [
        "новости",
        "Breaking News",
        "a,b",
        "\"quoted\" & <b>",
        "a\nb\u{1b}",
        "%20+",
        "perennial:many",
        "tag:a",
        &long,
    ]
    .into_iter()
    .enumerate()
    {
        let (own, other) = (format!("/tagged/own-{n}"), format!("/tagged/other-{n}"));
        let near = format!("{tag}x");
        generate(&w, &[(&own, &["z", tag]), (&other, &[&near])]).await;
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("tag", tag).finish();
        call(&w, &format!("mode=stale&{query}")).await.expect(200, "");
        assert_eq!(w.get(&own).await.expect(200, "STALE").value(), "old", "{tag:?}");
        assert_eq!(w.get(&other).await.expect(200, "HIT").value(), "old", "{tag:?}");
        w.settle().await;
        w.get(&own).await.expect(200, "HIT");
        let json = Ask::new(Method::POST, "/api/revalidate?secret=test-secret");
        w.ask(json.body(json!({ "tags": [tag], "mode": "delete" }).to_string())).await.expect(200, "");
        assert_eq!(w.get(&own).await.expect(200, "MISS").value(), "new", "{tag:?}");
        w.get(&other).await.expect(200, "HIT");
    }
}

/// However many tags a page has, it is shown, and renewed with each of them, in every mode; others are left alone.
#[tokio::test]
async fn any_number_of_tags_is_published_one_by_one() {
    for count in [48, 200, 251, 3_000] {
        let w = World::new().await;
        let tags: Vec<_> = (0..count).map(|n| format!("post:{n}")).collect();
        let tags: Vec<_> = tags.iter().map(String::as_str).collect();
        generate(&w, &[("/tagged/many", &tags), ("/tagged/few", &["post:x"])]).await;
        // The first page with too many tags in a store may be stale at once.
        w.settle().await;
        w.get("/tagged/many").await;
        w.settle().await;
        w.get("/tagged/many").await.expect(200, "HIT");
        for tag in [tags[0], tags[count / 2], tags[count - 1]] {
            let other = w.beside();
            call(&other, &format!("mode=stale&tag={tag}")).await.expect(200, "");
            w.get("/tagged/many").await.expect(200, "STALE");
            w.settle().await;
            w.get("/tagged/many").await.expect(200, "HIT");
            let answer = call(&other, &format!("tag={tag}")).await.expect(202, "");
            assert_eq!(answer.json()["queued"], 1, "{answer}");
            w.settle().await;
            w.get("/tagged/many").await.expect(200, "HIT");
            call(&other, &format!("mode=delete&tag={tag}")).await.expect(200, "");
            w.get("/tagged/many").await.expect(200, "MISS");
        }
        assert_eq!(w.up.count("/tagged/few"), 1, "{count}");
    }
}

/// Invariant 2 where the very first page goes by the broad tag while one of its tags is published: whichever comes first,
/// what was rendered before is not taken for fresh.
#[tokio::test]
async fn the_first_page_with_too_many_tags_misses_no_publish() {
    let w = World::new().await;
    let tags: Vec<_> = (0..300).map(|n| format!("post:{n}")).collect();
    let gate = Gate::new();
    let page = |value: &str| Reply::from(json!({ "value": value, "tags": tags, "revalidate": false }));
    w.up.next("/tagged/many", page("old").behind(&gate));
    w.up.on("/tagged/many", page("new"));
    let waiting = w.begin(Ask::get("/tagged/many"));
    w.up.wait_for_calls("/tagged/many", 1).await;
    w.idle().await;
    call(&w.beside(), "mode=stale&tag=post:7").await.expect(200, "");
    gate.open();
    let answer = waiting.await.expect("joined").expect(200, "MISS");
    assert_eq!((answer.value().as_str(), answer.s_maxage()), ("old", Some(1)), "{answer}");
    w.get("/tagged/many").await.expect(200, "STALE");
    w.settle().await;
    assert_eq!(w.get("/tagged/many").await.expect(200, "HIT").value(), "new");
}

const PAGES: &[(&str, &[&str])] = &[
    ("/tagged/a", &["red", "round"]),
    ("/tagged/b", &["red"]),
    ("/tagged/c", &["Red"]),
    ("/blog/a", &["round"]),
    ("/blog/red", &[]),
];

/// Tags, routes and the site: exactly the pages that carry them, by the queue or by their next visitor.
#[tokio::test]
async fn exactly_what_carries_the_tag() {
    let table: [(&str, &[&str]); 7] = [
        ("tag=red", &["/tagged/a", "/tagged/b"]),
        ("tag=round", &["/tagged/a", "/blog/a"]),
        ("tag=red&tag=round", &["/tagged/a", "/tagged/b", "/blog/a"]),
        ("tag=unknown", &[]),
        ("route=/blog/%7Bslug%7D", &["/blog/a", "/blog/red"]),
        ("site=true", &["/tagged/a", "/tagged/b", "/tagged/c", "/blog/a", "/blog/red"]),
        ("tag=red&path=/blog/red", &["/tagged/a", "/tagged/b", "/blog/red"]),
    ];
    for (query, marked) in table {
        for mode in ["now", "stale"] {
            let w = World::new().await;
            generate(&w, PAGES).await;
            let answer = call(&w, &format!("{query}&mode={mode}")).await;
            assert!(matches!(answer.status, 200 | 202), "{query}: {answer}");
            for (path, _) in PAGES {
                let page = w.get(path).await;
                let is_marked = marked.contains(path);
                // With `now` a named path is new at once; all others are old until the queue or a visitor renews them.
                let at_once = mode == "now" && query.contains(&format!("path={path}"));
                let expected = if is_marked && !at_once { "STALE" } else { "HIT" };
                assert_eq!(page.expect(200, expected).value() == "new", at_once, "{query} {mode} {path}");
            }
            w.settle().await;
            for (path, _) in PAGES {
                let page = w.get(path).await.expect(200, "HIT");
                assert_eq!(page.value() == "new", marked.contains(path), "{query} {mode} {path}");
            }
            assert_eq!(w.up.count_all(), PAGES.len() + marked.len(), "{query} {mode}");
        }
    }
}

/// `now` with tags needs no visitor: the queue renews the pages.
#[tokio::test]
async fn the_queue_renews_without_visitors() {
    let w = World::new().await;
    generate(&w, PAGES).await;
    let answer = call(&w, "tag=red").await;
    assert_eq!(answer.json()["queued"], json!(2), "{answer}");
    w.settle().await;
    assert_eq!(w.up.reasons("/tagged/a"), ["first", "on-demand"]);
    assert_eq!(w.get("/tagged/b").await.expect(200, "HIT").value(), "new");
    w.settle().await;
    assert_eq!(w.up.count_all(), PAGES.len() + 2);
}

/// A render says anew which tags it has: the ones before do not stick.
#[tokio::test]
async fn tags_are_those_of_the_last_render() {
    let w = World::new().await;
    w.up.on("/tagged/t", json!({ "tags": ["first"] }));
    w.get("/tagged/t").await.expect(200, "MISS");
    w.up.on("/tagged/t", json!({ "tags": ["second"] }));
    w.revalidate("/tagged/t").await.expect(200, "");
    call(&w, "tag=first&mode=stale").await.expect(200, "");
    w.get("/tagged/t").await.expect(200, "HIT");
    call(&w, "tag=second&mode=stale").await.expect(200, "");
    w.get("/tagged/t").await.expect(200, "STALE");
}

/// Invariant 2: a tag invalidated while a render runs makes that render's page stale, whatever the page said before.
#[tokio::test]
async fn a_tag_invalidated_during_a_render() {
    let w = World::new().await;
    let gate = Gate::new();
    w.up.next("/tagged/t", Reply::from(json!({ "value": "old", "tags": ["red"] })).behind(&gate));
    let visitor = w.begin(Ask::get("/tagged/t"));
    w.up.wait_for_calls("/tagged/t", 1).await;
    call(&w, "tag=red&mode=stale").await.expect(200, "");
    gate.open();
    visitor.await.expect("joined");
    assert_eq!(w.get("/tagged/t").await.expect(200, "STALE").value(), "old");
    w.settle().await;
    assert_eq!(w.get("/tagged/t").await.expect(200, "HIT").value(), "v");
}

/// Mode `stale` renders nothing; mode `delete` makes the page gone at once, for both forms.
#[tokio::test]
async fn modes() {
    let w = World::new().await;
    let old = w.get("/never").await.expect(200, "MISS");
    assert_eq!(call(&w, "path=/never&mode=stale").await.expect(200, "").json()["revalidated"], json!(true));
    assert_eq!(w.up.count("/never"), 1);
    assert_eq!(w.get("/never").await.expect(200, "STALE").id(), old.id());
    w.settle().await;
    w.up.on("/never", json!({ "not_found": true }));
    call(&w, "path=/never&mode=delete").await.expect(200, "");
    assert_eq!(w.up.count("/never"), 2, "delete renders nothing");
    w.get("/never").await.expect(404, "MISS");
    assert_eq!(w.up.count("/never"), 3);
}

/// Deleting is for privacy: no render under way brings the page back, no body stays.
#[tokio::test]
async fn a_deleted_page_stays_deleted() {
    let w = World::new().await;
    w.up.on("/blog/d", json!({ "value": "secret", "pad_bytes": 20_000 }));
    w.get("/blog/d").await.expect(200, "MISS");
    w.advance(s(2));
    let gate = Gate::new();
    w.up.next("/blog/d", Reply::from(json!({ "value": "secret", "pad_bytes": 20_000 })).behind(&gate));
    w.get("/blog/d").await.expect(200, "STALE");
    let renewal = w.work();
    w.up.wait_for_calls("/blog/d", 2).await;
    w.up.on("/blog/d", json!({ "not_found": true }));
    call(&w, "path=/blog/d&mode=delete").await.expect(200, "");
    gate.open();
    renewal.await.expect("joined");
    let gone = w.get("/blog/d").await.expect(404, "MISS");
    assert!(!gone.text().contains("secret"));
    w.advance(s(120));
    w.settle().await;
    assert_eq!(
        w.bodies().await.len(),
        2,
        "more than the 404 page's HTML and data is left: {:?}",
        w.bodies().await
    );
}

/// Rule 5.6: mode `delete` takes tags, routes and the site as well: exactly what they name is gone at once.
#[tokio::test]
async fn what_carries_a_tag_is_deleted() {
    for (call_for, gone) in [
        ("tag=red", &["/tagged/a", "/tagged/b"][..]),
        ("route=/tagged/%7Bslug%7D", &["/tagged/a", "/tagged/b", "/tagged/c"]),
        ("site=true", &["/tagged/a", "/tagged/b", "/tagged/c", "/blog/a", "/blog/red"]),
    ] {
        let w = World::new().await;
        generate(&w, PAGES).await;
        let other = w.beside();
        let answer = call(&w, &format!("{call_for}&mode=delete")).await.expect(200, "").json();
        assert_eq!((&answer["deleted"], &answer["mode"]), (&json!(gone.len()), &json!("delete")), "{answer}");
        w.settle().await;
        for (path, _) in PAGES {
            let calls = w.up.count(path);
            let label = if gone.contains(path) { "MISS" } else { "HIT" };
            other.get(path).await.expect(200, label);
            assert_eq!(w.up.count(path) - calls, usize::from(label == "MISS"), "{call_for} {path}");
        }
    }
}

/// A page that is rendered for the first time while its tag is deleted: its old content is never shown.
#[tokio::test]
async fn a_first_render_under_way_is_deleted_with_its_tag() {
    let w = World::new().await;
    let gate = Gate::new();
    w.up.next("/tagged/t", Reply::from(json!({ "value": "secret", "tags": ["red"] })).behind(&gate));
    let visitor = w.begin(Ask::get("/tagged/t"));
    w.up.wait_for_calls("/tagged/t", 1).await;
    call(&w, "tag=red&mode=delete").await.expect(200, "");
    gate.open();
    assert_eq!(visitor.await.expect("joined").expect(200, "MISS").value(), "v");
    assert_eq!(w.get("/tagged/t").await.expect(200, "HIT").value(), "v");
    assert_eq!(w.up.count("/tagged/t"), 2);
}

/// Rules 4.3 and 5.2: pages that are marked while they are rendered, or in back-off, are renewed without a visitor.
#[tokio::test]
async fn a_renewal_waits_for_no_earlier_render() {
    let w = World::new().await;
    for path in ["/tagged/busy", "/tagged/failed"] {
        w.get(path).await.expect(200, "MISS");
    }
    call(&w, "site=true&mode=stale").await.expect(200, "");
    w.up.next("/tagged/failed", Reply::throw("no"));
    w.get("/tagged/failed").await.expect(200, "STALE");
    w.settle().await;
    let gate = Gate::new();
    w.up.next("/tagged/busy", Reply::value("old").behind(&gate));
    w.get("/tagged/busy").await.expect(200, "STALE");
    let renewal = w.work();
    w.up.wait_for_calls("/tagged/busy", 2).await;
    w.up.otherwise(|_| Reply::value("new"));
    let accepted = call(&w, "site=true").await.expect(202, "").json();
    assert_eq!(accepted["queued"], 2, "{accepted}");
    w.settle().await;
    for path in ["/tagged/busy", "/tagged/failed"] {
        assert_eq!(w.get(path).await.expect(200, "HIT").value(), "new", "{path}");
    }
    gate.open();
    renewal.await.expect("joined");
    assert_eq!(w.get("/tagged/busy").await.expect(200, "HIT").value(), "new");
}

/// A closed route's page that was deleted is not listed any more, or comes back when asked.
#[tokio::test]
async fn a_deleted_listed_page() {
    let w = World::new().await;
    w.up.list("/nofb/{slug}", json!([{ "slug": "in" }]));
    w.build().await;
    w.get("/nofb/in").await.expect(200, "HIT");
    call(&w, "path=/nofb/in&mode=delete").await.expect(200, "");
    let answer = w.get("/nofb/in").await;
    assert!(matches!((answer.status, answer.label()), (200, "MISS") | (404, "")), "{answer}");
}

/// Many paths in one call, each with its result; one that fails fails the call, and the others are done.
#[tokio::test]
async fn several_paths() {
    let w = World::new().await;
    let answer = call(&w, "path=/blog/a&path=/blog/b").await.expect(200, "");
    assert_eq!(answer.json()["revalidated"], json!(true));
    assert_eq!((w.up.count("/blog/a"), w.up.count("/blog/b")), (1, 1));
    w.up.on("/blog/a", Reply::throw("no"));
    let answer = call(&w, "path=/blog/a&path=/blog/b").await.expect(500, "");
    assert_eq!(answer.json()["revalidated"], json!(false));
    assert_eq!((w.up.count("/blog/a"), w.up.count("/blog/b")), (2, 2));
    // A path that cannot be is said so before anything is done.
    call(&w, "path=/blog/b&path=/none").await.expect(400, "");
    assert_eq!(w.up.count("/blog/b"), 2);
}

/// Rule 5.6: how far a renewal of many pages is can be asked for, and is told from the pages themselves.
#[tokio::test]
async fn progress_can_be_asked_for() {
    let w = World::new().await;
    generate(&w, PAGES).await;
    w.up.on("/tagged/b", json!({ "throw": "no" }));
    let accepted = call(&w, "tag=red").await.expect(202, "").json();
    assert_eq!(accepted["queued"], 2, "{accepted}");
    let progress = async |w: &World| {
        w.get(&format!("/api/revalidate/{}?secret=test-secret", accepted["id"])).await.expect(200, "").json()
    };
    let has = async |w: &World, expected: Value| {
        let told = progress(w).await;
        for (name, value) in expected.as_object().expect("an object") {
            assert_eq!(told[name], *value, "{name}: {told}");
        }
    };
    has(&w, json!({ "id": accepted["id"], "left": 2, "failing": 0, "done": false, "ended": false })).await;
    w.settle().await;
    // The same store, looked at by another process.
    has(&w.beside(), json!({ "left": 1, "failing": 1, "renewed": 1, "failed": 1, "ended": true })).await;
    let failures = progress(&w).await["failures"].clone();
    assert_eq!((&failures[0]["path"], failures.as_array().expect("a list").len()), (&json!("/tagged/b"), 1));
    assert!(failures[0]["error"].as_str().is_some_and(|error| error.contains("no")), "{failures}");
    has(&w, json!({ "done": false, "left_is": "exact" })).await;
    w.up.on("/tagged/b", json!({ "value": "new" }));
    w.advance(s(2));
    w.get("/tagged/b").await.expect(200, "STALE");
    w.settle().await;
    has(&w, json!({ "id": accepted["id"], "left": 0, "failing": 0, "done": true })).await;
    w.get(&format!("/api/revalidate/{}", accepted["id"])).await.expect(401, "");
    w.get("/api/revalidate/x?secret=test-secret").await.expect(404, "");
}
