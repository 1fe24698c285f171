//! The same journeys as in `main.rs`, on the stores of an AWS account: a second program of the same rules, with other
//! `stores`.
#![allow(missing_docs, reason = "a test program has no readers of its documentation")]

mod aws_stores;
mod cache_in_front;
mod carried_fields;
mod concurrency;
mod concurrent_publishers;
mod deletions;
mod deliveries;
mod drafts;
mod errors;
mod freshness;
mod large_pages;
mod not_found_and_redirect;
mod on_demand;
mod other_builds;
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

use aws_stores as stores;
