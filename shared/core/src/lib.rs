//! The engine of Perennial: Incremental Static Regeneration for Rust. Sites depend on the crate `perennial`, which has
//! this one as `perennial::parts`; this one is for those who build on the engine: a store, a CDN, a program of their own.
//!
//! Each module is a station on the data's way, and uses only the modules before it:
//!
//! - [`base`]: time, limits, budgets, counters and texts: what knows nothing of pages.
//! - [`key`]: what a page is called: its key, the pattern of its route, its parameters, tags and addresses.
//! - [`record`]: what is stored of a page: its record, its content, its header fields.
//! - [`freshness`]: decides whether a stored page is fresh, stale, or not to be shown.
//! - [`webhooks`]: publishers: how their deliveries are recognised, and which pages change with a payload.
//! - [`ports`]: what Perennial asks of the world outside: a trait for each thing, with its contract.
//! - [`guard`]: stands before the ports: leaves a store alone that fails again and again.
//! - [`memory`]: the memory cache.
//! - [`site`]: a site: its routes, its pages, and what they may answer.
//! - [`render`]: from a granted ticket to a committed page.
//! - [`visit`]: what a visit sets going: a first render, or a renewal.
//! - [`look`]: what a visitor is shown.
//! - [`publish`]: what a publisher asks for.
//! - [`work`]: what the queue delivers.
//! - [`build`]: renders every page that a site lists, and publishes them together.
//! - [`overview`]: what the store holds of pages, for people.
//! - [`engine`]: a site on its stores.
//! - [`stores`]: the stores that Perennial comes with.
//! - [`cdn`]: shared caches in front of a site.
//! - [`run`]: what a process needs to run a site: settings, secrets, logs, metrics, events of AWS Lambda.

#[cfg(not(unix))]
compile_error!(
    "Perennial runs on Linux and macOS. On Windows, build and run it in WSL (https://learn.microsoft.com/windows/wsl/install)."
);

pub mod base;
pub mod build;
pub mod cdn;
pub mod engine;
pub mod freshness;
pub mod guard;
pub mod key;
pub mod look;
pub mod memory;
pub mod overview;
pub mod ports;
mod process;
pub mod publish;
pub mod record;
pub mod render;
pub mod run;
pub mod site;
pub mod stores;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod visit;
pub mod webhooks;
pub mod work;
