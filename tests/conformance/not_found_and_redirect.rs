//! B5. Not found and redirects: stored like pages.

use serde_json::{Value, json};
use tests::{Ask, Asks as _};

use crate::Fixture;

/// B5.75, B5.80, B5.88: a page that does not exist is an entry: stored, labelled, with conditional answers.
#[tokio::test]
async fn not_found_is_stored() {
    let f = Fixture::start().await;
    f.up.on("/maybe404", json!({ "not_found": true }));
    f.get("/maybe404").await.expect(404, "MISS").cc(2).holds("custom-404");
    let html = f.get("/maybe404").await.expect(404, "HIT").cc(2).holds("custom-404");
    let data = f.data("/maybe404").await.expect(404, "HIT").cc(2);
    assert_eq!(data.json(), json!({ "notFound": true }));
    let head = f.head("/maybe404").await.expect(404, "HIT");
    assert!(head.body.is_empty());
    assert_eq!(head.header("content-length"), html.body.len().to_string());
    // RFC 9110 13.2.1: conditions apply to answers that would be 2xx; a 404 stays a 404.
    let conditional = f.ask(Ask::get("/maybe404").header("if-none-match", "*")).await.expect(404, "HIT");
    assert_eq!(conditional.body, html.body);
    assert_eq!(f.up.count("/maybe404"), 1);
}

fn redirect(destination: &str, how: (&str, Value)) -> Value {
    json!({ "redirect": { "destination": destination, how.0: how.1 } })
}

/// B5.81, B5.82: each kind with its status and destination, stored, whatever the query.
#[tokio::test]
async fn redirects_are_stored() {
    let f = Fixture::start().await;
    for (name, how, status) in [
        ("temporary", ("permanent", json!(false)), 307),
        ("permanent", ("permanent", json!(true)), 308),
        ("s301", ("status", json!(301)), 301),
        ("s302", ("status", json!(302)), 302),
        ("s303", ("status", json!(303)), 303),
        ("s307", ("status", json!(307)), 307),
        ("s308", ("status", json!(308)), 308),
    ] {
        let path = format!("/blog/{name}");
        // Longer than all of its requests take on a machine that is busy.
        let mut moved = redirect("/blog/there?a=b#c", how);
        moved["revalidate"] = json!(60);
        f.up.on(&path, moved);
        for (target, label) in [(path.clone(), "MISS"), (format!("{path}?x=1"), "HIT"), (path.clone(), "HIT")]
        {
            let answer = f.get(&target).await.expect(status, label).cc(60);
            assert_eq!(answer.header("location"), "/blog/there?a=b#c", "{target}");
        }
        let data = f.data(&path).await.expect(200, "HIT");
        assert_eq!(
            data.json(),
            json!({ "redirect": { "destination": "/blog/there?a=b#c", "status": status } })
        );
        let head = f.head(&path).await.expect(status, "HIT");
        assert_eq!(head.header("location"), "/blog/there?a=b#c");
        assert_eq!(f.up.count(&path), 1);
    }
}

/// Rule 3: what a destination may be, and how it is written.
#[tokio::test]
async fn destinations_are_written_safely() {
    let f = Fixture::start().await;
    for (name, given, location) in [
        ("unicode", "/blog/caf\u{e9}", "/blog/caf%C3%A9"),
        ("encoded", "/blog/caf%C3%A9", "/blog/caf%C3%A9"),
        ("external", "https://example.com/a?b=c", "https://example.com/a?b=c"),
        ("plain-http", "http://example.com/", "http://example.com/"),
        ("root", "/", "/"),
    ] {
        let path = format!("/blog/{name}");
        f.up.on(&path, redirect(given, ("permanent", json!(false))));
        assert_eq!(f.get(&path).await.expect(307, "MISS").header("location"), location, "{given}");
    }
}

/// B5.83, rule 3: bad statuses and destinations fail the render.
#[tokio::test]
async fn bad_redirects_are_failures() {
    let f = Fixture::start().await;
    let temporary = || ("permanent", json!(false));
    let mut cases = vec![
        redirect("/", ("status", json!(418))),
        redirect("/", ("status", json!(300))),
        redirect("/", ("status", json!(304))),
        redirect("/", ("status", json!(200))),
        redirect("/", ("status", json!(99_999))),
        json!({ "redirect": { "destination": "/", "permanent": true, "status": 301 } }),
        json!({ "redirect": { "permanent": true } }),
    ];
    let destinations = [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "ftp://example.com/",
        "/a\r\nset-cookie: x=1",
        "/a\nb",
        "/a\tb",
        "/a\u{0}b",
        "",
    ];
    cases.extend(destinations.map(|destination| redirect(destination, temporary())));
    for (i, case) in cases.into_iter().enumerate() {
        let path = format!("/blog/bad{i}");
        f.up.on(&path, case.clone());
        for tries in 1..=2 {
            let answer = f.get(&path).await;
            assert!(answer.status == 500 && !answer.headers.contains_key("location"), "{case}: {answer}");
            answer.expect(500, "").nostore();
            assert_eq!(f.up.count(&path), tries, "{case}");
        }
    }
}
