//! How far a publish is: from the journal, and from the pages themselves, which tell it also after a restart, and to
//! whoever asks.

use crate::demand::{LIST_BATCH, is_marked};
use crate::engine::Engine;
use crate::pages::Pages;
use crate::publishes::{Item, Kept, Mark, Publish, Publishes, Went};
use crate::record::Epoch;
use crate::store::{StoreError, Stores};

/// Pages looked at to count those that are left. What a question costs is the same for any number of pages: with more of
/// them it is answered "at least".
pub const COUNTED_MAX: usize = 2_000;

/// Failing pages that are named.
const NAMED_MAX: usize = 20;

/// How far a publish is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Its entry in the journal, if there is one.
    pub publish: Option<Publish>,
    /// How far the renewal of each route's pages is.
    pub marks: Vec<Mark>,
    /// Pages that are marked and have not been rendered since, by this invalidation or a later one: at least.
    pub left: usize,
    /// Whether that is all: no more than [`COUNTED_MAX`] pages are stored.
    pub is_exact: bool,
    /// How many of them failed when they were tried last.
    pub failing: usize,
    /// The first of those.
    pub failures: Vec<Item>,
}

impl Progress {
    /// Renders by the queue, those that failed among them, a second.
    pub fn rate(&self) -> Option<f64> {
        let began = self.marks.iter().map(|mark| mark.began_at).min()?;
        let worked = self.marks.iter().filter(|mark| mark.renewed + mark.failed > 0);
        let seconds = worked.clone().map(|mark| mark.at).max()?.since(began).as_secs_f64();
        let pages: u64 = worked.map(|mark| mark.renewed + mark.failed).sum();
        Some(pages as f64 / seconds.max(0.001))
    }

    /// Whether nothing more comes of it by itself: what is left is for visitors.
    pub fn has_ended(&self) -> bool {
        let waits = self.publish.as_ref().is_some_and(|p| matches!(p.went, Went::Scheduled | Went::Begun));
        let walked = !self.marks.is_empty() && self.marks.iter().all(|mark| mark.ended);
        !waits && (walked || (self.is_exact && self.left == 0))
    }

    /// Whether all of it is done.
    pub fn is_done(&self) -> bool {
        let failed = self.publish.as_ref().is_some_and(|p| matches!(p.went, Went::Failed | Went::Cancelled));
        // What cannot be counted is what the walks say.
        let walked = self.marks.iter().all(|mark| mark.failed == 0 && !mark.left_out);
        self.has_ended() && !failed && self.left == 0 && (self.is_exact || walked)
    }
}

impl<S: Stores> Engine<S> {
    /// How far a publish is, by its id in the journal. None if there is no such publish, as far as the store knows: the
    /// pages tell of every number that an invalidation was given, also once the journal has forgotten it.
    ///
    /// # Errors
    /// The store's.
    pub async fn progress(&self, id: &str) -> Result<Option<Progress>, StoreError> {
        let number: Option<Epoch> = id.parse().ok();
        let kept = match self.stores.publishes().get(id).await {
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
            (None, Some(number)) if self.was_given(number).await? => {
                Kept { publish: None, marks: Vec::new() }
            }
            (None, _) => return Ok(None),
        };
        let epoch = publish.as_ref().and_then(|publish| publish.epoch).or(number);
        let mut progress = Progress { publish, marks, is_exact: true, ..Progress::default() };
        if let Some(epoch) = epoch {
            self.count(epoch, &mut progress).await?;
        }
        Ok(Some(progress))
    }

    /// Whether an invalidation has that number. In `dev` all have 0.
    pub(crate) async fn was_given(&self, number: Epoch) -> Result<bool, StoreError> {
        Ok((number > 0 || self.dev) && number <= self.stores.pages().epoch().await?)
    }

    async fn count(&self, epoch: Epoch, progress: &mut Progress) -> Result<(), StoreError> {
        let mut after = String::new();
        for _ in 0..COUNTED_MAX / LIST_BATCH {
            let batch = self.stores.pages().list("", Some(&after), LIST_BATCH).await?;
            let is_last = batch.len() < LIST_BATCH;
            for (page, snapshot) in batch {
                if is_marked(&snapshot, epoch) {
                    progress.left += 1;
                    if let Some(failure) = snapshot.slot.failure {
                        progress.failing += 1;
                        if progress.failures.len() < NAMED_MAX {
                            let path = self.site.page_of_key(&page).map(|page| page.decoded_path());
                            let error = Some(failure.message);
                            progress
                                .failures
                                .push(Item { path: path.unwrap_or_else(|| page.clone()), error });
                        }
                    }
                }
                after = page;
            }
            if is_last {
                return Ok(());
            }
        }
        progress.is_exact = false;
        Ok(())
    }
}
