//! The stores as the engine uses them: one that fails again and again is left alone for a while, and no visitor waits long
//! for one that does not answer.
//!
//! Any store is guarded in the same way, because this stands before the ports. A call that is answered at once costs nothing
//! here: no clock is read, and nothing is locked or allocated.

pub mod breaker;
pub(crate) mod patience;
mod ports;

use crate::guard::breaker::Breaker;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::guard::breaker::Admission;

use crate::base::clock::{Clock, within};
use crate::base::limits::Limits;
use crate::ports::error::StoreError;
use crate::ports::pages::Pages as _;
use crate::ports::stores::Stores;

/// The ports of a deployment, guarded.
pub struct Guarded<S: Stores> {
    stores: Arc<S>,
    pages: Port<S, OfPages>,
    bodies: Port<S, OfBodies>,
    jobs: Port<S, OfJobs>,
    edge: Port<S, OfEdge>,
    publishes: Port<S, OfPublishes>,
}

/// One guarded port; `K` says which.
pub struct Port<S: Stores, K: Kind<S>> {
    stores: Arc<S>,
    /// In place of the stores' own: the same port, for another build.
    of_build: Option<K::Port>,
    guard: Arc<Guard>,
}

/// Which of the ports it is.
pub trait Kind<S: Stores> {
    /// The port itself.
    type Port;

    /// The port among its stores.
    fn among(stores: &S) -> &Self::Port;
}

/// Records, leases, epochs.
#[derive(Debug)]
pub enum OfPages {}
/// Immutable bytes.
#[derive(Debug)]
pub enum OfBodies {}
/// Regenerations to be done.
#[derive(Debug)]
pub enum OfJobs {}
/// The shared cache in front.
#[derive(Debug)]
pub enum OfEdge {}
/// The journal of publishes.
#[derive(Debug)]
pub enum OfPublishes {}

impl<S: Stores> Guarded<S> {
    /// Guards stores, within these limits. Their probes are among the tasks.
    pub(crate) fn new(stores: S, clock: &Arc<dyn Clock>, limits: &Limits, tasks: &TaskTracker) -> Self {
        let (are_local, stores) = (stores.are_local(), Arc::new(stores));
        let guard = |store, probe: Option<Probe>| Guard {
            breaker: Arc::new(Breaker::new(store, limits)),
            clock: clock.clone(),
            limits: limits.clone(),
            probe: probe.map(|probe| (probe, tasks.clone())),
            are_local,
        };
        let probed = stores.clone();
        // Whatever a visitor asks of the pages would be as good; but a visitor does not wait for the end of it.
        let probe: Probe = Box::new(move || {
            let stores = probed.clone();
            Box::pin(async move { stores.pages().epoch().await.map(drop) })
        });
        Self {
            pages: Port::new(&stores, guard("pages", Some(probe))),
            bodies: Port::new(&stores, guard("bodies", None)),
            jobs: Port::new(&stores, guard("jobs", None)),
            edge: Port::new(&stores, guard("edge", None)),
            publishes: Port::new(&stores, guard("publishes", None)),
            stores,
        }
    }

    /// The stores themselves.
    pub fn unguarded(&self) -> &S {
        &self.stores
    }

    /// What is known of each store's health, in the order of [`Stores`]' ports.
    pub fn breakers(&self) -> [&Breaker; 5] {
        let Self { pages, bodies, jobs, edge, publishes, .. } = self;
        [&pages.guard, &bodies.guard, &jobs.guard, &edge.guard, &publishes.guard].map(|guard| &*guard.breaker)
    }
}

impl<S: Stores, K: Kind<S>> Port<S, K> {
    fn new(stores: &Arc<S>, guard: Guard) -> Self {
        Self { stores: stores.clone(), of_build: None, guard: Arc::new(guard) }
    }

    /// The same store under the same guard, through a port for another build.
    fn through(&self, port: K::Port) -> Self {
        Self { stores: self.stores.clone(), of_build: Some(port), guard: self.guard.clone() }
    }

    fn port(&self) -> &K::Port {
        self.of_build.as_ref().unwrap_or_else(|| K::among(&self.stores))
    }
}

/// A call that tells whether a store is well again.
type Probe = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>> + Send + Sync>;

/// What stands before one port.
struct Guard {
    breaker: Arc<Breaker>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    /// Where one can be made beside a visitor's own call, and among which tasks.
    probe: Option<(Probe, TaskTracker)>,
    /// Whether a visitor waits for as long as a call takes; see [`Stores::are_local`].
    are_local: bool,
}

/// A wait is made of so many parts.
const WAIT_PARTS: u32 = 16;

/// Waits for a call for as long as there is patience, and tells how much of that it took. Counted in parts: a process that
/// was frozen meanwhile has lost one of them, and does not take the time that it slept for time that the store took.
async fn patiently<T>(
    clock: &dyn Clock,
    left: Duration,
    call: impl Future<Output = T>,
) -> (Option<T>, Duration) {
    let (mut call, part) = (pin!(call), left / WAIT_PARTS);
    let mut waited = Duration::ZERO;
    for _ in 0..WAIT_PARTS {
        let began = clock.now();
        let done = within(clock, part, call.as_mut()).await;
        waited += clock.now().since(began).min(part);
        if done.is_some() {
            return (done, waited);
        }
    }
    (None, left)
}

/// Whether a call that got no answer may have changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Reads,
    Writes,
}

impl Guard {
    /// Makes a call, unless the store is to be left alone; and for no longer than its visitor still waits.
    async fn call<T>(
        &self,
        effect: Effect,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let left = if self.are_local { None } else { patience::left() };
        if left.is_some_and(|left| left.is_zero()) {
            return Err(StoreError::Refused(format!(
                "not asked, because the visitor has waited {:?} for the stores (PERENNIAL_STORE_WAIT_MS)",
                self.limits.store_wait
            )));
        }
        self.admit()?;
        let mut call = pin!(call);
        let done = match poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await {
            Poll::Ready(done) => done,
            Poll::Pending => match left {
                None => call.await,
                Some(left) => {
                    let (done, waited) = patiently(&*self.clock, left, call).await;
                    patience::spend(waited);
                    match done {
                        Some(done) => done,
                        None => return Err(self.gave_up(effect, left)),
                    }
                }
            },
        };
        self.breaker.note(&done, &*self.clock);
        done
    }

    /// Whether a call may be made. Where a probe can be made beside it, a call for which somebody waits is none.
    fn admit(&self) -> Result<(), StoreError> {
        match (self.breaker.admit(&*self.clock), &self.probe) {
            (Admission::Go, _) => return Ok(()),
            // What was begun beside an answer came to no end, because the process was frozen after it.
            (Admission::Try { stood_still: true }, _) | (Admission::Try { .. }, None) => return Ok(()),
            (Admission::Try { .. }, Some((probe, tasks))) => {
                let (probe, breaker, clock) = (probe(), self.breaker.clone(), self.clock.clone());
                tasks.spawn(async move { breaker.note(&probe.await, &*clock) });
            }
            (Admission::LeftAlone, _) => {}
        }
        Err(StoreError::Refused(self.breaker.left_alone()))
    }

    /// The visitor waits no longer. That is the store's fault if it had most of the time.
    fn gave_up(&self, effect: Effect, waited: Duration) -> StoreError {
        let text = format!("no answer within {waited:?} (PERENNIAL_STORE_WAIT_MS)");
        let error = match effect {
            Effect::Reads => StoreError::Unavailable(text),
            Effect::Writes => StoreError::Unsure(text),
        };
        if waited * 2 >= self.limits.store_wait {
            self.breaker.note::<()>(&Err(error.clone()), &*self.clock);
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::manual_clock::ManualClock;

    #[tokio::test]
    async fn time_for_which_a_process_was_frozen_is_not_the_stores() {
        let (clock, left) = (ManualClock::default(), Duration::from_secs(3));
        let (answer, answered) = tokio::sync::oneshot::channel();
        let (ticking, frozen_for) = (clock.clone(), Duration::from_secs(60));
        let waiting = tokio::spawn(async move { patiently(&ticking, left, answered).await });
        tokio::task::yield_now().await;
        clock.advance(frozen_for);
        tokio::task::yield_now().await;
        answer.send("an answer").unwrap();
        let (done, waited) = waiting.await.unwrap();
        assert_eq!((done, waited), (Some(Ok("an answer")), left / WAIT_PARTS));
    }
}
