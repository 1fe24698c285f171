//! The template deployed on a local server, with the real functions, and looked at from outside: a stack a test.
//!
//! The modules of `conformance` run here as they are, with another `Fixture`: what visitors and publishers observe is
//! the same, whether one process answers them or three functions do. Left out are only
//!
//! - `alone_sockets`: malformed bytes never reach a function, what stands in front refuses them;
//! - `alone_process`: a limit, a counter or a shared call of one process. A function has a process for each request
//!   under way, and neither `dev` nor a port to listen on.
//!
//! | module | what only a deployment has |
//! |---|---|
//! | [`visitors`] | CloudFront in front, bodies in table and bucket, one build after another |
//! | [`publishers`] | webhooks by both ways, orders to the distribution, many pages through the queue |
//! | [`queue`] | failures on the way through it: renders, stores, processes |
//! | [`alarms`] | what fails for good, and who hears of it |
//! | [`built`] | what `sam build` makes, on the processor that it is made for |
//! | [`survival`] | people and a publisher, while functions and stores fail |
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    missing_docs,
    reason = "tests look at processes from outside, and what was seen is told"
)]

mod alarms;
mod built;
mod publishers;
mod queue;
mod stack;
mod survival;
mod visitors;

#[path = "../conformance/b01_freshness.rs"]
mod b01_freshness;
#[path = "../conformance/b02_fallback.rs"]
mod b02_fallback;
#[path = "../conformance/b03_on_demand.rs"]
mod b03_on_demand;
#[path = "../conformance/b03_payloads.rs"]
mod b03_payloads;
#[path = "../conformance/b03_webhooks.rs"]
mod b03_webhooks;
#[path = "../conformance/b04_errors.rs"]
mod b04_errors;
#[path = "../conformance/b05_not_found_and_redirect.rs"]
mod b05_not_found_and_redirect;
#[path = "../conformance/b06_http.rs"]
mod b06_http;
#[path = "../conformance/b07_paths.rs"]
mod b07_paths;
#[path = "../conformance/b08_concurrency.rs"]
mod b08_concurrency;
#[path = "../conformance/b11_memory.rs"]
mod b11_memory;
#[path = "../conformance/b12_base_path.rs"]
mod b12_base_path;
#[path = "../conformance/b13_bots.rs"]
mod b13_bots;
#[path = "../conformance/b14_security.rs"]
mod b14_security;
#[path = "../conformance/b15_operations.rs"]
mod b15_operations;

use stack::Fixture;
use tests::answer::until_new;

/// A number that the environment may give, to look longer than the gate does.
fn given(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}
