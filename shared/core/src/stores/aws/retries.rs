//! How often calls are repeated: not so often that what has too many calls gets many more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A function that was frozen finds its connections closed: the second attempt is for that, the third for real trouble.
pub(crate) const ATTEMPTS: u32 = 3;

/// A call that needed no repetition earns this part of one.
const CALLS_A_RETRY: u32 = 10;

/// Retries that one process may still make of one store's calls: a few at once, and then one for ten calls that needed
/// none. Without it, a store that refuses calls would get several times as many, and would never recover.
#[derive(Clone, Debug)]
pub(crate) struct Retries {
    /// In tenths.
    left: Arc<AtomicU32>,
    most: u32,
}

impl Retries {
    /// As many at once, at most.
    pub(crate) fn new(most: u32) -> Self {
        let most = most.saturating_mul(CALLS_A_RETRY);
        Self { left: Arc::new(AtomicU32::new(most)), most }
    }

    /// A call needed no repetition.
    pub(crate) fn earn(&self) {
        // Mostly there is nothing to earn, and nothing to write to what other threads read.
        if self.left.load(Ordering::Relaxed) < self.most {
            let more = |left: u32| (left < self.most).then_some(left + 1);
            let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        }
    }

    /// Takes one, if there is one.
    pub(crate) fn spend(&self) -> bool {
        let less = |left: u32| left.checked_sub(CALLS_A_RETRY);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_a_few_and_then_one_for_ten_calls() {
        let retries = Retries::new(2);
        assert_eq!([retries.spend(), retries.spend(), retries.spend()], [true, true, false]);
        (0..9).for_each(|_| retries.earn());
        assert!(!retries.spend());
        retries.earn();
        assert_eq!([retries.spend(), retries.spend()], [true, false]);
        (0..100).for_each(|_| retries.earn());
        assert_eq!([retries.spend(), retries.spend(), retries.spend()], [true, true, false]);
        assert!(!Retries::new(0).spend(), "none at all");
    }
}
