//! `start` and `dev`: the three functions in one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use perennial_core::base::budget::Budget;
use perennial_core::base::clock::Clock;
use perennial_core::build::BuildError;
use perennial_core::engine::Engine;
use perennial_core::key::encode::RESERVED_SEGMENT;
use perennial_core::ports::pages::Pages as _;
use perennial_core::ports::stores::Stores;
use perennial_core::run::function::{FunctionError, OnStores, SecretSource};
use perennial_core::run::preview::Drafts;
use perennial_core::run::settings::Settings;
use perennial_core::stores::embedded::secret::{keep_secret, live_secrets, secret_file};
use perennial_revalidate::auth::Secrets;
use perennial_revalidate::console::CONSOLE;
use perennial_revalidate::{ENDPOINT, Revalidate};
use perennial_serve::{Renewal, Serve};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::events::Listeners;
use crate::program::say;
use crate::server::Handlers;
use crate::{connections, server};

/// Serves a site until a signal ends the process.
pub(crate) struct Start {
    /// Whether the site is under development.
    pub(crate) dev: bool,
    pub(crate) settings: Settings,
}

impl OnStores for Start {
    fn is_dev(&self) -> bool {
        self.dev
    }

    async fn run<S: Stores>(
        self,
        engine: Arc<Engine<S>>,
        secrets: SecretSource,
    ) -> Result<(), FunctionError> {
        Ok(start(&self, engine, &secrets).await?)
    }
}

async fn start<S: Stores>(start: &Start, engine: Arc<Engine<S>>, secrets: &SecretSource) -> Result<()> {
    let (settings, dev) = (&start.settings, start.dev);
    let files = raise_file_limit();
    let max_connections = connections::most(settings.limits.max_connections, files);
    let own = own_secret(secrets).context("the revalidate endpoint has no secret")?;
    let listener = listen(settings.listen)
        .with_context(|| format!("cannot listen on {} (PERENNIAL_LISTEN, PORT)", settings.listen))?;
    let revalidate_secrets = secrets.live(Secrets::new).map_err(anyhow::Error::from_boxed)?;
    if own.is_none() {
        revalidate_secrets.get(engine.now()).await?.warn();
    }
    let drafts = secrets.live(|secrets| Ok(Drafts::new(secrets))).map_err(anyhow::Error::from_boxed)?;
    let address = listener.local_addr()?;
    let base = engine.site().base_path().to_owned();
    let stop = CancellationToken::new();
    let handlers = Arc::new(Handlers {
        serve: Serve::new(engine.clone(), Renewal::Beside).with_drafts(drafts),
        revalidate: Revalidate::new(engine.clone(), revalidate_secrets),
        listeners: Listeners::new(settings.limits.max_listeners, stop.clone()),
        metrics: format!("{base}/{RESERVED_SEGMENT}/metrics"),
        unverified: Budget::new(settings.limits.unverified_memory_bytes),
        engine: engine.clone(),
    });
    if !dev {
        list_if_new(&engine).await;
        tokio::spawn(list_if_lost(engine.clone()));
        engine.start_workers(&stop);
    }
    stop_on_signal(stop.clone())?;
    say(format_args!("listening on http://{address}"));
    if let Some(secret) = own {
        let root = if base.is_empty() { "/" } else { &base };
        let file = secret_file(&settings.store);
        say(format_args!(
            "revalidate a page: curl -X POST 'http://{address}{ENDPOINT}?path={root}' \
             -H \"authorization: Bearer $(cat {})\"",
            file.display()
        ));
        tokio::spawn(keep_own_secret(engine.clock().clone(), settings.store.clone(), secret));
    }
    say(format_args!(
        "at most {max_connections} connections at once (PERENNIAL_MAX_CONNECTIONS is {}; {files} files may be open)",
        settings.limits.max_connections
    ));
    say(format_args!("publishing page: http://{address}{base}{CONSOLE}"));
    if dev {
        say(format_args!("dev: every request is rendered, nothing is kept"));
    }
    let stopping = server::run(listener, handlers, max_connections, &stop).await?;
    // Requests and renders share one grace period: requests end first, then renders.
    let used = engine.now().since(stopping);
    engine.shut_down(settings.limits.shutdown_grace.saturating_sub(used)).await;
    Ok(())
}

/// The secret that the embedded store has made for itself, because the settings give none.
fn own_secret(secrets: &SecretSource) -> std::io::Result<Option<String>> {
    match secrets {
        SecretSource::Here(settings) if settings.revalidate_secrets.is_empty() => {
            let given = live_secrets(&[], &settings.store, settings.on_lambda)?;
            Ok(given.into_iter().next())
        }
        _ => Ok(None),
    }
}

/// Raises this process's limit of open files to what the system allows (`RLIMIT_NOFILE`, getrlimit(2)): many systems start a
/// process with 1,024 and allow far more. Returns the limit.
fn raise_file_limit() -> u64 {
    rlimit::increase_nofile_limit(u64::MAX).unwrap_or_else(|error| {
        tracing::warn!("the limit of open files cannot be read ({error}); {FILES_UNKNOWN} is assumed");
        FILES_UNKNOWN
    })
}

/// The assumed limit of open files where the system does not tell it. Most systems give a process at least this many.
const FILES_UNKNOWN: u64 = 1024;

/// Connections that may wait to be accepted; the kernel caps the number at `net.core.somaxconn`. With the usual 128, the kernel
/// drops some of many simultaneous connections, and their clients try again after a second.
const BACKLOG: u32 = 4096;

/// Unsent bytes that the kernel buffers for one connection (`TCP_NOTSENT_LOWAT`, tcp(7)). Without a limit the kernel buffers
/// megabytes for every slow client, and the server notices late that a client reads again.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 128 << 10;

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Connections inherit both. Only speed depends on this one: without it the end of an answer may wait until the client
    // acknowledges what came before.
    let _ = socket.set_nodelay(true);
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A store that holds nothing of this build does not know either which pages its routes list.
async fn list_if_new<S: Stores>(engine: &Arc<Engine<S>>) {
    match engine.stores().pages().list("", None, 1).await {
        Ok(pages) if pages.is_empty() => {
            tracing::warn!(
                build = &**engine.build(),
                "the store holds nothing of this build: pages are rendered when they are first visited (run `build` first)"
            );
            // In the background, and not waited for at the stop: the source of the listing may be slow or down.
            tokio::spawn(list_until_done(engine.clone()));
        }
        Ok(_) => {}
        Err(error) => tracing::error!("the store cannot be read: {error}"),
    }
}

/// The pause between two checks that the store knows the listed pages.
const LISTING_CHECK_PAUSE: Duration = Duration::from_secs(1);

/// A store that goes on without what was damaged does not know which pages the routes list; any server of the build
/// tells it again.
async fn list_if_lost<S: Stores>(engine: Arc<Engine<S>>) {
    loop {
        engine.clock().sleep(LISTING_CHECK_PAUSE).await;
        // A store that cannot be read says so to every visitor.
        if engine.stores().pages().unguarded().knows_listed().await.unwrap_or(true) {
            continue;
        }
        tracing::warn!("the store has lost which pages are listed: the routes are asked again");
        list_until_done(engine.clone()).await;
        tracing::info!("the store knows again which pages are listed");
    }
}

/// The pause after the first failed listing; each further failure doubles the pause.
const LISTING_PAUSE_FIRST: Duration = Duration::from_secs(1);

/// The longest pause between two listings.
const LISTING_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Tells the store which pages the routes list. A route that cannot tell is asked again; until then the store keeps the
/// list that it has.
async fn list_until_done<S: Stores>(engine: Arc<Engine<S>>) {
    let mut pause = LISTING_PAUSE_FIRST;
    loop {
        let error = match engine.list_pages().await {
            Ok(()) => return,
            Err(BuildError::Pages(failures)) => failures.join("; "),
            Err(BuildError::Store(error)) => error.to_string(),
        };
        tracing::warn!(
            "which pages the routes list cannot be told, so routes that serve listed pages only have no others than \
             before; it is tried again in {pause:?}: {error}"
        );
        engine.clock().sleep(pause).await;
        pause = (pause * 2).min(LISTING_PAUSE_MAX);
    }
}

/// The pause between two checks that the store holds this process's secret.
const SECRET_CHECK_PAUSE: Duration = Duration::from_secs(1);

/// A store that was removed under this process gets the secret again that this process knows.
async fn keep_own_secret(clock: Arc<dyn Clock>, store: PathBuf, secret: String) {
    let mut is_kept = true;
    loop {
        clock.sleep(SECRET_CHECK_PAUSE).await;
        let kept = keep_secret(&store, &secret);
        if is_kept && !matches!(kept, Ok(true)) {
            let file = secret_file(&store);
            let why =
                kept.as_ref().err().map_or_else(|| "it holds another one".to_owned(), ToString::to_string);
            tracing::error!(
                "{} is not this process's secret any more: {why}. Restart this process, or call it with the secret that \
                 it started with.",
                file.display()
            );
        }
        is_kept = matches!(kept, Ok(true));
    }
}

fn stop_on_signal(stop: CancellationToken) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}
