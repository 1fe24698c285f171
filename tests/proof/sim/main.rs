//! Simulation by seed: the real handlers of several processes, on ports in memory, under a scheduler that decides by
//! one number what happens next. Calls of ports fail before or after they are carried out, come late, twice or never
//! back; processes die, stop, and are replaced by other builds; clocks step; the upstream changes and fails. What
//! happened is checked against the invariants of ARCHITECTURE.md, by number.
//!
//! `SIM_SEEDS=100000 tests/run proof -- seeds` tries fresh seeds; `SIM_SEED=42 tests/run proof -- seeds` one, and prints
//! what happened in it. `SIM_FIRST_SEEDS=200` tries that many of the gate's own.
//!
//! | module | what |
//! |---|---|
//! | [`run`], [`upheavals`], [`settle`] | what happens next, and how it ends |
//! | [`plan`] | what a seed is about |
//! | [`gate`], [`clock`], [`ports`] | where the product ends: every call waits for the scheduler |
//! | [`store`], [`journal`], [`upstream`], [`world`] | what is outside of the processes |
//! | [`node`], [`site`] | a process, and the site that it serves |
//! | [`visitors`], [`publishers`] | who comes |
//! | [`history`], [`checks`], [`answers`] | what has happened, and whether it may |
//! | [`promises`] | what publishers were promised of the queue and of the cache in front |
//! | [`contract`] | the stores keep the contracts of the ports |
//! | [`found`] | what seeds have found |
//! | [`mistake`] | what must not go unnoticed |
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "how much was tried is told, and chosen outside"
)]

mod answers;
mod checks;
mod clock;
mod contract;
mod found;
mod gate;
mod history;
mod journal;
mod marks;
mod mistake;
mod node;
mod plan;
mod ports;
mod promises;
mod publishers;
mod run;
mod settle;
mod site;
mod store;
mod tally;
mod upheavals;
mod upstream;
mod visitors;
mod world;

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;
use std::time::Instant;

use crate::run::run;
use crate::tally::Tally;

/// Seeds that everybody tries.
const GATE_SEEDS: u64 = 2_000;

/// Tries seeds on all processors; the first that breaks something, if one does.
fn try_seeds(from: u64, count: u64) -> (Tally, Option<u64>) {
    let (next, broken, sum) = (AtomicU64::new(from), AtomicU64::new(u64::MAX), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count || broken.load(Ordering::Relaxed) < seed {
                        return;
                    }
                    let ended = run(seed, None, false);
                    sum.lock().expect("nobody panics with it").add(&ended.tally);
                    if ended.broken.is_some() {
                        broken.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let broken = broken.into_inner();
    (sum.into_inner().expect("nobody panics with it"), (broken < u64::MAX).then_some(broken))
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text}: give a number")))
}

/// Runs a seed again, and prints what happens in it.
fn tell(seed: u64) {
    let ended = run(seed, None, true);
    println!("{}", ended.log.join("\n"));
    if let Some(broken) = ended.broken {
        panic!("seed {seed} breaks invariant {}: {}\nagain: SIM_SEED={seed}", broken.invariant, broken.what);
    }
}

#[test]
fn seeds() {
    if let Some(seed) = setting("SIM_SEED") {
        return tell(seed);
    }
    let (from, count) = match setting("SIM_SEEDS") {
        // Beyond those of the gate, and others every time.
        Some(count) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            (now.map_or(0, |now| now.as_millis() as u64) << 20, count)
        }
        None => (0, setting("SIM_FIRST_SEEDS").unwrap_or(GATE_SEEDS)),
    };
    let began = Instant::now();
    let (tally, broken) = try_seeds(from, count);
    println!("{tally}\n  from seed {from}, in {:.1} s", began.elapsed().as_secs_f64());
    if let Some(seed) = broken {
        tell(seed);
    }
}

#[test]
fn the_seed_decides_everything() {
    for seed in 0..20 {
        let logs = [run(seed, None, true).log, run(seed, None, true).log];
        assert!(logs[0].len() > 100, "seed {seed} does next to nothing");
        let differ = logs[0].iter().zip(&logs[1]).find(|(a, b)| a != b);
        assert!(differ.is_none() && logs[0].len() == logs[1].len(), "seed {seed}: {differ:#?}");
    }
}

/// Within so many seeds each mistake is noticed.
const MISTAKE_SEEDS: u64 = 500;

#[test]
fn every_mistake_is_noticed() {
    let mut unnoticed = Vec::new();
    for (mistake, invariant) in mistake::ALL {
        let breaks = |seed: &u64| run(*seed, Some(mistake), false).broken.map(|broken| broken.invariant);
        match (0..MISTAKE_SEEDS).find(|seed| breaks(seed) == Some(invariant)) {
            Some(seed) => println!("{mistake:?} breaks {invariant}: seed {seed}"),
            None => unnoticed.push(format!("{mistake:?} does not break {invariant}")),
        }
    }
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}
