//! A process: the real handlers on the ports of the simulation.

use std::sync::Arc;

use perennial::Clock;
use perennial::parts::engine::Engine;
use perennial::parts::guard::breaker::BreakerState;
use perennial::parts::run::secrets::LiveSecrets;
use perennial_regenerate::Regenerate;
use perennial_revalidate::Revalidate;
use perennial_revalidate::auth::Secrets;
use perennial_serve::{Renewal, Serve};

use crate::gate::{Link, NodeId, Sim};
use crate::plan::{Plan, limits};
use crate::ports::{SimStores, stores};
use crate::site::site;
use crate::world::NodeState;

/// What publishers call with.
pub(crate) const SECRET: &str = "open-sesame";

/// One process of a build.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) build: Arc<str>,
    pub(crate) engine: Arc<Engine<SimStores>>,
    pub(crate) serve: Serve<SimStores>,
    pub(crate) revalidate: Revalidate<SimStores>,
    pub(crate) regenerate: Regenerate<SimStores>,
}

impl Node {
    /// Starts one.
    pub(crate) fn start(sim: &Sim, build: &Arc<str>, plan: &Plan) -> Arc<Self> {
        let (id, renewal, mistake) = {
            let mut world = sim.lock();
            let clock_error_ms = match world.rng.permille(plan.clock_errors) {
                true => world.rng.between(0, 4_000) as i64 - 2_000,
                false => 0,
            };
            world.history.clocks_differ |= clock_error_ms != 0;
            let id = world.nodes.len();
            world.nodes.push(NodeState::new(build, clock_error_ms));
            let before = world.rng.permille(500);
            world.say(|| format!("n{id} of {build} starts"));
            (id, if before { Renewal::Before } else { Renewal::Beside }, world.mistake)
        };
        let link = Link { sim: sim.clone(), node: id };
        let stores = stores(&link, build);
        let clock: Arc<dyn Clock> = Arc::new(link.clone());
        let engine = Engine::new(site(&link), stores, clock, limits(plan, mistake));
        let secrets = LiveSecrets::given(vec![SECRET.to_owned()], Secrets::new).expect("a secret");
        Arc::new(Self {
            id,
            build: build.clone(),
            serve: Serve::new(engine.clone(), renewal),
            revalidate: Revalidate::new(engine.clone(), secrets),
            regenerate: Regenerate::new(engine.clone()),
            engine,
        })
    }

    /// Whether it leaves a store alone, so that nobody can tell what its visitors would have been answered.
    pub(crate) fn is_struggling(&self) -> bool {
        perennial::parts::guard::breakers(self.engine.stores())
            .iter()
            .any(|breaker| breaker.state() != BreakerState::Closed)
    }
}
