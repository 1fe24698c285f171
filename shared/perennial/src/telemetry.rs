//! Logs: sentences for people, with fields for machines.

use std::fmt::Display;
use std::future::Future;
use std::process::ExitCode;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For a terminal.
    Text,
    /// One JSON object a line, as CloudWatch Logs Insights reads them.
    Json,
}

/// Starts logging to standard error. `RUST_LOG` chooses what, as `level` or `target=level,…` (default: `info`). A
/// second call changes nothing.
#[allow(clippy::disallowed_methods, reason = "the filter is read once, here")]
pub fn start(format: LogFormat) {
    let wanted = std::env::var("RUST_LOG").unwrap_or_default();
    let (filter, mistake) = match wanted.parse::<Targets>() {
        Ok(filter) if !wanted.is_empty() => (filter, None),
        Ok(_) => (Targets::new().with_default(LevelFilter::INFO), None),
        Err(error) => (Targets::new().with_default(LevelFilter::INFO), Some(error)),
    };
    let lines = fmt::layer().with_target(false).with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    // Already started, by a test or by an embedding program: theirs stays.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
    if let Some(error) = mistake {
        tracing::warn!(
            "RUST_LOG is `{}`, which is no filter ({error}); logging at `info`",
            wanted.escape_debug()
        );
    }
}

/// The `main` of a function: logs as JSON, and says why if it cannot start or go on.
pub async fn function<E: Display>(name: &str, work: impl Future<Output = Result<(), E>>) -> ExitCode {
    start(LogFormat::Json);
    match work.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{name} cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}
