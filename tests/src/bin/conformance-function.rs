//! The conformance site as a function of AWS Lambda: `conformance-function serve`, `regenerate` or `revalidate`.
//! `UPSTREAM_URL` says who decides its renders.
#![allow(clippy::disallowed_methods, reason = "a test program's `main` reads its own setting")]

use std::process::ExitCode;

use perennial::function::FunctionError;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    perennial::telemetry::function(&name, run(&name)).await
}

async fn run(name: &str) -> Result<(), FunctionError> {
    let upstream_url = std::env::var("UPSTREAM_URL").map_err(|e| format!("UPSTREAM_URL: {e}"))?;
    let site = tests::clock::by_given_clock(tests::conformance::site(upstream_url));
    match name {
        "serve" => serve::function::run(site).await,
        "regenerate" => regenerate::function::run(site).await,
        "revalidate" => revalidate::function::run(site).await,
        _ => Err("say which function: serve, regenerate or revalidate".into()),
    }
}
