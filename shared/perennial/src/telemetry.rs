//! Logs: sentences for people, with fields for machines.

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For a terminal.
    Text,
    /// One JSON object a line, as CloudWatch Logs Insights reads them.
    Json,
}

/// Starts logging to standard error. `RUST_LOG` chooses what (default: `info`). A second call changes nothing.
#[allow(clippy::disallowed_methods, reason = "the filter is read once, here")]
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_writer(std::io::stderr);
    // Already started, by a test or by an embedding program: theirs stays.
    let _ = match format {
        LogFormat::Text => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
            lines.with_ansi(colours).try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
