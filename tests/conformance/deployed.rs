//! The template deployed on a local server, with the real functions, and looked at from outside: a stack a test.
//!
//! A second program of the same rules: each names `crate::Fixture`, and here that is a stack. What visitors and
//! publishers observe is the same, whether one process answers them or three functions do. Left out are only
//!
//! - `alone_sockets`: malformed bytes never reach a function, what stands in front refuses them;
//! - `alone_process`: a limit, a counter or a shared call of one process. A function has a process for each request
//!   under way, and neither `dev` nor a port to listen on;
//! - `alone_resources`: what strangers can use up in one process.
//!
//! What only a deployment has is in [`functions`].
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    missing_docs,
    reason = "tests look at processes from outside, and what was seen is told"
)]

mod functions;

mod base_path;
mod bots;
mod concurrency;
mod errors;
mod fallback;
mod freshness;
mod http_details;
mod memory_limit;
mod not_found_and_redirect;
mod on_demand;
mod operations;
mod paths_and_keys;
mod payloads;
mod resources;
mod security;
mod services;
mod tables;
mod webhooks;

use functions::stack::Fixture;
use tests::answer::until_new;

/// A number that the environment may give, to look longer than the gate does.
fn given(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}
