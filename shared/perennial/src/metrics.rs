//! Counters by route and outcome, and their text for Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::guard::{Breaker, BreakerState};
use crate::site::ReadySite;
use crate::telemetry::limits::LogLimits;

/// What is counted of a route. The names are those of logs and response headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Answered with a stored, fresh page.
    Hit,
    /// Answered with a stored, stale page.
    Stale,
    /// Answered with a page that was generated for this visitor.
    Miss,
    /// Answered with a page that was too old to be shown and was renewed first.
    Revalidated,
    /// Answered with a page rendered for this request alone.
    Bypass,
    /// Answered with the route's shell.
    Shell,
    /// Answered with an error page.
    Error,
    /// A render became the page.
    Stored,
    /// A render gave what is stored already.
    Unchanged,
    /// A render ended after a newer one.
    Superseded,
    /// A render could not be stored.
    Unsaved,
    /// A render failed.
    Failed,
    /// A render asked to keep what there is.
    Kept,
}

const ANSWERS: [(Event, &str); 7] = [
    (Event::Hit, "hit"),
    (Event::Stale, "stale"),
    (Event::Miss, "miss"),
    (Event::Revalidated, "revalidated"),
    (Event::Bypass, "bypass"),
    (Event::Shell, "shell"),
    (Event::Error, "error"),
];

const RENDERS: [(Event, &str); 6] = [
    (Event::Stored, "stored"),
    (Event::Unchanged, "unchanged"),
    (Event::Superseded, "superseded"),
    (Event::Unsaved, "unsaved"),
    (Event::Failed, "failed"),
    (Event::Kept, "kept"),
];

/// One route's counters, since the process started.
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; ANSWERS.len() + RENDERS.len()]);

impl Counters {
    /// Counts one event.
    pub fn count(&self, event: Event) {
        self.0[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often an event was counted.
    pub fn get(&self, event: Event) -> u64 {
        self.0[event as usize].load(Ordering::Relaxed)
    }
}

/// All counters of a site, the memory cache's bytes and limit, the stores' breakers, and what was logged under limits.
pub fn prometheus(site: &ReadySite, (used, limit): (u64, u64), breakers: &[&Breaker]) -> String {
    let mut text = String::new();
    for (name, help, events) in [
        ("perennial_answers_total", "Answers to visitors, by route and how they came about.", &ANSWERS[..]),
        ("perennial_renders_total", "Renders, by route and what became of them.", &RENDERS[..]),
    ] {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
        for route in site.routes() {
            let id = route.id().replace('"', "\\\"");
            for (event, outcome) in events {
                let count = route.counters().get(*event);
                let _ = writeln!(text, "{name}{{route=\"{id}\",outcome=\"{outcome}\"}} {count}");
            }
        }
    }
    for (name, help, value) in [
        ("perennial_memory_cache_bytes", "Memory cache in use.", used),
        ("perennial_memory_cache_limit_bytes", "Memory cache limit; 0 is off.", limit),
    ] {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
    }
    of_breakers(&mut text, breakers);
    for (name, help, left_out_only) in [
        (
            "perennial_limited_log_lines_total",
            "Log lines that strangers can cause, by kind, written or not.",
            false,
        ),
        ("perennial_left_out_log_lines_total", "Those of them that were not written.", true),
    ] {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
        for (kind, all, left_out) in LogLimits::of_this_process().counts() {
            let count = if left_out_only { left_out } else { all };
            let _ = writeln!(text, "{name}{{kind=\"{kind}\"}} {count}");
        }
    }
    text
}

fn of_breakers(text: &mut String, breakers: &[&Breaker]) {
    let state = |breaker: &Breaker| match breaker.state() {
        BreakerState::Closed => 0,
        BreakerState::Open => 1,
        BreakerState::HalfOpen => 2,
    };
    type Of<'a> = &'a dyn Fn(&Breaker) -> u64;
    let kinds: [(&str, &str, &str, Of<'_>); 3] = [
        (
            "perennial_store_breaker",
            "gauge",
            "0: the store is asked, 1: left alone, 2: tried by one call.",
            &state,
        ),
        (
            "perennial_store_breaker_opened_total",
            "counter",
            "How often the store was left alone.",
            &Breaker::opened,
        ),
        ("perennial_store_failures_total", "counter", "Calls that the store has failed.", &Breaker::failed),
    ];
    for (name, kind, help, of) in kinds {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for breaker in breakers {
            let _ = writeln!(text, "{name}{{store=\"{}\"}} {}", breaker.store(), of(breaker));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_a_counter_of_its_own() {
        let counters = Counters::default();
        let all: Vec<_> = ANSWERS.iter().chain(&RENDERS).map(|(event, _)| *event).collect();
        for (times, event) in all.iter().enumerate() {
            for _ in 0..times {
                counters.count(*event);
            }
        }
        for (times, event) in all.iter().enumerate() {
            assert_eq!(counters.get(*event), times as u64, "{event:?}");
        }
    }

    #[test]
    fn each_store_tells_what_its_breaker_lets_through() {
        let limits = crate::settings::Settings::default().limits;
        let (breaker, clock) = (Breaker::new("pages", &limits), crate::testing::ManualClock::default());
        for _ in 0..limits.store_failures {
            breaker.note::<()>(&Err(crate::store::StoreError::Unavailable(String::new())), &clock);
        }
        let mut text = String::new();
        of_breakers(&mut text, &[&breaker, &Breaker::new("jobs", &limits)]);
        for line in [
            "# TYPE perennial_store_breaker gauge",
            "perennial_store_breaker{store=\"pages\"} 1",
            "perennial_store_breaker{store=\"jobs\"} 0",
            "perennial_store_breaker_opened_total{store=\"pages\"} 1",
            "perennial_store_failures_total{store=\"pages\"} 3",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} in {text}");
        }
    }
}
