//! The stores in memory keep the contracts of the ports that they stand for.

use std::future::Future;
use std::time::Duration;

use tokio::task::yield_now;

use crate::gate::{Link, Sim, Verdict};
use crate::ports::SimPort;
use crate::world::{NodeState, World};

/// Runs a suite on stores with these habits, of which every call just goes.
fn keeps<F: Future<Output = ()>>(habits: [bool; 3], suite: impl FnOnce(Sim) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().event_interval(u32::MAX).build();
    let sim = Sim::new(World::new(0, None, false));
    {
        let mut world = sim.lock();
        let [keeps_inline, tags_apart, has_version] = habits;
        (world.store.keeps_inline, world.store.tags_apart) = (keeps_inline, tags_apart);
        world.store.has_version = has_version;
    }
    let gate = sim.clone();
    runtime.expect("a runtime without threads").block_on(async move {
        let open = async {
            loop {
                yield_now().await;
                let mut world = gate.lock();
                for number in world.waiting() {
                    world.open(number, Verdict::Go);
                }
            }
        };
        tokio::select! {
            biased;
            () = suite(sim) => {}
            () = open => {}
        }
    });
}

fn open(sim: &Sim, build: &str) -> SimPort {
    let mut world = sim.lock();
    let (node, build) = (world.nodes.len(), std::sync::Arc::from(build));
    world.nodes.push(NodeState::new(&build, 0));
    SimPort { link: Link { sim: sim.clone(), node }, build }
}

const HABITS: [[bool; 3]; 4] =
    [[false, false, false], [true, false, true], [false, true, false], [true, true, true]];

#[test]
fn pages() {
    for habits in HABITS {
        keeps(habits, async |sim| {
            perennial::parts::ports::suite::pages::run(|build| open(&sim, build)).await;
            perennial::parts::ports::suite::pages::run_undisturbed(&open(&sim, "b")).await;
        });
    }
}

#[test]
fn bodies() {
    keeps(HABITS[0], async |sim| {
        perennial::parts::ports::suite::bodies::run(|build| open(&sim, build)).await
    });
}

#[test]
fn publishes() {
    keeps(HABITS[0], async |sim| {
        let now = perennial::Clock::now(&open(&sim, "b").link);
        perennial::parts::ports::suite::journal::run(|| open(&sim, "b"), now).await;
    });
}

#[test]
fn jobs() {
    keeps(HABITS[0], async |sim| {
        let pass = async |time: Duration| {
            let mut world = sim.lock();
            let then = world.now + time.as_millis() as u64;
            world.pass(then);
        };
        perennial::parts::ports::suite::queue::run(|| open(&sim, "b"), pass).await;
    });
}
