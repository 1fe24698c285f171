//! Section 10, of one process: bodies and answers that come part by part, and who may look at its metrics.

use tests::until::soon;
use tests::{Ask, Asks as _};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::Fixture;

/// All that comes until the server closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // Closed with bytes unread is a reset: an end as well.
    let _ = soon("the end of the connection", stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until a text has come.
async fn until_read(stream: &mut TcpStream, text: &str) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        let mut buffer = [0; 1024];
        let bytes = soon(text, stream.read(&mut buffer)).await.expect("the connection");
        assert!(bytes > 0, "the connection ended before {text:?}: {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&buffer[..bytes]);
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// A body in chunks passes without a length; one that grows over the limit is refused, whatever the service says.
#[tokio::test]
async fn a_body_in_chunks_has_the_limit_too() {
    let f = Fixture::with(&[("PERENNIAL_MAX_SERVICE_BODY_BYTES", "1000")]).await;
    let client = f.site.client();
    let head =
        |target: &str| format!("POST {target} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = format!("1f4\r\n{}\r\n", "a".repeat(500));
    let whole = client.raw(format!("{}{chunk}{chunk}0\r\n\r\n", head("/svc/x")).as_bytes()).await;
    assert!(whole.closed && whole.statuses() == [200], "{whole:?}");
    let over = client.raw(format!("{}{chunk}{chunk}1\r\na\r\n0\r\n\r\n", head("/svc/x")).as_bytes()).await;
    assert_eq!(over.statuses(), [413], "{over:?}");
    let unread = client.raw(format!("{}{chunk}{chunk}{chunk}", head("/svc/unread")).as_bytes()).await;
    assert_eq!(unread.statuses(), [200], "a service that does not read is not over any limit: {unread:?}");
    // One that says its length is not even asked for.
    let length = "POST /svc/unread HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n";
    assert_eq!(client.raw(length.as_bytes()).await.statuses(), [413]);
}

/// A body whose rest does not arrive is an error for the service, and its connection ends.
#[tokio::test]
async fn a_body_that_stands_still_ends() {
    let f = Fixture::with(&[("PERENNIAL_HEAD_TIMEOUT_MS", "300")]).await;
    let request = "POST /svc/x HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc";
    let mut stream = f.site.client().leave(request).await;
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    f.site.log.wait_for(&["/svc", "the rest of the body did not arrive in time"]).await;
}

/// A client that sends nothing more gives its place to the next one.
#[tokio::test]
async fn a_body_that_stands_still_gives_its_place_away() {
    let settings = [("PERENNIAL_MAX_CONNECTIONS", "1"), ("PERENNIAL_HEAD_TIMEOUT_MS", "600000")];
    let f = Fixture::with(&settings).await;
    let request = "POST /svc/x HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc";
    let mut stuck = f.site.client().leave(request).await;
    f.get("/svc/x").await.expect(200, "");
    assert_eq!(rest(&mut stuck).await, "");
}

/// The first part of an answer is there before the second is made.
#[tokio::test]
async fn an_answer_comes_part_by_part() {
    let f = Fixture::start().await;
    let mut stream =
        f.site.client().leave("GET /svc/parts HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let first = until_read(&mut stream, "one").await;
    assert!(first.contains("transfer-encoding: chunked") && !first.contains("two"), "{first}");
    f.get("/svc/go").await.expect(200, "");
    let second = rest(&mut stream).await;
    assert!(second.contains("two") && second.ends_with("0\r\n\r\n"), "{second}");
}

/// A panic in the middle of an answer breaks that answer off, so that nobody takes it for whole, and nothing else.
#[tokio::test]
async fn an_answer_that_panics_breaks_off() {
    let f = Fixture::start().await;
    let mut stream = f.site.client().leave("GET /svc/broken HTTP/1.1\r\nhost: x\r\n\r\n").await;
    until_read(&mut stream, "one").await;
    f.get("/svc/go").await.expect(200, "");
    let second = rest(&mut stream).await;
    assert!(!second.ends_with("0\r\n\r\n"), "{second}");
    f.site.log.wait_for(&["/svc", "breaks off", "as the path says"]).await;
    f.get("/never").await.expect(200, "MISS");
}

/// A token for the metrics reads them and opens nothing else; a publisher's secret reads them, too.
#[tokio::test]
async fn a_token_of_the_metrics_opens_nothing_else() {
    let f =
        Fixture::with(&[("PERENNIAL_METRICS_TOKENS", "of-prometheus-at-work, another-one-at-work")]).await;
    let ask = |target: &str, token: &str| {
        f.ask(Ask::get(target).header("authorization", format!("Bearer {token}")))
    };
    for right in ["of-prometheus-at-work", "another-one-at-work", "test-secret"] {
        ask("/_perennial/metrics", right).await.expect(200, "").nostore().holds("perennial_answers_total");
    }
    for wrong in ["", "of-prometheus", "of-prometheus-at-work, another-one-at-work"] {
        ask("/_perennial/metrics", wrong).await.expect(401, "").nostore();
    }
    f.get("/_perennial/metrics?secret=of-prometheus-at-work").await.expect(401, "");
    let token = "of-prometheus-at-work";
    for target in [
        "/api/revalidate?path=/never",
        "/api/publish/pages",
        "/api/publish/events",
        "/api/revalidate/log",
        "/api/draft?path=/",
    ] {
        ask(target, token).await.expect(401, "").nostore();
    }
    f.get(&format!("/api/revalidate?path=/never&secret={token}")).await.expect(401, "");
    assert_eq!(f.up.count_all(), 0);
}
