//! The three functions on AWS Lambda. A program of each is one line:
//!
//! ```no_run
//! # fn site() -> perennial::Site { perennial::Site::new() }
//! fn main() -> std::process::ExitCode {
//!     perennial::lambda::serve(site())
//! }
//! ```

use std::process::ExitCode;

use perennial_core::run::function::FunctionError;
use perennial_core::run::telemetry;
use perennial_core::site::Site;

/// Answers the site's visitors, behind a function URL, until the process ends.
pub fn serve(site: Site) -> ExitCode {
    run("serve", perennial_serve::function::run(site))
}

/// Carries out the jobs of the site's queue, which Amazon SQS delivers, until the process ends.
pub fn regenerate(site: Site) -> ExitCode {
    run("regenerate", perennial_regenerate::function::run(site))
}

/// Answers publishers' calls and webhooks, behind a function URL, until the process ends.
pub fn revalidate(site: Site) -> ExitCode {
    run("revalidate", perennial_revalidate::function::run(site))
}

/// On one thread: a function has one request at a time, and most functions have less than two processors.
fn run(name: &str, function: impl Future<Output = Result<(), FunctionError>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .expect("the system has an event queue for each process")
        .block_on(telemetry::function(name, function))
}
