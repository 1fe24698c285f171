//! Bounds the waits for locks that other processes hold.
//!
//! A frozen process, or an attacker, that holds a lock must not block all others. After a wait in vain, further calls
//! fail at once for a second. Then they wait for a moment only, until one of them gets the lock. So a render, which
//! writes several times, waits only once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::base::clock::Millis;

/// The time after a wait in vain for which calls fail at once.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The longest wait after that time, until a call gets the lock.
const MOMENT: Duration = Duration::from_millis(50);

/// The value that means that no call has waited in vain.
const NEVER: u64 = u64::MAX;

pub(super) struct Patience {
    most_ms: AtomicU64,
    in_vain_at: AtomicU64,
}

impl Patience {
    pub(super) fn new(most: Duration) -> Self {
        let patience = Self { most_ms: AtomicU64::new(0), in_vain_at: AtomicU64::new(NEVER) };
        patience.set(most);
        patience
    }

    /// Sets the longest wait of a call.
    pub(super) fn set(&self, most: Duration) {
        self.most_ms.store(u64::try_from(most.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The longest wait of a call that begins now; `None` if the call must fail at once.
    pub(super) fn left(&self, now: Millis) -> Option<Duration> {
        let most = Duration::from_millis(self.most_ms.load(Ordering::Relaxed));
        let in_vain_at = self.in_vain_at.load(Ordering::Relaxed);
        if in_vain_at == NEVER {
            return Some(most);
        }
        // If the clock was set back, the time counts as over.
        let is_past = now.0 < in_vain_at || now.since(Millis(in_vain_at)) >= TRY_AGAIN_AFTER;
        is_past.then_some(most.min(MOMENT))
    }

    /// Notes that a call has waited in vain.
    pub(super) fn note_in_vain(&self, now: Millis) {
        self.in_vain_at.store(now.0, Ordering::Relaxed);
    }

    /// Notes that a call has got the lock.
    pub(super) fn note_got(&self) {
        // Mostly the value is set already: then nothing is written to memory that other threads read.
        if self.in_vain_at.load(Ordering::Relaxed) != NEVER {
            self.in_vain_at.store(NEVER, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_in_vain_spares_the_others_the_wait() {
        let most = Duration::from_secs(2);
        let (patience, now) = (Patience::new(most), Millis(5_000));
        assert_eq!(patience.left(now), Some(most));
        patience.note_in_vain(now);
        assert_eq!(patience.left(now.plus(Duration::from_millis(999))), None);
        let later = now.plus(TRY_AGAIN_AFTER);
        assert_eq!(patience.left(later), Some(MOMENT));
        patience.note_in_vain(later);
        assert_eq!(patience.left(later), None);
        assert_eq!(patience.left(Millis(0)), Some(MOMENT), "the clock was set back");
        patience.note_got();
        assert_eq!(patience.left(later), Some(most));
    }
}
