//! A publisher's call for tags: everything that carries one of them is marked, and renewed by the queue.

use std::sync::Arc;

use crate::ports::pages::snapshot::Stamp;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::publish::outcome::{Invalidation, PublishError};
use crate::publish::purge::Purger;
use crate::publish::send::start_walk;
use crate::render::refresh::Renderer;

/// Publishers' calls for tags.
pub(crate) struct TagCalls<S: Stores> {
    process: Arc<Process<S>>,
    renderer: Arc<Renderer<S>>,
    purger: Arc<Purger<S>>,
}

impl<S: Stores> TagCalls<S> {
    /// Calls to this process.
    pub(crate) fn new(renderer: &Arc<Renderer<S>>, purger: &Arc<Purger<S>>) -> Self {
        let (renderer, purger) = (renderer.clone(), purger.clone());
        Self { process: renderer.process.clone(), renderer, purger }
    }

    /// Marks everything that carries any of these tags: a write for each, seen by every read from then on. With
    /// `renew`, the queue then renews pages that this build has stored; what that takes here is the same for any number
    /// of them. It is told under that name in the journal, or under the invalidation's number if the name is empty.
    ///
    /// # Errors
    /// [`PublishError::Store`], or [`PublishError::Edge`] once everything is marked. Repeating the call is harmless.
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
        // Neither waits for the other, and whatever comes of one, the pages are marked.
        let (told, walked) = tokio::join!(self.purger.purge(&all), walking);
        let (queued, more) = walked?;
        Ok(Invalidation { epoch, queued, more, edge: told.map_err(PublishError::Edge)? })
    }
}
