//! Section 10: a service of the site is asked what it is asked, on every target.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};
use tests::{Ask, Asks as _};

use crate::Fixture;

/// Method, path, query, fields, cookies and bytes of the body arrive as they were sent.
#[tokio::test]
async fn a_service_is_asked_what_the_visitor_asks() {
    let f = Fixture::start().await;
    let all_bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for (method, target, kind, body) in [
        (Method::GET, "/svc", "", &b""[..]),
        (Method::POST, "/svc/form?a=%20b&a=c", "application/x-www-form-urlencoded", b"name=J%C3%BCrgen&x=1"),
        (Method::PUT, "/svc/%2e%2e/caf%C3%A9//x/", "text/plain; charset=utf-8", "caf\u{e9} \"\\".as_bytes()),
        (Method::PATCH, "/svc/json", "application/json", b"{\"a\": [1, null]}"),
        (Method::DELETE, "/svc/x?", "", b""),
        (Method::POST, "/svc/bytes", "application/octet-stream", &all_bytes),
    ] {
        let mut ask =
            Ask::new(method.clone(), target).header("x-asked", "one").header("cookie", "a=1; b=\"2\"");
        if !kind.is_empty() {
            ask = ask.header("content-type", kind);
        }
        let answer = f.ask(ask.body(body.to_vec())).await.expect(200, "");
        assert_eq!(answer.header("cache-control"), "private, no-store", "{answer}");
        let told = answer.json();
        let (path, query) =
            target.split_once('?').map_or((target, Value::Null), |(path, query)| (path, query.into()));
        let path = path.strip_prefix("/svc").filter(|path| !path.is_empty()).unwrap_or("/");
        assert_eq!((&told["method"], &told["path"]), (&json!(method.as_str()), &json!(path)), "{told}");
        // An event of Lambda does not tell an empty query from none.
        assert!(told["query"] == query || query == "", "{told}");
        assert_eq!(told["headers"]["x-asked"], json!(["one"]), "{told}");
        assert_eq!(told["headers"]["cookie"], json!(["a=1; b=\"2\""]), "{told}");
        assert!(told["headers"]["host"][0].is_string(), "{told}");
        let arrived = STANDARD.decode(told["body"].as_str().expect("a text")).expect("base64");
        assert!(arrived == body, "{} of {} bytes arrived of {target}", arrived.len(), body.len());
    }
}

/// Every cookie is a line of its own.
#[tokio::test]
async fn a_service_sets_cookies() {
    let f = Fixture::start().await;
    let answer = f.get("/svc/cookies").await.expect(200, "");
    let mut cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    cookies.sort_unstable();
    assert_eq!(cookies, ["a=1; Path=/", "b=2"]);
}

/// A panic is one answer, and a body over the limit is none of the service's.
#[tokio::test]
async fn a_service_that_fails_is_one_answer() {
    // A body that nobody reads comes with its head: the client of a longer one may still write when the answer is there.
    let f = Fixture::with(&[("PERENNIAL_MAX_SERVICE_BODY_BYTES", "1000")]).await;
    f.get("/svc/panic").await.expect(500, "").nostore();
    f.site.log.wait_for(&["/svc", "as the path says"]).await;
    let post = |bytes: usize| f.ask(Ask::new(Method::POST, "/svc/unread").body(vec![b'a'; bytes]));
    post(1_000).await.expect(200, "").holds("without the body");
    post(1_001).await.expect(413, "").nostore();
    f.get("/never").await.expect(200, "MISS");
}

/// The limit that a site has by itself.
#[tokio::test]
async fn a_body_of_two_megabytes_reaches_a_service() {
    let f = Fixture::start().await;
    let body = vec![b'a'; 2 << 20];
    let told = f.ask(Ask::new(Method::POST, "/svc/large").body(body.clone())).await.expect(200, "").json();
    assert_eq!(told["body"], json!(STANDARD.encode(&body)));
}

/// The base path is taken off before the prefix, and the whole path is told beside.
#[tokio::test]
async fn a_service_is_under_the_base_path() {
    let f = Fixture::with(&[("PERENNIAL_BASE_PATH", "/docs")]).await;
    let told = f.get("/docs/svc/a?b=c").await.expect(200, "").json();
    assert_eq!((&told["path"], &told["original"]), (&json!("/a"), &json!("/docs/svc/a?b=c")));
    f.get("/svc/a").await.expect(404, "");
    f.get("/docs/_perennial/ready").await.expect(200, "").nostore();
    f.get("/_perennial/ready").await.expect(404, "");
}

/// Anybody may ask whether the process answers.
#[tokio::test]
async fn probes_are_answered() {
    let f = Fixture::start().await;
    for (target, told) in
        [("/_perennial/live", json!({ "live": true })), ("/_perennial/ready", json!({ "ready": true }))]
    {
        assert_eq!(f.get(target).await.expect(200, "").nostore().json(), told);
    }
    assert_eq!(f.up.count_all(), 0);
}
