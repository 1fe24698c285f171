//! Memory that many connections share: each of them takes little, all of them together no more than this.
//!
//! When it is used up, a newcomer waits for a while, and is turned away then. Meanwhile those who hold a part of it and
//! wait for a client that stands still ask [`Budget::is_wanted`], and give theirs back: whoever sends and reads is
//! served, although others do neither.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::base::clock::Clock;

/// How long a newcomer waits.
const WAIT: Duration = Duration::from_secs(2);

/// The pause between two tries to take a part.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// A client that has done nothing for so long gives its part back if others wait for one.
pub const STANDS_STILL_AFTER: Duration = Duration::from_secs(1);

/// So many bytes for all together.
#[derive(Debug)]
pub struct Budget {
    limit_bytes: u64,
    used_bytes: AtomicU64,
    waiting: AtomicUsize,
}

/// A part of a [`Budget`], until it is dropped.
#[derive(Debug)]
pub struct Part {
    budget: Arc<Budget>,
    bytes: u64,
}

/// Somebody waits for a part, until this is dropped.
#[derive(Debug)]
pub struct Waiting(Arc<Budget>);

impl Budget {
    /// Of so many bytes.
    pub fn new(limit_bytes: u64) -> Arc<Self> {
        Arc::new(Self { limit_bytes, used_bytes: AtomicU64::new(0), waiting: AtomicUsize::new(0) })
    }

    /// Takes a part, if there is so much left. Whoever needs more than there is at all has it alone.
    pub fn try_take(self: &Arc<Self>, bytes: u64) -> Option<Part> {
        let mut part = Part { budget: self.clone(), bytes: 0 };
        part.try_grow(bytes).then_some(part)
    }

    /// Takes a part, and waits for it for two seconds at most. `None` if there is not so much left by then.
    pub async fn take(self: &Arc<Self>, bytes: u64, clock: &dyn Clock) -> Option<Part> {
        let mut part = Part { budget: self.clone(), bytes: 0 };
        part.grow(bytes, clock).await.then_some(part)
    }

    /// Notes that somebody waits for a part, for those who try by themselves.
    pub fn wait(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self.clone())
    }

    /// Whether somebody waits for a part.
    pub fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// How much is taken.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }
}

impl Part {
    /// How much it is.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes it a part of so many bytes, and waits for that for two seconds at most.
    pub async fn grow(&mut self, bytes: u64, clock: &dyn Clock) -> bool {
        if self.try_grow(bytes) {
            return true;
        }
        let _waiting = self.budget.wait();
        // Counted, since a clock may be set back meanwhile. In no order: what is small may fit where others do not.
        for _ in 0..WAIT.as_millis() / TRY_EVERY.as_millis() {
            clock.sleep(TRY_EVERY).await;
            if self.try_grow(bytes) {
                return true;
            }
        }
        false
    }

    /// Makes it a part of so many bytes, if it is smaller and there is so much left.
    pub fn try_grow(&mut self, bytes: u64) -> bool {
        let (limit, most) = (self.budget.limit_bytes, bytes.min(self.budget.limit_bytes));
        let more = most.saturating_sub(self.bytes);
        let taken = self.budget.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            Some(used.saturating_add(more)).filter(|used| *used <= limit)
        });
        self.bytes += if taken.is_ok() { more } else { 0 };
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
    fn all_together_take_no_more_than_there_is() {
        let budget = Budget::new(100);
        let mut first = budget.try_take(60).unwrap();
        let second = budget.try_take(40).unwrap();
        assert!(budget.try_take(1).is_none() && !first.try_grow(61));
        drop(second);
        assert!(first.try_grow(70) && first.try_grow(5), "a part does not get smaller");
        assert_eq!(budget.used_bytes(), 70);
        drop(first);
        let whole = budget.try_take(1_000_000).unwrap();
        assert_eq!(budget.used_bytes(), 100);
        drop(whole);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[tokio::test]
    async fn a_newcomer_waits_for_those_who_stand_still() {
        let budget = Budget::new(10);
        let held = budget.try_take(10).unwrap();
        assert!(!budget.is_wanted());
        let holder = async {
            while !budget.is_wanted() {
                SystemClock.sleep(Duration::from_millis(1)).await;
            }
            drop(held);
        };
        let (part, ()) = tokio::join!(budget.take(10, &SystemClock), holder);
        assert!(part.is_some() && !budget.is_wanted());
        assert!(budget.take(1, &SystemClock).await.is_none(), "it does not wait for ever");
    }
}
