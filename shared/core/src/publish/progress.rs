//! The progress of a publish, from its journal entry and from the stored pages. Any process can read both, also after a
//! restart.

use crate::ports::error::StoreError;
use crate::ports::journal::{
    Journal, JournalEntry, PathResult, Publish, PublishStatus, RenewalProgress, RouteProgress,
};
use crate::ports::pages::Pages;
use crate::ports::pages::snapshot::Snapshot;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::publish::carriers::{TagCarriers, Uncarried};
use crate::publish::outcome::{LIST_BATCH, is_marked};
use crate::record::page_record::Epoch;

/// Pages read to count those that are left. The bound keeps the cost of a question the same for sites of any size; with
/// more pages the counts are "at least".
pub const COUNTED_MAX: usize = 2_000;

/// Failing pages that a progress names.
const NAMED_MAX: usize = 20;

/// Unfinished entries of one list, newest first, whose progress is read from the pages: each costs as much as one call of
/// [`progress`].
const RENEWALS_LISTED_MAX: usize = 4;

/// The progress of a publish.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// The journal entry; `None` if the journal has none.
    pub publish: Option<Publish>,
    /// The progress of the queue on each route.
    pub routes: Vec<RouteProgress>,
    /// Pages that carry its tags; `None` if the entry does not hold all of its tags.
    pub total: Option<usize>,
    /// Marked pages that have been neither rendered nor removed since. Counts only pages that carry the tags of the publish
    /// where [`Progress::total`] is known.
    pub left: usize,
    /// Whether all stored pages were counted. `false` with more than [`COUNTED_MAX`] pages: the counts are then "at least".
    pub is_exact: bool,
    /// How many of [`Progress::left`] failed at their last render.
    pub failing: usize,
    /// The first failing pages; 20 at most.
    pub failures: Vec<PathResult>,
    /// Tags of the publish that no page carries; empty unless all stored pages were counted.
    pub uncarried: Vec<Uncarried>,
}

impl Progress {
    /// Pages that the queue has rendered (with or without success) or removed, per second. `None` before the first.
    pub fn rate(&self) -> Option<f64> {
        let began = self.routes.iter().map(|route| route.began_at).min()?;
        let pages_of = |route: &RouteProgress| route.renewed + route.failed + route.removed;
        let worked = self.routes.iter().filter(|route| pages_of(route) > 0);
        let seconds = worked.clone().map(|route| route.at).max()?.since(began).as_secs_f64();
        let pages: u64 = worked.map(pages_of).sum();
        Some(pages as f64 / seconds.max(0.001))
    }

    /// Whether the queue does nothing more for this publish. The pages that are left are rendered when visitors ask.
    pub fn has_ended(&self) -> bool {
        let is_waiting = self
            .publish
            .as_ref()
            .is_some_and(|p| matches!(p.status, PublishStatus::Scheduled | PublishStatus::Begun));
        let has_walked = !self.routes.is_empty() && self.routes.iter().all(|route| route.ended);
        !is_waiting && (has_walked || (self.is_exact && self.left == 0))
    }

    /// The counts in the form that the journal entry keeps.
    pub fn renewal(&self) -> RenewalProgress {
        RenewalProgress {
            total: self.total.unwrap_or(self.left),
            left: self.left,
            failing: self.failing,
            at_least: !self.is_exact,
            failures: self.failures.clone(),
        }
    }

    /// The entry with the progress up to now. `None` unless the stored entry is `accepted`: the journal keeps that until the
    /// renewal has ended.
    fn current_entry(&self) -> Option<Publish> {
        let publish = self.publish.as_ref().filter(|publish| publish.status == PublishStatus::Accepted)?;
        let renewal = Some(self.renewal());
        if !self.has_ended() {
            let status =
                if self.routes.is_empty() { PublishStatus::Accepted } else { PublishStatus::Renewing };
            return Some(Publish { status, renewal, ..publish.clone() });
        }
        let status = if self.failing == 0 { PublishStatus::Done } else { PublishStatus::DoneWithFailures };
        let last_progress_at = self.routes.iter().map(|route| route.at).max().filter(|_| self.is_done());
        let has_pages = self.total.is_none_or(|total| total > 0);
        let visible =
            last_progress_at.filter(|_| has_pages).map(|at| at.since(publish.due.unwrap_or(publish.at)));
        let visible_ms = visible.and_then(|visible| u64::try_from(visible.as_millis()).ok());
        Some(Publish { status, renewal, visible_ms, ..publish.clone() })
    }

    /// Whether the publish has ended without a failure and without a page left.
    pub fn is_done(&self) -> bool {
        let failed = self
            .publish
            .as_ref()
            .is_some_and(|p| matches!(p.status, PublishStatus::Failed | PublishStatus::Cancelled));
        // Where not all pages were counted, the progress of the walks decides.
        let walked_without_failure = self.routes.iter().all(|route| route.failed == 0 && !route.left_out);
        self.has_ended() && !failed && self.left == 0 && (self.is_exact || walked_without_failure)
    }
}

/// The progress of the publish with this id. `None` if neither the journal nor the store knows the id. An id that is an
/// epoch stays known after the journal has forgotten its entry: the pages themselves tell its progress.
///
/// # Errors
/// The store cannot be read. A journal that cannot be read is an error only for an id that is no epoch.
pub(crate) async fn progress<S: Stores>(
    process: &Process<S>,
    id: &str,
) -> Result<Option<Progress>, StoreError> {
    let epoch_of_id: Option<Epoch> = id.parse().ok();
    let entry = match process.stores.journal().get(id).await {
        Ok(entry) => entry,
        Err(error) if epoch_of_id.is_some() => {
            tracing::error!("the journal of publishes cannot be read: {error}");
            None
        }
        Err(error) => return Err(error),
    };
    let JournalEntry { publish, routes } = match (entry, epoch_of_id) {
        (Some(entry), _) => entry,
        // The journal has no entry: the pages alone tell the progress.
        (None, Some(epoch)) if is_known_epoch(process, epoch).await? => {
            JournalEntry { publish: None, routes: Vec::new() }
        }
        (None, _) => return Ok(None),
    };
    let epoch = publish.as_ref().and_then(|publish| publish.epoch).or(epoch_of_id);
    let mut progress = Progress { publish, routes, is_exact: true, ..Progress::default() };
    if let Some(epoch) = epoch {
        count(process, epoch, &mut progress).await?;
    }
    if let Some(publish) = progress.current_entry() {
        progress.publish = Some(publish);
    }
    Ok(Some(progress))
}

/// Whether an invalidation had this epoch. In `dev` every invalidation has epoch 0.
pub(crate) async fn is_known_epoch<S: Stores>(
    process: &Process<S>,
    epoch: Epoch,
) -> Result<bool, StoreError> {
    Ok((epoch > 0 || process.dev) && epoch <= process.stores.pages().epoch().await?)
}

/// Journal entries, newest first, after the place `after`, at most `limit`; see [`Journal::list`]. Entries of renewals
/// under way hold the progress up to now, four of them at most.
///
/// # Errors
/// The store cannot be read.
pub(crate) async fn entries<S: Stores>(
    process: &Process<S>,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Publish>, StoreError> {
    let mut entries = process.stores.journal().list(after, limit).await?;
    let under_way = entries.iter_mut().filter(|entry| entry.status == PublishStatus::Accepted);
    for entry in under_way.take(RENEWALS_LISTED_MAX) {
        let progress = progress(process, &entry.id).await?;
        *entry = progress.and_then(|progress| progress.publish).unwrap_or_else(|| entry.clone());
    }
    Ok(entries)
}

/// Writes the result of a renewal into the journal, once it has ended on all routes. Both the last walk and the writer of
/// the entry call this, because either may come last. A failure is logged.
pub(crate) async fn end_entry<S: Stores>(process: &Process<S>, id: &str) {
    let writing = async {
        let entry = process.stores.journal().get(id).await?;
        let has_ended = |entry: &JournalEntry| {
            entry.publish.as_ref().is_some_and(|publish| publish.status == PublishStatus::Accepted)
                && !entry.routes.is_empty()
                && entry.routes.iter().all(|route| route.ended)
        };
        if !entry.is_some_and(|entry| has_ended(&entry)) {
            return Ok(());
        }
        match progress(process, id).await?.and_then(|progress| progress.publish) {
            Some(publish) => process.stores.journal().put(&publish.cut()).await,
            None => Ok(()),
        }
    };
    if let Err::<(), StoreError>(error) = writing.await {
        tracing::error!("the result of a renewal cannot be written into the journal: {error}");
    }
}

async fn count<S: Stores>(
    process: &Process<S>,
    epoch: Epoch,
    progress: &mut Progress,
) -> Result<(), StoreError> {
    let publish = progress.publish.clone();
    let mut carriers = publish.as_ref().and_then(TagCarriers::of);
    progress.total = carriers.is_some().then_some(0);
    let mut after = String::new();
    for _ in 0..COUNTED_MAX / LIST_BATCH {
        let batch = process.stores.pages().list("", Some(&after), LIST_BATCH).await?;
        let is_last = batch.len() < LIST_BATCH;
        for (page, snapshot) in batch {
            let is_counted =
                carriers.as_mut().is_none_or(|tags| tags.note_page(&process.site, &page, &snapshot));
            if is_counted {
                progress.total = progress.total.map(|total| total + 1);
                count_page(process, &page, &snapshot, epoch, progress);
            }
            after = page;
        }
        if is_last {
            progress.uncarried = carriers.map(|tags| tags.uncarried_tags()).unwrap_or_default();
            return Ok(());
        }
    }
    progress.is_exact = false;
    Ok(())
}

fn count_page<S: Stores>(
    process: &Process<S>,
    page: &str,
    snapshot: &Snapshot,
    epoch: Epoch,
    progress: &mut Progress,
) {
    let deletes = progress.publish.as_ref().is_some_and(|publish| publish.mode == "delete");
    if !is_marked(snapshot, epoch) || (deletes && !snapshot.is_gone()) {
        return;
    }
    progress.left += 1;
    let Some(failure) = &snapshot.slot.failure else { return };
    progress.failing += 1;
    if progress.failures.len() < NAMED_MAX {
        let path = process.site.page_of_key(page).map_or_else(|| page.to_owned(), |page| page.decoded_path());
        progress.failures.push(PathResult { path, error: Some(failure.message.clone()) });
    }
}
