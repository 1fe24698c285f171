//! Revalidates single pages: marks a page as stale, and renders it before the call is answered.

use std::sync::Arc;

use crate::key::tags::{page_tags, path_tag};
use crate::memory::Entry;
use crate::ports::edge::Purged;
use crate::ports::pages::Pages;
use crate::ports::pages::snapshot::{Stamp, Wanted};
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::publish::outcome::{PublishError, Revalidation, RevalidationResult};
use crate::publish::purge::Purger;
use crate::publish::renew::render_variants;
use crate::record::page_record::Epoch;
use crate::record::reason::Reason;
use crate::render::refresh::Renderer;
use crate::site::route::{Fallback, Resolved};
use crate::visit::single_flight::Turns;

/// Revalidates single pages.
pub(crate) struct PathCalls<S: Stores> {
    process: Arc<Process<S>>,
    renderer: Arc<Renderer<S>>,
    purger: Arc<Purger<S>>,
    /// Simultaneous calls share one mark.
    marks: Turns<Result<Option<Epoch>, PublishError>>,
    /// Simultaneous calls share one render.
    renders: Turns<RevalidationResult>,
}

impl<S: Stores> PathCalls<S> {
    /// Takes the calls that reach this process.
    pub(crate) fn new(renderer: &Arc<Renderer<S>>, purger: &Arc<Purger<S>>) -> Arc<Self> {
        let process = renderer.process.clone();
        let (renderer, purger) = (renderer.clone(), purger.clone());
        Arc::new(Self { process, renderer, purger, marks: Turns::default(), renders: Turns::default() })
    }

    /// Marks a page as stale, renders it, and purges the shared cache before the call returns. Simultaneous calls to this
    /// process and to others share a render, or its failure, if the render began after each of them had marked the page.
    ///
    /// # Errors
    /// [`PublishError`]. Unless the store failed, the page is marked, and will be rendered again.
    pub(crate) async fn revalidate_page(
        self: &Arc<Self>,
        page: &Resolved,
        only_generated: bool,
    ) -> RevalidationResult {
        if page.route.options.dynamic {
            return Err(PublishError::Dynamic);
        }
        if self.process.dev {
            let lists_only = page.route.options.fallback == Fallback::NotFound;
            let is_listed = if lists_only { page.is_listed().await } else { Ok(true) };
            match is_listed {
                Ok(true) => {}
                Ok(false) => return Err(PublishError::NotListed),
                Err(failure) => return Err(PublishError::Failed(failure.message().into())),
            }
            let rendered = self.renderer.render_only(page, Reason::OnDemand, false).await;
            let revalidated = |entry: Arc<Entry>| Revalidation::Revalidated {
                edge: Purged::NoCache,
                kind: Some(entry.record.stored.name()),
            };
            return rendered.map(revalidated).map_err(|error| PublishError::Failed(error.message));
        }
        let panicked = || PublishError::Failed("the render's task panicked".into());
        let key = page.key.shared();
        // Mark first: any render that begins from now on, also for a call to another process, then serves this call too.
        // Calls with `only_generated` have marks of their own, because they may mark nothing.
        let marks_key = if only_generated { format!("{key}|only").into() } else { key.clone() };
        let (calls, marks_page) = (self.clone(), page.clone());
        let mark = move |_| async move { calls.mark_page(&marks_page, only_generated).await };
        let marked = self.marks.take(&self.process.tasks, &marks_key, 0, mark).await;
        let Some(epoch) = marked.unwrap_or_else(|| Err(panicked()))? else {
            return Ok(Revalidation::NotGenerated);
        };
        let (calls, page) = (self.clone(), page.clone());
        let render = move |epoch| async move { calls.render_and_purge(&page, epoch).await };
        self.renders.take(&self.process.tasks, &key, epoch, render).await.unwrap_or_else(|| Err(panicked()))
    }

    /// Marks the page as stale in the store, where the mark survives a crash of this process. `None`: the page has not been
    /// generated, and the call asked to leave such pages alone.
    async fn mark_page(&self, page: &Resolved, only_generated: bool) -> Result<Option<Epoch>, PublishError> {
        let snapshot = self.process.stores.pages().read(&page.key, Wanted::default()).await?;
        let is_generated = snapshot.shown().is_some();
        if !is_generated && only_generated {
            return Ok(None);
        }
        if !is_generated && !snapshot.listed && page.route.options.fallback == Fallback::NotFound {
            return Err(PublishError::NotListed);
        }
        self.process
            .stores
            .pages()
            .invalidate(&[path_tag(page.key.path())], Stamp::Stale)
            .await
            .map(Some)
            .map_err(PublishError::from)
    }

    async fn render_and_purge(self: &Arc<Self>, page: &Resolved, epoch: Epoch) -> RevalidationResult {
        let rendered = render_variants(&self.renderer, page, epoch).await;
        // Also after a failed render: the page is marked, and the edge would not ask about a copy that is fresh for a year.
        let purged = self.purger.purge(&page_tags(&page.key)[..1]).await;
        if let (Err(_), Err(error)) = (&rendered, &purged) {
            tracing::error!(
                page = page.key.address(),
                "after a failed render, the purge of the shared cache failed too: {error}"
            );
        }
        let kind = rendered?;
        purged.map(|edge| Revalidation::Revalidated { edge, kind }).map_err(PublishError::Edge)
    }
}
