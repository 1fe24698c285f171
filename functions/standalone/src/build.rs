//! The command `build`: renders every listed page, with a progress bar and a table.

use std::fmt::Write as _;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use perennial_core::base::text::counted;
use perennial_core::build::{BuildStep, Built, BuiltRoute};
use perennial_core::engine::Engine;
use perennial_core::ports::stores::Stores;
use perennial_core::run::function::{FunctionError, OnStores, SecretSource};
use perennial_core::run::telemetry::on_one_line;
use perennial_core::site::route::Fallback;

use crate::program::say;

/// Renders every listed page of the site into its stores.
pub(crate) struct Build;

impl OnStores for Build {
    async fn run<S: Stores>(self, engine: Arc<Engine<S>>, _: SecretSource) -> Result<(), FunctionError> {
        build(&engine).await
    }
}

async fn build<S: Stores>(engine: &Arc<Engine<S>>) -> Result<(), FunctionError> {
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{bar:30.green} {pos}/{len} {wide_msg}").expect("a constant template"),
    );
    let built = engine
        .build_site(|step| match step {
            BuildStep::Listed(pages) => bar.set_length(pages as u64),
            BuildStep::Rendered(path) => {
                bar.set_message(on_one_line(path));
                bar.inc(1);
            }
        })
        .await;
    bar.finish_and_clear();
    for line in table(&built?, engine.build()).lines() {
        say(format_args!("{line}"));
    }
    Ok(())
}

fn table(built: &Built, build: &str) -> String {
    let width = built.routes.iter().map(|r| r.route.chars().count()).max().unwrap_or(0).max(5);
    let mut text = format!(
        "{:width$}  {:>6}  {:>9}  {:>9}  {:>10}  other paths\n",
        "route", "pages", "html", "slowest", "revalidate"
    );
    for route in &built.routes {
        let _ = writeln!(
            text,
            "{:width$}  {:>6}  {:>9}  {:>6} ms  {:>10}  {}",
            route.route,
            route.pages,
            size(route.html_bytes),
            route.slowest.as_millis(),
            period(route),
            other_paths(route)
        );
    }
    let pages: usize = built.routes.iter().map(|r| r.pages).sum();
    let bytes = built.routes.iter().map(|r| r.html_bytes).sum();
    let _ = write!(text, "built {}, {} of HTML, as {build}", counted(pages as u64, "page"), size(bytes));
    text
}

fn period(route: &BuiltRoute) -> String {
    match (route.period_s, route.pages) {
        (Some(seconds), _) => format!("{seconds} s"),
        (None, 0) => "-".to_owned(),
        (None, _) => "on demand".to_owned(),
    }
}

fn other_paths(route: &BuiltRoute) -> &'static str {
    match (route.dynamic, route.fallback) {
        (true, _) => "rendered for every request",
        (false, None) => "",
        (false, Some(Fallback::NotFound)) => "404",
        (false, Some(Fallback::Shell)) => "shell, then generated",
        (false, Some(Fallback::Blocking)) => "generated when first visited",
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} kB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_table_shows_built_pages_and_the_treatment_of_other_paths() {
        let blog = BuiltRoute {
            route: "/blog/{slug}".into(),
            fallback: Some(Fallback::Blocking),
            dynamic: false,
            pages: 2,
            html_bytes: 2048,
            slowest: Duration::from_millis(15),
            period_s: Some(60),
        };
        let live = BuiltRoute { route: "/live".into(), dynamic: true, ..BuiltRoute::default() };
        let text = table(&Built { routes: vec![blog, live] }, "b1");
        assert_eq!(
            text,
            "route          pages       html    slowest  revalidate  other paths\n\
             /blog/{slug}       2     2.0 kB      15 ms        60 s  generated when first visited\n\
             /live              0        0 B       0 ms           -  rendered for every request\n\
             built 2 pages, 2.0 kB of HTML, as b1"
        );
    }
}
