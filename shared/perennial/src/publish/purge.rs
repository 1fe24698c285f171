//! Orders to the shared cache, gathered: one is under way at a time, and what is asked for meanwhile, or in the window
//! after its beginning, is the next.
//!
//! A burst of calls for one page, or one call for many, is then an order or two instead of one each. The first order goes
//! out at once: a call that comes alone waits for no timer.

use crate::process::Process;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::clock::{Clock, Millis};
use crate::ports::edge::{Edge, Purged};
use crate::ports::stores::Stores;
use crate::visit::single_flight::{ResultSetter, SharedResult};

/// What became of an order; the error says what to do.
pub(crate) type PurgeResult = Result<Purged, Arc<str>>;

/// Orders that have not begun, oldest first.
#[derive(Default)]
pub(crate) struct Purges {
    waiting: Mutex<VecDeque<PurgeOrder>>,
    /// Held while one is under way, or waits for its window: when the newest began.
    sending: tokio::sync::Mutex<Option<Millis>>,
}

struct PurgeOrder {
    tags: BTreeSet<String>,
    tell: ResultSetter<PurgeResult>,
}

impl Purges {
    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<PurgeOrder>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds tags to the newest order that has not begun, up to `most`, or to a new one. Gives where its end is told, and
    /// whether it is new: then [`Purges::send_next`] is to be called once more.
    fn add(&self, tags: &[String], most: usize) -> (SharedResult<PurgeResult>, bool) {
        let mut waiting = self.waiting();
        if let Some(order) = waiting.back_mut().filter(|order| order.tags.len() + tags.len() <= most) {
            order.tags.extend(tags.iter().cloned());
            return (order.tell.landing(), false);
        }
        let tell = ResultSetter::default();
        let told = tell.landing();
        waiting.push_back(PurgeOrder { tags: tags.iter().cloned().collect(), tell });
        (told, true)
    }

    /// Sends the oldest order, after those that are under way, and once the window of the one before has passed. Until
    /// then it has not begun, and takes what is added.
    async fn send_next(&self, edge: &impl Edge, clock: &dyn Clock) {
        let mut newest = self.sending.lock().await;
        if let Some(began) = *newest {
            // If the clock was set back, it is a whole window.
            let left = edge.window().saturating_sub(clock.now().since(began));
            if !left.is_zero() {
                clock.sleep(left).await;
            }
        }
        *newest = Some(clock.now());
        let Some(PurgeOrder { tags, tell }) = self.waiting().pop_front() else { return };
        let tags: Vec<_> = tags.into_iter().collect();
        let told = edge.purge(&tags).await.map_err(|e| e.to_string().into());
        tell.with(told);
    }
}

/// Tells the shared cache in front.
pub(crate) struct Purger<S: Stores> {
    process: Arc<Process<S>>,
    purges: Purges,
}

impl<S: Stores> Purger<S> {
    /// Tells it what this process has changed.
    pub(crate) fn new(process: &Arc<Process<S>>) -> Arc<Self> {
        Arc::new(Self { process: process.clone(), purges: Purges::default() })
    }

    /// Has the shared cache forget what carries these tags, and returns once it has accepted an order that was sent
    /// after this call came. The order goes out even if nobody waits for it any more.
    pub(crate) async fn purge(self: &Arc<Self>, tags: &[String]) -> PurgeResult {
        let (told, is_new) = self.purges.add(tags, self.process.stores.edge().items_max());
        if is_new {
            let purger = self.clone();
            self.process.tasks.spawn(async move {
                purger.purges.send_next(purger.process.stores.edge(), &*purger.process.clock).await;
            });
        }
        told.wait().await.clone().unwrap_or_else(|| Err("the order to the shared cache panicked".into()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::manual_clock::ManualClock;
    use crate::ports::error::StoreError;

    /// Refuses orders that name `no`, and notes them all.
    #[derive(Default)]
    struct Noted(Mutex<Vec<Vec<String>>>, Duration);

    impl Edge for Noted {
        fn window(&self) -> Duration {
            self.1
        }

        async fn purge(&self, tags: &[String]) -> Result<Purged, StoreError> {
            self.0.lock().unwrap().push(tags.to_vec());
            if tags.contains(&"no".to_owned()) {
                Err(StoreError::Refused("no".into()))
            } else {
                Ok(Purged::Accepted)
            }
        }
    }

    fn tags(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn orders_that_have_not_begun_are_one() {
        let (purges, edge, clock) = (Purges::default(), Noted::default(), ManualClock::default());
        let added = ["a", "b", "a", "c d", "e f", "g"].map(|text| purges.add(&tags(text), 4));
        assert_eq!(added.each_ref().map(|(_, is_new)| *is_new), [true, false, false, false, true, false]);
        purges.send_next(&edge, &clock).await;
        let (late, is_new) = purges.add(&tags("h"), 4);
        assert!(!is_new, "the second has room, and has not begun");
        purges.send_next(&edge, &clock).await;
        purges.send_next(&edge, &clock).await;
        assert_eq!(*edge.0.lock().unwrap(), [tags("a b c d"), tags("e f g h")]);
        let all = added.into_iter().map(|(told, _)| told).chain([late]);
        assert!(all.into_iter().all(|told| told.get() == Some(&Some(Ok(Purged::Accepted)))));
    }

    #[tokio::test]
    async fn who_asked_for_an_order_is_told_of_that_order() {
        let (purges, edge, clock) = (Purges::default(), Noted::default(), ManualClock::default());
        let [refused, accepted] = ["no", "yes"].map(|text| purges.add(&tags(text), 1).0);
        // A call for more than fits in one order is an order all the same.
        let (many, is_new) = purges.add(&tags("x y z"), 1);
        assert!(is_new);
        for _ in 0..3 {
            purges.send_next(&edge, &clock).await;
        }
        assert_eq!(refused.get(), Some(&Some(Err("no".into()))));
        assert!([accepted, many].iter().all(|told| told.get() == Some(&Some(Ok(Purged::Accepted)))));
    }

    #[tokio::test]
    async fn an_order_waits_for_the_window_and_takes_what_comes_in_it() {
        const WINDOW: Duration = Duration::from_millis(250);
        let (purges, edge, clock) =
            (Purges::default(), Noted(Mutex::default(), WINDOW), ManualClock::default());
        let (first, _) = purges.add(&tags("a"), 4);
        purges.send_next(&edge, &clock).await;
        assert!(first.get().is_some(), "the first goes out at once");
        let (second, _) = purges.add(&tags("b"), 4);
        let mut sending = Box::pin(purges.send_next(&edge, &clock));
        for pass_ms in [0, 100, 149] {
            clock.advance(Duration::from_millis(pass_ms));
            assert!(polled(&mut sending).await.is_none());
            let (more, is_new) = purges.add(&tags("c"), 4);
            assert!(!is_new && more.get().is_none() && second.get().is_none(), "told only what is true");
        }
        clock.advance(Duration::from_millis(1));
        sending.await;
        assert_eq!(*edge.0.lock().unwrap(), [tags("a"), tags("b c")]);
        assert_eq!(second.get(), Some(&Some(Ok(Purged::Accepted))));

        // Whoever comes after a window waits for nothing, and a clock that was set back holds up nobody for longer.
        clock.advance(WINDOW);
        purges.add(&tags("d"), 4);
        assert!(polled(&mut Box::pin(purges.send_next(&edge, &clock))).await.is_some());
        clock.set(Millis(1));
        purges.add(&tags("e"), 4);
        let mut sending = Box::pin(purges.send_next(&edge, &clock));
        assert!(polled(&mut sending).await.is_none());
        clock.advance(WINDOW);
        assert!(polled(&mut sending).await.is_some());
        assert_eq!(edge.0.lock().unwrap().len(), 4);
    }

    /// What a future has come to if it is polled once.
    async fn polled<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> Option<T> {
        tokio::select! {
            biased;
            done = future => Some(done),
            () = std::future::ready(()) => None,
        }
    }
}
