//! The protocol as a model, in every order of events.
//!
//! `PROOF_DEEPER=1 tests/run proof` looks further: more time, more faults.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "how far it looked is told, and chosen outside"
)]

mod model;

use std::collections::BTreeSet;
use std::num::NonZero;
use std::thread::available_parallelism;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use crate::model::{Mistake, Protocol, mistake, promises, scenario};

#[test]
fn every_promise_holds() {
    let deeper = std::env::var_os("PROOF_DEEPER").is_some();
    let threads = available_parallelism().map_or(1, NonZero::get);
    let mut seen = BTreeSet::new();
    for scenario in scenario::all() {
        let scenario = if deeper { scenario.deeper() } else { scenario };
        let protocol = Protocol::new(scenario, None);
        let checker = protocol.checker().threads(threads).spawn_bfs().join();
        println!("{}: {} states", scenario.name, checker.unique_state_count());
        for (name, path) in checker.discoveries() {
            if promises::of(name).expectation == Expectation::Always {
                let (end, way) = (path.last_state().clone(), path.into_actions());
                panic!("{}: broken: {name}\n{way:?}\n{end:?}", scenario.name);
            }
            seen.insert(name);
        }
    }
    let never: Vec<_> = promises::all()
        .into_iter()
        .filter(|p| p.expectation == Expectation::Sometimes && !seen.contains(p.name))
        .map(|p| p.name)
        .collect();
    assert!(never.is_empty(), "the model is too small to promise much, never seen: {never:?}");
}

#[test]
fn every_mistake_is_noticed() {
    let broken = |mistake: Mistake, scenario: &str| {
        let scenario = scenario::all().into_iter().find(|s| s.name == scenario).expect("a scenario");
        // One thread and breadth first: always the same way to the mistake, and a shortest.
        let checker =
            Protocol::new(scenario, Some(mistake)).checker().finish_when(HasDiscoveries::AnyFailures);
        let checker = checker.spawn_bfs().join();
        let discoveries = checker.discoveries();
        let broken =
            discoveries.into_iter().filter(|(name, _)| promises::of(name).expectation == Expectation::Always);
        broken.map(|(name, path)| (name, path.into_actions().len())).collect::<Vec<_>>()
    };
    let mut unnoticed = Vec::new();
    for (mistake, scenario, promise) in mistake::ALL {
        let broken = broken(mistake, scenario);
        println!("{mistake:?}: {broken:?}");
        if !broken.iter().any(|(name, _)| *name == promise) {
            unnoticed.push(format!("{mistake:?} does not break `{promise}` in `{scenario}`, but {broken:?}"));
        }
    }
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}
