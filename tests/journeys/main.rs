//! Journeys: cases of `SEMANTICS.md` through the real handlers in one process, on a real store, under a clock that
//! the test turns. Hours cost nothing here, and nothing is left to chance: a stale page's renewal is in the queue
//! when its answer is there, and runs when the test says so.

mod j01_freshness;
mod j03_on_demand;
mod j04_errors;
mod j04_upstream;
mod j05_outcomes;
mod j06_agents;
mod j06_policies;
mod j07_tags;
mod j08_crowds;
mod j10_publishers;
mod j11_large;
mod j14_drafts;
mod j16_edge;
mod j17_publishes;
mod j18_console;
mod j18_renewals;
mod j19_later;
mod j20_carried;
mod j20_deletions;
mod j20_other_builds;
mod j20_told;
mod j21_guides;
mod shared_cache;
mod stores;
mod world;
