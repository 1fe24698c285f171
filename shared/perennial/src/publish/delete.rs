//! A publisher's deletion: one write a tag, and from then on no build shows the pages. The shared cache is told right after
//! that; the queue removes what is stored ([`removal`](crate::work::removal)).

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

/// Publishers' calls for deletions.
pub(crate) struct Deletions<S: Stores> {
    process: Arc<Process<S>>,
    renderer: Arc<Renderer<S>>,
    purger: Arc<Purger<S>>,
}

impl<S: Stores> Deletions<S> {
    /// Calls to this process.
    pub(crate) fn new(renderer: &Arc<Renderer<S>>, purger: &Arc<Purger<S>>) -> Self {
        let (renderer, purger) = (renderer.clone(), purger.clone());
        Self { process: renderer.process.clone(), renderer, purger }
    }

    /// Has every page that carries any of these tags gone at once, in every build, and whatever is being rendered. The
    /// queue then removes what this build has stored of them, and tells the journal how far that is, under the name
    /// `publish`, or under the deletion's number if the name is empty.
    ///
    /// # Errors
    /// [`PublishError::Store`]: perhaps not all is gone, or the queue has not been told. [`PublishError::Edge`]: all is gone, and the
    /// queue knows. Repeating the call is harmless.
    pub(crate) async fn delete_tagged(
        &self,
        tags: &[String],
        publish: &str,
    ) -> Result<Invalidation, PublishError> {
        if self.process.dev {
            return Ok(Invalidation::default());
        }
        let (epoch, all) = self.renderer.many_tags.stamp(tags, Stamp::Gone).await?;
        // Neither waits for the other: a copy at the edge that is fresh for a year would never ask.
        let (told, sent) =
            tokio::join!(self.purger.purge(&all), start_removal(&self.process, epoch, tags, publish));
        let (queued, more) = sent?;
        Ok(Invalidation { epoch, queued, more, edge: told.map_err(PublishError::Edge)? })
    }

    /// Has a page gone at once, in every build, and removes what is stored of it. The queue removes its variants.
    ///
    /// # Errors
    /// [`PublishError::Store`], or [`PublishError::Edge`] once the page is gone. Repeating the call is harmless.
    pub(crate) async fn delete(&self, page: &Resolved) -> Result<Purged, PublishError> {
        if self.process.dev {
            return Ok(Purged::NoCache);
        }
        let tags = [path_tag(page.key.path())];
        let epoch = self.process.stores.pages().invalidate(&tags, Stamp::Gone).await?;
        let (told, removed) = tokio::join!(self.purger.purge(&tags), self.remove_named(page, epoch));
        removed?;
        told.map_err(PublishError::Edge)
    }

    async fn remove_named(&self, page: &Resolved, epoch: Epoch) -> Result<(), StoreError> {
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
