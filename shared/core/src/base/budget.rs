//! A bound on the memory that many connections use together.
//!
//! When the budget is used up, a new connection waits for two seconds at most. If its bytes do not become free, it is
//! refused. While one waits, connections whose client is idle see [`Budget::is_wanted`] and release their part: idle
//! clients cannot starve active ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::base::clock::Clock;

/// How long [`Budget::take`] and [`Part::grow`] wait for free bytes.
const WAIT: Duration = Duration::from_secs(2);

/// The pause between two attempts to take bytes.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// A client that was idle for this long loses its part if another connection waits for one.
pub const STANDS_STILL_AFTER: Duration = Duration::from_secs(1);

/// A number of bytes that all holders of a [`Part`] share.
#[derive(Debug)]
pub struct Budget {
    limit_bytes: u64,
    used_bytes: AtomicU64,
    waiting: AtomicUsize,
}

/// Bytes taken from a [`Budget`]; dropping the part returns them.
#[derive(Debug)]
pub struct Part {
    budget: Arc<Budget>,
    bytes: u64,
}

/// Marks that a connection waits for a part, until this is dropped.
#[derive(Debug)]
pub struct Waiting(Arc<Budget>);

impl Budget {
    /// A budget of `limit_bytes`, none of them taken.
    pub fn new(limit_bytes: u64) -> Arc<Self> {
        Arc::new(Self { limit_bytes, used_bytes: AtomicU64::new(0), waiting: AtomicUsize::new(0) })
    }

    /// Takes a part if that many bytes are free. A part larger than the whole budget counts as the whole budget.
    pub fn try_take(self: &Arc<Self>, bytes: u64) -> Option<Part> {
        let mut part = Part { budget: self.clone(), bytes: 0 };
        part.try_grow(bytes).then_some(part)
    }

    /// Takes a part, waiting for two seconds at most. `None` if the bytes did not become free.
    pub async fn take(self: &Arc<Self>, bytes: u64, clock: &dyn Clock) -> Option<Part> {
        let mut part = Part { budget: self.clone(), bytes: 0 };
        part.grow(bytes, clock).await.then_some(part)
    }

    /// Marks that a connection waits for a part: for callers of [`Budget::try_take`] that retry by themselves.
    pub fn wait(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self.clone())
    }

    /// Whether a connection waits for a part.
    pub fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Bytes that are taken.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }
}

impl Part {
    /// Bytes of this part.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Grows the part to `bytes`, waiting for two seconds at most. False if the bytes did not become free.
    pub async fn grow(&mut self, bytes: u64, clock: &dyn Clock) -> bool {
        if self.try_grow(bytes) {
            return true;
        }
        let _waiting = self.budget.wait();
        // Counts attempts, because the clock may be set back meanwhile. Without a queue: a small part may fit where an
        // earlier, larger one does not.
        for _ in 0..WAIT.as_millis() / TRY_EVERY.as_millis() {
            clock.sleep(TRY_EVERY).await;
            if self.try_grow(bytes) {
                return true;
            }
        }
        false
    }

    /// Grows the part to `bytes` if enough are free. A part never shrinks.
    pub fn try_grow(&mut self, bytes: u64) -> bool {
        let limit_bytes = self.budget.limit_bytes;
        let added_bytes = bytes.min(limit_bytes).saturating_sub(self.bytes);
        let taken = self.budget.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used_bytes| {
            Some(used_bytes.saturating_add(added_bytes)).filter(|used_bytes| *used_bytes <= limit_bytes)
        });
        self.bytes += if taken.is_ok() { added_bytes } else { 0 };
        taken.is_ok()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.budget.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SystemClock;

    #[test]
    fn all_parts_together_stay_within_the_budget() {
        let budget = Budget::new(100);
        let mut large = budget.try_take(60).unwrap();
        let small = budget.try_take(40).unwrap();
        assert!(budget.try_take(1).is_none() && !large.try_grow(61));
        drop(small);
        assert!(large.try_grow(70) && large.try_grow(5), "a part does not shrink");
        assert_eq!(budget.used_bytes(), 70);
        drop(large);
        let whole = budget.try_take(1_000_000).unwrap();
        assert_eq!(budget.used_bytes(), 100);
        drop(whole);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[tokio::test]
    async fn a_new_connection_waits_until_an_idle_one_releases_its_part() {
        let budget = Budget::new(10);
        let idle = budget.try_take(10).unwrap();
        assert!(!budget.is_wanted());
        let holder = async {
            while !budget.is_wanted() {
                SystemClock.sleep(Duration::from_millis(1)).await;
            }
            drop(idle);
        };
        let (part, ()) = tokio::join!(budget.take(10, &SystemClock), holder);
        assert!(part.is_some() && !budget.is_wanted());
        assert!(budget.take(1, &SystemClock).await.is_none(), "the wait is bounded");
    }
}
