//! The floor of the benchmark: one head and one body, from memory, by hyper and nothing else. What a cache answers
//! above this time is its own cost.
//!
//! `hyper_floor ADDRESS BODY_FILE [NAME:VALUE...]`, the header fields besides `content-length` and `date`.
#![allow(clippy::print_stdout, reason = "a program of the benchmark says where it listens")]

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

type Problem = Box<dyn std::error::Error>;

// As many threads as the machine has cores, like the server it is compared with.
#[tokio::main]
async fn main() -> Result<(), Problem> {
    let mut args = std::env::args().skip(1);
    let (Some(address), Some(body)) = (args.next(), args.next()) else {
        return Err("usage: hyper_floor ADDRESS BODY_FILE [NAME:VALUE...]".into());
    };
    let body = Bytes::from(std::fs::read(body)?);
    let mut head = HeaderMap::new();
    for field in args {
        let (name, value) = field.split_once(':').ok_or("a header field is NAME:VALUE")?;
        head.append(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
    }
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (head, body) = (head.clone(), body.clone());
        tokio::spawn(async move {
            let service = service_fn(move |_: Request<Incoming>| {
                let mut response = Response::new(Full::new(body.clone()));
                *response.headers_mut() = head.clone();
                async move { Ok::<_, Infallible>(response) }
            });
            // A client that goes away is no news.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
