//! What a route's options change: `max_stale`, `expires_at` as an end, limits of its own; and what a page may say.

use perennial::{Clock as _, Outcome, Page, Route};
use serde_json::json;
use tests::conformance::route;
use tests::{Ask, Asks as _, Gate, Reply};

use crate::world::{World, ms, s};

/// Section 1: a page older than its route's limit is renewed while its visitor waits.
#[tokio::test]
async fn too_old_to_be_shown() {
    let w = World::of(|site, up| site.route(route("/aged/{slug}", up, Some(2)).max_stale(s(10)))).await;
    let old = w.get("/aged/a").await.expect(200, "MISS");
    w.advance(s(12));
    assert_eq!(w.get("/aged/a").await.expect(200, "STALE").id(), old.id());
    w.settle().await;
    w.advance(s(2) + s(10) + ms(1));
    let new = w.get("/aged/a").await.expect(200, "REVALIDATED");
    assert_ne!(new.id(), old.id());
    assert_eq!(w.get("/aged/a").await.expect(200, "HIT").id(), new.id());
    assert_eq!(w.up.reasons("/aged/a"), ["first", "stale", "stale"]);
}

/// Section 1: and if that fails, the old page or an error, as the route says.
#[tokio::test]
async fn too_old_and_failing() {
    let w = World::of(|site, up| {
        site.route(route("/lenient/{slug}", up, Some(2)).max_stale(s(10)))
            .route(route("/strict/{slug}", up, Some(2)).max_stale(s(10)).error_beyond_max_stale())
    })
    .await;
    let lenient = w.get("/lenient/a").await.expect(200, "MISS");
    w.get("/strict/a").await.expect(200, "MISS");
    w.up.otherwise(|_| Reply::throw("no"));
    w.advance(s(13));
    assert_eq!(w.get("/lenient/a").await.expect(200, "STALE").id(), lenient.id());
    w.get("/strict/a").await.expect(500, "").nostore();
    // In the back-off nobody waits, and no data is asked for.
    let calls = w.up.count_all();
    assert_eq!(w.get("/lenient/a").await.expect(200, "STALE").id(), lenient.id());
    w.get("/strict/a").await.expect(500, "").nostore();
    assert_eq!(w.up.count_all(), calls, "a data call during the back-off");
    w.up.otherwise(|_| Reply::value("well"));
    w.advance(s(3));
    assert_eq!(w.get("/lenient/a").await.expect(200, "REVALIDATED").value(), "well");
    w.get("/strict/a").await.expect(200, "REVALIDATED");
}

/// Rule 2.4: from its instant on the page is missing, if the route says so.
#[tokio::test]
async fn expired_pages_may_be_missing() {
    let w = World::of(|site, up| site.route(route("/offer/{slug}", up, None).missing_when_expired())).await;
    let instant = time::OffsetDateTime::from(w.clock.now().plus(s(10)).to_system());
    let instant =
        instant.format(&time::format_description::well_known::Rfc3339).expect("a year of four digits");
    w.up.on("/offer/a", json!({ "expires_at": instant }));
    w.get("/offer/a").await.expect(200, "MISS").cc(10);
    w.up.on("/offer/a", json!({ "not_found": true }));
    w.advance(s(10));
    w.get("/offer/a").await.expect(404, "MISS");
    w.get("/offer/a").await.expect(404, "HIT");
    assert_eq!(w.up.count("/offer/a"), 2);
}

/// A route's own limits: time of a render, and renders at once; other routes do not notice.
#[tokio::test]
async fn a_routes_own_limits() {
    let w = World::of(|site, up| {
        site.route(route("/slow/{slug}", up, Some(2)).max_concurrent_renders(1).render_timeout(s(5)))
    })
    .await;
    let gate = Gate::new();
    let behind = gate.clone();
    w.up.otherwise(move |call| match call.route.as_str() {
        "/slow/{slug}" => Reply::value("slow").behind(&behind),
        _ => Reply::value("quick"),
    });
    let asked: Vec<_> = (0..3).map(|i| w.begin(Ask::get(format!("/slow/{i}")))).collect();
    w.up.wait_for_all_calls(1).await;
    w.idle().await;
    assert_eq!(w.up.count_all(), 1, "more than one of the route at once");
    w.get("/blog/a").await.expect(200, "MISS");
    gate.open();
    for answer in asked {
        answer.await.expect("joined").expect(200, "MISS");
    }
    w.up.otherwise(|_| Reply::value("hung").behind(&Gate::new()));
    let hung = w.begin(Ask::get("/slow/hung"));
    w.up.wait_for_calls("/slow/hung", 1).await;
    w.advance(s(5));
    tests::until::soon("an answer", hung).await.expect("joined").expect(500, "");
}

/// What a page may say about its answer, and what it may not.
struct Headers(&'static str, &'static str);

impl Page for Headers {
    type Props = ();

    async fn props(&self, _: &perennial::Context) -> Result<Outcome<()>, perennial::Failure> {
        Ok(Outcome::page(()).header(self.0, self.1))
    }

    fn render(&self, (): &(), _: &perennial::Context) -> Result<String, perennial::Failure> {
        Ok("<p>headers</p>".to_owned())
    }
}

/// Section 7: a page's own headers are stored with it; `Set-Cookie` and those that Perennial answers for never are.
#[tokio::test]
async fn a_pages_own_headers() {
    let cases = [
        ("x-good", "yes", true),
        ("content-security-policy", "default-src 'self'", true),
        ("set-cookie", "a=b", false),
        ("Set-Cookie", "a=b", false),
        ("cache-control", "no-store", false),
        ("etag", "\"x\"", false),
        ("content-length", "5", false),
        ("transfer-encoding", "chunked", false),
        ("vary", "cookie", false),
        ("x-perennial-cache", "HIT", false),
        ("x-split", "a\r\nset-cookie: b=c", false),
        ("bad name", "x", false),
    ];
    for (name, value, allowed) in cases {
        let w = World::of(|site, _| site.route(Route::new("/headers", Headers(name, value)))).await;
        for label in ["MISS", "HIT"] {
            let answer = w.get("/headers").await;
            assert_eq!(answer.status == 200, allowed, "{name}: {answer}");
            if allowed {
                assert_eq!(answer.expect(200, label).header(name), value);
            } else {
                assert!(!answer.headers.contains_key("set-cookie"), "{answer}");
            }
        }
    }
}

/// Props that cannot be written as JSON: its keys are lists.
struct Unwritable;

impl Page for Unwritable {
    type Props = std::collections::BTreeMap<Vec<u8>, u8>;

    async fn props(&self, _: &perennial::Context) -> Result<Outcome<Self::Props>, perennial::Failure> {
        Ok(Outcome::page([(vec![1], 2)].into()))
    }

    fn render(&self, _: &Self::Props, _: &perennial::Context) -> Result<String, perennial::Failure> {
        Ok("<p>never seen</p>".to_owned())
    }
}

/// B4.70: a failure, of both forms, and at build time too.
#[tokio::test]
async fn props_that_cannot_be_written() {
    let w = World::of(|site, _| site.route(Route::new("/unwritable", Unwritable))).await;
    w.get("/unwritable").await.expect(500, "").nostore();
    w.data("/unwritable").await.expect(500, "").nostore();
    let error = w.try_build().await.expect_err("built");
    assert!(error.contains("/unwritable"), "{error}");
}

/// A replaced body stays for who still holds its record, then goes.
#[tokio::test]
async fn replaced_bodies_are_removed_after_their_grace() {
    let w = World::new().await;
    w.up.otherwise(|_| json!({ "revalidate": false, "pad_bytes": 20_000 }).into());
    w.get("/blog/b").await.expect(200, "MISS");
    let first = w.bodies().await;
    assert!(!first.is_empty(), "a large page has a body file");
    w.revalidate("/blog/b").await.expect(200, "");
    w.settle().await;
    let both = w.bodies().await;
    assert!(first.iter().all(|name| both.contains(name)), "removed while a reader may hold it");
    w.advance(s(61));
    w.settle().await;
    let left = w.bodies().await;
    assert!(left.iter().all(|name| !first.contains(name)), "{left:?} still holds {first:?}");
    assert_eq!(left.len(), first.len());
    w.get("/blog/b").await.expect(200, "HIT");
}

/// Content that comes back is not removed by the clearing that was planned when it went.
#[tokio::test]
async fn a_body_that_comes_back_stays() {
    let w = World::with(|limits| limits.memory_cache_bytes = 0).await;
    let shown = |id: &str| Reply::from(json!({ "id": id, "revalidate": false, "pad_bytes": 20_000 }));
    w.up.on("/blog/b", shown("one"));
    w.revalidate("/blog/b").await.expect(200, "");
    for id in ["two", "one"] {
        w.advance(s(1));
        w.up.on("/blog/b", shown(id));
        w.revalidate("/blog/b").await.expect(200, "");
    }
    w.advance(s(120));
    w.settle().await;
    assert_eq!(w.get("/blog/b").await.expect(200, "HIT").id(), "one");
    assert_eq!(w.up.count("/blog/b"), 3);
}

/// Bots are no exception from what is stored.
#[tokio::test]
async fn bots_get_the_stale_page() {
    // B13.170.
    let w = World::new().await;
    let old = w.ask(Ask::get("/fb/b").agent(tests::answer::GOOGLEBOT)).await.expect(200, "MISS");
    w.advance(s(2));
    let stale = w.ask(Ask::get("/fb/b").agent(tests::answer::GOOGLEBOT)).await.expect(200, "STALE");
    assert_eq!(stale.id(), old.id());
    let none =
        w.ask(Ask::get(tests::data_target("dev-build", "/nofb/x")).agent(tests::answer::GOOGLEBOT)).await;
    assert_eq!(none.json(), json!({ "notFound": true }));
    none.expect(404, "").nostore();
}

/// Section 9: who counts as a bot is the site's to say.
#[tokio::test]
async fn the_list_of_bots_is_the_sites() {
    let w = World::of(|site, _| site.bots(["MyCrawler"])).await;
    assert!(w.ask(Ask::get("/fb/a").agent("Mozilla (mycrawler/1)")).await.expect(200, "MISS").is_page());
    assert!(w.ask(Ask::get("/fb/b").agent("Googlebot/2.1")).await.is_shell());
}
