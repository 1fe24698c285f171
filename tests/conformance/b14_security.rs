//! B14. Security and poisoning.

use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::answer::PERSON;
use tests::until::{soon, until_true};
use tests::{Ask, Asks as _, Gate, Reply, data_target};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

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

/// B14.183: ambiguous framing is refused and the connection closed; no second request is smuggled in.
#[tokio::test]
async fn ambiguous_framing_is_refused() {
    let f = Fixture::start().await;
    let client = f.site.client();
    let smuggled = "GET /blog/smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    for (what, head) in [
        (
            "length and chunked",
            "POST /never HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("two lengths", "POST /never HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\ncontent-length: 44\r\n\r\n"),
        ("length list", "POST /never HTTP/1.1\r\nhost: x\r\ncontent-length: 0, 44\r\n\r\n"),
        ("signed length", "POST /never HTTP/1.1\r\nhost: x\r\ncontent-length: +0\r\n\r\n"),
        ("odd coding", "POST /never HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n"),
        ("chunked twice", "POST /never HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n"),
        ("folded line", "GET /never HTTP/1.1\r\nhost: x\r\nx-a: b\r\n c\r\n\r\n"),
        ("space before colon", "GET /never HTTP/1.1\r\nhost: x\r\ncontent-length : 44\r\n\r\n"),
        ("control character", "GET /never HTTP/1.1\r\nhost: x\r\nx-a: b\0c\r\n\r\n"),
        ("bad version", "GET /never HTTP/1.9\r\nhost: x\r\n\r\n"),
        ("no version", "GET /never\r\n\r\n"),
    ] {
        let raw = client.raw(format!("{head}{smuggled}").as_bytes()).await;
        let refused = matches!(raw.statuses()[..], [400 | 405 | 431 | 501 | 505]);
        assert!(refused && raw.closed, "{what}: {raw:?}");
    }
    // A chunked body on a method without one: consumed or the connection closed, never taken for a request.
    let chunked = "DELETE /never HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2c\r\nGET /blog/smuggled HTTP/1.1\r\nhost: x\r\n\r\n\r\n0\r\n\r\n";
    let raw = client.raw(chunked.as_bytes()).await;
    assert_eq!(raw.statuses(), [405], "{raw:?}");
    assert_eq!(f.up.count_all(), 0);
}

/// B14.187: too much of anything is refused or borne; slow senders hold up nobody.
#[tokio::test]
async fn too_much_of_anything() {
    let f = Fixture::start().await;
    f.up.on("/never", json!({}));
    f.get("/never").await.expect(200, "MISS");
    let client = f.site.client();
    let path = format!("GET /blog/{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(20_000));
    let raw = client.raw(path.as_bytes()).await;
    assert!(matches!(raw.statuses()[..], [414 | 431 | 400]), "{raw:?}");
    let path = format!("GET /blog/{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(2_000_000));
    let raw = client.raw(path.as_bytes()).await;
    assert!(matches!(raw.statuses()[..], [] | [414 | 431 | 400]), "{raw:?}");
    let header = format!("GET /never HTTP/1.1\r\nhost: x\r\nx-a: {}\r\n\r\n", "a".repeat(20_000));
    let raw = client.raw(header.as_bytes()).await;
    assert!(matches!(raw.statuses()[..], [200 | 431 | 400]), "{raw:?}");
    let headers: String = (0..1000).map(|i| format!("x-{i}: a\r\n")).collect();
    let headers = format!("GET /never HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    let raw = client.raw(headers.as_bytes()).await;
    assert!(matches!(raw.statuses()[..], [200 | 431 | 400]), "{raw:?}");
    let body = format!(
        "POST /api/revalidate HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n{}",
        "a".repeat(5_000_000)
    );
    let raw = client.raw(body.as_bytes()).await;
    assert!(matches!(raw.statuses()[..], [] | [401 | 413 | 400]), "{raw:?}");
    let mut slow = Vec::new();
    for _ in 0..100 {
        slow.push(client.leave("GET /never HTTP/1.1\r\nhost: x\r\nx-a:").await);
    }
    f.get("/never").await.expect(200, "HIT");
    assert_eq!(f.up.count_all(), 1);
}

/// B14.187: a connection whose next head does not arrive in time ends; one in use, or that waits for a render, does not.
#[tokio::test]
async fn slow_heads_end_their_connection() {
    const REQUEST: &str = "GET /never HTTP/1.1\r\nhost: x\r\n\r\n";
    let f = Fixture::with(&[("PERENNIAL_HEAD_TIMEOUT_MS", "700")]).await;
    f.get("/never").await.expect(200, "MISS");
    let (client, gate) = (f.site.client(), Gate::new());
    f.up.on("/blog/held", Reply::value("held").behind(&gate));
    let mut held = client.leave("GET /blog/held HTTP/1.1\r\nhost: x\r\n\r\n").await;
    f.up.wait_for_calls("/blog/held", 1).await;
    let mut used = client.leave(REQUEST).await;
    let began = Instant::now();
    let slow = ["", "GET /never HTTP/1.1\r\nhost: x\r\nx-a:", REQUEST].map(async |sent| {
        let mut stream = client.leave(sent).await;
        let mut got = Vec::new();
        // Closed with bytes unread is a reset: an end as well.
        let _ = soon("the end of a slow connection", stream.read_to_end(&mut got)).await;
        (began.elapsed(), String::from_utf8_lossy(&got).matches("HTTP/1.1 200").count())
    });
    let [silent, partial, idle] = slow;
    let ended = async { tokio::join!(silent, partial, idle) };
    let mut ended = pin!(ended);
    let mut answers = 0;
    let ended = loop {
        tokio::select! {
            ended = &mut ended => break ended,
            answered = next_answer(&mut used) => {
                assert!(answered, "a connection in use was ended after {:?}", began.elapsed());
                answers += 1;
                used.write_all(REQUEST.as_bytes()).await.expect("in use");
            }
        }
    };
    assert_eq!([ended.0.1, ended.1.1, ended.2.1], [0, 0, 1]);
    for (after, _) in [ended.0, ended.1, ended.2] {
        assert!(after >= Duration::from_millis(690), "ended after {after:?}");
    }
    assert!(answers > 0 && next_answer(&mut used).await);
    gate.open();
    assert!(next_answer(&mut held).await, "a connection that waits for its answer was ended");
}

/// Whether something, the beginning of an answer or the rest of one, has come rather than the connection's end.
async fn next_answer(stream: &mut TcpStream) -> bool {
    let mut buffer = vec![0; 64 * 1024];
    soon("an answer", stream.read(&mut buffer)).await.is_ok_and(|n| n > 0)
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

/// B14.189: no file of the store can be had by its name, and no link in it is followed.
#[tokio::test]
async fn store_files_are_not_served() {
    let f = Fixture::start().await;
    f.up.otherwise(|_| json!({ "revalidate": false, "pad_bytes": 20_000 }).into());
    f.get("/blog/a").await.expect(200, "MISS");
    let root = f.store.path().to_owned();
    std::os::unix::fs::symlink("/etc/hostname", root.join("link")).expect("a symbolic link");
    let mut files = Vec::new();
    walk(&root, &mut files);
    assert!(files.len() > 1, "the store has no files: {files:?}");
    for file in files {
        let name =
            file.strip_prefix(&root).expect("under the root").to_str().expect("a plain name").to_owned();
        for prefix in ["/", "/_perennial/", "/_perennial/data/", "/.perennial/"] {
            f.get(&format!("{prefix}{name}")).await.expect(404, "").nostore();
        }
    }
    for path in [
        "/.meta",
        "/.env",
        "/Cargo.toml",
        "/_perennial/data/",
        "/_perennial/bodies",
        "/_perennial/../Cargo.toml",
    ] {
        assert!(matches!(f.get(path).await.status, 308 | 404), "{path}");
    }
    until_true("no call but the first", || f.up.count_all() == 1).await;
}

fn walk(dir: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
        if entry.path().is_dir() {
            walk(&entry.path(), files);
        } else {
            files.push(entry.path());
        }
    }
}
