//! Logs: a sentence for people, with fields for machines. Every event is one line, whatever bytes its values hold.

use std::fmt::{self as text, Display, Write as _};
use std::future::Future;
use std::process::ExitCode;

use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::fmt::{FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::base::clock::{Clock as _, SystemClock};
use crate::base::log_limits::{Line, LogLimits};

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for a terminal.
    Text,
    /// One JSON object a line, as CloudWatch Logs Insights reads them.
    Json,
}

/// Starts logging to standard error. `RUST_LOG` filters events: `level` or `target=level,…` (default: `info`). Every panic is
/// logged, too. A second call changes nothing.
#[allow(clippy::disallowed_methods, reason = "the filter is read once, here")]
pub fn start(format: LogFormat) {
    let directives = std::env::var("RUST_LOG").unwrap_or_default();
    let (filter, parse_error) = match directives.parse::<Targets>() {
        Ok(filter) if !directives.is_empty() => (filter, None),
        Ok(_) => (Targets::new().with_default(LevelFilter::INFO), None),
        Err(error) => (Targets::new().with_default(LevelFilter::INFO), Some(error)),
    };
    let in_color = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = line_layer(format, in_color, std::io::stderr);
    // A test or an embedding program may have started its own logging: that one stays.
    if tracing_subscriber::registry().with(lines.with_filter(filter)).try_init().is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
    if let Some(error) = parse_error {
        tracing::warn!("RUST_LOG is `{directives}`, which is no filter ({error}); logging at `info`");
    }
}

type LineLayer<S> = Box<dyn Layer<S> + Send + Sync>;

fn line_layer<S, W>(format: LogFormat, in_color: bool, writer: W) -> LineLayer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_target(false).with_writer(writer);
    match format {
        LogFormat::Text => lines.with_ansi(in_color).fmt_fields(fields_on_one_line()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    }
}

/// Formats `a sentence field=value` with the control characters of values escaped. Values come from pages and from visitors:
/// one could forge a log line or send commands to a terminal, and the subscriber's own format lets line breaks through.
fn fields_on_one_line() -> impl for<'a> FormatFields<'a> + Send + Sync + 'static {
    debug_fn(|writer, field, value| {
        if field.name() != "message" {
            write!(writer, "{field}=")?;
        }
        write!(OneLine(writer), "{value:?}")
    })
    .delimited(" ")
}

/// The text with the characters escaped that could start another line or send commands to a terminal.
pub fn on_one_line(text: impl Display) -> String {
    let mut line = OneLine(String::new());
    // Only a `Display` that fails by itself can fail here; the text written before the failure is kept.
    let _ = write!(line, "{text}");
    line.0
}

/// Writes text with its control characters escaped.
struct OneLine<W>(W);

impl<W: text::Write> text::Write for OneLine<W> {
    fn write_str(&mut self, text: &str) -> text::Result {
        for c in text.chars() {
            if is_escaped(c) {
                write!(self.0, "{}", c.escape_debug())?;
            } else {
                self.0.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// Control characters, line and paragraph separators, and characters that change the direction of text
/// (<https://www.unicode.org/reports/tr36/#Bidirectional_Text_Spoofing>).
fn is_escaped(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The panic hook. The standard library's own writes the message to standard error without escapes.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = std::backtrace::Backtrace::capture();
    let is_captured = backtrace.status() == std::backtrace::BacktraceStatus::Captured;
    let backtrace = is_captured.then(|| tracing::field::display(&backtrace));
    let message = panic.payload_as_str().unwrap_or("without a message");
    // Limited, because requests for made-up paths can make a page panic again and again.
    LogLimits::of_this_process().write(Line::Panic, SystemClock.now(), |left_out| {
        tracing::error!(at, backtrace, left_out, "panic: {message}");
    });
}

/// The `main` of a deployed function: starts logging as JSON, runs `work`, and logs its error.
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, log: impl FnOnce()) -> String {
        let written = Output::default();
        let writer = written.clone();
        let lines = line_layer(format, true, move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), log);
        String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
    }

    /// Values are escaped in the sentence and in fields of every kind.
    #[test]
    fn b7_an_event_is_one_line_without_control_characters() {
        let evil = "a\r\nERROR forged\u{1b}[2J\u{9b}2J\u{7}\u{85}\u{2028}\u{202e}\u{7f}\0é";
        let error = std::io::Error::other(evil);
        let log = || {
            tracing::error!(
                page = evil,
                shown = %evil,
                debugged = ?evil,
                error = &error as &dyn std::error::Error,
                "a page failed: {evil} \"quoted\""
            );
        };
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(format, log);
            assert_eq!(text.matches('\n').count(), 1, "{format:?}: {text:?}");
            assert!(text.ends_with('\n') && !text.contains('\r'), "{text:?}");
            assert!(!text.contains("\u{1b}[2J") && !text.contains('\u{7}'), "{text:?}");
        }
        let text = logged(LogFormat::Text, log);
        let own_colors = ["\u{1b}[2m", "\u{1b}[0m", "\u{1b}[31m"];
        let text = own_colors.iter().fold(text, |text, color| text.replace(color, ""));
        assert!(!text.trim_end().chars().any(is_escaped), "{text:?}");
        let part = r"a page failed: a\r\nERROR forged\u{1b}[2J\u{9b}2J\u{7}\u{85}\u{2028}\u{202e}\u{7f}\0é";
        assert!(text.contains(part) && text.contains("\"quoted\" page=\"a"), "{text}");
    }
}
