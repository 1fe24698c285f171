//! The publishing page: what it tells of pages, and to whom.

use serde_json::{Value, json};
use tests::{Ask, Asks as _, Gate, Reply, answer::revalidate_target, conformance};

use crate::world::{World, ms, s};

async fn list(w: &World, query: &str) -> Value {
    let ask = Ask::get(format!("/api/publish/pages?{query}")).header("authorization", "Bearer test-secret");
    w.ask(ask).await.expect(200, "").nostore().json()
}

/// What is told of one page.
async fn page(w: &World, path: &str) -> Value {
    let listed = list(w, "").await;
    let mut pages = listed["pages"].as_array().expect("a list").iter();
    pages.find(|page| page["path"] == path).unwrap_or_else(|| panic!("no {path}: {listed:#}")).clone()
}

fn paths(listed: &Value) -> Vec<&str> {
    let pages = listed["pages"].as_array().expect("a list");
    pages.iter().map(|page| page["path"].as_str().expect("a path")).collect()
}

#[tokio::test]
async fn the_document_is_everybodys_and_says_nothing_of_the_site() {
    let w = World::new().await;
    w.get("/blog/hidden").await.expect(200, "MISS");
    let document = w.get("/api/publish").await.expect(200, "").nostore();
    for (name, part) in [
        ("content-type", "text/html"),
        ("content-security-policy", "default-src 'none'"),
        ("content-security-policy", "frame-ancestors 'none'"),
        ("x-frame-options", "DENY"),
        ("x-robots-tag", "noindex"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert!(document.header(name).contains(part), "{name}: {document}");
    }
    let text = document.text();
    assert!(text.contains("<form") && !text.contains("blog/hidden") && !text.contains("{slug}"), "{text}");
    assert!(!text.contains("data-dev"), "a secret is asked for");
    assert!(w.head("/api/publish").await.expect(200, "").body.is_empty());
    w.ask(Ask::new(http::Method::PUT, "/api/publish")).await.expect(405, "");
}

/// Only the secret opens: no cookie, no other site's page, and what is enough under development is not enough here.
#[tokio::test]
async fn what_it_shows_needs_a_secret() {
    let w = World::new().await;
    w.get("/never").await.expect(200, "MISS");
    let draft = w.get("/api/draft?secret=test-secret").await.expect(307, "");
    let cookie = draft.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    for target in ["/api/publish/pages", "/api/publish/events"] {
        for (name, value) in [
            ("x-other", ""),
            ("authorization", "Bearer wrong"),
            ("authorization", "Bearer "),
            ("authorization", "Development"),
            ("x-revalidate-secret", "wrong"),
            ("cookie", &cookie),
        ] {
            let answer = w.ask(Ask::get(target).header(name, value).header("host", "localhost")).await;
            answer.expect(401, "").nostore().holds("Invalid token");
        }
        w.get(&format!("{target}?secret=wrong")).await.expect(401, "");
    }
    let events = Ask::get("/api/publish/events").header("authorization", "Bearer test-secret");
    w.ask(events).await.expect(501, "").nostore().holds("every few seconds");
    for query in ["limit=0", "limit=1000", "state=odd", "path=/"] {
        let ask = Ask::get(format!("/api/publish/pages?{query}"));
        w.ask(ask.header("authorization", "Bearer test-secret")).await.expect(400, "").nostore();
    }
}

#[tokio::test]
async fn each_state_and_its_reason() {
    let w = World::new().await;
    w.get("/blog/caf%C3%A9").await.expect(200, "MISS");
    w.get("/never").await.expect(200, "MISS");
    w.up.on("/blog/gone", json!({ "not_found": true, "revalidate": 60 }));
    w.get("/blog/gone").await.expect(404, "MISS");
    w.up.on("/blog/moved", json!({ "redirect": { "destination": "/never", "permanent": true } }));
    w.get("/blog/moved").await.expect(308, "MISS");
    let fresh = page(&w, "/blog/café").await;
    assert_eq!(
        (&fresh["state"], &fresh["why"], &fresh["kind"]),
        (&json!("fresh"), &Value::Null, &json!("page"))
    );
    assert_eq!((&fresh["href"], &fresh["route"]), (&json!("/blog/caf%C3%A9"), &json!("/blog/{slug}")));
    let lasts =
        fresh["fresh_until_ms"].as_u64().expect("an end") - fresh["started_at_ms"].as_u64().expect("a start");
    assert_eq!((lasts, &fresh["generation"], &fresh["reason"]), (2000, &json!(1), &json!("first")));
    assert_eq!(page(&w, "/blog/gone").await["kind"], "not-found");
    assert_eq!(page(&w, "/blog/moved").await["kind"], "redirect");
    let never = page(&w, "/never").await;
    assert_eq!((&never["state"], &never["fresh_until_ms"]), (&json!("fresh"), &Value::Null));
    w.advance(s(2));
    assert_eq!(page(&w, "/blog/café").await["why"], "old");
    let marked =
        w.get("/api/revalidate?secret=test-secret&path=/never&mode=stale").await.expect(200, "").json();
    let never = page(&w, "/never").await;
    assert_eq!((&never["state"], &never["why"]), (&json!("stale"), &json!("invalidated")));
    assert_eq!(never["invalidated_by"], marked["id"], "the call that did it");
    w.get("/api/revalidate?secret=test-secret&path=/never&mode=delete").await.expect(200, "");
    let never = page(&w, "/never").await;
    assert_eq!((&never["state"], &never["kind"]), (&json!("missing"), &json!("deleted")));
}

#[tokio::test]
async fn a_render_under_way_and_a_failed_one_are_told() {
    let w = World::new().await;
    w.get("/never").await.expect(200, "MISS");
    w.up.next("/never", Reply::throw("<b>the cause</b>"));
    w.revalidate("/never").await.expect(500, "");
    let failed = page(&w, "/never").await;
    let error = &failed["last_error"];
    assert_eq!((&error["message"], &error["count"]), (&json!("<b>the cause</b>"), &json!(1)));
    assert!(error["retry_at_ms"].as_u64() > error["at_ms"].as_u64(), "{error}");
    assert_eq!((&failed["state"], &failed["generation"]), (&json!("stale"), &json!(1)));
    let gate = Gate::new();
    w.up.next("/never", Reply::value("new").behind(&gate));
    let call = w.begin(Ask::get(revalidate_target("/never")));
    w.up.wait_for_calls("/never", 3).await;
    let running = page(&w, "/never").await;
    assert!(running["leased_until_ms"].as_u64().is_some(), "{running}");
    assert_eq!(paths(&list(&w, "state=rendering").await), ["/never"]);
    assert_eq!(paths(&list(&w, "state=failing").await), ["/never"]);
    gate.open();
    call.await.expect("joined").expect(200, "");
    let done = page(&w, "/never").await;
    assert_eq!((&done["state"], &done["last_error"]), (&json!("fresh"), &Value::Null));
    assert_eq!((&done["leased_until_ms"], &done["reason"]), (&Value::Null, &json!("on-demand")));
    assert!(done["generation"].as_u64() > Some(1), "{done}");
}

/// Bounded, in one order, and each page once.
#[tokio::test]
async fn pages_are_listed_by_and_by() {
    let w = World::new().await;
    let mut all = vec!["/never".to_owned()];
    w.get("/never").await.expect(200, "MISS");
    for n in 0..7 {
        w.get(&format!("/blog/p{n}")).await.expect(200, "MISS");
        all.push(format!("/blog/p{n}"));
    }
    w.get("/vary/p?page=2").await.expect(200, "MISS");
    all.push("/vary/p?page=2".to_owned());
    w.get("/catch/p/q").await.expect(200, "MISS");
    all.push("/catch/p/q".to_owned());
    all.sort();
    for limit in [1, 3, 10, 11] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let listed = list(&w, &format!("limit={limit}&after={after}")).await;
            assert!(paths(&listed).len() <= limit, "{listed}");
            seen.extend(paths(&listed).into_iter().map(str::to_owned));
            let Some(next) = listed["next"].as_str() else { break };
            after = form_urlencoded::byte_serialize(next.as_bytes()).collect();
        }
        seen.sort();
        assert_eq!(seen, all, "limit {limit}");
    }
}

#[tokio::test]
async fn pages_are_found_by_how_their_path_begins() {
    let w = World::new().await;
    for path in ["/", "/never", "/blog/a", "/blog/ab", "/blog/caf%C3%A9", "/catch/a%2Fb/c", "/vary/v?page=2"]
    {
        w.get(path).await.expect(200, "MISS");
    }
    for (prefix, expected) in [
        ("/blog/a", vec!["/blog/a", "/blog/ab"]),
        ("blog/ab", vec!["/blog/ab"]),
        ("/blog/caf%C3%A9", vec!["/blog/café"]),
        ("/blog/café", vec!["/blog/café"]),
        ("/catch/a%2Fb", vec!["/catch/a/b/c"]),
        ("/vary/", vec!["/vary/v?page=2"]),
        ("/ne", vec!["/never"]),
        ("/never/", vec![]),
        ("/blog/100%", vec![]),
        ("/unknown", vec![]),
    ] {
        let prefix: String = form_urlencoded::byte_serialize(prefix.as_bytes()).collect();
        assert_eq!(paths(&list(&w, &format!("prefix={prefix}")).await), expected, "{prefix}");
    }
    assert_eq!(paths(&list(&w, "prefix=/").await).len(), 7);
    w.advance(ms(1999));
    w.revalidate("/blog/ab").await.expect(200, "");
    w.advance(ms(1));
    assert_eq!(paths(&list(&w, "prefix=/blog&state=stale").await), ["/blog/a", "/blog/café"]);
    assert_eq!(paths(&list(&w, "prefix=/blog&state=fresh").await), ["/blog/ab"]);
}

/// What is gone for visitors is not called stale.
#[tokio::test]
async fn a_page_that_goes_when_it_expires_is_missing() {
    let w =
        World::of(|site, up| site.route(conformance::route("/offer", up, None).missing_when_expired())).await;
    w.up.on("/offer", json!({ "expires_at": "2027-01-15T08:01:00Z" }));
    w.get("/offer").await.expect(200, "MISS");
    assert_eq!(page(&w, "/offer").await["state"], "fresh");
    w.advance(s(60));
    assert_eq!(page(&w, "/offer").await["state"], "missing");
}
