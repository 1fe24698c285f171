//! Properties of everything that strangers' bytes reach, tried with made-up input.
//!
//! Each property first meets a corpus of nasty inputs written by hand, then what has failed before (`regressions`, kept
//! by proptest: commit what it writes there), then fresh input. `PROPTEST_CASES` says how much of that, 256 if it is
//! unset; every property takes its own multiple of it. Each prints how many inputs it has met, and `tests/run proof` the
//! sum. A night's worth:
//!
//! ```sh
//! PROPTEST_CASES=100000 cargo test --package tests --test fuzz
//! ```
//!
//! | module | what is tried |
//! |---|---|
//! | [`targets`] | a request's target becomes a page, a redirect or a refusal; a page's key and its URLs |
//! | [`queries`] | which of a query is part of a page's key |
//! | [`patterns`] | texts of routes, and which route wins |
//! | [`stored`] | records and bodies, whole and damaged |
//! | [`queued`] | jobs of the queue and the journal of publishes: whole, damaged, of older and newer programs |
//! | [`fields`] | what visitors' header fields say |
//! | [`calls`] | what publishers send |
//! | [`webhooks`] | what the rules make of publishers' payloads |
//! | [`recipes`] | published payloads without each of their fields, by the rules of the tests and of the guide |
//! | [`tags`] | what a shared cache is told |
//! | [`world`] | the sites and inputs that these share |
#![allow(
    clippy::print_stdout,
    missing_docs,
    reason = "a test program has no readers of its documentation, and what was tried is told"
)]

mod calls;
mod fields;
mod patterns;
mod queries;
mod queued;
mod recipes;
mod stored;
mod tags;
mod targets;
mod webhooks;
mod world;

use std::cell::Cell;
use std::fmt::Debug;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};

/// Holds a property to the corpus, to what failed before, and to `times` × `PROPTEST_CASES` made-up inputs. A property
/// says that it fails by panicking.
fn hold<S: Strategy>(
    name: &str,
    times: u32,
    corpus: impl IntoIterator<Item = S::Value>,
    inputs: S,
    property: impl Fn(S::Value),
) where
    S::Value: Clone + Debug,
{
    // Every input that the property meets, wherever it is from.
    let tried = Cell::new(0_u64);
    let property = |input| {
        tried.set(tried.get() + 1);
        property(input);
    };
    for nasty in corpus {
        let shown = format!("{nasty:?}");
        let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| property(nasty)));
        assert!(held.is_ok(), "{name} does not hold for the corpus's {shown}");
    }
    let kept = format!("{}/proof/fuzz/regressions/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let config = Config::default();
    let mut runner = TestRunner::new(Config {
        cases: config.cases.saturating_mul(times),
        // Once for a whole run of one test: proptest wants it for as long as the program lives.
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(kept.leak()))),
        ..config
    });
    let ended = runner.run(&inputs, |input| {
        property(input);
        Ok(())
    });
    if let Err(failure) = ended {
        panic!("{name} does not hold: {failure}");
    }
    println!("property {name}: holds for {} inputs", tried.get());
}
