//! A publisher's call: pages removed by what they carry.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::demand::{LIST_BATCH, Marked, Undone, is_marked};
use crate::edge::Purged;
use crate::engine::Engine;
use crate::pages::{Pages, Stamp};
use crate::record::Epoch;
use crate::store::{StoreError, Stores};

/// Pages that are removed at the same time.
const REMOVED_AT_ONCE: usize = 16;

impl<S: Stores> Engine<S> {
    /// Has every page that carries any of these tags gone at once, in every build, and whatever is being rendered; then
    /// removes what this build has stored of them.
    ///
    /// # Errors
    /// [`Undone::Store`]: perhaps not all is gone, or not all removed. [`Undone::Edge`] once it is. Repeating the call is
    /// harmless.
    pub async fn delete_tagged(self: &Arc<Self>, tags: &[String]) -> Result<Marked, Undone> {
        if self.dev {
            return Ok(Marked { epoch: 0, queued: 0, more: false, removed: 0, edge: Purged::NoCache });
        }
        let store = |e: StoreError| Undone::Store(e.to_string().into());
        // First the mark: from here on nothing of it is shown, by any build.
        let (epoch, all) = self.stamp(tags, Stamp::Gone).await.map_err(store)?;
        let removed = self.remove_marked(epoch).await;
        // Whatever came of that: a copy that is fresh for a year would never ask.
        let told = self.purge(&all).await;
        Ok(Marked {
            epoch,
            queued: 0,
            more: false,
            removed: removed.map_err(store)?,
            edge: told.map_err(Undone::Edge)?,
        })
    }

    async fn remove_marked(self: &Arc<Self>, epoch: Epoch) -> Result<usize, StoreError> {
        let (mut removing, mut removed) = (JoinSet::new(), 0);
        let mut after = Some(String::new());
        while let Some(from) = after.take() {
            let batch = self.stores.pages().list("", Some(&from), LIST_BATCH).await?;
            if batch.len() == LIST_BATCH {
                after = batch.last().map(|(text, _)| text.clone());
            }
            for (text, snapshot) in batch {
                let Some(page) = self.site.page_of_key(&text).filter(|_| is_marked(&snapshot, epoch)) else {
                    continue;
                };
                if removing.len() == REMOVED_AT_ONCE {
                    removing.join_next().await.transpose().map_err(panicked)?.transpose()?;
                }
                removed += 1;
                let engine = self.clone();
                removing.spawn(async move {
                    let ticket = engine.override_all(&page).await?;
                    engine.remove(&page, ticket).await
                });
            }
        }
        while let Some(done) = removing.join_next().await {
            done.map_err(panicked)??;
        }
        Ok(removed)
    }
}

fn panicked(error: tokio::task::JoinError) -> StoreError {
    StoreError::Refused(format!("a removal ended early: {error}"))
}
