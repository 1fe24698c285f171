//! Journeys: cases of `SEMANTICS.md` through the real handlers in one process, on a real store, under a clock that
//! the test turns. Hours cost nothing here, and nothing is left to chance: a stale page's renewal is in the queue
//! when its answer is there, and runs when the test says so.
//!
//! One module a rule; `SEMANTICS.md` says which module holds which. Those that a store could change run on the stores of
//! an AWS account as well: `on_aws.rs` in this folder is a second program of them, with other `stores`. A library of
//! rules would have to ask for the clock that tests turn, and only dev-dependencies may do that: it must not ship.

mod bots;
mod cache_in_front;
mod carried_fields;
mod concurrency;
mod concurrent_publishers;
mod deletions;
mod deliveries;
mod drafts;
mod embedded_stores;
mod errors;
mod freshness;
mod guide_examples;
mod large_pages;
mod not_found_and_redirect;
mod on_demand;
mod other_builds;
mod publish_answers;
mod publishing_page;
mod renewals;
mod resources;
mod route_options;
mod scheduled;
mod services;
mod shared_caches;
mod tags;
mod upstream_failures;
mod world;

use embedded_stores as stores;
