//! The command `pages`: lists the stored pages.

use std::sync::Arc;
use std::time::Duration;

use perennial_core::base::clock::Millis;
use perennial_core::base::text::times;
use perennial_core::engine::Engine;
use perennial_core::freshness::fresh_until;
use perennial_core::overview::Overview;
use perennial_core::ports::pages::Pages as _;
use perennial_core::ports::stores::Stores;
use perennial_core::run::function::{FunctionError, OnStores, SecretSource};
use serde_json::Value;

use crate::program::say;

/// Pages in one read of the store.
const BATCH: usize = 500;

/// What to list.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only pages whose path contains this text
    path: Option<String>,
    /// Only pages in this state: fresh, stale, missing, failing, rendering
    #[arg(long, value_parser = ["fresh", "stale", "missing", "failing", "rendering"])]
    state: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Lists the stored pages of this build.
pub(crate) struct Pages(pub(crate) Args);

impl OnStores for Pages {
    async fn run<S: Stores>(self, engine: Arc<Engine<S>>, _: SecretSource) -> Result<(), FunctionError> {
        list(&engine, &self.0).await
    }
}

async fn list<S: Stores>(engine: &Engine<S>, args: &Args) -> Result<(), FunctionError> {
    let now = engine.now();
    if !args.json {
        say(format_args!(
            "{:32}  {:7}  {:>10}  {:>12}  {:>10}  last error",
            "path", "state", "age", "next refresh", "generation"
        ));
    }
    let mut after: Option<String> = None;
    loop {
        let batch = engine.stores().pages().list("", after.as_deref(), BATCH).await?;
        let is_last = batch.len() < BATCH;
        for (key, snapshot) in batch {
            let page = Overview::new(engine.site(), key.clone(), snapshot, now);
            if matches(&page, args, now) {
                if args.json {
                    say(format_args!("{}", as_json(&page, now)));
                } else {
                    say(format_args!("{}", as_text(&page, now)));
                }
            }
            after = Some(key);
        }
        if is_last {
            return Ok(());
        }
    }
}

fn matches(page: &Overview, args: &Args, now: Millis) -> bool {
    let path = args.path.as_ref().is_none_or(|part| page.path.contains(part.as_str()));
    path && args.state.as_ref().is_none_or(|state| page.is(state, now))
}

fn as_text(page: &Overview, now: Millis) -> String {
    let record = page.snapshot.record.as_deref();
    let slot = &page.snapshot.slot;
    let age = record.map_or_else(|| "-".to_owned(), |r| duration(now.since(r.started_at)));
    let next = if slot.leased_until(now).is_some() {
        "rendering".to_owned()
    } else if let Some(at) = slot.backed_off_until(now).filter(|_| record.is_some()) {
        format!("retry in {}", duration(at.since(now)))
    } else {
        match (record.map(fresh_until), page.state) {
            (None, _) | (_, "missing") => "first visit".to_owned(),
            (_, "stale") => "next visit".to_owned(),
            (Some(None), _) => "on demand".to_owned(),
            (Some(Some(at)), _) => format!("in {}", duration(at.since(now))),
        }
    };
    let error = slot
        .failure
        .as_ref()
        .map_or_else(String::new, |f| format!("{}: {}", times(f.count.into()), f.message.escape_debug()));
    let path = page.path.escape_debug().to_string();
    format!("{path:32}  {:7}  {age:>10}  {next:>12}  {:>10}  {error}", page.state, page.snapshot.generation)
        .trim_end()
        .to_owned()
}

fn as_json(page: &Overview, now: Millis) -> Value {
    let mut json = page.to_json(now);
    let record = page.snapshot.record.as_deref();
    json["age_ms"] = record.map(|r| now.since(r.started_at).as_millis() as u64).into();
    json
}

fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}
