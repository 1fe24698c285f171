//! `perennial`: the command line of the demo site. Your own site has the same `main` with its own `site()`.

use std::process::ExitCode;

fn main() -> ExitCode {
    perennial::run(site::site().version(env!("CARGO_PKG_VERSION")))
}
