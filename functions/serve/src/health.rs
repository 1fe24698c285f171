//! Probes: whether the process is there, and whether it can answer visitors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::request::Parts;
use http::{Method, StatusCode};
use perennial_core::base::clock::Millis;
use perennial_core::engine::Engine;
use perennial_core::ports::pages::Pages as _;
use perennial_core::ports::stores::Stores;
use tokio::sync::Mutex;

use crate::reply::{self, Reply};

/// How long the answer of the store counts. Anybody may send probes, and a store elsewhere bills each look.
const COUNTS_FOR: Duration = Duration::from_secs(1);

/// Answers probes. The answers say nothing of the site.
pub struct Health<S: Stores> {
    engine: Arc<Engine<S>>,
    is_stopping: AtomicBool,
    /// When the store was looked at, and what was wrong.
    last: Mutex<Option<(Millis, Option<&'static str>)>>,
}

/// What a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Whether the process is there.
    Live,
    /// Whether the process can answer visitors.
    Ready,
}

impl Probe {
    /// The probe of this name below Perennial's own first segment.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "live" => Some(Self::Live),
            "ready" => Some(Self::Ready),
            _ => None,
        }
    }
}

impl<S: Stores> Health<S> {
    /// The health of a process on this engine.
    pub(crate) fn new(engine: Arc<Engine<S>>) -> Self {
        Self { engine, is_stopping: AtomicBool::new(false), last: Mutex::default() }
    }

    /// From now on the process is not ready.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Answers a probe.
    pub(crate) async fn answer(&self, request: &Parts, probe: Probe) -> Reply {
        if request.method != Method::GET && request.method != Method::HEAD {
            return reply::method_not_allowed(request);
        }
        if probe == Probe::Live {
            return reply::json(request, StatusCode::OK, "{\"live\":true}\n");
        }
        match self.mistake().await {
            None => reply::json(request, StatusCode::OK, "{\"ready\":true}\n"),
            Some(json) => reply::json(request, StatusCode::SERVICE_UNAVAILABLE, json),
        }
    }

    /// Why the process is not ready, as JSON.
    async fn mistake(&self) -> Option<&'static str> {
        if self.is_stopping.load(Ordering::Relaxed) {
            return Some("{\"ready\":false,\"reason\":\"the process is stopping\"}\n");
        }
        // In `dev` no page comes from the store.
        if self.engine.is_dev() {
            return None;
        }
        let mut last = self.last.lock().await;
        let now = self.engine.now();
        if let Some((at, mistake)) = *last
            && now >= at
            && now.since(at) < COUNTS_FOR
        {
            return mistake;
        }
        // Past the guard, which leaves a store alone that fails: the probe is to see when the store is back.
        let mistake = tokio::select! {
            biased;
            epoch = self.engine.stores().pages().unguarded().epoch() => match epoch {
                Ok(_) => None,
                Err(_) => Some("{\"ready\":false,\"reason\":\"the store cannot be read\"}\n"),
            },
            () = self.engine.clock().sleep(self.engine.limits().ready_wait) => {
                Some("{\"ready\":false,\"reason\":\"the store does not answer in time\"}\n")
            }
        };
        *last = Some((now, mistake));
        mistake
    }
}
