//! The metrics of a process in the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::Write as _;

use crate::base::counters::{ANSWERS, RENDERS};
use crate::base::log_limits::LogLimits;
use crate::guard::breaker::{Breaker, BreakerState};
use crate::site::ReadySite;

/// All metrics: counters by route and outcome, bytes and limit of the memory cache, the circuit breakers of the stores, and
/// log lines under limits.
pub fn prometheus(
    site: &ReadySite,
    (memory_used, memory_limit): (u64, u64),
    breakers: &[&Breaker],
) -> String {
    let mut text = String::new();
    for (name, help, events) in [
        ("perennial_answers_total", "Answers to visitors, by route and outcome.", &ANSWERS[..]),
        ("perennial_renders_total", "Renders, by route and outcome.", &RENDERS[..]),
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
        ("perennial_memory_cache_bytes", "Memory cache in use.", memory_used),
        ("perennial_memory_cache_limit_bytes", "Memory cache limit; 0 is off.", memory_limit),
    ] {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
    }
    breaker_metrics(&mut text, breakers);
    for (name, help, left_out_only) in [
        (
            "perennial_limited_log_lines_total",
            "Log lines that visitors can cause, by kind, written or not.",
            false,
        ),
        ("perennial_left_out_log_lines_total", "Log lines of these kinds that were not written.", true),
    ] {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
        for (kind, all, left_out) in LogLimits::of_this_process().counts() {
            let count = if left_out_only { left_out } else { all };
            let _ = writeln!(text, "{name}{{kind=\"{kind}\"}} {count}");
        }
    }
    text
}

fn breaker_metrics(text: &mut String, breakers: &[&Breaker]) {
    let state = |breaker: &Breaker| match breaker.state() {
        BreakerState::Closed => 0,
        BreakerState::Open => 1,
        BreakerState::HalfOpen => 2,
    };
    type Value<'a> = &'a dyn Fn(&Breaker) -> u64;
    let kinds: [(&str, &str, &str, Value<'_>); 3] = [
        (
            "perennial_store_breaker",
            "gauge",
            "0: closed, the store is called; 1: open, it is not; 2: half-open, one call tries it.",
            &state,
        ),
        (
            "perennial_store_breaker_opened_total",
            "counter",
            "How often the breaker of the store has opened.",
            &Breaker::opened,
        ),
        ("perennial_store_failures_total", "counter", "Calls that the store has failed.", &Breaker::failed),
    ];
    for (name, kind, help, value) in kinds {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for breaker in breakers {
            let _ = writeln!(text, "{name}{{store=\"{}\"}} {}", breaker.store(), value(breaker));
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
    fn every_breaker_has_metrics() {
        let limits = crate::run::settings::Settings::default().limits;
        let (breaker, clock) =
            (Breaker::new("pages", &limits), crate::base::manual_clock::ManualClock::default());
        for _ in 0..limits.store_failures {
            breaker.note::<()>(&Err(crate::ports::error::StoreError::unavailable(String::new())), &clock);
        }
        let mut text = String::new();
        breaker_metrics(&mut text, &[&breaker, &Breaker::new("jobs", &limits)]);
        for line in [
            "# TYPE perennial_store_breaker gauge",
            "perennial_store_breaker{store=\"pages\"} 1",
            "perennial_store_breaker{store=\"jobs\"} 0",
            "perennial_store_breaker_opened_total{store=\"pages\"} 1",
            "perennial_store_failures_total{store=\"pages\"} 3",
        ] {
            assert!(text.lines().any(|written| written == line), "{line} in {text}");
        }
    }
}
