//! B3. On-demand revalidation: the endpoint.

use http::Method;
use serde_json::json;
use tests::answer::revalidate_target;
use tests::until::{soon, until_true};
use tests::{Answer, Ask, Asks as _, Gate, Reply};

use crate::{Fixture, until_new};

pub(crate) fn success(answer: Answer) -> Answer {
    assert_eq!(answer.json()["revalidated"], json!(true), "{answer}");
    answer.expect(200, "").nostore()
}

fn failure(answer: Answer) -> Answer {
    let body = answer.json();
    assert_eq!(
        (&body["revalidated"], &body["message"]),
        (&json!(false), &json!("Error revalidating")),
        "{answer}"
    );
    answer.expect(500, "").nostore()
}

/// B3.33, rule 5.1: without the one right secret nothing is said and nothing is done.
#[tokio::test]
async fn only_the_right_secret_works() {
    let f = Fixture::with(&[("PERENNIAL_REVALIDATE_SECRETS", "one,two")]).await;
    let get = |query: &str| Ask::get(format!("/api/revalidate?path=/never{query}"));
    for wrong in [
        get(""),
        get("&secret="),
        get("&secret=wrong"),
        get("&secret=on"),
        get("&secret=one&secret=one"),
        get("&secret=one&secret=wrong"),
        get("&secret=one,two"),
        get("&SECRET=one"),
        get("").header("authorization", "Bearer wrong"),
        get("").header("authorization", "one"),
        get("").header("authorization", "Basic b25l"),
        get("").header("x-revalidate-secret", ""),
        get("").header("x-revalidate-secret", "one").header("x-revalidate-secret", "one"),
    ] {
        let what = format!("{wrong:?}");
        let answer = f.ask(wrong).await.nostore();
        assert_eq!((answer.status, answer.json()), (401, json!({ "message": "Invalid token" })), "{what}");
    }
    assert_eq!(f.up.count_all(), 0);
    for right in [
        get("&secret=one"),
        get("&secret=two"),
        get("").header("authorization", "Bearer one"),
        get("").header("x-revalidate-secret", "two"),
        Ask::new(Method::POST, "/api/revalidate?secret=one&path=/never"),
    ] {
        success(f.ask(right).await);
    }
    let head = f.ask(Ask::head("/api/revalidate?secret=one&path=/never")).await;
    assert!(head.status == 200 && head.body.is_empty(), "{head}");
    assert_eq!(f.up.count("/never"), 6);
}

/// B3.34, B3.47: success comes after the render, and until then readers get the old page at once.
#[tokio::test]
async fn success_is_said_once_the_new_page_is_there() {
    let f = Fixture::start().await;
    f.up.on("/never", Reply::value("old"));
    let old = f.get("/never").await.expect(200, "MISS");
    let gate = Gate::new();
    f.up.on("/never", Reply::value("new").behind(&gate));
    let client = f.site.client();
    let call = tokio::spawn(async move { client.revalidate("/never").await });
    f.up.wait_for_calls("/never", 2).await;
    for _ in 0..5 {
        assert_eq!(f.get("/never").await.expect(200, "STALE").id(), old.id());
    }
    assert!(!call.is_finished(), "answered before the render ended");
    gate.open();
    success(soon("the endpoint", call).await.expect("joined"));
    let new = f.get("/never").await.expect(200, "HIT").cc_forever();
    assert_eq!((new.value(), new.reason()), ("new".to_owned(), "on-demand".to_owned()));
    assert_eq!(f.data("/never").await.expect(200, "HIT").id(), new.id());
    assert_eq!(f.up.count("/never"), 2);
}

/// B3.35: a failed call says so, and the last good page stays.
#[tokio::test]
async fn a_failed_call_keeps_the_page() {
    let f = Fixture::start().await;
    let old = f.get("/never").await.expect(200, "MISS");
    for broken in
        [Reply::throw("the-cause"), Reply::status(500), Reply::hang_up(), json!({ "panic": true }).into()]
    {
        f.up.on("/never", broken);
        failure(f.revalidate("/never").await);
        assert_eq!(f.get("/never").await.expect(200, "STALE").id(), old.id());
    }
    f.site.log.wait_for(&["/never", "on-demand", "the-cause"]).await;
    f.up.on("/never", Reply::value("well"));
    success(f.revalidate("/never").await);
    assert_eq!(f.get("/never").await.expect(200, "HIT").value(), "well");
}

/// B3.37, B3.38: ungenerated pages are generated.
#[tokio::test]
async fn ungenerated_pages_are_generated() {
    let f = Fixture::start().await;
    f.up.otherwise(|_| json!({ "revalidate": 60 }).into());
    for path in ["/blog/new", "/fb/new", "/catch/a/b"] {
        success(f.revalidate(path).await);
        let page = f.get(path).await.expect(200, "HIT");
        assert!(page.is_page());
        assert_eq!(page.reason(), "on-demand");
        assert_eq!(f.up.count(path), 1);
    }
}

/// B3.39, B3.44, B3.46, B3.55: what no route accepts is an error, never a success, and reaches no upstream.
#[tokio::test]
async fn what_is_no_page_is_an_error() {
    let f = Fixture::start().await;
    let mut targets: Vec<String> = [
        "/nofb/x",
        "",
        "blog/a",
        "https://x/",
        "http://127.0.0.1/never",
        "//x",
        "//127.0.0.1/never",
        "/none",
        "/NEVER",
        "/blog",
        "/ssr",
        "/api/revalidate",
        "/_perennial/data/dev-build/never.json",
        "/blog/100%",
        "/blog/%FF",
        "/blog/a\0",
    ]
    .iter()
    .map(|path| revalidate_target(path))
    .collect();
    targets.push("/api/revalidate?secret=test-secret".to_owned());
    for target in targets {
        let answer = f.get(&target).await;
        assert!((400..=500).contains(&answer.status) && answer.status != 401, "{target}: {answer}");
        assert_ne!(answer.json()["revalidated"], json!(true), "{target}");
    }
    assert_eq!(f.up.count_all(), 0);
    f.get("/nofb/x").await.expect(404, "").nostore();
}

/// Rule 5.4: spellings of a page's path that the endpoint takes.
#[tokio::test]
async fn tolerated_spellings_of_a_path() {
    let f = Fixture::start().await;
    f.up.on("/blog/café", json!({ "revalidate": false }));
    f.get("/blog/caf%C3%A9").await.expect(200, "MISS");
    let spellings = [
        "/blog/café",
        "/blog/caf%C3%A9",
        "/blog/caf%c3%a9",
        "/blog/café/",
        "/blog/café?x=1",
        "/blog/café#part",
    ];
    for (i, path) in spellings.iter().enumerate() {
        success(f.revalidate(path).await);
        assert_eq!(f.up.count("/blog/café"), i + 2, "{path}");
        f.get("/blog/caf%C3%A9").await.expect(200, "HIT");
    }
    assert_eq!(f.up.count_all(), spellings.len() + 1);
}

/// B3.40, B3.41: only what is there.
#[tokio::test]
async fn only_generated() {
    let f = Fixture::start().await;
    f.up.otherwise(|_| json!({ "revalidate": 60 }).into());
    let call = |path: &str| f.ask(Ask::get(format!("{}&only_generated=true", revalidate_target(path))));
    assert_eq!(call("/blog/o").await.status, 200);
    assert_eq!(f.up.count_all(), 0);
    let old = f.get("/blog/o").await.expect(200, "MISS");
    success(call("/blog/o").await);
    let new = f.get("/blog/o").await.expect(200, "HIT");
    assert_ne!(new.id(), old.id());
    assert_eq!(f.up.reasons("/blog/o"), ["first", "on-demand"]);
}

/// B3.42, B3.43: not found and redirects are successes, and give way to a page again.
#[tokio::test]
async fn every_kind_of_outcome_is_a_success() {
    let f = Fixture::start().await;
    f.get("/never").await.expect(200, "MISS");
    f.up.on("/never", json!({ "not_found": true }));
    success(f.revalidate("/never").await);
    f.get("/never").await.expect(404, "HIT").holds("custom-404");
    f.up.on("/never", json!({ "redirect": { "destination": "/blog/a", "permanent": false } }));
    success(f.revalidate("/never").await);
    assert_eq!(f.get("/never").await.expect(307, "HIT").header("location"), "/blog/a");
    f.up.on("/never", Reply::value("back"));
    success(f.revalidate("/never").await);
    assert_eq!(f.get("/never").await.expect(200, "HIT").value(), "back");
    assert_eq!(f.up.count("/never"), 4);
}

/// Rule 3: `KeepStale` on demand is no success, loses nothing, and is not logged as an error.
#[tokio::test]
async fn keep_stale_keeps_the_page() {
    let f = Fixture::start().await;
    let old = f.get("/never").await.expect(200, "MISS");
    f.up.on("/never", json!({ "keep_stale": true }));
    let answer = f.revalidate("/never").await;
    assert_ne!(answer.json()["revalidated"], json!(true), "{answer}");
    assert_eq!(f.get("/never").await.expect(200, "STALE").id(), old.id());
    assert_eq!(f.site.log.count("ERROR"), 0, "{}", f.site.log.text());
}

/// B3.54: a caller who goes away does not stop the render.
#[tokio::test]
async fn a_caller_who_leaves_changes_nothing() {
    let f = Fixture::start().await;
    let old = f.get("/never").await.expect(200, "MISS");
    let gate = Gate::new();
    f.up.next("/never", Reply::value("new").behind(&gate));
    let request = format!("GET {} HTTP/1.1\r\nhost: x\r\n\r\n", revalidate_target("/never"));
    let connection = f.site.client().leave(&request).await;
    f.up.wait_for_calls("/never", 2).await;
    drop(connection);
    gate.open();
    assert_eq!(until_new(&f, "/never", &old.id()).await.value(), "new");
    success(f.revalidate("/never").await);
}

/// B3.56, rule 5.5: what the caller is has no part in the page.
#[tokio::test]
async fn the_callers_cookies_do_not_matter() {
    let f = Fixture::start().await;
    let call = Ask::get(revalidate_target("/blog/c"))
        .header("cookie", "__prerender_bypass=x; perennial-draft=x; session=y");
    success(f.ask(call).await);
    let page = f.get("/blog/c").await.expect(200, "HIT");
    assert!(!page.headers.contains_key("set-cookie"), "{page}");
}

/// Rule 5.1 with a body: a call may be JSON; one that cannot be read does nothing.
#[tokio::test]
async fn calls_with_a_body() {
    let f = Fixture::start().await;
    let post = |body: &str| {
        let ask = Ask::new(Method::POST, "/api/revalidate").header("content-type", "application/json");
        ask.header("authorization", "Bearer test-secret").body(body.to_owned())
    };
    success(f.ask(post(r#"{"path":"/never"}"#)).await);
    success(f.ask(post(r#"{"paths":["/never","/blog/a"]}"#)).await);
    assert_eq!((f.up.count("/never"), f.up.count("/blog/a")), (2, 1));
    for bad in
        ["{", "[]", r#"{"path":5}"#, r#"{"paths":"/never"}"#, r#"{"path":"never"}"#, r#"{"path":"/none"}"#]
    {
        let answer = f.ask(post(bad)).await.nostore();
        assert!((400..=500).contains(&answer.status) && answer.status != 401, "{bad}: {answer}");
        assert_ne!(answer.json()["revalidated"], json!(true), "{bad}");
    }
    let unsigned =
        Ask::new(Method::POST, "/api/revalidate").body(r#"{"path":"/never","secret":"test-secret"}"#);
    assert_eq!(f.ask(unsigned).await.status, 401);
    assert_eq!(f.up.count_all(), 3);
}

/// The endpoint answers no other method, and its path is no page.
#[tokio::test]
async fn the_endpoints_methods() {
    let f = Fixture::start().await;
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = f.ask(Ask::new(method.clone(), revalidate_target("/never"))).await;
        assert_eq!(answer.status, 405, "{method}: {answer}");
    }
    until_true("no call", || f.up.count_all() == 0).await;
}
