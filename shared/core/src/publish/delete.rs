//! Deletions that publishers ask for. One write for each tag hides the pages in every build. The shared cache is purged right
//! after that; the queue removes the stored bytes ([`removal`](crate::work::removal)).

use std::sync::Arc;
use std::time::Duration;

use crate::key::tags::path_tag;
use crate::ports::edge::Purged;
use crate::ports::error::StoreError;
use crate::ports::job::Removal;
use crate::ports::pages::Pages;
use crate::ports::pages::snapshot::Stamp;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::publish::outcome::{Invalidation, PublishError};
use crate::publish::purge::Purger;
use crate::publish::send::{send_removal, start_removal};
use crate::record::page_record::Epoch;
use crate::render::refresh::Renderer;
use crate::render::tombstone::{stores_of_build, write_tombstone};
use crate::site::route::Resolved;

/// Carries out deletions.
pub(crate) struct Deletions<S: Stores> {
    process: Arc<Process<S>>,
    renderer: Arc<Renderer<S>>,
    purger: Arc<Purger<S>>,
}

impl<S: Stores> Deletions<S> {
    /// Takes the calls that reach this process.
    pub(crate) fn new(renderer: &Arc<Renderer<S>>, purger: &Arc<Purger<S>>) -> Self {
        let (renderer, purger) = (renderer.clone(), purger.clone());
        Self { process: renderer.process.clone(), renderer, purger }
    }

    /// Deletes every page that carries any of these tags, in every build. The pages are gone at once; renders that are under
    /// way do not bring them back. The queue then removes the stored bytes of this build and notes its progress in the
    /// journal under the id `publish`, or under the epoch of the deletion if `publish` is empty.
    ///
    /// # Errors
    /// [`PublishError::Store`]: some pages may not be gone, or the queue did not take the removal.
    /// [`PublishError::Edge`]: all pages are gone and the queue has the removal, but the shared cache may keep copies.
    /// Repeating the call is harmless.
    pub(crate) async fn delete_tagged(
        &self,
        tags: &[String],
        publish: &str,
    ) -> Result<Invalidation, PublishError> {
        if self.process.dev {
            return Ok(Invalidation::default());
        }
        let (epoch, all) = self.renderer.many_tags.stamp(tags, Stamp::Gone).await?;
        // Side by side: the purge goes out even if the queue fails. The edge would not ask about a copy that is fresh for a
        // year.
        let (purged, sent) =
            tokio::join!(self.purger.purge(&all), start_removal(&self.process, epoch, tags, publish));
        let (queued, more) = sent?;
        Ok(Invalidation { epoch, queued, more, edge: purged.map_err(PublishError::Edge)? })
    }

    /// Deletes one page in every build, and removes its stored bytes of this build. The queue removes its query variants.
    ///
    /// # Errors
    /// [`PublishError::Store`]: the page may not be gone. [`PublishError::Edge`]: the page is gone, but the shared cache may
    /// keep copies. Repeating the call is harmless.
    pub(crate) async fn delete(&self, page: &Resolved) -> Result<Purged, PublishError> {
        if self.process.dev {
            return Ok(Purged::NoCache);
        }
        let tags = [path_tag(page.key.path())];
        let epoch = self.process.stores.pages().invalidate(&tags, Stamp::Gone).await?;
        let (purged, removed) = tokio::join!(self.purger.purge(&tags), self.remove_stored(page, epoch));
        removed?;
        purged.map_err(PublishError::Edge)
    }

    async fn remove_stored(&self, page: &Resolved, epoch: Epoch) -> Result<(), StoreError> {
        if page.route.has_query() {
            let prefix = format!("{}?", page.key.base_text());
            let removal = Removal { epoch, prefix, began_at: self.process.now(), ..Removal::default() };
            send_removal(&self.process, self.process.build(), removal, Duration::ZERO).await?;
        }
        let ticket = self.renderer.override_all(page).await?;
        write_tombstone(
            &self.process,
            &stores_of_build(&self.process, self.process.build()),
            &page.key,
            ticket,
        )
        .await
    }
}
