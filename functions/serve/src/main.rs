//! The serve function of the example site. To serve your own site, name its crate here.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    perennial::parts::run::telemetry::function("serve", serve::function::run(site::site())).await
}
