//! Single flight: concurrent calls with one key share one execution and its result.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::SetOnce;
use tokio_util::task::TaskTracker;

/// The future result of a call; `None` if the call panicked. Waiting callers wake in the order of their arrival.
pub(crate) type SharedResult<T> = Arc<SetOnce<Option<T>>>;

/// Sets a [`SharedResult`]: to the call's result, or to `None` if it is dropped because the call panicked.
pub(crate) struct ResultSetter<T>(SharedResult<T>);

impl<T> Default for ResultSetter<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> ResultSetter<T> {
    pub(crate) fn result(&self) -> SharedResult<T> {
        self.0.clone()
    }

    pub(crate) fn with(self, result: T) {
        // Setting cannot fail: only this setter sets the result, and `drop` runs afterwards.
        let _ = self.0.set(Some(result));
    }
}

impl<T> Drop for ResultSetter<T> {
    fn drop(&mut self) {
        let _ = self.0.set(None);
    }
}

/// Running calls, by key. A call runs in a task of its own, so that no waiting caller can cancel it.
pub(crate) struct SingleFlight<T> {
    running: Arc<Mutex<HashMap<Arc<str>, SharedResult<T>>>>,
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self { running: Arc::default() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    /// Waits for the running call with this key; without one, starts a call. Returns the result (`None` if the call
    /// panicked), and whether a running call was joined.
    pub(crate) async fn join<F>(
        &self,
        tasks: &TaskTracker,
        key: &Arc<str>,
        start: impl FnOnce() -> F,
    ) -> (Option<T>, bool)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (result, joined) = {
            let mut running = lock(&self.running);
            match running.get(key) {
                Some(result) => (result.clone(), true),
                None => {
                    let setter = ResultSetter::default();
                    let result = setter.result();
                    running.insert(key.clone(), result.clone());
                    let registration = Registration { running: self.running.clone(), key: key.clone() };
                    let call = start();
                    tasks.spawn(async move {
                        let result = call.await;
                        // A caller from here on starts a new call, and reads what this one has stored.
                        drop(registration);
                        setter.with(result);
                    });
                    (result, false)
                }
            }
        };
        let result = result.wait().await.clone();
        (result, joined)
    }
}

/// The entry of a running call, which is removed on drop: also if the call panics.
struct Registration<T> {
    running: Arc<Mutex<HashMap<Arc<str>, SharedResult<T>>>>,
    key: Arc<str>,
}

impl<T> Drop for Registration<T> {
    fn drop(&mut self) {
        lock(&self.running).remove(&self.key);
    }
}

/// Calls that may share an execution only if it began after all of them had arrived. Per key, one call runs and at most
/// one more waits to run.
pub(crate) struct Turns<T> {
    turns: Arc<Mutex<HashMap<Arc<str>, Turn<T>>>>,
}

struct Turn<T> {
    /// Locked while a call runs.
    running: Arc<tokio::sync::Mutex<()>>,
    /// The result of the call that waits to run, and the greatest number of its callers.
    next: Option<(SharedResult<T>, u64)>,
    /// Calls that run or wait to run.
    users: usize,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { turns: Arc::default() }
    }
}

impl<T: Clone + Send + Sync + 'static> Turns<T> {
    /// The result of an execution that begins after this call; `None` if it panicked. `start` gets the greatest
    /// `number` of all calls that share the execution.
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
        let result = {
            let mut turns = lock(&self.turns);
            let turn = turns.entry(key.clone()).or_insert_with(|| Turn {
                running: Arc::default(),
                next: None,
                users: 0,
            });
            match &mut turn.next {
                Some((result, greatest)) => {
                    *greatest = number.max(*greatest);
                    result.clone()
                }
                None => {
                    let setter = ResultSetter::default();
                    let result = setter.result();
                    turn.next = Some((result.clone(), number));
                    turn.users += 1;
                    let user = TurnUser { turns: self.turns.clone(), key: key.clone() };
                    let (turns, key, running) = (self.turns.clone(), key.clone(), turn.running.clone());
                    tasks.spawn(async move {
                        let _user = user;
                        let _running = running.lock_owned().await;
                        let started = lock(&turns).get_mut(&key).and_then(|turn| turn.next.take());
                        let call = start(started.map_or(number, |(_, greatest)| greatest));
                        setter.with(call.await);
                    });
                    result
                }
            }
        };
        result.wait().await.clone()
    }
}

/// Counts one call in [`Turn::users`] until it is dropped. The last one removes the key.
struct TurnUser<T> {
    turns: Arc<Mutex<HashMap<Arc<str>, Turn<T>>>>,
    key: Arc<str>,
}

impl<T> Drop for TurnUser<T> {
    fn drop(&mut self) {
        let mut turns = lock(&self.turns);
        if let Some(turn) = turns.get_mut(&self.key) {
            turn.users -= 1;
            if turn.users == 0 {
                turns.remove(&self.key);
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
    async fn concurrent_calls_share_one_execution() {
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
        assert_eq!(join().await.0, Some(2), "a later call starts a new execution");
    }

    #[tokio::test]
    async fn after_a_panic_the_next_call_starts_a_new_execution() {
        let (flights, tasks, key) = (SingleFlight::<u32>::default(), TaskTracker::new(), Arc::from("k"));
        let failed = flights.join(&tasks, &key, || async { panic!("on purpose") }).await;
        assert_eq!(failed.0, None);
        assert_eq!(flights.join(&tasks, &key, || async { 5 }).await.0, Some(5));
    }

    #[tokio::test]
    async fn calls_share_only_an_execution_that_began_after_them() {
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
            assert_eq!([a, b, c], [Some((2, 4)); 3], "the first execution began before these calls");
        };
        tokio::join!(first, others);
        tasks.close();
        tasks.wait().await;
        assert!(lock(&turns.turns).is_empty(), "no key is left behind");
    }
}
