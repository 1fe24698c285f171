//! B14. Security and poisoning.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Method;
use serde_json::json;
use sha2::Sha256;
use tests::answer::PERSON;
use tests::{Ask, Asks as _, data_target};

use crate::Fixture;

/// B14.174, B14.179, B14.184, invariant 9: nothing a visitor sends but the path reaches a stored page.
#[tokio::test]
async fn headers_leave_no_trace() {
    let f = Fixture::start().await;
    f.up.otherwise(|_| json!({ "revalidate": false }).into());
    f.up.on(
        "/blog/moved",
        json!({ "redirect": { "destination": "/blog/to", "permanent": false }, "revalidate": false }),
    );
    let headers = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "evil"),
        ("x-forwarded-prefix", "/evil.example"),
        ("forwarded", "host=evil.example"),
        ("x-original-url", "/evil.example"),
        ("x-rewrite-url", "/evil.example"),
        ("x-matched-path", "/evil.example"),
        ("x-invoke-path", "/evil.example"),
        ("x-now-route-matches", "1=evil.example"),
        ("x-http-method-override", "POST"),
        ("x-nextjs-data", "1"),
        ("x-middleware-prefetch", "1"),
        ("x-middleware-subrequest", "middleware"),
        ("x-prerender-revalidate", "evil.example"),
        ("rsc", "1"),
        ("next-router-prefetch", "1"),
        ("next-router-state-tree", "evil.example"),
        ("purpose", "prefetch"),
        ("accept", "text/x-component"),
        ("accept-language", "evil.example"),
        ("cookie", "session=evil.example; __prerender_bypass=x; __next_preview_data=y"),
        ("authorization", "Bearer evil.example"),
        ("x-perennial-cache", "evil.example"),
        ("x-perennial-reason", "evil.example"),
    ];
    for (i, (name, value)) in headers.iter().enumerate() {
        let path = format!("/blog/h{i}");
        let dirty =
            f.ask(Ask::get(path.as_str()).agent(PERSON).header(*name, *value)).await.expect(200, "MISS");
        let clean = f.get(&path).await.expect(200, "HIT");
        assert_eq!(clean.body, dirty.body, "{name}");
        assert!(!dirty.to_string().contains("evil"), "{name}: {dirty}");
        assert!(!clean.headers.contains_key("set-cookie"), "{clean}");
        assert_eq!(f.up.count(&path), 1, "{name}");
        let moved = f.ask(Ask::get("/blog/moved").header(*name, *value)).await;
        assert_eq!((moved.status, moved.header("location")), (307, "/blog/to"), "{name}: {moved}");
    }
    assert_eq!(f.up.count("/blog/moved"), 1);
}

/// B14.174, rule 6.6: internal-looking query keys change nothing.
#[tokio::test]
async fn internal_looking_query_keys_change_nothing() {
    let f = Fixture::start().await;
    let page = f.get("/never").await.expect(200, "MISS");
    for query in [
        "__nextDataReq=1",
        "_perennial=1",
        "_rsc=x",
        "nxtPslug=x",
        "build=other",
        "reason=build",
        "secret=test-secret",
    ] {
        let answer = f.get(&format!("/never?{query}")).await.expect(200, "HIT");
        assert_eq!((answer.id(), answer.body), (page.id(), page.body.clone()), "{query}");
    }
    assert_eq!(f.up.count_all(), 1);
}

/// Rule 6.1: a shared cache that keeps what `page=2` gives apart does not decode names, so no other spelling counts.
#[tokio::test]
async fn a_declared_parameter_cannot_be_cloaked() {
    let f = Fixture::start().await;
    f.up.otherwise(|_| json!({ "revalidate": false }).into());
    let plain = f.get("/vary/a").await.expect(200, "MISS");
    for query in [
        "p%61ge=2",
        "%70age=2",
        "PAGE=2",
        "page[]=2",
        "x=1;page=2",
        "page%3D2",
        "x=%26page=2",
        "page=02",
        "page=2%00",
    ] {
        assert_eq!(f.get(&format!("/vary/a?{query}")).await.expect(200, "HIT").id(), plain.id(), "{query}");
    }
    let second = f.get("/vary/a?utm=x&page=2&page=3").await.expect(200, "MISS");
    assert_eq!(f.get("/vary/a?page=2").await.expect(200, "HIT").id(), second.id());
    assert_eq!(f.up.count("/vary/a"), 2);
}

/// B14.176: a URL that contains another page's data URL, key or path is its own page and touches no other.
#[tokio::test]
async fn one_pages_url_cannot_reach_anothers_entry() {
    let f = Fixture::start().await;
    f.up.otherwise(|_| json!({ "value": "attack", "revalidate": false }).into());
    f.up.on("/never", json!({ "value": "victim" }));
    let victim = f.get("/never").await.expect(200, "MISS");
    for path in [
        "/catch/_perennial/data/dev-build/never.json",
        "/catch/never",
        "/catch/..%2F..%2Fnever",
        "/blog/..%2Fnever",
        "/blog/%2Fnever",
        "/blog/never.json",
        "/blog/%2F_perennial%2Fdata%2Fdev-build%2Fnever.json",
    ] {
        assert_eq!(f.get(path).await.expect(200, "MISS").value(), "attack", "{path}");
        assert_eq!(f.data(path).await.expect(200, "HIT").value(), "attack", "{path}");
    }
    assert_eq!(f.get(&data_target("dev-build", "/_perennial/data/dev-build/never")).await.status, 404);
    assert_eq!(f.get("/never").await.expect(200, "HIT").id(), victim.id());
    assert_eq!(f.data("/never").await.expect(200, "HIT").id(), victim.id());
    assert_eq!(f.up.count("/never"), 1);
}

/// B14.182: a secret is never echoed: not in answers, nor in pages, nor in the log.
#[tokio::test]
async fn secrets_are_never_echoed() {
    let f = Fixture::start().await;
    f.up.on("/blog/bad", json!({ "throw": "no" }));
    for (method, with) in [("GET", ""), ("HEAD", ""), ("POST", ""), ("GET", "/"), ("PUT", "")] {
        for (secret, right) in [("test-secret", true), ("nearly-test-secret", false), ("", false)] {
            for rest in [
                "path=/never",
                "path=/blog/bad",
                "path=//x",
                "path=/unknown",
                "path=%3Cscript%3E",
                "tag=a,b",
                "x=1",
                "mode=soon&path=/",
            ] {
                let target = format!("/api/revalidate{with}?secret={secret}&{rest}");
                let answer = f.ask(Ask::new(method.parse().expect("a method"), target)).await;
                assert!(!answer.to_string().contains("test-secret"), "{answer}");
                let refused = answer.status == if method == "PUT" { 405 } else { 401 };
                assert_eq!(refused, !right || method == "PUT", "{method} {secret} {rest}: {answer}");
            }
        }
    }
    for target in [
        "/none?secret=test-secret",
        "/blog/bad?secret=test-secret",
        "/never?secret=test-secret",
        "/fb/x?secret=test-secret",
        "/blog/%?secret=test-secret",
        "/_perennial/data/dev-build/never.json?secret=test-secret",
        "/api/revalidate/1?secret=test-secret",
        "/api/draft?secret=test-secret&path=/never",
    ] {
        let answer = f.get(target).await.to_string();
        assert!(!answer.contains("test-secret"), "{target}: {answer}");
    }
    let log = f.whole_log().await;
    assert!(!log.contains("test-secret"), "{log}");
}

/// A secret that was sent to a misspelt address is in no redirect: those are kept in logs and histories.
#[tokio::test]
async fn no_redirect_has_a_secret_in_it() {
    let f = Fixture::start().await;
    for path in [
        "//api/revalidate",
        "/api//revalidate",
        "/api\\revalidate",
        "/x/../api/revalidate",
        "/x/%2e%2e/api/revalidate",
        "/./api/revalidate",
        "/x//%2e%2E/api/revalidate/",
        "//api/draft",
        "//api/publish/pages",
        "/_perennial//metrics",
        "/never/",
    ] {
        for query in [
            "secret=test-secret&path=/never",
            "path=/never&s%65cret=test-secret",
            "secret=a&secret=test-secret",
        ] {
            for method in [Method::GET, Method::HEAD, Method::POST] {
                let target = format!("{path}?{query}");
                let answer = f.ask(Ask::new(method.clone(), target.as_str())).await;
                assert!(!answer.to_string().contains("test-secret"), "{method} {target}: {answer}");
                assert!(matches!(answer.status, 308 | 400 | 401 | 404 | 405), "{method} {target}: {answer}");
            }
        }
    }
    assert_eq!(f.up.count_all(), 0);
    assert!(!f.whole_log().await.contains("test-secret"));
}

/// B14.188: a stranger's text is escaped wherever it is shown, and cannot write log lines.
#[tokio::test]
async fn strangers_text_is_escaped() {
    let f = Fixture::start().await;
    let text = "%3Cscript%3Ealert(1)%3C%2Fscript%3E%22%0Aforged%20line%1B%5B31m";
    f.up.otherwise(|call| match call.path.as_bytes()[6] {
        b'e' => json!({ "throw": format!("no {}", call.path) }).into(),
        b'n' => json!({ "not_found": true }).into(),
        _ => json!({ "value": call.path }).into(),
    });
    for (prefix, status) in
        [("/none/", 404), ("/blog/e", 500), ("/blog/n", 404), ("/blog/p", 200), ("/nofb/", 404)]
    {
        let answer = f.get(&format!("{prefix}{text}")).await;
        assert_eq!(answer.status, status, "{answer}");
        assert!(!answer.text().contains("<script>alert"), "{answer}");
    }
    let redirected = f.get(&format!("/blog//{text}")).await.expect(308, "");
    assert!(!redirected.to_string().contains("<script>"), "{redirected}");
    f.revalidate("/blog/e<script>alert(1)</script>\nforged line").await;
    f.site.log.wait_for(&["/blog/e", "first"]).await;
    let log = f.site.log.text();
    assert!(!f.site.log.lines().iter().any(|line| line.starts_with("forged line")), "{log}");
    assert!(!log.contains("\u{1b}[31m"), "{log}");
}

/// B14.185: a forged draft cookie is nothing.
#[tokio::test]
async fn forged_draft_cookies_are_nothing() {
    let f = Fixture::start().await;
    let page = f.get("/never").await.expect(200, "MISS");
    for cookie in
        ["__prerender_bypass=x", "__perennial_draft=x", "perennial-draft=true", "perennial_draft=", "draft=1"]
    {
        let answer =
            f.ask(Ask::get("/never").agent(PERSON).header("cookie", cookie)).await.expect(200, "HIT");
        assert_eq!(answer.id(), page.id(), "{cookie}");
    }
    assert_eq!(f.up.count_all(), 1);
}

/// Secrets that are short, or of no one publisher, are told at the start by their key ids, and go on working.
#[tokio::test]
async fn secrets_that_had_better_be_changed_are_told_at_the_start() {
    // Of each, the first eight digits of its SHA-256.
    let f = Fixture::with(&[(
        "PERENNIAL_REVALIDATE_SECRETS",
        "test-secret,secret:0123456789abcdef,github:short",
    )])
    .await;
    // A function starts with its first call.
    assert_eq!(f.revalidate("/never").await.status, 200);
    f.site.log.wait_for(&["fewer than 16 bytes", "9caf06bb", "f9b0078b"]).await;
    f.site.log.wait_for(&["without a name", "9caf06bb", "`secret:…`", "`github:…`"]).await;
    let log = f.whole_log().await;
    assert_eq!(log.matches("without a name").count(), 1, "{log}");
    for secret in ["test-secret", "0123456789abcdef", "github:short"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

/// A secret that is named for one publisher opens no call, and signs for nobody else.
#[tokio::test]
async fn a_named_secret_is_for_one_publisher() {
    let secrets = "secret:for-calls-and-more,github:0123456789abcdef,secret:github:as-it-stands";
    let f = Fixture::with(&[("PERENNIAL_REVALIDATE_SECRETS", secrets)]).await;
    let call = |secret: &str| {
        let ask = Ask::new(Method::POST, "/api/revalidate?path=/never");
        ask.header("authorization", format!("Bearer {secret}"))
    };
    for right in ["for-calls-and-more", "github:as-it-stands"] {
        assert_eq!(f.ask(call(right)).await.status, 200, "{right}");
    }
    for wrong in ["secret:for-calls-and-more", "github:0123456789abcdef", "0123456789abcdef", "as-it-stands"]
    {
        f.ask(call(wrong)).await.expect(401, "");
    }
    let signed = |field: &str, value: String| {
        Ask::new(Method::POST, "/api/revalidate?path=/never").header(field, value).body("{}")
    };
    let mac = |secret: &[u8]| {
        let mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key").chain_update("{}");
        mac.finalize().into_bytes()
    };
    let hex = |secret: &[u8]| mac(secret).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let right = signed("x-hub-signature-256", format!("sha256={}", hex(b"0123456789abcdef")));
    assert_eq!(f.ask(right).await.status, 200);
    let of_calls = signed("x-hub-signature-256", format!("sha256={}", hex(b"for-calls-and-more")));
    f.ask(of_calls).await.expect(401, "");
    f.ask(signed("x-shopify-hmac-sha256", STANDARD.encode(mac(b"0123456789abcdef")))).await.expect(401, "");
}
