//! The floor of the benchmark: one body, from memory, by hyper and nothing else. What a cache answers above this time
//! is its own cost.
//!
//! `hyper_floor ADDRESS BODY_FILE`
#![allow(clippy::print_stdout, reason = "a program of the benchmark says where it listens")]

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
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
        return Err("usage: hyper_floor ADDRESS BODY_FILE".into());
    };
    let body = Bytes::from(std::fs::read(body)?);
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let body = body.clone();
        tokio::spawn(async move {
            let service = service_fn(move |_: Request<Incoming>| {
                let response = answer(body.clone());
                async move { Ok::<_, Infallible>(response) }
            });
            // A client that goes away is no news.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer(body: Bytes) -> Response<Full<Bytes>> {
    Response::builder()
        .header("content-type", "text/html; charset=utf-8")
        .header("etag", "\"0123456789abcdef\"")
        .header("cache-control", "public, max-age=0, s-maxage=31536000")
        .body(Full::new(body))
        .expect("constant headers")
}
