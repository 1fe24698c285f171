//! A stack a test.

use tests::answer::{PERSON, data_target};
use tests::client::Client;
use tests::front::Front;
use tests::process::Log;
use tests::{Answer, Ask, Asks, Deployed, Launch, Upstream};

/// The site, its upstream and its stack.
pub(crate) struct Fixture {
    pub(crate) up: Upstream,
    /// The command line, on the stack's stores.
    pub(crate) launch: Launch,
    pub(crate) site: Site,
}

/// The functions of a stack, as one address.
pub(crate) struct Site {
    front: Front,
    pub(crate) stack: Deployed,
    pub(crate) log: Log,
}

impl Asks for Fixture {
    async fn ask(&self, ask: Ask) -> Answer {
        self.site.client().ask(ask).await
    }

    async fn data(&self, path: &str) -> Answer {
        self.ask(Ask::get(data_target(self.site.stack.build(), path)).agent(PERSON)).await
    }
}

impl Site {
    pub(crate) fn client(&self) -> Client {
        self.front.client()
    }
}

impl Fixture {
    /// With default settings.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With these settings.
    pub(crate) async fn with(env: &[(&str, &str)]) -> Self {
        Self::on(Upstream::start().await, env).await
    }

    /// On stores that `build` has filled as the upstream says.
    pub(crate) async fn built(up: Upstream, env: &[(&str, &str)]) -> Self {
        let fixture = Self::on(up, env).await;
        fixture.launch.run(&["build"]).await.success();
        fixture
    }

    async fn on(up: Upstream, env: &[(&str, &str)]) -> Self {
        let stack = Deployed::start(env!("CARGO_BIN_EXE_conformance-function"), &up, env).await;
        let launch = stack.command_line(env!("CARGO_BIN_EXE_conformance-site"), &up);
        let front = Front::start(&stack).await;
        let log = stack.log();
        Self { up, launch, site: Site { front, stack, log } }
    }

    /// Ends the functions' processes: the next request of each is a cold start.
    pub(crate) async fn restart(&mut self) {
        self.site.stack.kill(&["serve", "regenerate", "revalidate"]).await;
    }

    /// All that was ever logged.
    pub(crate) async fn whole_log(self) -> String {
        // Lines are written before the answer that they are about.
        self.site.log.text()
    }
}
