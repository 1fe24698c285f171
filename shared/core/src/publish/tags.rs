//! Revalidates tags: marks every page that carries one as stale, and has the queue renew those pages.

use std::sync::Arc;

use crate::ports::pages::snapshot::Stamp;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::publish::outcome::{Invalidation, PublishError};
use crate::publish::purge::Purger;
use crate::publish::send::start_walk;
use crate::render::refresh::Renderer;

/// Revalidates tags.
pub(crate) struct TagCalls<S: Stores> {
    process: Arc<Process<S>>,
    renderer: Arc<Renderer<S>>,
    purger: Arc<Purger<S>>,
}

impl<S: Stores> TagCalls<S> {
    /// Takes the calls that reach this process.
    pub(crate) fn new(renderer: &Arc<Renderer<S>>, purger: &Arc<Purger<S>>) -> Self {
        let (renderer, purger) = (renderer.clone(), purger.clone());
        Self { process: renderer.process.clone(), renderer, purger }
    }

    /// Marks every page that carries any of these tags as stale: one write for each tag, and every later read sees the mark.
    /// With `renew`, the queue then renews the pages that this build has stored; the cost of this call does not grow with
    /// their number. `renew` is the id of the publish in the journal; an empty id stands for the epoch.
    ///
    /// # Errors
    /// [`PublishError::Store`]: some tags may not be marked, or the queue did not take the walk. [`PublishError::Edge`]: all
    /// tags are marked, but the shared cache may keep copies. Repeating the call is harmless.
    pub(crate) async fn invalidate(
        &self,
        tags: &[String],
        renew: Option<&str>,
    ) -> Result<Invalidation, PublishError> {
        if self.process.dev {
            return Ok(Invalidation::default());
        }
        let (epoch, all) = self.renderer.many_tags.stamp(tags, Stamp::Stale).await?;
        let walking = async {
            match renew {
                Some(publish) => start_walk(&self.process, epoch, tags, publish).await,
                None => Ok((0, false)),
            }
        };
        // Side by side: the pages are marked already, whichever of the two fails.
        let (purged, walked) = tokio::join!(self.purger.purge(&all), walking);
        let (queued, more) = walked?;
        Ok(Invalidation { epoch, queued, more, edge: purged.map_err(PublishError::Edge)? })
    }
}
