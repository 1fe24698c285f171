//! `perennial`: the demo site's command line. A site of your own has the same with its own `site()`.

use std::process::ExitCode;

fn main() -> ExitCode {
    standalone::run(site::site())
}
