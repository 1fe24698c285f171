//! Memory cache entries made of a render's output.

use std::sync::Arc;

use crate::freshness::Epochs;
use crate::memory::Entry;
use crate::ports::pages::snapshot::Snapshot;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::record::page_record::Ticket;
use crate::render::pool::RenderOutput;
use crate::site::route::Resolved;

/// Caches a render that could not be stored. The entry is used for as long as it is fresh.
pub(crate) fn cache_unsaved<S: Stores>(
    process: &Process<S>,
    page: &Resolved,
    output: RenderOutput,
    seen: Ticket,
) -> Arc<Entry> {
    let entry = unsaved_entry(process, output, seen);
    cache_entry(process, page, entry)
}

/// Caches a rendered page. Its epochs are raised to those of the cached entry that it replaces: the page may have been
/// invalidated during the render.
pub(crate) fn cache_entry<S: Stores>(
    process: &Process<S>,
    page: &Resolved,
    mut entry: Arc<Entry>,
) -> Arc<Entry> {
    let cached = process.memory.get(&page.key);
    let cached_epochs = cached.map_or_else(Epochs::default, |cached| cached.snapshot.epochs);
    if let Some(entry) = Arc::get_mut(&mut entry) {
        entry.snapshot.epochs = entry.snapshot.epochs.at_least(cached_epochs);
    }
    process.memory.insert(&page.key, entry.clone());
    entry
}

/// The entry of a render that is not stored. `seen` is the page's generation that the render would have replaced.
pub(crate) fn unsaved_entry<S: Stores>(
    process: &Process<S>,
    mut output: RenderOutput,
    seen: Ticket,
) -> Arc<Entry> {
    output.record.generation = seen;
    entry_of(process, output, true)
}

/// The entry of a render. Without a version, the entry must be checked against the store before it is used again.
pub(crate) fn entry_of<S: Stores>(process: &Process<S>, output: RenderOutput, unsaved: bool) -> Arc<Entry> {
    let RenderOutput { record, html, data } = output;
    let record = Arc::new(record);
    let epochs = record.epoch.into();
    let generation = record.generation;
    let snapshot = Snapshot { record: Some(record.clone()), generation, epochs, ..Snapshot::default() };
    let read_at = process.clock.now();
    Arc::new(Entry { record, html, data, snapshot, version: None, read_at, unsaved })
}
