//! The command `publishes`: lists the journal, or cancels a scheduled publish.

use std::fmt::Write as _;
use std::sync::Arc;

use perennial_core::base::rfc3339::to_rfc3339;
use perennial_core::base::text::Written;
use perennial_core::engine::Engine;
use perennial_core::ports::journal::{Publish, PublishStatus, RenewalProgress};
use perennial_core::ports::stores::Stores;
use perennial_core::publish::schedule::Cancel;
use perennial_core::run::function::{FunctionError, OnStores, SecretSource};
use perennial_revalidate::journal::{has_begun, unknown};
use serde_json::json;

use crate::program::say;

/// Entries in one read of the store.
const BATCH: usize = 200;

/// What to list.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many, newest first
    #[arg(long, short = 'n', default_value_t = 20, value_parser = <usize as Written>::read)]
    limit: usize,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Cancel the publish with this id, which waits for its time, instead of listing any
    #[arg(long, value_name = "ID", conflicts_with_all = ["limit", "json"])]
    cancel: Option<String>,
}

/// Lists the journal.
pub(crate) struct Journal(pub(crate) Args);

impl OnStores for Journal {
    async fn run<S: Stores>(self, engine: Arc<Engine<S>>, _: SecretSource) -> Result<(), FunctionError> {
        let Self(Args { limit, json, cancel }) = self;
        if let Some(id) = cancel {
            return cancel_publish(&engine, &id).await;
        }
        if !json {
            say(format_args!(
                "{:20}  {:20}  {:22}  {:>9}  {:24}  what",
                "when", "id", "went", "visible", "who"
            ));
        }
        let (mut left, mut after) = (limit, None);
        while left > 0 {
            let entries = engine.entries(after.as_deref(), BATCH.min(left)).await?;
            let Some(last) = entries.last() else { break };
            (left, after) = (left - entries.len(), Some(last.place()));
            for entry in &entries {
                match json {
                    true => say(format_args!("{}", json!(entry))),
                    false => say(format_args!("{}", as_text(entry))),
                }
            }
        }
        Ok(())
    }
}

async fn cancel_publish<S: Stores>(engine: &Engine<S>, id: &str) -> Result<(), FunctionError> {
    match engine.cancel(id).await? {
        Cancel::Cancelled(entry) => {
            say(format_args!("{}", as_text(&entry)));
            Ok(())
        }
        Cancel::Begun => Err(has_begun(id).into()),
        Cancel::Unknown => Err(unknown(id).into()),
    }
}

fn as_text(entry: &Publish) -> String {
    let outcome = outcome(entry);
    let visible = entry.visible_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
    let who = [Some(&entry.key_id), entry.provider.as_ref(), entry.delivery_id.as_ref()];
    let who: Vec<_> = who.into_iter().flatten().map(|part| part.escape_debug().to_string()).collect();
    let mut what = entry.mode.clone();
    for target in entry.paths.iter().chain(&entry.tags) {
        let _ = write!(what, " {}", target.escape_debug());
    }
    if let Some(due) = entry.due {
        let _ = write!(what, " at {}", to_rfc3339(due));
    }
    let failed = entry.results.iter().filter_map(|item| Some((&item.path, item.error.as_ref()?)));
    for (path, error) in failed {
        let _ = write!(what, "; {}: {}", path.escape_debug(), error.escape_debug());
    }
    for failure in entry.renewal.iter().flat_map(|renewal| &renewal.failures) {
        let error = failure.error.as_deref().unwrap_or_default();
        let _ = write!(what, "; {}: {}", failure.path.escape_debug(), error.escape_debug());
    }
    if let Some(error) = &entry.error {
        let _ = write!(what, "; {}", error.escape_debug());
    }
    let (when, id, who) = (to_rfc3339(entry.at), &entry.id, who.join(" "));
    format!("{when:20}  {id:20}  {outcome:22}  {visible:>9}  {who:24}  {what}")
}

/// The outcome as text: `renewing 7 of 23`, `done with failures (3)`.
fn outcome(entry: &Publish) -> String {
    match (entry.status, &entry.renewal) {
        (PublishStatus::Renewing, Some(RenewalProgress { total, left, at_least, .. })) => {
            let at_least = if *at_least { "at least " } else { "" };
            format!("renewing {} of {at_least}{total}", total.saturating_sub(*left))
        }
        (PublishStatus::Done, Some(RenewalProgress { total: 0, .. })) => "done, no such page".to_owned(),
        (status @ PublishStatus::DoneWithFailures, Some(RenewalProgress { failing, .. })) => {
            format!("{status} ({failing})")
        }
        (status, _) => status.to_string(),
    }
}
