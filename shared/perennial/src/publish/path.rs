//! A publisher's call for one page: marked, then rendered anew before it is answered.

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

/// Publishers' calls for single pages.
pub(crate) struct PathCalls<S: Stores> {
    process: Arc<Process<S>>,
    renderer: Arc<Renderer<S>>,
    purger: Arc<Purger<S>>,
    /// Marks that calls share.
    marks: Turns<Result<Option<Epoch>, PublishError>>,
    /// Renders that calls share.
    demands: Turns<RevalidationResult>,
}

impl<S: Stores> PathCalls<S> {
    /// Calls to this process.
    pub(crate) fn new(renderer: &Arc<Renderer<S>>, purger: &Arc<Purger<S>>) -> Arc<Self> {
        let process = renderer.process.clone();
        let (renderer, purger) = (renderer.clone(), purger.clone());
        Arc::new(Self { process, renderer, purger, marks: Turns::default(), demands: Turns::default() })
    }

    /// Marks a page and has it rendered anew before it answers. Simultaneous calls, of this process and of others, share
    /// a render, and its failure, if it began after they had marked the page.
    ///
    /// # Errors
    /// [`PublishError`]; unless the store failed, the page is marked and will be tried again.
    pub(crate) async fn revalidate_page(
        self: &Arc<Self>,
        page: &Resolved,
        only_generated: bool,
    ) -> RevalidationResult {
        if page.route.options.dynamic {
            return Err(PublishError::Dynamic);
        }
        if self.process.dev {
            let lists = page.route.options.fallback == Fallback::NotFound;
            let listed = if lists { page.is_listed().await } else { Ok(true) };
            match listed {
                Ok(true) => {}
                Ok(false) => return Err(PublishError::NotListed),
                Err(failure) => return Err(PublishError::Failed(failure.message().into())),
            }
            let rendered = self.renderer.render_only(page, Reason::OnDemand, false).await;
            let done = |entry: Arc<Entry>| Revalidation::Revalidated {
                edge: Purged::NoCache,
                kind: Some(entry.record.stored.name()),
            };
            return rendered.map(done).map_err(|trouble| PublishError::Failed(trouble.message));
        }
        let panicked = || PublishError::Failed("the render's task panicked".into());
        let key = page.key.shared();
        // Invalidation as soon as the call comes, so that a render for another process's call that begins from now on does for
        // this one. Calls that leave ungenerated pages alone do not share with those that generate them.
        let marks_key = if only_generated { format!("{key}|only").into() } else { key.clone() };
        let (calls, marks_page) = (self.clone(), page.clone());
        let mark = move |_| async move { calls.mark_page(&marks_page, only_generated).await };
        let marked = self.marks.take(&self.process.tasks, &marks_key, 0, mark).await;
        let Some(epoch) = marked.unwrap_or_else(|| Err(panicked()))? else {
            return Ok(Revalidation::NotGenerated);
        };
        let (calls, page) = (self.clone(), page.clone());
        let render = move |epoch| async move { calls.render_and_purge(&page, epoch).await };
        self.demands.take(&self.process.tasks, &key, epoch, render).await.unwrap_or_else(|| Err(panicked()))
    }

    /// The mark, which survives a crash of this process. None: the page is to be left alone.
    async fn mark_page(&self, page: &Resolved, only_generated: bool) -> Result<Option<Epoch>, PublishError> {
        let snapshot = self.process.stores.pages().read(&page.key, Wanted::default()).await?;
        let generated = snapshot.shown().is_some();
        if !generated && only_generated {
            return Ok(None);
        }
        if !generated && !snapshot.listed && page.route.options.fallback == Fallback::NotFound {
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
        // Whatever came of that: the page is marked, and a copy that is fresh for a year would never ask for it.
        let told = self.purger.purge(&page_tags(&page.key)[..1]).await;
        if let (Err(_), Err(error)) = (&rendered, &told) {
            tracing::error!(page = page.key.path(), "nor was the shared cache told what changed: {error}");
        }
        let kind = rendered?;
        told.map(|edge| Revalidation::Revalidated { edge, kind }).map_err(PublishError::Edge)
    }
}
