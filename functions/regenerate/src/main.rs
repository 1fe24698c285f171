//! The regenerate function of the example site. To render your own site, name its crate here.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    perennial::parts::run::telemetry::function("regenerate", regenerate::function::run(site::site())).await
}
