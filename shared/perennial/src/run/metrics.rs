//! Counters by route and outcome, and their text for Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use crate::base::counters::ANSWERS;
use crate::base::counters::RENDERS;
use std::fmt::Write as _;

use crate::base::log_limits::LogLimits;
use crate::guard::breaker::{Breaker, BreakerState};
use crate::site::ReadySite;

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
    use crate::base::counters::Counters;

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
        let limits = crate::run::settings::Settings::default().limits;
        let (breaker, clock) =
            (Breaker::new("pages", &limits), crate::base::manual_clock::ManualClock::default());
        for _ in 0..limits.store_failures {
            breaker.note::<()>(&Err(crate::ports::error::StoreError::Unavailable(String::new())), &clock);
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
