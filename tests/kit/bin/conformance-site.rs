//! The conformance site with the commands of any Perennial site; `UPSTREAM_URL` says who decides its renders.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test program's `main` reads its own setting"
)]

use std::process::ExitCode;

fn main() -> ExitCode {
    let Ok(upstream_url) = std::env::var("UPSTREAM_URL") else {
        eprintln!(
            "UPSTREAM_URL is not set: give the base URL of the upstream, such as http://127.0.0.1:9100"
        );
        return ExitCode::FAILURE;
    };
    let site = tests::clock::by_given_clock(tests::conformance::site(upstream_url));
    let defaults = [
        ("PERENNIAL_REVALIDATE_SECRETS", "test-secret"),
        // As before a shared cache that is told what changes.
        ("PERENNIAL_EDGE_MAX_AGE_SECONDS", "31536000"),
    ];
    perennial::run_with(site, &defaults)
}
