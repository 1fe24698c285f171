//! What a render gave, as it is answered and kept in memory.

use std::sync::Arc;

use crate::freshness::Epochs;
use crate::memory::Entry;
use crate::ports::pages::snapshot::Snapshot;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::record::page_record::Ticket;
use crate::render::pool::RenderOutput;
use crate::site::route::Resolved;

/// Keeps a page that the store could not keep, for as long as it is fresh.
pub(crate) fn keep_unsaved<S: Stores>(
    process: &Process<S>,
    page: &Resolved,
    draft: RenderOutput,
    judged: Ticket,
) -> Arc<Entry> {
    let entry = unsaved_entry(process, draft, judged);
    keep(process, page, entry)
}

/// Puts what was rendered into memory, where it may be known that the page was invalidated meanwhile.
pub(crate) fn keep<S: Stores>(process: &Process<S>, page: &Resolved, mut entry: Arc<Entry>) -> Arc<Entry> {
    let known = process.memory.get(&page.key).map_or_else(Epochs::default, |kept| kept.snapshot.epochs);
    if let Some(entry) = Arc::get_mut(&mut entry) {
        entry.snapshot.epochs = entry.snapshot.epochs.at_least(known);
    }
    process.memory.insert(&page.key, entry.clone());
    entry
}

pub(crate) fn unsaved_entry<S: Stores>(
    process: &Process<S>,
    mut draft: RenderOutput,
    judged: Ticket,
) -> Arc<Entry> {
    draft.record.generation = judged;
    entry_of(process, draft, true)
}

/// What a render gave as it is answered; to be checked against the store before it is used again.
pub(crate) fn entry_of<S: Stores>(process: &Process<S>, draft: RenderOutput, unsaved: bool) -> Arc<Entry> {
    let RenderOutput { record, html, data } = draft;
    let record = Arc::new(record);
    let epochs = record.epoch.into();
    let (shown, generation) = (Some(record.clone()), record.generation);
    let snapshot = Snapshot { record: shown, generation, epochs, ..Snapshot::default() };
    let read_at = process.clock.now();
    Arc::new(Entry { record, html, data, snapshot, version: None, read_at, unsaved })
}
