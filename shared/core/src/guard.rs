//! Guards the ports with circuit breakers and a bound on visitors' waits. A store that fails several times in a row gets no
//! calls for a while, and no visitor waits long for a store that does not answer.
//!
//! The guard wraps the ports, so that it works for any store. A call that the store answers at once costs nothing here: the
//! guard reads no clock, takes no lock and allocates nothing.

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

/// Stores with a guard before each port.
pub type GuardedStores<S> = Ports<
    Guarded<<S as Stores>::Pages>,
    Guarded<<S as Stores>::Bodies>,
    Guarded<<S as Stores>::Queue>,
    Guarded<<S as Stores>::Edge>,
    Guarded<<S as Stores>::Journal>,
>;

/// Guards each port of some stores. The probes run among `tasks`.
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
        // Any read would do. The probe is a call of its own, so that no visitor has to wait for its end.
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
