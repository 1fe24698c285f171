//! Rate limits for log lines that anonymous clients can cause: with a wrong secret, a made-up path or a connection.
//! Without a limit, any client could make the process log megabytes a second.
//!
//! The process writes a burst of 1 to 100 lines of each kind, and then one line a second. The next written line
//! carries the number of lines left out. The metrics count every line.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::clock::Millis;

/// A kind of log line that an anonymous client can cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// A call without a right secret.
    RefusedCall,
    /// A delivery with an incomplete or repeated signature.
    BadSignature,
    /// A delivery signed too long ago, or in the future.
    UntimelySignature,
    /// A delivery with a wrong signature.
    WrongSignature,
    /// The secrets cannot be read, so that no publisher or editor can be authenticated.
    NoSecrets,
    /// A connection was not accepted.
    NotAccepted,
    /// A budget of memory or of connections is used up.
    UsedUp,
    /// The store failed a call that a visitor's request needed.
    StoreFails,
    /// A stored body is damaged or cannot be read.
    BadBody,
    /// A page was rendered for a visitor and cannot be stored.
    NotStored,
    /// A missing page was rendered for its first visitor.
    FirstRender,
    /// The render of a missing page failed for its first visitor.
    FailedFirstRender,
    /// A page panicked.
    Panic,
    /// A service of the site gave no answer, or not all of it.
    ServiceFails,
}

/// Every kind, its name in the metrics, and the lines that it may write in one burst.
const LINES: [(Line, &str, u64); 14] = [
    (Line::RefusedCall, "refused_call", 1),
    (Line::BadSignature, "bad_signature", 1),
    (Line::UntimelySignature, "untimely_signature", 1),
    (Line::WrongSignature, "wrong_signature", 1),
    (Line::NoSecrets, "no_secrets", 1),
    (Line::NotAccepted, "not_accepted", 1),
    (Line::UsedUp, "used_up", 1),
    (Line::StoreFails, "store_fails", 1),
    // Each of these lines names one page, so that an operator needs several.
    (Line::BadBody, "bad_body", 20),
    (Line::NotStored, "not_stored", 20),
    (Line::FirstRender, "first_render", 100),
    (Line::FailedFirstRender, "failed_first_render", 100),
    (Line::Panic, "panic", 100),
    (Line::ServiceFails, "service_fails", 20),
];

/// The pause between two lines of a kind after its burst.
const PAUSE_MS: u64 = 1_000;

/// The rate limits of one process, one per kind.
#[derive(Debug)]
pub struct LogLimits([Kind; LINES.len()]);

#[derive(Debug)]
struct Kind {
    total: AtomicU64,
    left_out: AtomicU64,
    /// Lines left out since the last written one.
    left_out_since: AtomicU64,
    /// When a whole burst is allowed again, if no line is written until then (the theoretical arrival time of GCRA).
    burst_restored_at: AtomicU64,
}

static OF_THIS_PROCESS: LogLimits = LogLimits::new();

impl LogLimits {
    const fn new() -> Self {
        Self([const { Kind::new() }; LINES.len()])
    }

    /// The limits that all log lines of this process share.
    pub fn of_this_process() -> &'static Self {
        &OF_THIS_PROCESS
    }

    /// Calls `write`, unless the kind's limit is reached. `write` gets the number of lines of the kind that were left
    /// out since the last written one; `None` for zero.
    pub fn write(&self, line: Line, now: Millis, write: impl FnOnce(Option<u64>)) {
        let kind = &self.0[line as usize];
        kind.total.fetch_add(1, Ordering::Relaxed);
        let burst = LINES[line as usize].2;
        if kind.may_write(now, burst) {
            let left_out = kind.left_out_since.swap(0, Ordering::Relaxed);
            write((left_out > 0).then_some(left_out));
        } else {
            kind.left_out.fetch_add(1, Ordering::Relaxed);
            kind.left_out_since.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// For each kind: its name, all lines, and the lines left out.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        LINES.iter().zip(&self.0).map(|((_, name, _), kind)| {
            (*name, kind.total.load(Ordering::Relaxed), kind.left_out.load(Ordering::Relaxed))
        })
    }
}

impl Kind {
    const fn new() -> Self {
        Self {
            total: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            left_out_since: AtomicU64::new(0),
            burst_restored_at: AtomicU64::new(0),
        }
    }

    fn may_write(&self, now: Millis, burst: u64) -> bool {
        let latest = now.0.saturating_add(burst * PAUSE_MS);
        let updated =
            self.burst_restored_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |restored_at| {
                // An instant after `latest` was noted before the clock was set back.
                let is_restored = restored_at < now.0 || restored_at > latest;
                let next = if is_restored { now.0 } else { restored_at }.saturating_add(PAUSE_MS);
                (next <= latest).then_some(next)
            });
        updated.is_ok()
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
    fn lines_about_pages_are_written_in_a_burst() {
        let limits = LogLimits::new();
        assert_eq!(written(&limits, Line::FailedFirstRender, 5_000, 500).len(), 100);
        assert_eq!(written(&limits, Line::FailedFirstRender, 6_000, 500), [Some(400)]);
        assert_eq!(
            written(&limits, Line::FailedFirstRender, 200_000, 500).len(),
            100,
            "the burst is restored"
        );
    }
}
