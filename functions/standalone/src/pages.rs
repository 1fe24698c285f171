//! `pages`: what the store holds.

use std::sync::Arc;
use std::time::Duration;

use perennial::freshness::{State, Why, fresh_until, state};
use perennial::function::{FunctionError, OnStores, SecretSource};
use perennial::pages::{Pages as _, Snapshot};
use perennial::{Engine, Millis, ReadySite, Stores};
use serde_json::{Value, json};

use crate::say;

/// Pages read from the store at once.
const BATCH: usize = 500;

/// What to list.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only pages whose path contains this text
    path: Option<String>,
    /// Only pages in this state: fresh, stale, missing, failing
    #[arg(long, value_parser = ["fresh", "stale", "missing", "failing"])]
    state: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

struct Line {
    path: String,
    state: &'static str,
    why: &'static str,
    snapshot: Snapshot,
}

/// Lists what the stores hold of this build.
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
        let last = batch.len() < BATCH;
        for (key, snapshot) in batch {
            let line = line(engine.site(), &key, snapshot, now);
            if matches(&line, args) {
                if args.json {
                    say(format_args!("{}", as_json(&key, &line, now)));
                } else {
                    say(format_args!("{}", as_text(&line, now)));
                }
            }
            after = Some(key);
        }
        if last {
            return Ok(());
        }
    }
}

fn line(site: &ReadySite, key: &str, snapshot: Snapshot, now: Millis) -> Line {
    let path = site.page_of_key(key).map_or_else(
        || key.to_owned(),
        |page| match key.split_once('?') {
            Some((_, query)) => format!("{}?{query}", page.decoded_path()),
            None => page.decoded_path(),
        },
    );
    let seen = snapshot.record.as_ref().map(|record| state(record, snapshot.newest_epoch, now, false));
    let (state, why) = match seen {
        None | Some(State::Missing) => ("missing", ""),
        Some(State::Fresh { .. }) => ("fresh", ""),
        Some(State::Stale { why: Why::Old, .. }) => ("stale", "old"),
        Some(State::Stale { why: Why::Invalidated, .. }) => ("stale", "invalidated"),
        Some(State::Stale { why: Why::FromTheFuture, .. }) => ("stale", "from the future"),
    };
    Line { path, state, why, snapshot }
}

fn matches(line: &Line, args: &Args) -> bool {
    let path = args.path.as_ref().is_none_or(|part| line.path.contains(part.as_str()));
    let state = args.state.as_ref().is_none_or(|state| match state.as_str() {
        "failing" => line.snapshot.slot.failure.is_some(),
        state => line.state == state,
    });
    path && state
}

fn as_text(line: &Line, now: Millis) -> String {
    let record = line.snapshot.record.as_deref();
    let slot = &line.snapshot.slot;
    let age = record.map_or_else(|| "-".to_owned(), |r| duration(now.since(r.started_at)));
    let next = if slot.leased_until(now).is_some() {
        "rendering".to_owned()
    } else if let Some(at) = slot.backed_off_until(now).filter(|_| record.is_some()) {
        format!("retry in {}", duration(at.since(now)))
    } else {
        match (record.map(fresh_until), line.state) {
            (None, _) | (_, "missing") => "first visit".to_owned(),
            (_, "stale") => "next visit".to_owned(),
            (Some(None), _) => "on demand".to_owned(),
            (Some(Some(at)), _) => format!("in {}", duration(at.since(now))),
        }
    };
    let error = slot
        .failure
        .as_ref()
        .map_or_else(String::new, |f| format!("{} times: {}", f.count, f.message.escape_debug()));
    let path = line.path.escape_debug().to_string();
    format!("{path:32}  {:7}  {age:>10}  {next:>12}  {:>10}  {error}", line.state, line.snapshot.generation)
        .trim_end()
        .to_owned()
}

fn as_json(key: &str, line: &Line, now: Millis) -> Value {
    let record = line.snapshot.record.as_deref();
    let slot = &line.snapshot.slot;
    json!({
        "path": line.path,
        "key": key,
        "state": line.state,
        "why": (!line.why.is_empty()).then_some(line.why),
        "kind": record.map(|r| r.stored.name()),
        "generation": line.snapshot.generation,
        "reason": record.map(|r| r.reason.as_str()),
        "age_ms": record.map(|r| now.since(r.started_at).as_millis() as u64),
        "fresh_until_ms": record.and_then(fresh_until).map(|at| at.0),
        "tags": record.map(|r| &r.tags),
        "listed": line.snapshot.listed,
        "leased_until_ms": slot.leased_until(now).map(|at| at.0),
        "last_error": slot.failure.as_ref().map(|f| json!({
            "message": f.message, "count": f.count, "at_ms": f.at.0, "retry_at_ms": f.retry_at.0,
        })),
    })
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
