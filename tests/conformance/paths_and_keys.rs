//! B7. Paths and keys.

use std::collections::HashSet;

use serde_json::json;
use tests::{Ask, Asks as _, data_target};

use crate::Fixture;

/// B7.103, rule 6.3: one spelling of slashes, on the same host, with the query.
#[tokio::test]
async fn slashes_are_made_canonical() {
    let f = Fixture::start().await;
    for (target, location) in [
        ("/never/", "/never"),
        ("//never", "/never"),
        ("///never//", "/never"),
        ("/never/?x=1", "/never?x=1"),
        ("/never/?", "/never"),
        ("/blog//a", "/blog/a"),
        ("/blog/a//", "/blog/a"),
        ("/blog\\a", "/blog/a"),
        ("/\\evil.example/never", "/evil.example/never"),
        ("//evil.example/never", "/evil.example/never"),
        ("//evil.example", "/evil.example"),
        ("/blog/caf%C3%A9/", "/blog/caf%C3%A9"),
        ("/blog/a%2Fb/", "/blog/a%2Fb"),
        ("/blog//a?next=//evil.example", "/blog/a?next=//evil.example"),
    ] {
        let answer = f.get(target).await.expect(308, "");
        let found = answer.header("location");
        assert_eq!(found.trim_end_matches('?'), location, "{target}");
        assert!(
            found.starts_with('/') && !found.starts_with("//") && !found.starts_with("/\\"),
            "{target}: {found}"
        );
    }
    assert_eq!(f.up.count_all(), 0);
}

/// B7.104, B7.105, B7.107, B7.114, rule 6.2: decoded once, per segment, and nothing else is done to it.
#[tokio::test]
async fn slugs_are_decoded_once() {
    let f = Fixture::start().await;
    let cases = [
        ("caf%C3%A9", "caf\u{e9}"),
        ("cafe%CC%81", "cafe\u{301}"),
        ("100%25", "100%"),
        ("100%2525", "100%25"),
        ("a+b", "a+b"),
        ("a%20b", "a b"),
        ("a%20", "a "),
        ("a;x=1", "a;x=1"),
        ("a%3Fb", "a?b"),
        ("a%23b", "a#b"),
        ("a%2Fb", "a/b"),
        ("a%252Fb", "a%2Fb"),
        ("a%7Cb", "a|b"),
        ("a%5Cb", "a\\b"),
        ("a%26b%3Dc", "a&b=c"),
        ("%22%3E%3Cb%3E", "\"><b>"),
        ("%7Bslug%7D", "{slug}"),
        ("[slug]", "[slug]"),
        ("%E4%B8%AD", "\u{4e2d}"),
        ("%F0%9F%A6%80", "\u{1f980}"),
        ("a%0D%0Ab", "a\r\nb"),
        ("A", "A"),
        ("a", "a"),
    ];
    f.up.otherwise(|_| json!({ "revalidate": false }).into());
    let mut ids = HashSet::new();
    for (encoded, slug) in cases {
        let answer = f.get(&format!("/blog/{encoded}")).await.expect(200, "MISS");
        assert_eq!(answer.params(), json!({ "slug": slug }), "{encoded}");
        assert_eq!(answer.prop("path"), format!("/blog/{slug}"));
        assert_eq!(
            f.data(&format!("/blog/{encoded}")).await.expect(200, "HIT").id(),
            answer.id(),
            "{encoded}"
        );
        assert!(ids.insert(answer.id()), "{encoded} is somebody else's page");
        assert_eq!(f.up.calls(&format!("/blog/{slug}"))[0].params, json!({ "slug": slug }));
    }
    for (spelling, slug) in
        [("caf%c3%a9", "caf\u{e9}"), ("%63af%C3%A9", "caf\u{e9}"), ("%61", "a"), ("a%2fb", "a/b")]
    {
        let answer = f.get(&format!("/blog/{spelling}")).await.expect(200, "HIT");
        assert_eq!(answer.params(), json!({ "slug": slug }), "{spelling}");
    }
    assert_eq!(f.up.count_all(), cases.len());
}

/// A catch-all keeps its segments apart.
#[tokio::test]
async fn catch_all_segments_stay_apart() {
    let f = Fixture::start().await;
    for (path, all) in
        [("/catch/a/b", json!(["a", "b"])), ("/catch/a%2Fb", json!(["a/b"])), ("/catch/a", json!(["a"]))]
    {
        assert_eq!(f.get(path).await.expect(200, "MISS").params(), json!({ "all": all }), "{path}");
    }
    f.get("/catch").await.expect(404, "").nostore();
}

/// B7.108: what cannot be decoded is the visitor's mistake.
#[tokio::test]
async fn malformed_escapes_are_400() {
    let f = Fixture::start().await;
    for path in
        ["/blog/100%", "/blog/%E0%A4%A", "/blog/%FF", "/blog/%zz", "/blog/a%00", "/%C0%AF", "/blog/%ED%A0%80"]
    {
        for target in [path.to_owned(), data_target("dev-build", path)] {
            f.get(&target).await.expect(400, "").nostore();
        }
    }
    assert_eq!(f.up.count_all(), 0);
    f.get("/blog/fine").await.expect(200, "MISS");
}

/// B7.110, B7.112, B7.113, rule 6.4: names that look like something else are ordinary, also after a restart.
#[tokio::test]
async fn odd_names_are_ordinary_and_survive_a_restart() {
    let mut f = Fixture::start().await;
    f.up.otherwise(|_| json!({ "revalidate": false }).into());
    let mut paths: Vec<String> = [
        "a",
        "A",
        "a.html",
        "a.json",
        "index",
        "index.html",
        "index.json",
        "con",
        "nul",
        "...",
        "..a",
        ".meta",
        "a.json.json",
        "_perennial",
        "%5Fperennial%2Fdata",
        "%2Fblog%2F%7Bslug%7D%7Ca",
        "shell",
        "%2E%2E%2Fnever",
        "api",
        "CON.txt",
        "~",
        "-",
        "a:b",
        "a*b",
        "%3Cscript%3E",
        "path:%2Fnever",
        "%24%7Bx%7D",
        "%27%20OR%201=1--",
    ]
    .map(|slug| format!("/blog/{slug}"))
    .into();
    paths.push(format!("/blog/{}", "x".repeat(250)));
    paths.push(format!("/blog/{}", "%E4%B8%AD".repeat(90)));
    paths.push(format!("/catch/{}", ["seg"; 60].join("/")));
    paths.extend(
        ["/catch/_perennial/data/dev-build/never.json", "/catch/blog/a", "/index"].map(str::to_owned),
    );
    let mut ids = HashSet::new();
    let mut seen = Vec::new();
    for path in &paths {
        let answer = f.get(path).await;
        if path == "/index" {
            answer.expect(404, "");
            continue;
        }
        let id = answer.expect(200, "MISS").id();
        assert!(ids.insert(id.clone()), "{path} is somebody else's page");
        seen.push((path.clone(), id));
    }
    f.restart().await;
    let calls = f.up.count_all();
    for (path, id) in &seen {
        assert_eq!(f.get(path).await.expect(200, "HIT").id(), *id, "{path}");
    }
    assert_eq!(f.up.count_all(), calls);
    assert_eq!(f.site.log.count("ERROR"), 0, "{}", f.site.log.text());
}

/// B7.112, rule 6.7: long paths work whole or are refused.
#[tokio::test]
async fn overlong_paths_work_or_are_refused() {
    let f = Fixture::start().await;
    for bytes in [900, 1500, 2100, 4200, 8300, 20_000] {
        let path = format!("/blog/{}", "x".repeat(bytes));
        let answer = f.get(&path).await;
        if answer.status == 200 {
            assert_eq!(answer.params(), json!({ "slug": "x".repeat(bytes) }));
            assert_eq!(f.get(&path).await.expect(200, "HIT").id(), answer.id(), "{bytes}");
        } else {
            assert_eq!(answer.status, 414, "{bytes} bytes: {answer}");
        }
    }
    assert_eq!(f.site.log.count("ERROR"), 0, "{}", f.site.log.text());
    f.get("/never").await.expect(200, "MISS");
}

/// Rule 6.2: dot segments, however they are written, name nothing outside their segment, and are no pages of their own
/// (RFC 3986, sections 5.2.4 and 6.2.2.2): nobody who is sent to such an address ever arrives there.
#[tokio::test]
async fn dot_segments_stay_in_their_segment() {
    let f = Fixture::start().await;
    let paths = [
        "/blog/..",
        "/blog/.",
        "/blog/%2E%2E",
        "/blog/%2e",
        "/blog/../never",
        "/blog/%2E%2E/never",
        "/catch/../never",
        "/../never",
        "/./never",
        "/catch/a/%2e%2E/b",
        "/catch/a/.",
        "/catch/a\\..\\b",
    ];
    for path in paths {
        let answer = f.get(path).await.nostore();
        assert!(matches!(answer.status, 308 | 400 | 404) && !answer.is_page(), "{path}: {answer}");
        let data = f.get(&data_target("dev-build", path)).await.nostore();
        assert!(matches!(data.status, 308 | 400 | 404), "{path}: {data}");
        let called = f.revalidate(path).await;
        assert_eq!(called.json()["revalidated"], json!(false), "{path}: {called}");
    }
    assert_eq!(f.up.count_all(), 0);
    // Dots in a segment that is more than dots are a text as any other.
    for path in ["/blog/...", "/blog/..a", "/blog/a..", "/blog/..%2Fnever", "/catch/.well-known/x"] {
        f.get(path).await.expect(200, "MISS");
    }
}

/// B7.113: case matters.
#[tokio::test]
async fn case_matters() {
    let f = Fixture::start().await;
    f.get("/NEVER").await.expect(404, "");
    f.get("/Blog/a").await.expect(404, "");
    let lower = f.get("/blog/case").await.expect(200, "MISS");
    let upper = f.get("/blog/CASE").await.expect(200, "MISS");
    assert_ne!(lower.id(), upper.id());
}

/// B7.116, rule 6.5: the data URL is the build's own, and is the same entry.
#[tokio::test]
async fn data_urls() {
    let f = Fixture::start().await;
    for target in [
        data_target("other-build", "/never"),
        "/_perennial/data/dev-build/never".to_owned(),
        "/_perennial/data/dev-build/never.html".to_owned(),
        "/_perennial/data/dev-build/never.JSON".to_owned(),
        "/_perennial/data/dev-build/".to_owned(),
        "/_perennial/data/dev-build/.json".to_owned(),
        "/_perennial/data/dev-build".to_owned(),
        "/_perennial/data/".to_owned(),
        "/_perennial/data".to_owned(),
        "/_perennial".to_owned(),
        "/_perennial/x".to_owned(),
        "/_perennial/data/dev-build/none.json".to_owned(),
        "/_perennial/data/dev-build/_perennial/data/dev-build/never.json.json".to_owned(),
    ] {
        let answer = f.get(&target).await;
        assert!(matches!(answer.status, 308 | 404), "{target}: {answer}");
    }
    assert_eq!(f.up.count_all(), 0);
    f.up.otherwise(|_| json!({ "revalidate": false }).into());
    let home = f.data("/").await.expect(200, "MISS");
    assert_eq!(f.get("/").await.expect(200, "HIT").id(), home.id());
    let data = f.data("/blog/caf%c3%a9").await.expect(200, "MISS");
    assert_eq!(f.get("/blog/caf%C3%A9").await.expect(200, "HIT").id(), data.id());
    assert_eq!(f.get("/%5Fperennial/data/dev%2Dbuild/blog/caf%C3%A9.json").await.status, 200);
    let slug_with_json = f.data("/blog/a.json").await.expect(200, "MISS");
    assert_eq!(slug_with_json.params(), json!({ "slug": "a.json" }));
    // Only the URL's path chooses between HTML and data.
    let html =
        f.ask(Ask::get("/never").header("accept", "application/json").header("x-nextjs-data", "1")).await;
    assert!(html.is_page(), "{html}");
}
