//! Time: one clock for the world, and each process's own, which may go wrong.

use std::future::pending;
use std::time::Duration;

use perennial::parts::base::clock::{Clock, Millis, Sleep};
use tokio::sync::oneshot;

use crate::gate::{Link, NodeId, Sim};
use crate::mistake::Mistake;

/// Where the world's clock begins.
pub(crate) const START_MS: u64 = 1_800_000_000_000;

/// Waits of renders and visitors, by [`Mistake::LongWaitsNeverEnd`].
const LONG: Duration = Duration::from_secs(4);

/// Who waits for a time.
pub(crate) struct Sleeper {
    pub(crate) node: NodeId,
    pub(crate) wake: oneshot::Sender<()>,
}

impl Clock for Link {
    fn now(&self) -> Millis {
        let world = self.sim.lock();
        Millis((START_MS + world.now).saturating_add_signed(world.nodes[self.node].clock_error_ms))
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let (wake, woken) = oneshot::channel();
        let mut world = self.sim.lock();
        let due = world.now + duration.as_millis() as u64;
        let place = (due, world.number());
        let forever = duration >= LONG && world.has(Mistake::LongWaitsNeverEnd);
        if !world.nodes[self.node].dead && !forever {
            world.sleepers.insert(place, Sleeper { node: self.node, wake });
        }
        let place = Place { sim: self.sim.clone(), place };
        Box::pin(async move {
            let _place = place;
            if woken.await.is_err() {
                pending().await
            }
        })
    }
}

impl Link {
    pub(crate) async fn wait(&self, time: Duration) {
        self.sleep(time).await;
    }
}

/// A sleeper's place, which is left when it no longer waits.
struct Place {
    sim: Sim,
    place: (u64, usize),
}

impl Drop for Place {
    fn drop(&mut self) {
        let sleeper = self.sim.lock().sleepers.remove(&self.place);
        drop(sleeper);
    }
}
