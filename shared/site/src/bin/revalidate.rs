//! The revalidate function of the demo site.

use std::process::ExitCode;

fn main() -> ExitCode {
    perennial::lambda::revalidate(site::site())
}
