//! How far a publish is: from the journal, and from the pages themselves, which tell it also after a restart, and to
//! whoever asks.

use crate::ports::error::StoreError;
use crate::ports::journal::{Item, Journal, Kept, Mark, Publish, Renewal, Went};
use crate::ports::pages::Pages;
use crate::ports::pages::snapshot::Snapshot;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::publish::carriers::{TagCarriers, Uncarried};
use crate::publish::outcome::{LIST_BATCH, is_marked};
use crate::record::page_record::Epoch;

/// Pages looked at to count those that are left. What a question costs is the same for any number of pages: with more of
/// them it is answered "at least".
pub const COUNTED_MAX: usize = 2_000;

/// Failing pages that are named.
const NAMED_MAX: usize = 20;

/// Entries of one list whose renewal is looked at while it is under way, the newest: each costs what
/// [`Engine::progress`] does.
const RENEWALS_LISTED_MAX: usize = 4;

/// How far a publish is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Its entry in the journal, if there is one.
    pub publish: Option<Publish>,
    /// How far the renewal of each route's pages is.
    pub marks: Vec<Mark>,
    /// Pages that belong to its tags; none if its entry does not tell all of them.
    pub total: Option<usize>,
    /// Pages that are marked and have been neither rendered since, by this invalidation or a later one, nor removed: at
    /// least. Of its own pages alone, if those can be told.
    pub left: usize,
    /// Whether that is all: no more than [`COUNTED_MAX`] pages are stored.
    pub is_exact: bool,
    /// How many of them failed when they were tried last.
    pub failing: usize,
    /// The first of those.
    pub failures: Vec<Item>,
    /// Its tags that no page carries, if all pages were looked at.
    pub uncarried: Vec<Uncarried>,
}

impl Progress {
    /// Renders by the queue, those that failed among them, or removals, a second.
    pub fn rate(&self) -> Option<f64> {
        let began = self.marks.iter().map(|mark| mark.began_at).min()?;
        let done = |mark: &Mark| mark.renewed + mark.failed + mark.removed;
        let worked = self.marks.iter().filter(|mark| done(mark) > 0);
        let seconds = worked.clone().map(|mark| mark.at).max()?.since(began).as_secs_f64();
        let pages: u64 = worked.map(done).sum();
        Some(pages as f64 / seconds.max(0.001))
    }

    /// Whether nothing more comes of it by itself: what is left is for visitors.
    pub fn has_ended(&self) -> bool {
        let waits = self.publish.as_ref().is_some_and(|p| matches!(p.went, Went::Scheduled | Went::Begun));
        let walked = !self.marks.is_empty() && self.marks.iter().all(|mark| mark.ended);
        !waits && (walked || (self.is_exact && self.left == 0))
    }

    /// How far its renewal is, for its entry.
    pub fn renewal(&self) -> Renewal {
        Renewal {
            total: self.total.unwrap_or(self.left),
            left: self.left,
            failing: self.failing,
            at_least: !self.is_exact,
            failures: self.failures.clone(),
        }
    }

    /// What its entry is by now, if its tags' pages are renewed by the queue and that was not written down yet.
    fn entry_by_now(&self) -> Option<Publish> {
        let publish = self.publish.as_ref().filter(|publish| publish.went == Went::Accepted)?;
        let renewal = Some(self.renewal());
        if !self.has_ended() {
            let went = if self.marks.is_empty() { Went::Accepted } else { Went::Renewing };
            return Some(Publish { went, renewal, ..publish.clone() });
        }
        let went = if self.failing == 0 { Went::Done } else { Went::DoneWithFailures };
        let last = self.marks.iter().map(|mark| mark.at).max().filter(|_| self.is_done());
        let changed = self.total.is_none_or(|total| total > 0);
        let visible = last.filter(|_| changed).map(|last| last.since(publish.due.unwrap_or(publish.at)));
        let visible_ms = visible.and_then(|visible| u64::try_from(visible.as_millis()).ok());
        Some(Publish { went, renewal, visible_ms, ..publish.clone() })
    }

    /// Whether all of it is done.
    pub fn is_done(&self) -> bool {
        let failed = self.publish.as_ref().is_some_and(|p| matches!(p.went, Went::Failed | Went::Cancelled));
        // What cannot be counted is what the walks say.
        let walked = self.marks.iter().all(|mark| mark.failed == 0 && !mark.left_out);
        self.has_ended() && !failed && self.left == 0 && (self.is_exact || walked)
    }
}

/// How far a publish is, by its id in the journal. None if there is no such publish, as far as the store knows: the
/// pages tell of every number that an invalidation was given, also once the journal has forgotten it.
///
/// # Errors
/// The store's.
pub(crate) async fn progress<S: Stores>(
    process: &Process<S>,
    id: &str,
) -> Result<Option<Progress>, StoreError> {
    let number: Option<Epoch> = id.parse().ok();
    let kept = match process.stores.journal().get(id).await {
        Ok(kept) => kept,
        Err(error) if number.is_some() => {
            tracing::error!("the journal of publishes cannot be read: {error}");
            None
        }
        Err(error) => return Err(error),
    };
    let Kept { publish, marks } = match (kept, number) {
        (Some(kept), _) => kept,
        // The pages tell it alone.
        (None, Some(number)) if was_given(process, number).await? => {
            Kept { publish: None, marks: Vec::new() }
        }
        (None, _) => return Ok(None),
    };
    let epoch = publish.as_ref().and_then(|publish| publish.epoch).or(number);
    let mut progress = Progress { publish, marks, is_exact: true, ..Progress::default() };
    if let Some(epoch) = epoch {
        count(process, epoch, &mut progress).await?;
    }
    if let Some(publish) = progress.entry_by_now() {
        progress.publish = Some(publish);
    }
    Ok(Some(progress))
}

/// Whether an invalidation has that number. In `dev` all have 0.
pub(crate) async fn was_given<S: Stores>(process: &Process<S>, number: Epoch) -> Result<bool, StoreError> {
    Ok((number > 0 || process.dev) && number <= process.stores.pages().epoch().await?)
}

/// Entries of the journal as they are by now, newest first; see [`Journal::list`].
///
/// # Errors
/// The store's.
pub(crate) async fn entries<S: Stores>(
    process: &Process<S>,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Publish>, StoreError> {
    let mut entries = process.stores.journal().list(after, limit).await?;
    let under_way = entries.iter_mut().filter(|entry| entry.went == Went::Accepted);
    for entry in under_way.take(RENEWALS_LISTED_MAX) {
        let progress = progress(process, &entry.id).await?;
        *entry = progress.and_then(|progress| progress.publish).unwrap_or_else(|| entry.clone());
    }
    Ok(entries)
}

/// Writes down how the renewal of a publish's pages ended, once it has ended on all routes. Whoever comes last does:
/// the last walk, or who writes the entry, if the walks were faster.
pub(crate) async fn end_entry<S: Stores>(process: &Process<S>, id: &str) {
    let ended = async {
        let kept = process.stores.journal().get(id).await?;
        let is_last = |kept: &Kept| {
            kept.publish.as_ref().is_some_and(|publish| publish.went == Went::Accepted)
                && !kept.marks.is_empty()
                && kept.marks.iter().all(|mark| mark.ended)
        };
        if !kept.is_some_and(|kept| is_last(&kept)) {
            return Ok(());
        }
        match progress(process, id).await?.and_then(|progress| progress.publish) {
            Some(publish) => process.stores.journal().put(&publish.cut()).await,
            None => Ok(()),
        }
    };
    if let Err::<(), StoreError>(error) = ended.await {
        tracing::error!("how a renewal ended cannot be written into the journal: {error}");
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
            let is_own = carriers.as_mut().is_none_or(|tags| tags.look(&process.site, &page, &snapshot));
            if is_own {
                progress.total = progress.total.map(|total| total + 1);
                count_page(process, &page, &snapshot, epoch, progress);
            }
            after = page;
        }
        if is_last {
            progress.uncarried = carriers.map(|tags| tags.end()).unwrap_or_default();
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
        progress.failures.push(Item { path, error: Some(failure.message.clone()) });
    }
}
