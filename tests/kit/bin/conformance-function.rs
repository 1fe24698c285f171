//! The conformance site as a function of AWS Lambda: `conformance-function serve`, `regenerate` or `revalidate`.
//! `UPSTREAM_URL` is the address of the upstream, which decides every render of the site. `conformance-function odd`
//! and `odd-stream` have no site. They give answers that a function must never give.
#![allow(clippy::disallowed_methods, reason = "a test program's `main` reads its own setting")]

use std::process::ExitCode;

use perennial::parts::run::function::FunctionError;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    perennial::parts::run::telemetry::function(&name, run(&name)).await
}

async fn run(name: &str) -> Result<(), FunctionError> {
    if let "odd" | "odd-stream" = name {
        return perennial::parts::run::lambda::run(name == "odd-stream", |request, _| odd(request)).await;
    }
    let upstream_url = std::env::var("UPSTREAM_URL").map_err(|e| format!("UPSTREAM_URL: {e}"))?;
    let site = tests::clock::by_given_clock(tests::conformance::site(upstream_url));
    match name {
        "serve" => perennial_serve::function::run(site).await,
        "regenerate" => perennial_regenerate::function::run(site).await,
        "revalidate" => perennial_revalidate::function::run(site).await,
        _ => Err("say which function: serve, regenerate, revalidate, odd or odd-stream".into()),
    }
}

/// Gives the answer that the path names; for any other path, the id of the process.
async fn odd(request: http::request::Parts) -> http::Response<perennial::parts::look::body::Body> {
    let (say, coming) = tokio::sync::mpsc::channel(1);
    let mut answer = http::Response::new(perennial::parts::look::body::Body::from(format!(
        "process {}\n",
        std::process::id()
    )));
    let field = |bytes: &[u8]| http::HeaderValue::from_bytes(bytes).expect("what HTTP allows");
    match request.uri.path() {
        "/panic" => panic!("as the path says"),
        "/field" => drop(answer.headers_mut().insert("x-topic", field("café".as_bytes()))),
        "/location" => drop(answer.headers_mut().insert("location", field(b"/caf\xe9"))),
        "/cookie" => drop(answer.headers_mut().insert("set-cookie", field(b"a=\xe9"))),
        "/bytes" => *answer.body_mut() = (0..=255).collect::<Vec<u8>>().into(),
        "/broken" => {
            let broken = perennial::parts::ports::error::StoreError::refused("as the path says");
            say.send(Err(broken)).await.expect("the channel has room");
            *answer.body_mut() = perennial::parts::look::body::Body::Stream(coming);
        }
        _ => {}
    }
    answer
}
