//! The stores as the engine uses them: one that fails again and again is left alone for a while, and no visitor waits long
//! for one that does not answer.
//!
//! Any store is guarded in the same way, because this stands before the ports. A call that is answered at once costs nothing
//! here: no clock is read, and nothing is locked or allocated.

pub mod breaker;
pub mod guarded;
pub(crate) mod patience;
mod ports;

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use crate::base::clock::Clock;
use crate::base::limits::Limits;
use crate::guard::breaker::Breaker;
use crate::guard::guarded::{Guard, Guarded, Probe};
use crate::ports::pages::Pages as _;
use crate::ports::stores::{Ports, Stores};

/// Stores of which each port is guarded.
pub type GuardedStores<S> = Ports<
    Guarded<<S as Stores>::Pages>,
    Guarded<<S as Stores>::Bodies>,
    Guarded<<S as Stores>::Queue>,
    Guarded<<S as Stores>::Edge>,
    Guarded<<S as Stores>::Journal>,
>;

/// Guards each port of some stores, within these limits. Their probes are among the tasks.
pub(crate) fn guard<S: Stores>(
    stores: S,
    clock: &Arc<dyn Clock>,
    limits: &Limits,
    tasks: &TaskTracker,
) -> GuardedStores<S> {
    let are_local = stores.are_local();
    let guard = |store, probe: Option<Probe>| {
        Arc::new(Guard {
            breaker: Arc::new(Breaker::new(store, limits)),
            clock: clock.clone(),
            limits: limits.clone(),
            probe: probe.map(|probe| (probe, tasks.clone())),
            are_local,
        })
    };
    let alone = |store| guard(store, None);
    let ports = stores.into_ports().map_pages(|pages| {
        let pages = Arc::new(pages);
        let probed = pages.clone();
        // Whatever a visitor asks of the pages would be as good; but a visitor does not wait for the end of it.
        let probe: Probe = Box::new(move || {
            let pages = probed.clone();
            Box::pin(async move { pages.epoch().await.map(drop) })
        });
        Guarded::new(pages, guard("pages", Some(probe)))
    });
    ports
        .map_bodies(|bodies| Guarded::new(Arc::new(bodies), alone("bodies")))
        .map_queue(|queue| Guarded::new(Arc::new(queue), alone("jobs")))
        .map_edge(|edge| Guarded::new(Arc::new(edge), alone("edge")))
        .map_journal(|journal| Guarded::new(Arc::new(journal), alone("publishes")))
}

/// The health of each store, in the order of the ports.
#[allow(
    clippy::type_complexity,
    reason = "a guarded group of ports is no type of its own: the compiler finds its five parts"
)]
pub fn breakers<P, B, Q, E, J>(
    ports: &Ports<Guarded<P>, Guarded<B>, Guarded<Q>, Guarded<E>, Guarded<J>>,
) -> [&Breaker; 5] {
    let Ports { pages, bodies, queue, edge, journal, .. } = ports;
    [&pages.guard, &bodies.guard, &queue.guard, &edge.guard, &journal.guard].map(|guard| &*guard.breaker)
}
