//! A budget of retries, so that an overloaded store does not get many more calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The number of attempts of a call. A frozen function finds its connections closed: the second attempt is for that, the third
/// for real trouble.
pub(crate) const ATTEMPTS: u32 = 3;

/// The number of calls without a repetition that earn one retry.
const CALLS_A_RETRY: u32 = 10;

/// The retries that one process may still make of one store's calls: a few at once, and then one for each ten calls that
/// needed no retry. Without this budget a store that refuses calls would get several times as many, and would not recover.
#[derive(Clone, Debug)]
pub(crate) struct Retries {
    /// The retries that are left, in tenths.
    left: Arc<AtomicU32>,
    most: u32,
}

impl Retries {
    /// A budget of at most this many retries.
    pub(crate) fn new(most: u32) -> Self {
        let most = most.saturating_mul(CALLS_A_RETRY);
        Self { left: Arc::new(AtomicU32::new(most)), most }
    }

    /// Notes a call that needed no retry.
    pub(crate) fn earn(&self) {
        // A full budget is not written, so that other threads' caches keep it.
        if self.left.load(Ordering::Relaxed) < self.most {
            let more = |left: u32| (left < self.most).then_some(left + 1);
            let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        }
    }

    /// Takes a retry from the budget. `false` if it is empty.
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
