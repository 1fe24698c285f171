//! The decision whether a page is fresh, stale or missing at an instant. Pure.

use std::time::Duration;

use crate::base::clock::Millis;
use crate::record::page_record::{Epoch, Record, Stored};

/// The state of a page at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is nothing to serve.
    Missing,
    /// The page may be served as it is.
    Fresh {
        /// The end of the page's freshness; none: the page is fresh until it is invalidated.
        until: Option<Millis>,
    },
    /// The page may be served, and needs a render.
    Stale {
        /// Why the page is stale.
        why: Why,
        /// The time since the page's freshness ended by age; zero if the page is stale for another reason alone.
        since: Duration,
    },
}

/// Why a page is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The page's period or its `expires_at` has passed.
    Old,
    /// One of the page's tags was invalidated after its render began.
    Invalidated,
    /// The render's start lies in the future of this process's clock, so that the page's age is unknown.
    FromTheFuture,
    /// The store could not read the epochs of all tags, so that nobody knows whether the page was invalidated.
    Unchecked,
}

/// The end of a record's freshness: `started_at + period`, or `expires_at` if that is earlier.
pub fn fresh_until(record: &Record) -> Option<Millis> {
    let end_of_period = record.period_s.map(|s| record.started_at.plus(Duration::from_secs(s.into())));
    // An instant before the render's start would make every visit render: it counts as a period of 1 s.
    let expires_at = record.expires_at.map(|at| match at > record.started_at {
        true => at,
        false => record.started_at.plus(Duration::from_secs(1)),
    });
    match (end_of_period, expires_at) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The newest epochs of a set of tags (a page's own and its implicit ones), over all builds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    /// The newest epoch of an invalidation or deletion: a page rendered before is not fresh.
    pub newest: Epoch,
    /// The newest epoch of a deletion: a page rendered before may not be served.
    pub gone: Epoch,
    /// Whether some tags could not be read. Both epochs are then lower bounds.
    pub partial: bool,
}

impl Epochs {
    /// The epochs of tags of which none could be read.
    pub const UNKNOWN: Self = Self { newest: 0, gone: 0, partial: true };

    /// The epochs of the union of two sets of tags.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            newest: self.newest.max(other.newest),
            gone: self.gone.max(other.gone),
            partial: self.partial || other.partial,
        }
    }

    /// The epochs of the same tags, raised to epochs that were read earlier: an epoch never decreases. `partial` stays.
    #[must_use]
    pub fn at_least(self, earlier: Self) -> Self {
        Self { partial: self.partial, ..self.max(earlier) }
    }
}

/// The epochs of tags that were invalidated at this epoch and never deleted.
impl From<Epoch> for Epochs {
    fn from(newest: Epoch) -> Self {
        Self { newest, ..Self::default() }
    }
}

/// Whether this record may be served: not if it is a tombstone, nor if one of its tags was deleted after its render
/// began, in any build.
pub fn is_shown(record: &Record, epochs: Epochs) -> bool {
    record.stored != Stored::Deleted && epochs.gone <= record.epoch
}

/// The state at `now` of a page with this record, whose tags have these epochs. With `missing_when_expired`, the
/// route's option, a page whose `expires_at` has passed is missing instead of stale.
///
/// A page whose render started in the future is stale: a clock that is ahead must not prolong its period (invariant 7).
/// A page is also stale if some of its tags could not be read, because it may have been invalidated (invariant 2). A
/// page that is known to be deleted is missing even then.
pub fn state(record: &Record, epochs: impl Into<Epochs>, now: Millis, missing_when_expired: bool) -> State {
    let epochs = epochs.into();
    if !is_shown(record, epochs) {
        return State::Missing;
    }
    if missing_when_expired && record.expires_at.is_some_and(|at| now >= at) {
        return State::Missing;
    }
    let until = fresh_until(record);
    let since = until.map_or(Duration::ZERO, |until| now.since(until));
    if epochs.newest > record.epoch {
        State::Stale { why: Why::Invalidated, since }
    } else if record.started_at > now && record.period_s.is_some() {
        State::Stale { why: Why::FromTheFuture, since }
    } else if until.is_some_and(|until| now >= until) {
        State::Stale { why: Why::Old, since }
    } else if epochs.partial {
        State::Stale { why: Why::Unchecked, since }
    } else {
        State::Fresh { until }
    }
}

/// How far the start of a lease or back-off, written by another process, may lie ahead of this process's clock. Beyond
/// that, one of the clocks was wrong, and the lease or back-off counts as over, so that no page stays blocked.
///
/// This is longer than any store call takes: a delayed call may meet leases granted after the call had read its clock.
pub(crate) const CLOCK_SKEW_MAX: Duration = Duration::from_secs(10);

/// Whether a lease or back-off from `from` to `until` is in force at `now`.
pub fn holds(from: Millis, until: Millis, now: Millis) -> bool {
    now < until && from <= now.plus(CLOCK_SKEW_MAX)
}

/// The pause before the next render of a page after `count` failures in a row: 1 s, doubled per failure, plus 35 to 50
/// % jitter, at most 30 s. The jitter depends on `seed`, so that pages which failed together are not retried together.
/// An upstream's `Retry-After` replaces the pause, from 1 s to 1 h: with 0 s, every visit would render.
pub fn back_off(count: u32, retry_after: Option<Duration>, seed: u64) -> Duration {
    const PAUSE_MS_MIN: u64 = 1_000;
    const PAUSE_MS_MAX: u64 = 30_000;
    const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
    if let Some(retry_after) = retry_after {
        return retry_after.clamp(Duration::from_millis(PAUSE_MS_MIN), RETRY_AFTER_MAX);
    }
    let doubled_ms = PAUSE_MS_MIN << count.saturating_sub(1).min(5);
    // The finaliser of SplitMix64: neighbouring seeds give unrelated jitter.
    let mut bits = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let permille = 1350 + (bits ^ (bits >> 31)) % 151;
    Duration::from_millis((doubled_ms * permille / 1000).min(PAUSE_MS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::page_record::tests::record;

    fn at(ms: u64) -> State {
        state(&record(), 3, Millis(1_000_000 + ms), false)
    }

    #[test]
    fn freshness_runs_from_the_start_of_the_render() {
        assert_eq!(at(0), State::Fresh { until: Some(Millis(1_060_000)) });
        assert_eq!(at(59_999), State::Fresh { until: Some(Millis(1_060_000)) });
        assert_eq!(at(60_000), State::Stale { why: Why::Old, since: Duration::ZERO });
        assert_eq!(at(61_500), State::Stale { why: Why::Old, since: Duration::from_millis(1500) });
    }

    #[test]
    fn a_page_without_period_is_fresh_until_invalidated() {
        let without_period = Record { period_s: None, ..record() };
        assert_eq!(state(&without_period, 3, Millis(u64::MAX), false), State::Fresh { until: None });
        let invalidated = state(&without_period, 4, Millis(0), false);
        assert!(matches!(invalidated, State::Stale { why: Why::Invalidated, .. }));
    }

    #[test]
    fn expires_at_ends_freshness_early_and_may_make_a_page_missing() {
        let record = Record { expires_at: Some(Millis(1_010_000)), ..record() };
        assert_eq!(fresh_until(&record), Some(Millis(1_010_000)));
        assert!(matches!(state(&record, 3, Millis(1_010_000), false), State::Stale { .. }));
        assert_eq!(state(&record, 3, Millis(1_010_000), true), State::Missing);
        let without_period = Record { period_s: None, ..record };
        assert!(matches!(state(&without_period, 3, Millis(1_010_000), false), State::Stale { .. }));
    }

    #[test]
    fn an_expires_at_before_the_render_counts_as_one_second() {
        for expires_at in [Millis(0), Millis(1_000_000)] {
            let record = Record { expires_at: Some(expires_at), ..record() };
            assert_eq!(fresh_until(&record), Some(Millis(1_001_000)));
            let without_period = Record { period_s: None, ..record };
            assert_eq!(fresh_until(&without_period), Some(Millis(1_001_000)));
        }
    }

    #[test]
    fn a_page_from_the_future_is_stale_at_once() {
        assert!(matches!(
            state(&record(), 3, Millis(999_999), false),
            State::Stale { why: Why::FromTheFuture, .. }
        ));
    }

    #[test]
    fn unread_tags_make_a_page_stale_and_a_known_deletion_makes_it_missing() {
        let state_with = |epochs| state(&record(), epochs, Millis(1_000_001), false);
        let unchecked = State::Stale { why: Why::Unchecked, since: Duration::ZERO };
        assert_eq!(state_with(Epochs::UNKNOWN), unchecked);
        let partial = |newest, gone| Epochs { newest, gone, partial: true };
        assert!(matches!(state_with(partial(4, 0)), State::Stale { why: Why::Invalidated, .. }));
        assert_eq!(state_with(partial(4, 4)), State::Missing);
        assert_eq!(state_with(Epochs::UNKNOWN.at_least(partial(4, 4))), State::Missing);
        assert!(matches!(state_with(Epochs::default().at_least(partial(3, 0))), State::Fresh { .. }));
        let old = state(&record(), Epochs::UNKNOWN, Millis(9_000_000), false);
        assert!(matches!(old, State::Stale { why: Why::Old, .. }), "an old page needs a render: {old:?}");
    }

    #[test]
    fn a_deleted_page_is_missing() {
        let record = Record { stored: Stored::Deleted, ..record() };
        assert_eq!(state(&record, 0, Millis(1_000_000), false), State::Missing);
    }

    #[test]
    fn back_off_doubles_to_thirty_seconds() {
        for seed in 0..1000 {
            let first = back_off(1, None, seed);
            let second = back_off(2, None, seed);
            assert!(
                first >= Duration::from_millis(1350) && first <= Duration::from_millis(1500),
                "{first:?}"
            );
            assert!(second >= Duration::from_millis(2700) && second <= Duration::from_secs(3), "{second:?}");
            assert_eq!(back_off(9, None, seed), Duration::from_secs(30));
            assert_eq!(back_off(u32::MAX, None, seed), Duration::from_secs(30));
        }
        assert_ne!(back_off(1, None, 1), back_off(1, None, 2));
        assert_eq!(back_off(1, Some(Duration::from_secs(7)), 0), Duration::from_secs(7));
        assert_eq!(back_off(1, Some(Duration::MAX), 0), Duration::from_secs(3600));
    }

    #[test]
    fn a_lease_from_far_in_the_future_is_over() {
        assert!(holds(Millis(1_000), Millis(11_000), Millis(10_999)));
        assert!(!holds(Millis(1_000), Millis(11_000), Millis(11_000)));
        assert!(holds(Millis(19_000), Millis(29_000), Millis(10_000)));
        assert!(!holds(Millis(21_000), Millis(31_000), Millis(10_000)));
    }
}
