//! The state that all parts of an engine share in one process: a site, its guarded stores, its limits and its memory
//! cache.

use std::fmt::Display;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use crate::base::clock::{Clock, Millis};
use crate::base::limits::Limits;
use crate::base::log_limits::{Line, LogLimits};
use crate::guard::{GuardedStores, guard};
use crate::memory::Memory;
use crate::ports::job::{Job, Task};
use crate::ports::pages::slot::LeaseRequest;
use crate::ports::pages::urgency::Urgency;
use crate::ports::stores::Stores;
use crate::record::page_record::Ticket;
use crate::site::ReadySite;
use crate::site::route::Resolved;

/// A site with its stores in one process.
pub(crate) struct Process<S: Stores> {
    pub(crate) site: Arc<ReadySite>,
    pub(crate) stores: GuardedStores<S>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) memory: Memory,
    /// Work that continues after the request that started it.
    pub(crate) tasks: TaskTracker,
    /// Whether the site is under development: every request is rendered, and nothing is stored.
    pub(crate) dev: bool,
}

impl<S: Stores> Process<S> {
    /// Combines a site with its stores, and puts a guard (time limits, circuit breaker) around the stores.
    pub(crate) fn new(
        site: Arc<ReadySite>,
        stores: S,
        clock: Arc<dyn Clock>,
        limits: Limits,
        dev: bool,
    ) -> Arc<Self> {
        let tasks = TaskTracker::new();
        let stores = guard(stores, &clock, &limits, &tasks);
        let memory = Memory::new(limits.memory_cache_bytes);
        Arc::new(Self { site, stores, clock, limits, memory, tasks, dev })
    }

    /// The id of the build that this process serves.
    pub(crate) fn build(&self) -> &Arc<str> {
        self.stores.build()
    }

    /// The present instant.
    pub(crate) fn now(&self) -> Millis {
        self.clock.now()
    }

    /// Writes a log line that an anonymous client can cause, unless its kind's rate limit is reached; see
    /// [`LogLimits`].
    pub(crate) fn log(&self, line: Line, write: impl FnOnce(Option<u64>)) {
        LogLimits::of_this_process().write(line, self.clock.now(), write);
    }

    /// Logs a failed call of a store, within the rate limit of [`Line::StoreFails`].
    pub(crate) fn complain(&self, page: &Resolved, what: &str, error: &dyn Display) {
        self.log(Line::StoreFails, |left_out| {
            tracing::error!(page = %page.key.address(), left_out, "{what}: {error}");
        });
    }

    /// A job of the queue for a page of this build.
    pub(crate) fn job(&self, page: &Resolved, task: Task) -> Job {
        Job { v: 1, build: self.build().to_string(), key: page.key.as_str().to_owned(), task }
    }

    /// A request for a lease to render, with this process's lease length and clock. `seen` is the generation that the
    /// caller has seen.
    pub(crate) fn lease_request(&self, seen: Option<Ticket>, urgency: Urgency) -> LeaseRequest {
        LeaseRequest { seen, urgency, lease: self.limits.lease, now: self.clock.now() }
    }
}
