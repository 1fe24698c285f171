//! Redirects, rewrites and header fields of the whole site.

use serde_json::json;
use tests::{Ask, Asks as _, Reply};

use crate::Fixture;

#[tokio::test]
async fn a_redirect_of_the_table_keeps_the_query_and_asks_nobody() {
    let f = Fixture::start().await;
    for (path, location) in [
        ("/old/7", "/blog/7"),
        ("/old/7?utm=x&y", "/blog/7?utm=x&y"),
        ("/old/caf%C3%A9", "/blog/caf%C3%A9"),
        ("/old/a%2Fb", "/blog/a%2Fb"),
        ("/old/7?secret=s", "/blog/7"),
    ] {
        let answer = f.get(path).await.expect(308, "");
        assert_eq!(answer.header("location"), location, "{path}");
        assert_eq!(answer.header("x-site"), "yes", "{path}");
        assert!(answer.header("cache-control").contains("s-maxage=60"), "{answer}");
    }
    let data = f.data("/old/7").await.expect(200, "");
    assert_eq!(data.json(), json!({ "redirect": { "destination": "/blog/7", "status": 308 } }));
    f.get("/old/7/8").await.expect(404, "");
    assert_eq!(f.up.count_all(), 0);
}

#[tokio::test]
async fn a_rewritten_path_shows_the_page_and_is_not_the_path_to_revalidate() {
    let f = Fixture::start().await;
    let page = f.get("/blog/a").await.expect(200, "MISS");
    let alias = f.get("/alias/a").await.expect(200, "HIT");
    assert_eq!((alias.id(), alias.prop("path")), (page.id(), "/blog/a".into()));
    assert_eq!(f.data("/alias/a").await.expect(200, "HIT").id(), page.id());
    for (path, cure) in [("/alias/a", "name that path"), ("/old/a", "name a page's own path")] {
        let refused = f.get(&format!("/api/revalidate?secret=test-secret&path={path}")).await.expect(400, "");
        assert!(refused.text().contains("/blog/a") && refused.text().contains(cure), "{refused}");
    }
    let told = f.get("/api/revalidate?secret=test-secret&path=/blog/a").await.expect(200, "");
    assert_eq!(told.json()["revalidated"], json!(true), "{told}");
    assert_ne!(f.get("/alias/a").await.expect(200, "HIT").id(), page.id());
}

#[tokio::test]
async fn header_fields_come_with_every_answer_of_their_pattern() {
    let f = Fixture::start().await;
    f.up.on("/blog/gone", json!({ "not_found": true }));
    f.up.on("/blog/moved", json!({ "redirect": { "destination": "/", "permanent": false } }));
    f.up.on("/blog/broken", Reply::status(500));
    f.up.on("/blog/own", json!({ "value": "x", "headers": [["x-site", "own"]] }));
    for (path, status, blog) in [
        ("/blog/a", 200, "yes"),
        ("/blog/gone", 404, "yes"),
        ("/blog/moved", 307, "yes"),
        ("/blog/broken", 500, "yes"),
        ("/blog/a/", 308, ""),
        ("/blog/100%", 400, ""),
        ("/fb/s", 200, ""),
        ("/none", 404, ""),
        ("/", 200, ""),
        ("/ssr", 200, ""),
    ] {
        // The second answer is a stored one.
        for _ in 0..2 {
            let answer = f.get(path).await;
            assert_eq!(answer.status, status, "{path}: {answer}");
            assert_eq!((answer.header("x-site"), answer.header("x-blog")), ("yes", blog), "{path}: {answer}");
        }
    }
    assert_eq!(f.data("/blog/a").await.header("x-blog"), "yes");
    assert_eq!(f.get("/svc/a").await.expect(200, "").header("x-site"), "yes");
    assert_eq!(f.get("/blog/own").await.expect(200, "MISS").header("x-site"), "own");
    let page = f.get("/blog/a").await;
    let same =
        f.ask(Ask::get("/blog/a").header("if-none-match", page.header("etag"))).await.expect(304, "HIT");
    assert_eq!(same.header("x-blog"), "yes");
}
