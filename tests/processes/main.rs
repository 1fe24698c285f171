//! Cases of `SEMANTICS.md` that need processes to end or to be many: builds, restarts, kills, deployments, and
//! several processes on one store.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "processes are watched by the machine's clock, and their losses are told"
)]

mod builds;
mod damaged_stores;
mod elsewhere;
mod in_a_router;
mod kills;
mod messages;
mod moved_stores;
mod panics;
mod publishing_page;
mod restarts;
mod several_processes;

use std::path::{Path, PathBuf};

use perennial::parts::stores::embedded::pages::SqlitePages;
use tempfile::TempDir;
use tests::until::until;
use tests::{Answer, Asks, Launch, Upstream};

/// A store, an upstream, and how to run processes on them.
struct Host {
    up: Upstream,
    launch: Launch,
    store: TempDir,
}

impl Host {
    async fn new() -> Self {
        let up = Upstream::start().await;
        let store = TempDir::new().expect("a temporary directory");
        let launch = Launch::new(env!("CARGO_BIN_EXE_conformance-site"), store.path(), &up);
        Self { up, launch, store }
    }

    /// With a setting for all processes.
    fn env(mut self, name: &str, value: &str) -> Self {
        self.launch = self.launch.env(name, value);
        self
    }

    /// The records, as another process opens them.
    fn pages(&self) -> SqlitePages {
        SqlitePages::open(self.store.path(), "dev-build".into(), std::sync::Arc::new(perennial::SystemClock))
    }

    /// The files of bodies: everything that is not the database.
    fn body_files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        walk(self.store.path(), &mut files);
        files.retain(|file| !file.to_string_lossy().contains("sqlite") && hex_name(file));
        files
    }
}

/// Body files carry their content's hash in their names.
fn hex_name(file: &Path) -> bool {
    let stem = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    stem.split('.').next().is_some_and(|s| s.len() >= 16 && s.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            walk(&entry.path(), files);
        } else {
            files.push(entry.path());
        }
    }
}

/// Asks until the page is another than `old`.
async fn until_new(site: &impl Asks, target: &str, old: &str) -> Answer {
    until(&format!("a newer {target}"), async || {
        let answer = site.get(target).await;
        assert!(answer.status < 500, "{answer}");
        (answer.is_page() && answer.id() != old).then_some(answer)
    })
    .await
}

/// Checks an on-demand call's success.
#[track_caller]
fn success(answer: &Answer) {
    assert!(answer.status == 200 && answer.json()["revalidated"] == serde_json::json!(true), "{answer}");
}
