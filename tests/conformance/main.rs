//! Black-box cases of `SEMANTICS.md`: the conformance site as a process, looked at over HTTP alone.
//!
//! One module a group, one test a case or a table of cases of one shape; each names its cases. What needs
//! no process and no socket is in `journeys`, where time costs nothing. All modules but the three `alone_` ones run on
//! the deployed functions as well, in `deployed`.
#![allow(clippy::disallowed_methods, reason = "a process is watched by the machine's clock")]

mod alone_process;
mod alone_resources;
mod alone_sockets;
mod b01_freshness;
mod b02_fallback;
mod b03_on_demand;
mod b03_payloads;
mod b03_webhooks;
mod b04_errors;
mod b05_not_found_and_redirect;
mod b06_http;
mod b07_paths;
mod b08_concurrency;
mod b11_memory;
mod b12_base_path;
mod b13_bots;
mod b14_security;
mod b15_operations;

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
