//! Log lines that strangers can cause. No secret is needed for a wrong secret, a made-up path or a connection: without a
//! limit anybody could write megabytes of log a second.
//!
//! Each kind of line may be written a few times at once, and then once a second. The next line that is written says how
//! many were left out, and the metrics count all.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::clock::Millis;

/// A kind of line that strangers can cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// A call without a right secret.
    RefusedCall,
    /// A delivery whose signature is incomplete, or there more than once.
    BadSignature,
    /// A delivery that was signed at another time.
    UntimelySignature,
    /// A delivery whose signature is wrong.
    WrongSignature,
    /// Publishers or editors cannot be told from strangers, because the secrets cannot be read.
    NoSecrets,
    /// A connection was not accepted.
    NotAccepted,
    /// A budget of memory or of connections is used up.
    UsedUp,
    /// The store did not do what a visitor's request needed.
    StoreFails,
    /// A stored body is damaged or cannot be read.
    BadBody,
    /// A page was rendered for a visitor and cannot be stored.
    NotStored,
    /// A page was rendered because a visitor asked for it first.
    FirstRender,
    /// The same, and the render failed.
    FailedFirstRender,
    /// A page panicked.
    Panic,
}

/// Every kind, its name in the metrics, and how many lines of it may come at once.
const LINES: [(Line, &str, u64); 13] = [
    (Line::RefusedCall, "refused_call", 1),
    (Line::BadSignature, "bad_signature", 1),
    (Line::UntimelySignature, "untimely_signature", 1),
    (Line::WrongSignature, "wrong_signature", 1),
    (Line::NoSecrets, "no_secrets", 1),
    (Line::NotAccepted, "not_accepted", 1),
    (Line::UsedUp, "used_up", 1),
    (Line::StoreFails, "store_fails", 1),
    // What is about one page tells more: as many as an operator reads.
    (Line::BadBody, "bad_body", 20),
    (Line::NotStored, "not_stored", 20),
    (Line::FirstRender, "first_render", 100),
    (Line::FailedFirstRender, "failed_first_render", 100),
    (Line::Panic, "panic", 100),
];

/// After its first lines, a kind is written once in so many milliseconds.
const EVERY_MS: u64 = 1_000;

/// The lines of one process.
#[derive(Debug)]
pub struct LogLimits([Kind; LINES.len()]);

#[derive(Debug)]
struct Kind {
    all: AtomicU64,
    left_out: AtomicU64,
    left_out_since: AtomicU64,
    /// When as many may come at once as at the start, if none comes until then.
    rested_at: AtomicU64,
}

static OF_THIS_PROCESS: LogLimits = LogLimits::new();

impl LogLimits {
    const fn new() -> Self {
        Self([const { Kind::new() }; LINES.len()])
    }

    /// Those of this process: all that is logged shares them.
    pub fn of_this_process() -> &'static Self {
        &OF_THIS_PROCESS
    }

    /// Has a line written, unless there were enough of its kind just now. `write` is told how many of its kind were left
    /// out since the one before.
    pub fn write(&self, line: Line, now: Millis, write: impl FnOnce(Option<u64>)) {
        let kind = &self.0[line as usize];
        kind.all.fetch_add(1, Ordering::Relaxed);
        let at_once = LINES[line as usize].2;
        if kind.may_write(now, at_once) {
            let left_out = kind.left_out_since.swap(0, Ordering::Relaxed);
            write((left_out > 0).then_some(left_out));
        } else {
            kind.left_out.fetch_add(1, Ordering::Relaxed);
            kind.left_out_since.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// For each kind: its name, how many lines there were, and how many of them were left out.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        LINES.iter().zip(&self.0).map(|((_, name, _), kind)| {
            (*name, kind.all.load(Ordering::Relaxed), kind.left_out.load(Ordering::Relaxed))
        })
    }
}

impl Kind {
    const fn new() -> Self {
        Self {
            all: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            left_out_since: AtomicU64::new(0),
            rested_at: AtomicU64::new(0),
        }
    }

    fn may_write(&self, now: Millis, at_once: u64) -> bool {
        let longest = at_once * EVERY_MS;
        let taken = self.rested_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |rested_at| {
            // Further ahead than it can be: the clock was set back.
            let is_past = rested_at < now.0 || rested_at > now.0.saturating_add(longest);
            let next = if is_past { now.0 } else { rested_at }.saturating_add(EVERY_MS);
            (next <= now.0.saturating_add(longest)).then_some(next)
        });
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(limits: &LogLimits, line: Line, now: u64, times: usize) -> Vec<Option<u64>> {
        let mut written = Vec::new();
        for _ in 0..times {
            limits.write(line, Millis(now), |left_out| written.push(left_out));
        }
        written
    }

    #[test]
    fn each_kind_has_a_place_of_its_own() {
        for (at, (line, ..)) in LINES.iter().enumerate() {
            assert_eq!(*line as usize, at, "{line:?}");
        }
    }

    #[test]
    fn a_kind_is_written_once_a_second_with_the_number_left_out() {
        let limits = LogLimits::new();
        assert_eq!(written(&limits, Line::RefusedCall, 5_000, 10_000), [None]);
        assert_eq!(written(&limits, Line::WrongSignature, 5_000, 2), [None], "another kind");
        assert_eq!(written(&limits, Line::RefusedCall, 5_999, 1), []);
        assert_eq!(written(&limits, Line::RefusedCall, 6_000, 5), [Some(10_000)]);
        assert_eq!(written(&limits, Line::RefusedCall, 8_000, 1), [Some(4)]);
        assert_eq!(written(&limits, Line::RefusedCall, 60_000, 1), [None]);
        assert_eq!(written(&limits, Line::RefusedCall, 0, 2), [None], "the clock was set back");
        let counts: Vec<_> = limits.counts().filter(|(_, all, _)| *all > 0).collect();
        assert_eq!(counts, [("refused_call", 10_010, 10_005), ("wrong_signature", 2, 1)]);
    }

    #[test]
    fn what_is_about_pages_is_written_a_few_times_at_once() {
        let limits = LogLimits::new();
        assert_eq!(written(&limits, Line::FailedFirstRender, 5_000, 500).len(), 100);
        assert_eq!(written(&limits, Line::FailedFirstRender, 6_000, 500), [Some(400)]);
        assert_eq!(written(&limits, Line::FailedFirstRender, 200_000, 500).len(), 100, "rested");
    }
}
