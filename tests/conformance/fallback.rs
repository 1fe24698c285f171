//! B2. Fallback: what visitors of ungenerated paths get.

use serde_json::json;
use tests::answer::GOOGLEBOT;
use tests::{Answer, Ask, Asks as _, Upstream};

use crate::Fixture;

/// B2.17, B2.29: the visitor waits, the next gets the stored page, and nobody sees a loading page.
#[tokio::test]
async fn blocking_renders_once_and_stores() {
    let f = Fixture::start().await;
    let first = f.get("/blog/new").await.expect(200, "MISS").cc(2);
    assert!(first.is_page() && !first.is_shell());
    assert_eq!(first.reason(), "first");
    assert_eq!(f.get("/blog/new").await.expect(200, "HIT").id(), first.id());
    assert_eq!(f.up.count("/blog/new"), 1);
}

/// B2.18: HTML and data are one entry, whichever is asked for first.
#[tokio::test]
async fn html_and_data_are_one_entry() {
    let f = Fixture::start().await;
    let data = f.data("/blog/d").await.expect(200, "MISS");
    let props = &data.json()["props"];
    assert_eq!(
        *props,
        json!({
            "id": data.id(), "value": "v", "reason": "first", "path": "/blog/d",
            "params": { "slug": "d" }, "build": "dev-build",
        })
    );
    assert!(data.header("content-type").starts_with("application/json"), "{data}");
    let html = f.get("/blog/d").await.expect(200, "HIT");
    assert!(html.header("content-type").starts_with("text/html"), "{html}");
    assert_eq!(html.id(), data.id());
    assert_eq!(f.up.count("/blog/d"), 1);
}

/// B2.19, B2.20: a person gets the shell, whose own data request makes the page.
#[tokio::test]
async fn a_shell_until_its_data_was_asked_for() {
    let f = Fixture::start().await;
    f.up.otherwise(|_| json!({ "revalidate": 60 }).into());
    for _ in 0..2 {
        let shell = f.get("/fb/s").await.expect(200, "MISS").nostore();
        assert!(shell.is_shell() && !shell.is_page());
        assert!(shell.text().contains("/_perennial/data/dev-build/fb/s.json"), "no data URL in {shell}");
    }
    assert_eq!(f.up.count_all(), 0);
    let data = f.data("/fb/s").await.expect(200, "MISS");
    let page = f.get("/fb/s").await.expect(200, "HIT");
    assert!(page.is_page());
    assert_eq!(page.id(), data.id());
    assert_eq!(f.up.count("/fb/s"), 1);
}

/// B2.23, B2.24, B2.30: what is not listed, or has no route, is the site's 404 page without a data call.
#[tokio::test]
async fn unlisted_and_unrouted_paths_are_404() {
    let f = Fixture::start().await;
    let check = |answer: Answer| drop(answer.expect(404, "").nostore());
    for path in ["/nofb/x", "/none", "/blog", "/blog/a/b", "/NEVER"] {
        let html = f.get(path).await;
        assert!(html.text().contains("custom-404"), "{html}");
        check(html);
        check(f.data(path).await);
        let head = f.head(path).await;
        assert!(head.body.is_empty(), "{head}");
        check(head);
        check(f.ask(Ask::get(path).agent(GOOGLEBOT)).await);
    }
    assert_eq!(f.up.count_all(), 0);
}

/// B2.23: what is listed is served, beside what is not.
#[tokio::test]
async fn a_listed_path_of_a_closed_route_exists() {
    let up = Upstream::start().await;
    up.list("/nofb/{slug}", json!([{ "slug": "in" }]));
    let f = Fixture::built(up, &[]).await;
    let answer = f.get("/nofb/in").await;
    assert!(answer.status == 200 && answer.is_page(), "{answer}");
    f.get("/nofb/out").await.expect(404, "").nostore();
    assert_eq!(f.up.count("/nofb/out"), 0);
}

/// The less exact route gets what the closed one does not list.
#[tokio::test]
async fn the_next_route_gets_what_a_closed_one_does_not_list() {
    let up = Upstream::start().await;
    up.list("/mix/{slug}", json!([{ "slug": "listed" }]));
    let f = Fixture::built(up, &[]).await;
    f.get("/mix/listed").await;
    assert_eq!(f.up.calls("/mix/listed")[0].route, "/mix/{slug}");
    let other = f.get("/mix/other").await.expect(200, "MISS");
    assert_eq!(other.params(), json!({ "all": ["other"] }));
    assert_eq!(f.data("/mix/other").await.expect(200, "HIT").id(), other.id());
    assert_eq!(f.up.calls("/mix/other")[0].route, "/mix/{*all}");
    assert_eq!(f.get("/mix/a/b").await.expect(200, "MISS").params(), json!({ "all": ["a", "b"] }));
}

/// B2.28: the shell's data request finds that there is no page; from then on visitors do too.
#[tokio::test]
async fn a_shell_whose_page_does_not_exist() {
    let f = Fixture::start().await;
    f.up.on("/fb/gone", json!({ "not_found": true }));
    assert!(f.get("/fb/gone").await.expect(200, "MISS").is_shell());
    assert_eq!(f.data("/fb/gone").await.expect(404, "MISS").json(), json!({ "notFound": true }));
    f.get("/fb/gone").await.expect(404, "HIT").holds("custom-404");
    assert_eq!(f.up.count("/fb/gone"), 1);
}

/// B2.32: HEAD is what GET would be.
#[tokio::test]
async fn head_of_a_shell() {
    let f = Fixture::start().await;
    let get = f.get("/fb/h").await.nostore();
    let head = f.head("/fb/h").await.expect(200, get.label()).nostore();
    assert!(head.body.is_empty());
    assert_eq!(head.header("content-length"), get.body.len().to_string());
    assert_eq!(f.up.count_all(), 0);
}
