//! The regenerate function of the demo site.

use std::process::ExitCode;

fn main() -> ExitCode {
    perennial::lambda::regenerate(site::site())
}
