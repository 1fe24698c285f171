//! Asking over a socket: one connection a request, nothing followed, nothing decoded, targets sent as written.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::answer::{Answer, Ask, Asks};
use crate::until::{PATIENCE, soon};

/// A client of one address.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Where it connects to.
    pub addr: SocketAddr,
}

impl Asks for Client {
    async fn ask(&self, ask: Ask) -> Answer {
        let what = format!("{} {}", ask.method, ask.target);
        soon(&what, self.exchange(ask)).await.unwrap_or_else(|e| panic!("{what}: {e}"))
    }
}

type Broken = Box<dyn std::error::Error + Send + Sync>;

impl Client {
    /// An answer, or what went wrong with the connection.
    ///
    /// # Errors
    /// Refused, reset, or not HTTP.
    pub async fn try_ask(&self, ask: Ask) -> Result<Answer, Broken> {
        soon("an answer or an error", self.exchange(ask)).await
    }

    async fn exchange(&self, ask: Ask) -> Result<Answer, Broken> {
        let stream = TcpStream::connect(self.addr).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_headers(2000)
            .handshake(TokioIo::new(stream))
            .await?;
        let connection = tokio::spawn(connection);
        let mut request = http::Request::builder().method(ask.method).uri(ask.target);
        if !ask.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header("host", self.addr.to_string());
        }
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        let response = sender.send_request(request.body(Full::new(ask.body))?).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        connection.abort();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Sends raw bytes and gives all that comes back until the server closes, or goes quiet with the
    /// connection open for `quiet`.
    pub async fn raw(&self, bytes: &[u8]) -> Raw {
        let mut stream = TcpStream::connect(self.addr).await.expect("connect");
        // The server may answer and close before it has read everything: that is no error of the test.
        let _ = stream.write_all(bytes).await;
        let mut text = Vec::new();
        let mut buffer = [0; 16 * 1024];
        let closed = loop {
            let quiet = if text.is_empty() { PATIENCE } else { QUIET };
            match tokio::time::timeout(quiet, stream.read(&mut buffer)).await {
                Ok(Ok(0) | Err(_)) => break true,
                Ok(Ok(n)) => text.extend_from_slice(&buffer[..n]),
                Err(_) => break false,
            }
        };
        Raw { bytes: Bytes::from(text), closed }
    }

    /// Opens a connection, sends the request, and leaves without reading.
    pub async fn leave(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.addr).await.expect("connect");
        stream.write_all(request.as_bytes()).await.expect("send");
        stream
    }
}

/// After the first bytes of an answer, this much silence is its end.
const QUIET: std::time::Duration = std::time::Duration::from_millis(300);

/// What came back for raw bytes.
#[derive(Debug)]
pub struct Raw {
    /// All of it, several answers perhaps.
    pub bytes: Bytes,
    /// Whether the server closed the connection.
    pub closed: bool,
}

impl Raw {
    /// As text, with what is not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The status codes of all answers, in order.
    pub fn statuses(&self) -> Vec<u16> {
        let text = self.text();
        let lines =
            text.match_indices("HTTP/1.").filter_map(|(at, _)| text[at..].split(' ').nth(1)?.parse().ok());
        lines.collect()
    }
}
