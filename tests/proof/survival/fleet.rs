//! Four processes on one store, and people before them.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tests::clock::{CLOCK_FILE, set_wrong_by};
use tests::crowd::{Crowd, Load, Totals};
use tests::{Asks as _, Launch, Reply, Running, Upstream};

use crate::disk::Disk;

pub(crate) const PROCESSES: usize = 4;
pub(crate) const LEASE: Duration = Duration::from_millis(1000);
const VISITORS: usize = 8;
const PACE: Duration = Duration::from_millis(20);

/// Pages that nobody changes: what is stored of them is good, whatever breaks.
const STEADY: usize = 300;

pub(crate) struct Fleet {
    pub(crate) up: Upstream,
    pub(crate) disk: Disk,
    pub(crate) crowd: Crowd,
    launch: Launch,
    processes: Vec<Option<Running>>,
    clock: PathBuf,
    _folder: TempDir,
}

fn steady() -> impl Iterator<Item = String> {
    (0..STEADY).map(|i| format!("/catch/steady-{i:03}")).chain((0..5).map(|i| format!("/nofb/listed-{i}")))
}

impl Fleet {
    pub(crate) async fn start() -> Self {
        let (up, disk) = (Upstream::start().await, Disk::new().await);
        let folder = TempDir::new().expect("a temporary directory");
        let clock = folder.path().join("clock");
        set_wrong_by(&clock, 0);
        let launch = disk.launch(env!("CARGO_BIN_EXE_conformance-site"), &up);
        let launch = launch.env("PERENNIAL_LEASE_MS", LEASE.as_millis()).env(CLOCK_FILE, clock.display());
        let listed: Vec<_> = (0..5).map(|i| json!({ "slug": format!("listed-{i}") })).collect();
        up.list("/nofb/{slug}", listed);
        up.otherwise(|call| Reply::from(json!({ "value": call.path, "revalidate": false })));
        launch.run(&["build"]).await.success();
        let mut processes = Vec::new();
        for _ in 0..PROCESSES {
            processes.push(Some(launch.start().await));
        }
        let doors = processes.iter().flatten().map(Running::client).collect();
        let load = Load { visitors: VISITORS, pace: PACE, aging: 1, renewal: Duration::ZERO };
        let crowd = Crowd::enter(&up, "dev-build", doors, load).await;
        let fleet = Self { up, disk, crowd, launch, processes, clock, _folder: folder };
        fleet.visit_steady().await;
        fleet
    }

    /// Visits every page that nobody changes: it is there.
    pub(crate) async fn visit_steady(&self) {
        let clients: Vec<_> = self.processes.iter().flatten().map(Running::client).collect();
        for (i, path) in steady().enumerate() {
            let answer = clients[i % clients.len()].get(&path).await;
            assert_eq!((answer.status, answer.value()), (200, path), "{answer}");
        }
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.processes.iter().flatten().map(Running::pid).collect()
    }

    pub(crate) fn process(&self, at: usize) -> &Running {
        self.processes[at].as_ref().expect("it runs")
    }

    /// Kills a process at once. Nobody goes there any more.
    pub(crate) async fn kill(&mut self, at: usize) -> Instant {
        self.crowd.close(at);
        self.processes[at].take().expect("it runs").kill().await;
        Instant::now()
    }

    /// Starts a process where there is none.
    pub(crate) async fn revive(&mut self, at: usize) {
        let process = self.launch.start().await;
        self.crowd.open(at, process.client());
        self.processes[at] = Some(process);
    }

    /// Replaces all processes one after the other, as a deployment does: nobody notices.
    pub(crate) async fn replace(&mut self, read_only: bool) {
        for at in 0..PROCESSES {
            self.crowd.close(at);
            self.processes[at].take().expect("it runs").stop().await.success();
            let launch = self.launch.clone();
            let launch = if read_only { self.disk.read_only(launch) } else { launch };
            let process = launch.start().await;
            self.crowd.open(at, process.client());
            self.processes[at] = Some(process);
        }
    }

    /// The clock of all processes is wrong by so much from now on.
    pub(crate) fn set_clock(&self, milliseconds: i64) -> Instant {
        set_wrong_by(&self.clock, milliseconds);
        Instant::now()
    }

    /// Publishers' calls that failed so far.
    pub(crate) fn refused(&self) -> usize {
        self.crowd.totals().refused.load(Ordering::SeqCst)
    }

    /// What all have logged that holds this text.
    pub(crate) fn logged(&self, part: &str) -> usize {
        self.processes.iter().flatten().map(|process| process.log.count(part)).sum()
    }

    /// Ends everything.
    pub(crate) async fn stop(self) -> Totals {
        let totals = self.crowd.leave().await;
        for process in self.processes.into_iter().flatten() {
            process.stop().await.success();
        }
        totals
    }
}
