//! What happens around the page: who comes, and what goes wrong.

use super::Left;
use super::store::Kind;

/// What a publisher does after the content has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// Nothing: the period has to do.
    Nothing,
    /// Marks the page and leaves the rest to its next visitor.
    Mark,
    /// Marks it and sends a job.
    MarkAndQueue,
    /// Has it rendered before the call is answered.
    Demand,
    /// Removes it.
    Delete,
}

/// What can happen, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Whether the page is there in the beginning, or missing.
    pub(crate) stored: bool,
    pub(crate) publishers: [Script; 2],
    /// Visits by each of the two visitors.
    pub(crate) visits: u8,
    pub(crate) left: Left,
}

impl Scenario {
    const fn new(name: &'static str, kind: Kind, publishers: [Script; 2], visits: u8, left: Left) -> Self {
        Self { name, kind, stored: true, publishers, visits, left }
    }

    const fn missing(self) -> Self {
        Self { stored: false, ..self }
    }

    /// The same with more of everything: a quarter of an hour, and two gigabytes of memory.
    pub(crate) fn deeper(self) -> Self {
        let Left { ticks, crashes, job_faults, failures } = self.left;
        let left = Left { ticks: ticks + 1, crashes, job_faults: job_faults + 1, failures: failures + 1 };
        Self { left, ..self }
    }
}

/// Seconds each.
pub(crate) fn all() -> [Scenario; 12] {
    use Kind::{Aws, Embedded};
    use Script::{Delete, Demand, Mark, MarkAndQueue, Nothing};
    let left = |ticks, crashes, job_faults, failures| Left { ticks, crashes, job_faults, failures };
    [
        Scenario::new("stale", Embedded, [Mark, Nothing], 2, left(3, 1, 1, 1)),
        Scenario::new("queue", Embedded, [MarkAndQueue, Nothing], 1, left(2, 1, 1, 1)),
        Scenario::new("demand", Embedded, [Demand, Mark], 1, left(1, 1, 0, 1)),
        Scenario::new("demands", Embedded, [Demand, Demand], 1, left(1, 1, 0, 1)),
        Scenario::new("delete", Embedded, [Delete, Mark], 1, left(2, 1, 0, 0)),
        Scenario::new("missing", Embedded, [Demand, Nothing], 2, left(2, 1, 0, 1)).missing(),
        Scenario::new("stale on AWS", Aws, [Mark, Nothing], 1, left(2, 1, 1, 1)),
        Scenario::new("demand on AWS", Aws, [Demand, Nothing], 1, left(2, 1, 0, 1)),
        Scenario::new("demands on AWS", Aws, [Demand, Demand], 0, left(1, 1, 0, 2)),
        Scenario::new("delete on AWS", Aws, [Delete, Nothing], 1, left(2, 1, 0, 1)),
        Scenario::new("missing on AWS", Aws, [Demand, Nothing], 1, left(2, 1, 0, 2)).missing(),
        Scenario::new("missing, deleted on AWS", Aws, [Delete, Nothing], 1, left(1, 1, 0, 1)).missing(),
    ]
}
