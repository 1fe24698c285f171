//! Black-box cases of `SEMANTICS.md`: the conformance site as a process, looked at over HTTP alone.
//!
//! One module a rule, one test a case or a table of cases of one shape; each names its cases, and `SEMANTICS.md` says
//! which module holds which rule. What needs no process and no socket is in `journeys`, where time costs nothing.
//!
//! All modules but the three `alone_` ones run on the deployed functions as well: `deployed.rs` in this folder is a
//! second program of them, with another `Fixture`. As a library that is generic over the fixture they would need a list
//! of all tests in each program, and a test that is missing from a list would never run.
#![allow(clippy::disallowed_methods, reason = "a process is watched by the machine's clock")]

mod alone_process;
mod alone_resources;
mod alone_services;
mod alone_sockets;
mod base_path;
mod bots;
mod concurrency;
mod errors;
mod fallback;
mod freshness;
mod http_details;
mod memory_limit;
mod not_found_and_redirect;
mod on_demand;
mod operations;
mod paths_and_keys;
mod payloads;
mod resources;
mod security;
mod services;
mod tables;
mod webhooks;

use tempfile::TempDir;
use tests::answer::until_new;
use tests::{Answer, Ask, Asks, Launch, Running, Upstream};

/// The site, its upstream and its store.
struct Fixture {
    up: Upstream,
    launch: Launch,
    site: Running,
    store: TempDir,
}

impl Asks for Fixture {
    async fn ask(&self, ask: Ask) -> Answer {
        self.site.ask(ask).await
    }

    async fn data(&self, path: &str) -> Answer {
        self.site.data(path).await
    }
}

impl Fixture {
    /// On an empty store, with default settings.
    async fn start() -> Self {
        Self::with(&[]).await
    }

    /// On an empty store, with these settings.
    async fn with(env: &[(&str, &str)]) -> Self {
        let up = Upstream::start().await;
        let (launch, store) = launch(&up, env);
        let site = launch.start().await;
        Self { up, launch, site, store }
    }

    /// On a store that `build` has filled as the upstream says.
    async fn built(up: Upstream, env: &[(&str, &str)]) -> Self {
        let (launch, store) = launch(&up, env);
        launch.run(&["build"]).await.success();
        let site = launch.start().await;
        Self { up, launch, site, store }
    }

    /// All that was ever logged.
    async fn whole_log(self) -> String {
        self.site.stop().await.success().output
    }

    /// Stops the process and starts another on the same store.
    async fn restart(&mut self) {
        let next = self.launch.clone();
        self.site.terminate().await;
        let site = next.start().await;
        let old = std::mem::replace(&mut self.site, site);
        old.wait().await.success();
    }
}

fn launch(up: &Upstream, env: &[(&str, &str)]) -> (Launch, TempDir) {
    let store = TempDir::new().expect("a temporary directory");
    let launch = Launch::new(env!("CARGO_BIN_EXE_conformance-site"), store.path(), up);
    (env.iter().fold(launch, |launch, (name, value)| launch.env(name, value)), store)
}
