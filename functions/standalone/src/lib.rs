//! Serve, regenerate and revalidate in one process, and the command line of every site.
//!
//! A site's whole program is `fn main() -> ExitCode { perennial::run(site()) }`.

mod build;
mod choice;
mod connections;
mod events;
mod handlers;
mod head_timer;
mod heads;
mod pages;
mod program;
mod publishes;
mod remote;
mod revalidate;
mod running;
mod server;
mod service;
mod start;
mod webhook;
mod wire;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use perennial_core::base::clock::Clock;
use perennial_core::ports::error::StoreError;
use perennial_core::ports::stores::Stores;
use perennial_core::run::settings::Settings;
use perennial_core::run::telemetry::LogFormat;
use perennial_core::run::{function, telemetry};
use perennial_core::site::Site;

use crate::choice::{Choice, NamedStores, OwnStores};
use crate::program::Program;

pub use crate::service::{SiteService, SiteSetup, service};

/// A site with Incremental Static Regeneration. Settings are environment variables; the guide on settings lists them.
#[derive(Parser)]
#[command(about)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the site and render every request: nothing is cached, errors are shown in the page
    Dev,
    /// Render every listed page into the store
    Build,
    /// Serve the site from the store, regenerate old pages, and answer /api/revalidate
    Start,
    /// List what the store holds: path, state, age, next refresh, generation, last error
    Pages(pages::Args),
    /// List what was published: when, by whom, what, how it went, how long until visitors could see it
    Publishes(publishes::Args),
    /// Have a running server revalidate pages
    Revalidate(revalidate::Args),
    /// Say what a publisher's payload would do by the site's rules
    Webhook(webhook::Args),
}

/// Runs the command line of a site: `dev`, `build`, `start`, `pages`, `publishes`, `revalidate`, `webhook`; without a
/// command, `build` and then `start`.
pub fn run(site: Site) -> ExitCode {
    run_with(site, &[])
}

/// [`run`] with values for settings that the environment does not give.
pub fn run_with(site: Site, defaults: &[(&str, &str)]) -> ExitCode {
    run_command(site, defaults, &NamedStores)
}

/// [`run`] on stores of your own. Each command calls `open` once; the settings name the build.
pub fn run_on<S: Stores>(site: Site, open: impl Fn(&Settings, Arc<dyn Clock>) -> S) -> ExitCode {
    run_command(site, &[], &OwnStores(open))
}

fn run_command(site: Site, defaults: &[(&str, &str)], stores: &impl Choice) -> ExitCode {
    let command = command_line(&site).command;
    #[cfg(feature = "tls")]
    remote::tls::choose_provider();
    telemetry::start(LogFormat::Text);
    match execute(command, site, defaults, stores) {
        Ok(code) => code,
        Err(error) => {
            // The error is for the user of the command line, so it is no log line.
            let _ = writeln!(std::io::stderr(), "error: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// The arguments, read by a program that has its file's name and its site's version. Help and mistakes end the process.
fn command_line(site: &Site) -> CommandLine {
    let file = std::env::args_os().next().map(PathBuf::from);
    let name = file.as_deref().and_then(|file| file.file_name()?.to_str()).unwrap_or("perennial").to_owned();
    let of_library = concat!("(Perennial ", env!("CARGO_PKG_VERSION"), ")");
    let version = match site.own_version() {
        Some(version) => format!("{version} {of_library}"),
        None => of_library.to_owned(),
    };
    // Kept for as long as the process lives: clap borrows names for ever.
    let (name, version): (&'static str, &'static str) = (name.leak(), version.leak());
    let matches = CommandLine::command().name(name).version(version).get_matches();
    CommandLine::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

fn execute(
    command: Option<Command>,
    site: Site,
    defaults: &[(&str, &str)],
    stores: &impl Choice,
) -> Result<ExitCode> {
    let settings = Settings::from_env(defaults)?;
    let site = Arc::new(function::ready(site, &settings).map_err(anyhow::Error::from_boxed)?);
    let program = Program { settings, site };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let code = runtime.block_on(async {
        match command {
            None => {
                program.on(stores, build::Build).await?;
                start(&program, stores, false).await
            }
            Some(Command::Dev) => start(&program, stores, true).await,
            Some(Command::Build) => program.on(stores, build::Build).await,
            Some(Command::Start) => start(&program, stores, false).await,
            Some(Command::Pages(args)) => program.on_existing(stores, pages::Pages(args)).await,
            Some(Command::Publishes(args)) => program.on_existing(stores, publishes::Journal(args)).await,
            Some(Command::Revalidate(args)) => revalidate::run(&program, args).await,
            Some(Command::Webhook(args)) => webhook::run(&program, &args),
        }
    });
    // Does not wait for blocking tasks: a page that never returns must not keep the process from ending.
    runtime.shutdown_background();
    code
}

/// An error and what caused it, on one line. The text of a store's error holds what its own causes say.
fn told(error: &anyhow::Error) -> String {
    let mut told = Vec::new();
    for cause in error.chain() {
        told.push(cause.to_string());
        if cause.is::<StoreError>() {
            break;
        }
    }
    told.join(": ")
}

/// Serves the site until a signal ends the process.
async fn start(program: &Program, stores: &impl Choice, dev: bool) -> Result<ExitCode> {
    program.on(stores, start::Start { dev, settings: program.settings.clone() }).await
}
