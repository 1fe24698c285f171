//! A listener of server-sent events, over a socket.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::answer::{Answer, Ask};
use crate::client::Client;
use crate::until::soon;

/// An answer that goes on. Who drops it has gone.
#[derive(Debug)]
pub struct Events {
    headers: http::HeaderMap,
    body: Incoming,
    text: String,
    _connection: AbortOnDropHandle<()>,
}

impl Events {
    /// Listens, or gives the answer that is no stream.
    ///
    /// # Errors
    /// That answer.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn listen(client: Client, ask: Ask) -> Result<Self, Answer> {
        let stream = TcpStream::connect(client.addr).await.expect("connect");
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.expect("a connection");
        let connection = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
        let request = http::Request::builder().method(ask.method).uri(ask.target).header("host", "localhost");
        let request = ask.headers.iter().fold(request, |r, (name, value)| r.header(name, value));
        let sent = sender.send_request(request.body(Empty::<Bytes>::new()).expect("a request"));
        let (head, body) = soon("an answer", sent).await.expect("an answer").into_parts();
        if head.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream") {
            assert_eq!(head.status, 200);
            return Ok(Self { headers: head.headers, body, text: String::new(), _connection: connection });
        }
        let body = body.collect().await.expect("a body").to_bytes();
        Err(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Status and fields of the answer, which is then left.
    ///
    /// # Panics
    /// If there is none.
    pub async fn head(client: Client, ask: Ask) -> Answer {
        match Self::listen(client, ask).await {
            Ok(stream) => Answer { status: 200, headers: stream.headers, body: Bytes::new() },
            Err(answer) => answer,
        }
    }

    /// The next block of the stream, without the empty line after it; none at its end.
    ///
    /// # Panics
    /// If neither comes in time, or the stream breaks off.
    pub async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let frame = soon("an event", self.body.frame()).await?;
            let data = frame.expect("the stream goes on or ends").into_data().expect("data");
            self.text += str::from_utf8(&data).expect("UTF-8");
        }
    }

    /// Name and data of the next event that fits; those before it are passed over.
    ///
    /// # Panics
    /// If the stream ends before.
    pub async fn next(&mut self, what: &str, fits: impl Fn(&str, &Value) -> bool) -> Value {
        soon(what, async {
            loop {
                let block = self.block().await.unwrap_or_else(|| panic!("the stream has ended: {what}"));
                let Some((name, data)) = block.strip_prefix("event: ").and_then(|b| b.split_once("\ndata: "))
                else {
                    assert!(block.starts_with(':'), "neither an event nor a comment: {block}");
                    continue;
                };
                let data = serde_json::from_str(data).unwrap_or_else(|e| panic!("{e}: {data}"));
                if fits(name, &data) {
                    return data;
                }
            }
        })
        .await
    }
}
