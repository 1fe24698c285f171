//! The draft row of section 1, B3.56 and B14.185: an editor's cookie shows pages as they would be rendered now, and
//! changes nothing for anybody else.

use serde_json::json;
use tests::{Ask, Asks as _};

use crate::world::{World, s};

/// Turns on drafts for all pages, and returns the `Cookie` field to send.
async fn open(w: &World, query: &str) -> String {
    let answer = w.get(&format!("/api/draft?secret=test-secret&{query}")).await.expect(307, "").nostore();
    let set = answer.header("set-cookie").to_owned();
    for attribute in ["HttpOnly", "Secure", "SameSite=None", "Path=/", "Max-Age="] {
        assert!(set.contains(attribute), "{attribute}: {answer}");
    }
    set.split(';').next().expect("a first part").to_owned()
}

fn with(path: &str, cookie: &str) -> Ask {
    Ask::get(path).header("cookie", cookie)
}

#[tokio::test]
async fn a_draft_neither_reads_nor_writes_the_store() {
    let w = World::new().await;
    let public = w.get("/never").await.expect(200, "MISS");
    w.up.on("/never", json!({ "value": "unpublished" }));
    let cookie = open(&w, "path=/never").await;
    for _ in 0..2 {
        let draft = w.ask(with("/never", &cookie)).await.expect(200, "BYPASS").nostore();
        assert_eq!(draft.value(), "unpublished");
        assert!(!draft.headers.contains_key("set-cookie"), "{draft}");
    }
    assert_eq!(w.up.count("/never"), 3, "each is rendered");
    assert_eq!(w.get("/never").await.expect(200, "HIT").id(), public.id());
    // A page that was not generated before stays missing, whatever its route's fallback is.
    for path in ["/blog/new", "/fb/new", "/nofb/new"] {
        w.ask(with(path, &cookie)).await.expect(200, "BYPASS").nostore();
    }
    w.get("/blog/new").await.expect(200, "MISS");
    assert!(w.get("/fb/new").await.is_shell());
    w.get("/nofb/new").await.expect(404, "");
    w.up.on("/blog/gone", json!({ "not_found": true }));
    w.ask(with("/blog/gone", &cookie)).await.expect(404, "BYPASS").nostore();
}

/// The draft banner tells the editor that a page is a draft, and how to leave drafts. Visitors never get the banner.
#[tokio::test]
async fn a_draft_says_that_it_is_one() {
    let w = World::new().await;
    let cookie = open(&w, "path=/blog/caf%25C3%25A9").await;
    w.up.on("/blog/gone", json!({ "not_found": true }));
    for (path, status) in [("/blog/caf%C3%A9", 200), ("/blog/gone", 404)] {
        let draft = w.ask(with(path, &cookie)).await.expect(status, "BYPASS");
        let exit =
            format!("/api/draft/clear?path={}", path.replace('/', "%2F").replace("%C3%A9", "%25C3%25A9"));
        assert_eq!(draft.text().matches(&exit).count(), 1, "{draft}");
        assert_eq!(w.get(&exit).await.expect(307, "").header("location"), path);
        assert!(!w.get(path).await.text().contains("/api/draft/clear"));
    }
    let of_its_own =
        World::of(|site, _| site.draft_banner(|cx| format!("<b>draft of {}</b>", cx.path))).await;
    let cookie = open(&of_its_own, "path=/never").await;
    of_its_own.ask(with("/never", &cookie)).await.expect(200, "BYPASS").holds("<b>draft of /never</b>");
    let broken = World::of(|site, _| site.draft_banner(|_| panic!("no banner"))).await;
    let cookie = open(&broken, "path=/never").await;
    broken.ask(with("/never", &cookie)).await.expect(500, "").nostore();
}

#[tokio::test]
async fn a_draft_ends_by_itself_and_on_request() {
    let w = World::new().await;
    w.get("/never").await.expect(200, "MISS");
    let cookie = open(&w, "path=/never&seconds=60").await;
    w.advance(s(59));
    w.ask(with("/never", &cookie)).await.expect(200, "BYPASS");
    w.advance(s(1));
    w.ask(with("/never", &cookie)).await.expect(200, "HIT");
    let cleared = w.get("/api/draft/clear?path=/never").await.expect(307, "").nostore();
    assert_eq!(cleared.header("location"), "/never");
    assert!(cleared.header("set-cookie").contains("Max-Age=0"), "{cleared}");
}

#[tokio::test]
async fn a_forged_cookie_is_a_normal_visitor() {
    let w = World::new().await;
    w.get("/never").await.expect(200, "MISS");
    let cookie = open(&w, "path=/never").await;
    for forged in [format!("{cookie}0"), cookie.replace('.', "0."), "__perennial_draft=1".to_owned()] {
        w.ask(with("/never", &forged)).await.expect(200, "HIT");
    }
    assert_eq!(w.up.count("/never"), 1);
}

/// A shared cache stores no answer for a request with an invalid draft cookie. The cookie may become valid when this
/// process learns its secret.
#[tokio::test]
async fn a_page_is_kept_under_no_draft_cookie() {
    let w = World::new().await;
    let page = w.get("/never").await.expect(200, "MISS");
    let cookie = open(&w, "path=/never").await;
    for wrong in
        [format!("{cookie}0"), "__perennial_draft=x".to_owned(), "a=b; __perennial_draft=".to_owned()]
    {
        for path in ["/never", &tests::data_target("dev-build", "/never")] {
            let answer = w.ask(with(path, &wrong)).await.expect(200, "HIT").nostore();
            assert_eq!(answer.id(), page.id());
        }
    }
    let other = w.ask(with("/never", "a=b")).await.expect(200, "HIT");
    assert!(other.header("cache-control").starts_with("public"), "{other}");
    assert_eq!(w.up.count("/never"), 1);
}

/// Turning on drafts needs a secret, a page of this site, and a bounded time.
#[tokio::test]
async fn opening_needs_a_secret_and_a_page_of_the_site() {
    let w = World::new().await;
    for query in ["", "?path=/never", "?secret=wrong&path=/never", "?secret=test-secret&secret=test-secret"] {
        let refused = w.get(&format!("/api/draft{query}")).await.expect(401, "").nostore();
        assert!(!refused.headers.contains_key("set-cookie"), "{refused}");
    }
    for query in [
        "path=//evil.example",
        "path=https://evil.example",
        "path=/unknown",
        "path=/&seconds=0",
        "path=/&seconds=604801",
    ] {
        let refused =
            w.get(&format!("/api/draft?secret=test-secret&{query}")).await.expect(400, "").nostore();
        assert!(!refused.headers.contains_key("location"), "{refused}");
    }
    w.get("/api/draft/clear?path=//evil.example").await.expect(400, "");
    assert_eq!(w.get("/api/draft?secret=test-secret").await.expect(307, "").header("location"), "/");
    assert_eq!(w.up.count_all(), 0);
}
