//! Single flight: calls for one key that come while another is under way share its result.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::SetOnce;
use tokio_util::task::TaskTracker;

/// Where the result of a call will be; none if it panicked. Those who wait for it wake in the order in which they came.
pub(crate) type SharedResult<T> = Arc<SetOnce<Option<T>>>;

/// The call's end of its landing, which it reaches whatever becomes of it.
pub(crate) struct ResultSetter<T>(SharedResult<T>);

impl<T> Default for ResultSetter<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> ResultSetter<T> {
    pub(crate) fn landing(&self) -> SharedResult<T> {
        self.0.clone()
    }

    pub(crate) fn with(self, result: T) {
        // The only one who sets it, but for its own end.
        let _ = self.0.set(Some(result));
    }
}

impl<T> Drop for ResultSetter<T> {
    fn drop(&mut self) {
        let _ = self.0.set(None);
    }
}

/// Calls under way, by key. A call runs in a task of its own: nobody who waits for it can cancel it.
pub(crate) struct SingleFlight<T> {
    under_way: Arc<Mutex<HashMap<Arc<str>, SharedResult<T>>>>,
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self { under_way: Arc::default() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    /// The result of the call under way for `key`, or else of `start`'s. `None` if it panicked. The flag tells
    /// whether somebody else's was joined.
    pub(crate) async fn join<F>(
        &self,
        tasks: &TaskTracker,
        key: &Arc<str>,
        start: impl FnOnce() -> F,
    ) -> (Option<T>, bool)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (landing, joined) = {
            let mut under_way = lock(&self.under_way);
            match under_way.get(key) {
                Some(landing) => (landing.clone(), true),
                None => {
                    let land = ResultSetter::default();
                    let landing = land.landing();
                    under_way.insert(key.clone(), landing.clone());
                    let seat = Seat { under_way: self.under_way.clone(), key: key.clone() };
                    let call = start();
                    tasks.spawn(async move {
                        let result = call.await;
                        // Whoever comes from here on starts anew, and finds what this call has stored.
                        drop(seat);
                        land.with(result);
                    });
                    (landing, false)
                }
            }
        };
        let landed = landing.wait().await.clone();
        (landed, joined)
    }
}

struct Seat<T> {
    under_way: Arc<Mutex<HashMap<Arc<str>, SharedResult<T>>>>,
    key: Arc<str>,
}

impl<T> Drop for Seat<T> {
    fn drop(&mut self) {
        lock(&self.under_way).remove(&self.key);
    }
}

/// Calls that may share a result only if it began after all of them had come: one runs, one waits for it.
pub(crate) struct Turns<T> {
    pages: Arc<Mutex<HashMap<Arc<str>, Turn<T>>>>,
}

struct Turn<T> {
    /// Held while a call runs.
    running: Arc<tokio::sync::Mutex<()>>,
    /// The call that has not begun, and the greatest number of those who wait for it.
    next: Option<(SharedResult<T>, u64)>,
    /// Calls running or waiting.
    users: usize,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { pages: Arc::default() }
    }
}

impl<T: Clone + Send + Sync + 'static> Turns<T> {
    /// The result of a call that begins after this one came. It is told the greatest `number` of all who share it.
    /// `None` if it panicked.
    pub(crate) async fn take<F>(
        &self,
        tasks: &TaskTracker,
        key: &Arc<str>,
        number: u64,
        start: impl FnOnce(u64) -> F + Send + 'static,
    ) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let landing = {
            let mut pages = lock(&self.pages);
            let turn = pages.entry(key.clone()).or_insert_with(|| Turn {
                running: Arc::default(),
                next: None,
                users: 0,
            });
            match &mut turn.next {
                Some((landing, greatest)) => {
                    *greatest = number.max(*greatest);
                    landing.clone()
                }
                None => {
                    let land = ResultSetter::default();
                    let landing = land.landing();
                    turn.next = Some((landing.clone(), number));
                    turn.users += 1;
                    let leave = Leave { pages: self.pages.clone(), key: key.clone() };
                    let (pages, key, running) = (self.pages.clone(), key.clone(), turn.running.clone());
                    tasks.spawn(async move {
                        let _leave = leave;
                        let _running = running.lock_owned().await;
                        let begun = lock(&pages).get_mut(&key).and_then(|turn| turn.next.take());
                        let call = start(begun.map_or(number, |(_, greatest)| greatest));
                        land.with(call.await);
                    });
                    landing
                }
            }
        };
        landing.wait().await.clone()
    }
}

struct Leave<T> {
    pages: Arc<Mutex<HashMap<Arc<str>, Turn<T>>>>,
    key: Arc<str>,
}

impl<T> Drop for Leave<T> {
    fn drop(&mut self) {
        let mut pages = lock(&self.pages);
        if let Some(turn) = pages.get_mut(&self.key) {
            turn.users -= 1;
            if turn.users == 0 {
                pages.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    struct Calls {
        count: AtomicU32,
        gate: Semaphore,
    }

    impl Calls {
        fn new() -> Arc<Self> {
            Arc::new(Self { count: AtomicU32::new(0), gate: Semaphore::new(0) })
        }

        fn call(self: &Arc<Self>) -> impl Future<Output = u32> + Send + 'static {
            let calls = self.clone();
            async move {
                let n = calls.count.fetch_add(1, Ordering::SeqCst) + 1;
                calls.gate.acquire().await.unwrap().forget();
                n
            }
        }
    }

    #[tokio::test]
    async fn those_who_come_meanwhile_share_one_call() {
        let (flights, tasks, calls, key) =
            (SingleFlight::default(), TaskTracker::new(), Calls::new(), Arc::from("k"));
        let join = || flights.join(&tasks, &key, || calls.call());
        let open = async {
            tokio::task::yield_now().await;
            calls.gate.add_permits(1);
        };
        let (a, b, c, ()) = tokio::join!(join(), join(), join(), open);
        assert_eq!([a.0, b.0, c.0], [Some(1); 3]);
        assert_eq!([a.1, b.1, c.1], [false, true, true]);
        calls.gate.add_permits(1);
        assert_eq!(join().await.0, Some(2), "the next starts anew");
    }

    #[tokio::test]
    async fn a_call_that_panics_lets_go() {
        let (flights, tasks, key) = (SingleFlight::<u32>::default(), TaskTracker::new(), Arc::from("k"));
        let failed = flights.join(&tasks, &key, || async { panic!("on purpose") }).await;
        assert_eq!(failed.0, None);
        assert_eq!(flights.join(&tasks, &key, || async { 5 }).await.0, Some(5));
    }

    #[tokio::test]
    async fn a_turn_is_shared_only_by_those_who_came_before_it_began() {
        let (turns, tasks, calls, key) = (Turns::default(), TaskTracker::new(), Calls::new(), Arc::from("k"));
        let take = |number| {
            let calls = calls.clone();
            turns.take(&tasks, &key, number, move |greatest| async move { (calls.call().await, greatest) })
        };
        let first = async {
            let result = take(1).await;
            assert_eq!(result, Some((1, 1)));
        };
        let others = async {
            while calls.count.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            let open = async { calls.gate.add_permits(2) };
            let (a, b, c, ()) = tokio::join!(take(2), take(4), take(3), open);
            assert_eq!([a, b, c], [Some((2, 4)); 3], "the first began before they came");
        };
        tokio::join!(first, others);
        tasks.close();
        tasks.wait().await;
        assert!(lock(&turns.pages).is_empty(), "nothing is left behind");
    }
}
