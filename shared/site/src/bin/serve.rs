//! The serve function of the demo site.

use std::process::ExitCode;

fn main() -> ExitCode {
    perennial::lambda::serve(site::site())
}
