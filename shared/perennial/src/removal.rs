//! A publisher's call: pages removed by what they carry.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::clock::Millis;
use crate::demand::{LIST_BATCH, Marked, Undone, is_marked};
use crate::edge::Purged;
use crate::engine::Engine;
use crate::pages::{Pages, Snapshot};
use crate::record::{Epoch, Stored};
use crate::store::{StoreError, Stores};

/// Pages that are removed at the same time.
const REMOVED_AT_ONCE: usize = 16;

impl<S: Stores> Engine<S> {
    /// Removes every page of this build that carries any of these tags, and returns once all of them are gone. What they
    /// carry is known of pages that are stored; one whose first render is under way may come to carry a tag, so that
    /// render is kept from being stored, and whoever waits for it gets a later one.
    ///
    /// # Errors
    /// [`Undone::Store`]: what is not gone is stale. [`Undone::Edge`] once everything is gone. Repeating the call is
    /// harmless.
    pub async fn delete_tagged(self: &Arc<Self>, tags: &[String]) -> Result<Marked, Undone> {
        if self.dev {
            return Ok(Marked { epoch: 0, queued: 0, more: false, removed: 0, edge: Purged::NoCache });
        }
        let store = |e: StoreError| Undone::Store(e.to_string().into());
        // First the mark: if this process dies, nothing counts as fresh that is still there.
        let epoch = self.stores.pages().invalidate(tags).await.map_err(store)?;
        let removed = self.remove_marked(epoch).await;
        // Whatever came of that: a copy that is fresh for a year would never ask.
        let told = self.purge(tags).await;
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
            let now = self.clock.now();
            for (text, snapshot) in batch {
                let marked = is_marked(&snapshot, epoch);
                if !marked && !is_on_its_way(&snapshot, now) {
                    continue;
                }
                let Some(page) = self.site.page_of_key(&text) else { continue };
                if removing.len() == REMOVED_AT_ONCE {
                    removing.join_next().await.transpose().map_err(panicked)?.transpose()?;
                }
                removed += usize::from(marked);
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

/// Whether a page that nobody can see is being rendered.
fn is_on_its_way(snapshot: &Snapshot, now: Millis) -> bool {
    let shown = snapshot.record.as_ref().is_some_and(|record| record.stored != Stored::Deleted);
    !shown && snapshot.slot.lease_at(now).is_some()
}

fn panicked(error: tokio::task::JoinError) -> StoreError {
    StoreError::Refused(format!("a removal ended early: {error}"))
}
