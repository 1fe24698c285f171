//! B12. Base path and trailing slash.

use serde_json::json;
use tests::answer::PERSON;
use tests::until::until;
use tests::{Ask, Asks as _, data_target};

use crate::Fixture;

const DOCS: &[(&str, &str)] = &[("PERENNIAL_BASE_PATH", "/docs")];
const SLASH: &[(&str, &str)] = &[("PERENNIAL_TRAILING_SLASH", "true")];

/// B12.157, B12.158, B12.162: only the base path and what is under it.
#[tokio::test]
async fn only_what_is_under_the_base_path() {
    let f = Fixture::with(DOCS).await;
    for path in
        ["/", "/never", "/docsx/never", "/DOCS/never", "/docs/docs/never", "/docs/none", "/docs/%64ocs"]
    {
        f.get(path).await.expect(404, "").nostore();
    }
    assert_eq!(f.up.count_all(), 0);
    let home = f.get("/docs").await.expect(200, "MISS");
    assert_eq!(home.prop("path"), "/");
    assert_eq!(f.get("/docs?x=1").await.expect(200, "HIT").id(), home.id());
    assert_eq!(f.get("/docs/never").await.expect(200, "MISS").prop("path"), "/never");
    for (path, location) in [
        ("/docs/", "/docs"),
        ("/docs/?x=1", "/docs?x=1"),
        ("//docs/never", "/docs/never"),
        ("/docs//never", "/docs/never"),
        ("/docs/never/", "/docs/never"),
    ] {
        assert_eq!(f.get(path).await.expect(308, "").header("location"), location, "{path}");
    }
}

/// B12.159, B12.161: data and the on-demand path, with and without it.
#[tokio::test]
async fn data_and_on_demand_under_a_base_path() {
    let f = Fixture::with(DOCS).await;
    let data = data_target("dev-build", "/blog/a");
    f.get(&data).await.expect(404, "");
    let under = f.get(&format!("/docs{data}")).await.expect(200, "MISS");
    assert_eq!(f.get("/docs/blog/a").await.expect(200, "HIT").id(), under.id());
    assert!(f.get("/docs/fb/s").await.text().contains("/docs/_perennial/data/dev-build/fb/s.json"));
    let mut calls = 1;
    let endpoint = if f.get("/docs/api/revalidate").await.status == 401 {
        "/docs/api/revalidate"
    } else {
        "/api/revalidate"
    };
    for path in ["/blog/a", "/docs/blog/a"] {
        let answer = f.get(&format!("{endpoint}?secret=test-secret&path={path}")).await;
        assert_eq!(answer.json()["revalidated"], json!(true), "{path}: {answer}");
        calls += 1;
        assert_eq!(f.up.count("/blog/a"), calls, "{path}");
    }
    f.get("/docs/blog/a").await.expect(200, "HIT");
}

/// The endpoint is at `/api/revalidate` too, not only under the base path.
#[tokio::test]
async fn the_endpoint_is_outside_the_base_path_too() {
    let f = Fixture::with(DOCS).await;
    let answer = f.revalidate("/never").await;
    assert_eq!(answer.json()["revalidated"], json!(true), "{answer}");
}

/// B12.160: internal destinations get the base path unless told otherwise.
#[tokio::test]
async fn redirects_under_a_base_path() {
    let f = Fixture::with(DOCS).await;
    for (name, redirect, location) in [
        ("internal", json!({ "destination": "/never", "permanent": false }), "/docs/never"),
        ("home", json!({ "destination": "/", "permanent": false }), "/docs"),
        (
            "external",
            json!({ "destination": "https://example.com/", "permanent": false }),
            "https://example.com/",
        ),
        ("bare", json!({ "destination": "/never", "permanent": false, "base_path": false }), "/never"),
    ] {
        f.up.on(&format!("/blog/{name}"), json!({ "redirect": redirect }));
        let answer = f.get(&format!("/docs/blog/{name}")).await.expect(307, "MISS");
        assert_eq!(answer.header("location"), location);
    }
}

/// B12.163, B12.164: with the policy, pages end in a slash, and an entry is still one entry.
#[tokio::test]
async fn trailing_slash() {
    let f = Fixture::with(SLASH).await;
    for (path, location) in [
        ("/never", "/never/"),
        ("/never?x=1", "/never/?x=1"),
        ("/blog/f.txt/", "/blog/f.txt"),
        ("/blog//a/", "/blog/a/"),
        ("//evil.example", "/evil.example/"),
    ] {
        let answer = f.get(path).await.expect(308, "");
        let found = answer.header("location");
        // A last segment with a dot is a file's name and keeps no slash, so both are canonical for it.
        let file = path.contains("evil.example") && found == "/evil.example";
        assert!(found == location || file, "{path}: {found}");
    }
    f.get("/never/").await.expect(200, "MISS");
    f.get("/").await.expect(200, "MISS");
    let page = f.get("/blog/n1/").await.expect(200, "MISS");
    assert_eq!(page.prop("path"), "/blog/n1");
    assert_eq!(f.data("/blog/n1").await.expect(200, "HIT").id(), page.id());
    for (path, calls) in [("/blog/n1", 2), ("/blog/n1/", 3)] {
        assert_eq!(f.revalidate(path).await.json()["revalidated"], json!(true), "{path}");
        assert_eq!(f.up.count("/blog/n1"), calls);
    }
    f.get("/blog/n1/").await.expect(200, "HIT");
    f.get("/blog/f.txt").await.expect(200, "MISS");
}

/// A base path and trailing slashes together.
#[tokio::test]
async fn trailing_slash_under_a_base_path() {
    let f = Fixture::with(&[DOCS[0], SLASH[0]]).await;
    for (path, location) in
        [("/docs", "/docs/"), ("/docs/never", "/docs/never/"), ("/docs//never", "/docs/never/")]
    {
        assert_eq!(f.get(path).await.expect(308, "").header("location"), location, "{path}");
    }
    f.get("/docs/").await.expect(200, "MISS");
    f.ask(Ask::get("/docs/never/").agent(PERSON)).await.expect(200, "MISS");
}

/// The publishing page is served next to the endpoint, and links to the addresses that visitors use.
#[tokio::test]
async fn the_publishing_page_knows_where_pages_are() {
    for (env, expected) in [
        (DOCS.to_vec(), ["/docs", "/docs/never"]),
        (SLASH.to_vec(), ["/", "/never/"]),
        ([DOCS, SLASH].concat(), ["/docs/", "/docs/never/"]),
    ] {
        let f = Fixture::with(&env).await;
        for target in expected {
            f.get(target).await.expect(200, "MISS");
        }
        let api = if env.contains(&DOCS[0]) { "/docs/api" } else { "/api" };
        f.get(&format!("{api}/publish")).await.expect(200, "").holds("<title>Publishing</title>");
        until("both pages in the list", async || {
            let ask = Ask::get(format!("{api}/publish/pages"));
            let list = f.ask(ask.header("authorization", "Bearer test-secret")).await.expect(200, "").json();
            let pages = list["pages"].as_array().expect("a list");
            let stored = pages.iter().filter(|page| page["kind"] == "page");
            let hrefs: Vec<_> = stored.map(|page| page["href"].as_str().expect("an address")).collect();
            (hrefs == expected).then_some(())
        })
        .await;
        let under = Ask::get(format!("{api}/publish/pages?prefix=/ne"));
        let list = f.ask(under.header("authorization", "Bearer test-secret")).await.expect(200, "").json();
        assert_eq!(list["pages"][0]["href"], expected[1], "{list}");
    }
}
