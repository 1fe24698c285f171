//! Purges of the shared cache (a CDN in front of the site), batched. One purge is under way at a time. Tags that arrive
//! meanwhile, or within [`Edge::window`] after its start, go into the next purge.
//!
//! A burst of calls thus becomes one or two purges. The first purge goes out at once: a single call waits for no timer.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::clock::{Clock, Millis};
use crate::ports::edge::{Edge, Purged};
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::visit::single_flight::{ResultSetter, SharedResult};

/// The result of a purge; the error says what to do.
pub(crate) type PurgeResult = Result<Purged, Arc<str>>;

/// Purges that have not begun, and the lock of the one under way.
#[derive(Default)]
pub(crate) struct Purges {
    /// Oldest first.
    waiting: Mutex<VecDeque<PurgeBatch>>,
    /// Locked while a purge is under way or waits for its window. Holds the start of the newest purge.
    newest_began: tokio::sync::Mutex<Option<Millis>>,
}

struct PurgeBatch {
    tags: BTreeSet<String>,
    result: ResultSetter<PurgeResult>,
}

impl Purges {
    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<PurgeBatch>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds tags to the newest waiting batch, if that then holds at most `tags_max`, or to a new batch. Returns the batch's
    /// result, and whether the batch is new: the caller must then call [`Purges::send_next`] once.
    fn add(&self, tags: &[String], tags_max: usize) -> (SharedResult<PurgeResult>, bool) {
        let mut waiting = self.waiting();
        if let Some(batch) = waiting.back_mut().filter(|batch| batch.tags.len() + tags.len() <= tags_max) {
            batch.tags.extend(tags.iter().cloned());
            return (batch.result.result(), false);
        }
        let result = ResultSetter::default();
        let shared = result.result();
        waiting.push_back(PurgeBatch { tags: tags.iter().cloned().collect(), result });
        (shared, true)
    }

    /// Sends the oldest batch, once the purge under way has ended and its window has passed. The batch takes further tags
    /// until then.
    async fn send_next(&self, edge: &impl Edge, clock: &dyn Clock) {
        let mut newest = self.newest_began.lock().await;
        if let Some(began) = *newest {
            // `since` is zero if the clock was set back: then this waits for a whole window.
            let left = edge.window().saturating_sub(clock.now().since(began));
            if !left.is_zero() {
                clock.sleep(left).await;
            }
        }
        *newest = Some(clock.now());
        let Some(PurgeBatch { tags, result }) = self.waiting().pop_front() else { return };
        let tags: Vec<_> = tags.into_iter().collect();
        let purged = edge.purge(&tags).await.map_err(|e| e.to_string().into());
        result.with(purged);
    }
}

/// Purges the shared cache of tags that this process has changed.
pub(crate) struct Purger<S: Stores> {
    process: Arc<Process<S>>,
    purges: Purges,
}

impl<S: Stores> Purger<S> {
    /// With no purge waiting.
    pub(crate) fn new(process: &Arc<Process<S>>) -> Arc<Self> {
        Arc::new(Self { process: process.clone(), purges: Purges::default() })
    }

    /// Purges the shared cache of these tags. Returns once the cache has accepted a purge that was sent after this call came.
    /// The purge goes out even if the caller stops waiting.
    pub(crate) async fn purge(self: &Arc<Self>, tags: &[String]) -> PurgeResult {
        let (result, is_new) = self.purges.add(tags, self.process.stores.edge().items_max());
        if is_new {
            let purger = self.clone();
            self.process.tasks.spawn(async move {
                purger.purges.send_next(purger.process.stores.edge(), &*purger.process.clock).await;
            });
        }
        result.wait().await.clone().unwrap_or_else(|| Err("the purge of the shared cache panicked".into()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::manual_clock::ManualClock;
    use crate::ports::error::StoreError;

    /// A shared cache that refuses purges with the tag `no`, and records the tags of every purge. The second field is its
    /// window.
    #[derive(Default)]
    struct RecordingEdge(Mutex<Vec<Vec<String>>>, Duration);

    impl Edge for RecordingEdge {
        fn window(&self) -> Duration {
            self.1
        }

        async fn purge(&self, tags: &[String]) -> Result<Purged, StoreError> {
            self.0.lock().unwrap().push(tags.to_vec());
            if tags.contains(&"no".to_owned()) {
                Err(StoreError::refused("no"))
            } else {
                Ok(Purged::Accepted)
            }
        }
    }

    fn tags(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn waiting_purges_share_a_batch() {
        let (purges, edge, clock) = (Purges::default(), RecordingEdge::default(), ManualClock::default());
        let added = ["a", "b", "a", "c d", "e f", "g"].map(|text| purges.add(&tags(text), 4));
        assert_eq!(added.each_ref().map(|(_, is_new)| *is_new), [true, false, false, false, true, false]);
        purges.send_next(&edge, &clock).await;
        let (last, is_new) = purges.add(&tags("h"), 4);
        assert!(!is_new, "the second batch is not full, and has not begun");
        purges.send_next(&edge, &clock).await;
        purges.send_next(&edge, &clock).await;
        assert_eq!(*edge.0.lock().unwrap(), [tags("a b c d"), tags("e f g h")]);
        let all = added.into_iter().map(|(result, _)| result).chain([last]);
        assert!(all.into_iter().all(|result| result.get() == Some(&Some(Ok(Purged::Accepted)))));
    }

    #[tokio::test]
    async fn a_caller_gets_the_result_of_its_own_batch() {
        let (purges, edge, clock) = (Purges::default(), RecordingEdge::default(), ManualClock::default());
        let [refused, accepted] = ["no", "yes"].map(|text| purges.add(&tags(text), 1).0);
        // A call with more tags than the limit is one batch all the same.
        let (many, is_new) = purges.add(&tags("x y z"), 1);
        assert!(is_new);
        for _ in 0..3 {
            purges.send_next(&edge, &clock).await;
        }
        assert_eq!(refused.get(), Some(&Some(Err("no".into()))));
        assert!([accepted, many].iter().all(|result| result.get() == Some(&Some(Ok(Purged::Accepted)))));
    }

    #[tokio::test]
    async fn a_purge_waits_for_the_window_and_takes_tags_that_arrive_in_it() {
        const WINDOW: Duration = Duration::from_millis(250);
        let (purges, edge, clock) =
            (Purges::default(), RecordingEdge(Mutex::default(), WINDOW), ManualClock::default());
        let (first, _) = purges.add(&tags("a"), 4);
        purges.send_next(&edge, &clock).await;
        assert!(first.get().is_some(), "the first goes out at once");
        let (second, _) = purges.add(&tags("b"), 4);
        let mut sending = Box::pin(purges.send_next(&edge, &clock));
        for pass_ms in [0, 100, 149] {
            clock.advance(Duration::from_millis(pass_ms));
            assert!(polled(&mut sending).await.is_none());
            let (more, is_new) = purges.add(&tags("c"), 4);
            assert!(
                !is_new && more.get().is_none() && second.get().is_none(),
                "no result before the purge is sent"
            );
        }
        clock.advance(Duration::from_millis(1));
        sending.await;
        assert_eq!(*edge.0.lock().unwrap(), [tags("a"), tags("b c")]);
        assert_eq!(second.get(), Some(&Some(Ok(Purged::Accepted))));

        // After the window a purge goes out at once. A clock that was set back delays it by one window at most.
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

    /// Polls a future once.
    async fn polled<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> Option<T> {
        tokio::select! {
            biased;
            done = future => Some(done),
            () = std::future::ready(()) => None,
        }
    }
}
