//! Several processes on one store under load, while everything breaks that can, one thing after the other; and
//! renderers and upstreams that misbehave while a crowd comes.
//!
//! | module | what |
//! |---|---|
//! | [`faults`] | kills, processes that stand still, a full disk, a read-only store, damage, a clock that steps |
//! | [`fleet`] | the processes, their store, and the people before them |
//! | [`disk`] | a disk that gets full, or read-only |
//! | [`stampede`] | five hundred old pages in a second, two hundred visitors of a missing one |
//! | [`hang`] | renderers that hang, panic, stop half-way or come too late; upstreams that are busy or down |
//!
//! Each fault is printed with the time from its end until new content was shown. `SURVIVAL_ROUNDS=50` repeats each so
//! often, and `SURVIVAL_OUTAGE_S=60` is how long an upstream is down.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "processes are watched by the machine's clock, and what was seen is told"
)]

mod disk;
mod faults;
mod fleet;
mod hang;
mod stampede;

/// The number in the environment variable `name`, or `otherwise`. A larger number makes the test run longer.
fn given(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Checks an on-demand call's success.
#[track_caller]
fn success(answer: &tests::Answer) {
    assert!(answer.status == 200 && answer.json()["revalidated"] == serde_json::json!(true), "{answer}");
}
