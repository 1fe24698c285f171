//! The same journeys as in `tests/journeys`, on the stores of an AWS account.
#![allow(missing_docs, reason = "a test program has no readers of its documentation")]

#[path = "../journeys/j01_freshness.rs"]
mod j01_freshness;
#[path = "../journeys/j03_on_demand.rs"]
mod j03_on_demand;
#[path = "../journeys/j04_errors.rs"]
mod j04_errors;
#[path = "../journeys/j04_upstream.rs"]
mod j04_upstream;
#[path = "../journeys/j05_outcomes.rs"]
mod j05_outcomes;
#[path = "../journeys/j06_policies.rs"]
mod j06_policies;
#[path = "../journeys/j07_tags.rs"]
mod j07_tags;
#[path = "../journeys/j08_crowds.rs"]
mod j08_crowds;
#[path = "../journeys/j10_publishers.rs"]
mod j10_publishers;
#[path = "../journeys/j11_large.rs"]
mod j11_large;
#[path = "../journeys/j14_drafts.rs"]
mod j14_drafts;
#[path = "../journeys/j16_edge.rs"]
mod j16_edge;
#[path = "../journeys/j17_publishes.rs"]
mod j17_publishes;
#[path = "../journeys/j18_console.rs"]
mod j18_console;
#[path = "../journeys/j18_renewals.rs"]
mod j18_renewals;
#[path = "../journeys/j19_later.rs"]
mod j19_later;
#[path = "../journeys/j20_carried.rs"]
mod j20_carried;
#[path = "../journeys/j20_deletions.rs"]
mod j20_deletions;
#[path = "../journeys/j20_other_builds.rs"]
mod j20_other_builds;
#[path = "../journeys/shared_cache.rs"]
mod shared_cache;
mod stores;
#[path = "../journeys/world.rs"]
mod world;
