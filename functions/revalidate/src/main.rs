//! The revalidate function of the site: for one of your own, name its crate here.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    perennial::parts::run::telemetry::function("revalidate", revalidate::function::run(site::site())).await
}
