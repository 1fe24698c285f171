//! `start` and `dev`: the three functions in one process.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use perennial_core::engine::Engine;
use perennial_core::ports::stores::Stores;
use perennial_core::run::function::{FunctionError, OnStores, SecretSource};
use perennial_core::run::settings::Settings;
use perennial_core::stores::embedded::secret::secret_file;
use perennial_revalidate::ENDPOINT;
use perennial_revalidate::console::CONSOLE;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::program::say;
use crate::running::{handlers, own_secret, set_to_work};
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
    let stop = CancellationToken::new();
    let handlers = handlers(&engine, secrets, own.as_deref(), settings, &stop).await?;
    let address = listener.local_addr()?;
    let base = engine.site().base_path().to_owned();
    set_to_work(&engine, settings, own.clone(), &stop).await;
    stop_on_signal(stop.clone())?;
    say(format_args!("listening on http://{address}"));
    if own.is_some() {
        let root = if base.is_empty() { "/" } else { &base };
        let file = secret_file(&settings.store);
        say(format_args!(
            "revalidate a page: curl -X POST 'http://{address}{ENDPOINT}?path={root}' \
             -H \"authorization: Bearer $(cat {})\"",
            file.display()
        ));
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
