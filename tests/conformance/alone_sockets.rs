//! What is on the wire: bytes that no proxy in front of a function would pass on.

use std::pin::pin;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::until::soon;
use tests::{Asks as _, Gate, Reply};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Fixture;

/// B6.100: HTTP/1.0, and two requests in one go.
#[tokio::test]
async fn framing() {
    let f = Fixture::start().await;
    f.get("/never").await.expect(200, "MISS");
    let client = f.site.client();
    let old = client.raw(b"GET /never HTTP/1.0\r\n\r\n").await;
    assert!(old.closed && old.statuses() == [200] && old.text().ends_with("</html>"), "{old:?}");
    assert!(!old.text().to_ascii_lowercase().contains("transfer-encoding"), "{old:?}");
    let two = b"GET /blog/one HTTP/1.1\r\nhost: x\r\n\r\nGET /none HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let both = client.raw(two).await;
    assert_eq!(both.statuses(), [200, 404], "{both:?}");
    let text = both.text();
    assert!(text.find("data-path=\"/blog/one\"") < text.find("custom-404"), "{text}");
    // What follows the last answer on a connection does not swallow that answer.
    for (last, rest) in
        [("connection: close\r\n", "GET /never HTTP/1.1\r\nhost: x\r\n\r\n"), ("", "no request\r\n\r\n")]
    {
        let request = format!("GET /never HTTP/1.1\r\nhost: x\r\n{last}\r\n{rest}");
        let raw = client.raw(request.as_bytes()).await;
        assert_eq!(raw.statuses().first(), Some(&200), "{raw:?}");
        assert!(raw.closed && raw.text().contains("</html>"), "{raw:?}");
    }
    let get_then_head =
        b"HEAD /never HTTP/1.1\r\nhost: x\r\n\r\nGET /never HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(client.raw(get_then_head).await.statuses(), [200, 200]);
}

/// B7.104 for raw bytes: unencoded UTF-8 is the same page, anything else is malformed.
#[tokio::test]
async fn raw_bytes_in_a_path() {
    let f = Fixture::start().await;
    let page = f.get("/blog/caf%C3%A9").await.expect(200, "MISS");
    let client = f.site.client();
    let raw =
        client.raw("GET /blog/caf\u{e9} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".as_bytes()).await;
    assert!(raw.text().contains(&page.id()), "{raw:?}");
    for bytes in [&b"\xff"[..], b"\xc3", b"a b", b"a\x00b", b"a\x7fb", b"<b>"] {
        let request = [b"GET /blog/", bytes, b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"].concat();
        let raw = client.raw(&request).await;
        assert_eq!(raw.statuses(), [400], "{bytes:?}: {raw:?}");
    }
    assert_eq!(f.up.count_all(), 1);
}

/// B7.115: request targets of other forms never send a visitor to another host.
#[tokio::test]
async fn targets_of_other_forms() {
    let f = Fixture::start().await;
    let client = f.site.client();
    for request in [
        "GET http://evil.example/never HTTP/1.1\r\nhost: x\r\n",
        "GET http://evil.example//never HTTP/1.1\r\nhost: x\r\n",
        "GET http://evil.example HTTP/1.1\r\nhost: x\r\n",
        "GET * HTTP/1.1\r\nhost: x\r\n",
        "GET evil.example HTTP/1.1\r\nhost: x\r\n",
        "GET /never HTTP/1.1\r\n",
        "GET /never#x HTTP/1.1\r\nhost: x\r\n",
        "GET /never/ HTTP/1.1\r\nhost: evil.example\r\n",
        "GET /never HTTP/1.1\r\nhost: a\r\nhost: b\r\n",
        "CONNECT evil.example:443 HTTP/1.1\r\nhost: x\r\n",
        "TRACE /never HTTP/1.1\r\nhost: x\r\n",
    ] {
        let answer = client.raw(format!("{request}connection: close\r\n\r\n").as_bytes()).await;
        let statuses = answer.statuses();
        assert!(
            statuses.len() == 1 && matches!(statuses[0], 200 | 308 | 400 | 404 | 405 | 501),
            "{request:?}: {answer:?}"
        );
        assert!(!answer.text().contains("evil.example"), "{request:?}: {answer:?}");
        // RFC 9112 section 3.2.
        let hosts = request.matches("\r\nhost:").count();
        assert_eq!(hosts != 1, statuses == [400] && answer.closed, "{request:?}: {answer:?}");
    }
    for (hosts, status) in [
        ("host: x.example:3000", 200),
        ("host: [::1]:3000", 200),
        ("host:", 200),
        ("host: a b", 400),
        ("host: a, b", 400),
        ("host: x/evil.example", 400),
        ("host: user@x", 400),
        ("host: x?", 400),
        ("host: \u{e9}", 400),
    ] {
        let raw = client
            .raw(format!("GET /never HTTP/1.1\r\n{hosts}\r\nconnection: close\r\n\r\n").as_bytes())
            .await;
        assert_eq!(raw.statuses(), [status], "{hosts}: {raw:?}");
    }
    let two = client.raw(b"GET /never HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n").await;
    assert_eq!(two.statuses(), [400], "{two:?}");
}

/// B14.183: ambiguous framing is refused and the connection closed; no second request is smuggled in.
#[tokio::test]
async fn ambiguous_framing_is_refused() {
    let f = Fixture::start().await;
    let client = f.site.client();
    let smuggled = "GET /blog/smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    for fields in [
        "content-length: 4\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 4",
        "content-length: 0\r\ncontent-length: 44",
        "content-length: 0\r\ncontent-length: 0",
        "content-length: 0, 44",
        "content-length: +0",
        "content-length: -1",
        "content-length: 0x0",
        "content-length: 0 0",
        "content-length:",
        "content-length: 99999999999999999999999",
        "content-length : 44",
        "transfer-encoding: xchunked",
        "transfer-encoding: \u{b}chunked",
        "transfer-encoding: gzip",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "x-a: b\r\n c",
        "x-a: b\n c",
        "x-a: b\nx-c: d",
        "x-a: b\rx-c: d",
        "x-a: b\0c",
        ": b",
        "b",
    ] {
        for end in ["\r\n", "\n"] {
            let request = format!("POST /never HTTP/1.1\r\nhost: x\r\n{fields}{end}\r\n0\r\n\r\n{smuggled}");
            let raw = client.raw(request.as_bytes()).await;
            assert!(raw.statuses() == [400] && raw.closed, "{request:?}: {raw:?}");
        }
    }
    for head in [
        "GET /never HTTP/1.1\nhost: x\n\n",
        "GET /never HTTP/1.1\nhost: x\r\n\r\n",
        "GET /never HTTP/1.1\r\nhost: x\r\n\n",
        "\nGET /never HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /never HTTP/1.1\r\n host: x\r\n\r\n",
        "GET\t/never HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /never HTTP/1.9\r\nhost: x\r\n\r\n",
        "GET /never\r\n\r\n",
        "POST /never HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let raw = client.raw(format!("{head}{smuggled}").as_bytes()).await;
        assert!(raw.statuses() == [400] && raw.closed, "{head:?}: {raw:?}");
    }
    // A body where none is wanted ends the connection: nothing of it is taken for a request.
    for (method, status) in [("GET", 200), ("DELETE", 405), ("POST", 405)] {
        let length = smuggled.len();
        for body in [
            format!("content-length: {length}\r\n\r\n{smuggled}"),
            format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n{smuggled}\r\n0\r\n\r\n"),
        ] {
            let raw = client
                .raw(format!("{method} /never HTTP/1.1\r\nhost: x\r\n{body}{smuggled}").as_bytes())
                .await;
            assert!(raw.statuses() == [status] && raw.closed, "{method} {body:?}: {raw:?}");
        }
    }
    assert_eq!(f.up.count("/blog/smuggled"), 0);
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

/// B14.187: who does not read its answer loses its place. There is one here, and the second client needs it.
#[tokio::test]
async fn clients_that_do_not_read_are_let_go() {
    let f = Fixture::with(&[("PERENNIAL_SEND_TIMEOUT_MS", "700"), ("PERENNIAL_MAX_CONNECTIONS", "1")]).await;
    f.up.on("/never", json!({ "pad_bytes": 1_000_000 }));
    f.get("/never").await.expect(200, "MISS");
    // More than the buffers on the way take.
    let stuck = f.site.client().leave(&"GET /never HTTP/1.1\r\nhost: x\r\n\r\n".repeat(30)).await;
    f.get("/never").await.expect(200, "HIT");
    drop(stuck);
}

/// A stranger's body is not asked for, nor waited for.
#[tokio::test]
async fn a_body_without_a_secret_is_not_read() {
    let f = Fixture::start().await;
    let client = f.site.client();
    for field in [
        "",
        "x-revalidate-secret: wrong\r\n",
        "webhook-signature: v1,AAAA\r\n",
        "x-hub-signature-256: sha256=00\r\n",
        "webhook-id: a\r\nwebhook-timestamp: 1\r\nwebhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\r\n",
    ] {
        let head = "POST /api/revalidate?path=/never HTTP/1.1\r\nhost: x\r\n";
        let raw = client
            .raw(format!("{head}{field}content-length: 9\r\nexpect: 100-continue\r\n\r\n").as_bytes())
            .await;
        assert!(raw.statuses() == [401] && raw.closed, "{field}: {raw:?}");
    }
    assert_eq!(f.up.count_all(), 0);
    let body = "{\"path\":\"/never\"}";
    let head = "POST /api/revalidate HTTP/1.1\r\nhost: x\r\nx-revalidate-secret: test-secret\r\n";
    let call = format!("{head}content-length: {}\r\nexpect: 100-continue\r\n\r\n{body}", body.len());
    let raw = client.raw(call.as_bytes()).await;
    assert!(raw.statuses().ends_with(&[200]) && raw.closed, "{raw:?}");
    assert_eq!(f.up.count("/never"), 1);
}

/// Whether something, the beginning of an answer or the rest of one, has come rather than the connection's end.
async fn next_answer(stream: &mut TcpStream) -> bool {
    let mut buffer = vec![0; 64 * 1024];
    soon("an answer", stream.read(&mut buffer)).await.is_ok_and(|n| n > 0)
}

/// B13.172: a user agent need not be text.
#[tokio::test]
async fn a_bot_may_send_any_bytes() {
    let f = Fixture::start().await;
    let bytes =
        "GET /fb/bytes HTTP/1.1\r\nhost: x\r\nuser-agent: \u{ff}\u{fe}Googlebot\r\nconnection: close\r\n\r\n";
    let raw = f.site.client().raw(bytes.as_bytes()).await;
    assert_eq!(raw.statuses(), [200], "{raw:?}");
}
