//! What every command works with.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use perennial_core::run::function::OnStores;
use perennial_core::run::settings::Settings;
use perennial_core::run::telemetry::on_one_line;
use perennial_core::site::ReadySite;
use perennial_core::stores::embedded;

use crate::choice::Choice;

/// The settings and the site, for every command.
pub(crate) struct Program {
    pub(crate) settings: Settings,
    pub(crate) site: Arc<ReadySite>,
}

impl Program {
    /// Runs `work` on the chosen stores.
    pub(crate) async fn on(&self, stores: &impl Choice, work: impl OnStores) -> Result<ExitCode> {
        let done = stores.run(self.site.clone(), self.settings.clone(), work).await;
        done.map(|()| ExitCode::SUCCESS).map_err(anyhow::Error::from_boxed)
    }

    /// [`Program::on`] for work that only looks: it makes no store where there is none.
    pub(crate) async fn on_existing(&self, stores: &impl Choice, work: impl OnStores) -> Result<ExitCode> {
        if let Some(folder) = stores.embedded(&self.settings)
            && !embedded::is_there(folder)
        {
            let shown = folder.display();
            bail!(
                "there is no store at `{shown}` (PERENNIAL_STORE): run this in the folder where `start` runs, or set \
                 PERENNIAL_STORE to the store's folder; `build` and `start` make a store"
            );
        }
        self.on(stores, work).await
    }
}

/// Prints one line to standard output, with the control characters of untrusted text escaped.
pub(crate) fn say(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    // A failed write is ignored: the reader of a pipe may close it early, as `head` does.
    let _ = writeln!(out, "{}", on_one_line(line)).and_then(|()| out.flush());
}
