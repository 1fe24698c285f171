//! What has been tried, in numbers.

use std::collections::BTreeMap;
use std::fmt;

use crate::gate::{Op, Verdict};

#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) seeds: u64,
    pub(crate) events: u64,
    pub(crate) calls: u64,
    pub(crate) faults: BTreeMap<Verdict, u64>,
    pub(crate) answers: BTreeMap<String, u64>,
    pub(crate) renders: u64,
    pub(crate) commits: u64,
    pub(crate) jobs: u64,
    pub(crate) happened: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(crate) fn call(&mut self, op: Op, verdict: Verdict) {
        self.calls += 1;
        self.renders += u64::from(op == Op::Fetch);
        if verdict != Verdict::Go {
            *self.faults.entry(verdict).or_default() += 1;
        }
    }

    pub(crate) fn happens(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.events += other.events;
        self.calls += other.calls;
        self.renders += other.renders;
        self.commits += other.commits;
        self.jobs += other.jobs;
        for (verdict, count) in &other.faults {
            *self.faults.entry(*verdict).or_default() += count;
        }
        for (label, count) in &other.answers {
            *self.answers.entry(label.clone()).or_default() += count;
        }
        for (what, count) in &other.happened {
            *self.happened.entry(what).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { seeds, events, calls, renders, commits, jobs, .. } = self;
        writeln!(
            f,
            "{seeds} seeds: {events} events, {calls} calls of ports, {renders} renders, {commits} commits, {jobs} jobs"
        )?;
        let faults: Vec<_> = self.faults.iter().map(|(fault, count)| format!("{fault:?} {count}")).collect();
        writeln!(f, "  calls that did not just go: {}", faults.join(", "))?;
        let happened: Vec<_> = self.happened.iter().map(|(what, count)| format!("{what} {count}")).collect();
        writeln!(f, "  happened: {}", happened.join(", "))?;
        let answers: Vec<_> = self.answers.iter().map(|(label, count)| format!("{label} {count}")).collect();
        write!(f, "  answers: {}", answers.join(", "))
    }
}
