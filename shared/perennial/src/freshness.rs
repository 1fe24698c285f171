//! Fresh, stale or missing at an instant. Pure: this is where a stale answer is decided.

use std::time::Duration;

use crate::base::clock::Millis;
use crate::record::page_record::{Epoch, Record, Stored};

/// State of a page at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing to show.
    Missing,
    /// To be shown, and renewed only when it is stale.
    Fresh {
        /// Until when, unless it is invalidated; none: until it is.
        until: Option<Millis>,
    },
    /// To be shown, and renewed.
    Stale {
        /// Why.
        why: Why,
        /// How long it has been stale, as far as the page itself can tell.
        since: Duration,
    },
}

/// Why a page is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its period has passed, or the instant it named.
    Old,
    /// One of its tags was invalidated after its render began.
    Invalidated,
    /// It was stamped by a clock that is ahead of this one, so its age cannot be told.
    FromTheFuture,
    /// The store did not say what was done to its tags, so nobody can tell whether it was invalidated.
    Unchecked,
}

/// The end of a record's freshness: `started_at + period`, or `expires_at` if that is earlier.
pub fn fresh_until(record: &Record) -> Option<Millis> {
    let end_of_period = record.period_s.map(|s| record.started_at.plus(Duration::from_secs(s.into())));
    // An instant that had passed when the render began would have every visit render: it counts as a period of 1 s.
    let expires_at = record.expires_at.map(|at| match at > record.started_at {
        true => at,
        false => record.started_at.plus(Duration::from_secs(1)),
    });
    match (end_of_period, expires_at) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// What was done to a page's tags (implicit ones included), in any build: the newest epoch of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    /// Of invalidations and deletions: what was rendered before is not fresh.
    pub newest: Epoch,
    /// Of deletions: what was rendered before is not shown any more.
    pub gone: Epoch,
    /// Whether some of the tags could not be read: then both numbers are the least that they can be.
    pub partial: bool,
}

impl Epochs {
    /// None of the tags could be read.
    pub const UNKNOWN: Self = Self { newest: 0, gone: 0, partial: true };

    /// Of the tags of both: the newer ones.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            newest: self.newest.max(other.newest),
            gone: self.gone.max(other.gone),
            partial: self.partial || other.partial,
        }
    }

    /// Of the same tags, when they are known to have had these epochs at least.
    #[must_use]
    pub fn at_least(self, known: Self) -> Self {
        Self { partial: self.partial, ..self.max(known) }
    }
}

/// Nothing was deleted.
impl From<Epoch> for Epochs {
    fn from(newest: Epoch) -> Self {
        Self { newest, ..Self::default() }
    }
}

/// Whether there is something to show in this record: of what was deleted since, there is not, whichever build has
/// rendered it.
pub fn is_shown(record: &Record, epochs: Epochs) -> bool {
    record.stored != Stored::Deleted && epochs.gone <= record.epoch
}

/// State of the page that `record` describes, when its tags have these epochs. `missing_when_expired` is the route's
/// option for pages whose `expires_at` has passed.
///
/// A page from the future is stale at once: its period would otherwise end later than that long after anyone
/// first saw it (invariant 7 under clock steps). So is one whose tags could not all be read: it may have been
/// invalidated (invariant 2). What is known to be deleted is missing all the same.
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

/// A promise about the future (a lease, a back-off) made by another clock is believed this far ahead of ours.
/// Beyond that one of the clocks has stepped, and the promise counts as over, so that no page stays stuck.
///
/// Longer than any call of a store is under way: one that was delayed meets promises made since it read its own clock.
pub(crate) const CLOCK_SKEW_MAX: Duration = Duration::from_secs(10);

/// Whether something that was to hold from `from` to `until` holds now.
pub fn holds(from: Millis, until: Millis, now: Millis) -> bool {
    now < until && from <= now.plus(CLOCK_SKEW_MAX)
}

/// When to try a page again whose `count`-th render in a row has failed: 1 s doubling to 30 s. Jitter lengthens
/// it by 35 to 50 %, from `seed` so that pages that failed together do not come back together; the result is at
/// most 30 s. A `Retry-After` wins, from a second to an hour: one of 0 would have every visit render.
pub fn back_off(count: u32, retry_after: Option<Duration>, seed: u64) -> Duration {
    const FIRST_MS: u64 = 1_000;
    const LONGEST_MS: u64 = 30_000;
    const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
    if let Some(asked) = retry_after {
        return asked.clamp(Duration::from_millis(FIRST_MS), RETRY_AFTER_MAX);
    }
    let doubled = FIRST_MS << count.saturating_sub(1).min(5);
    // Splitmix64's finaliser: neighbouring seeds give unrelated jitter.
    let mut bits = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let permille = 1350 + (bits ^ (bits >> 31)) % 151;
    Duration::from_millis((doubled * permille / 1000).min(LONGEST_MS))
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
    fn no_period_is_fresh_until_invalidated() {
        let never = Record { period_s: None, ..record() };
        assert_eq!(state(&never, 3, Millis(u64::MAX), false), State::Fresh { until: None });
        assert!(matches!(state(&never, 4, Millis(0), false), State::Stale { why: Why::Invalidated, .. }));
    }

    #[test]
    fn an_instant_ends_it_early_and_may_make_it_missing() {
        let record = Record { expires_at: Some(Millis(1_010_000)), ..record() };
        assert_eq!(fresh_until(&record), Some(Millis(1_010_000)));
        assert!(matches!(state(&record, 3, Millis(1_010_000), false), State::Stale { .. }));
        assert_eq!(state(&record, 3, Millis(1_010_000), true), State::Missing);
        let never = Record { period_s: None, ..record };
        assert!(matches!(state(&never, 3, Millis(1_010_000), false), State::Stale { .. }));
    }

    #[test]
    fn an_instant_that_had_passed_is_a_second() {
        for expires_at in [Millis(0), Millis(1_000_000)] {
            let record = Record { expires_at: Some(expires_at), ..record() };
            assert_eq!(fresh_until(&record), Some(Millis(1_001_000)));
            let never = Record { period_s: None, ..record };
            assert_eq!(fresh_until(&never), Some(Millis(1_001_000)));
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
    fn a_page_whose_tags_could_not_be_read_is_stale_and_one_that_is_known_to_be_deleted_is_missing() {
        let judged = |epochs| state(&record(), epochs, Millis(1_000_001), false);
        let unchecked = State::Stale { why: Why::Unchecked, since: Duration::ZERO };
        assert_eq!(judged(Epochs::UNKNOWN), unchecked);
        let known = |newest, gone| Epochs { newest, gone, partial: true };
        assert!(matches!(judged(known(4, 0)), State::Stale { why: Why::Invalidated, .. }));
        assert_eq!(judged(known(4, 4)), State::Missing);
        assert_eq!(judged(Epochs::UNKNOWN.at_least(known(4, 4))), State::Missing);
        assert!(matches!(judged(Epochs::default().at_least(known(3, 0))), State::Fresh { .. }));
        let old = state(&record(), Epochs::UNKNOWN, Millis(9_000_000), false);
        assert!(matches!(old, State::Stale { why: Why::Old, .. }), "it is to be renewed: {old:?}");
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
    fn a_promise_of_a_clock_far_ahead_is_over() {
        assert!(holds(Millis(1_000), Millis(11_000), Millis(10_999)));
        assert!(!holds(Millis(1_000), Millis(11_000), Millis(11_000)));
        assert!(holds(Millis(19_000), Millis(29_000), Millis(10_000)));
        assert!(!holds(Millis(21_000), Millis(31_000), Millis(10_000)));
    }
}
