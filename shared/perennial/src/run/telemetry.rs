//! Logs: sentences for people, with fields for machines. Each event is one line, whatever its values hold.

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

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For a terminal.
    Text,
    /// One JSON object a line, as CloudWatch Logs Insights reads them.
    Json,
}

/// Starts logging to standard error. `RUST_LOG` chooses what, as `level` or `target=level,…` (default: `info`). A panic
/// anywhere is a line of the log, too. A second call changes nothing.
#[allow(clippy::disallowed_methods, reason = "the filter is read once, here")]
pub fn start(format: LogFormat) {
    let wanted = std::env::var("RUST_LOG").unwrap_or_default();
    let (filter, mistake) = match wanted.parse::<Targets>() {
        Ok(filter) if !wanted.is_empty() => (filter, None),
        Ok(_) => (Targets::new().with_default(LevelFilter::INFO), None),
        Err(error) => (Targets::new().with_default(LevelFilter::INFO), Some(error)),
    };
    let in_color = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = lines(format, in_color, std::io::stderr);
    // Already started, by a test or by an embedding program: theirs stays.
    if tracing_subscriber::registry().with(lines.with_filter(filter)).try_init().is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
    if let Some(error) = mistake {
        tracing::warn!("RUST_LOG is `{wanted}`, which is no filter ({error}); logging at `info`");
    }
}

type Lines<S> = Box<dyn Layer<S> + Send + Sync>;

fn lines<S, W>(format: LogFormat, in_color: bool, writer: W) -> Lines<S>
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

/// `a sentence field=value`, where no value can begin another line or give orders to a terminal: values come from pages
/// and from strangers, and the subscriber's own format lets line breaks through.
fn fields_on_one_line() -> impl for<'a> FormatFields<'a> + Send + Sync + 'static {
    debug_fn(|writer, field, value| {
        if field.name() != "message" {
            write!(writer, "{field}=")?;
        }
        write!(OneLine(writer), "{value:?}")
    })
    .delimited(" ")
}

/// The text with everything escaped that could begin another line or give orders to a terminal.
pub fn on_one_line(text: impl Display) -> String {
    let mut line = OneLine(String::new());
    // Only a `Display` that fails by itself can fail here: what it has written until then is shown.
    let _ = write!(line, "{text}");
    line.0
}

/// Passes text on with its control characters escaped.
struct OneLine<W>(W);

impl<W: text::Write> text::Write for OneLine<W> {
    fn write_str(&mut self, text: &str) -> text::Result {
        for c in text.chars() {
            if breaks_a_line(c) {
                write!(self.0, "{}", c.escape_debug())?;
            } else {
                self.0.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// Control characters, line and paragraph separators, and what turns the direction of text
/// (<https://www.unicode.org/reports/tr36/#Bidirectional_Text_Spoofing>).
fn breaks_a_line(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Takes the place of the standard library's hook, which writes a panic's message to standard error as it is.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = std::backtrace::Backtrace::capture();
    let is_wanted = backtrace.status() == std::backtrace::BacktraceStatus::Captured;
    let backtrace = is_wanted.then(|| tracing::field::display(&backtrace));
    let message = panic.payload_as_str().unwrap_or("without a message");
    // Whoever makes up paths can have a page panic.
    LogLimits::of_this_process().write(Line::Panic, SystemClock.now(), |left_out| {
        tracing::error!(at, backtrace, left_out, "panic: {message}");
    });
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, log: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let lines = lines(format, true, move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), log);
        String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
    }

    /// Whatever a value holds, in the sentence and in fields of every kind.
    #[test]
    fn b7_an_event_is_one_line_and_gives_no_orders() {
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
        assert!(!text.trim_end().chars().any(breaks_a_line), "{text:?}");
        let part = r"a page failed: a\r\nERROR forged\u{1b}[2J\u{9b}2J\u{7}\u{85}\u{2028}\u{202e}\u{7f}\0é";
        assert!(text.contains(part) && text.contains("\"quoted\" page=\"a"), "{text}");
    }
}
