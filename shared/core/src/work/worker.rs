//! Carries out one job of the queue.

use std::sync::Arc;

use crate::base::clock::Millis;
use crate::base::text::is_build_id;
use crate::key::page_key::PageKey;
use crate::ports::bodies::Bodies;
use crate::ports::error::StoreError;
use crate::ports::job::{Job, Task};
use crate::ports::pages::Pages;
use crate::ports::pages::snapshot::Wanted;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::publish::carry_out::Publishers;
use crate::publish::purge::Purger;
use crate::publish::schedule::work_scheduled;
use crate::render::refresh::Renderer;
use crate::render::tombstone::stores_of_build;
use crate::work::removal::Removals;
use crate::work::renew::{JobOutcome, work_refresh};
use crate::work::second_look::SecondLooks;
use crate::work::walk::Walks;

/// Carries out jobs, each by its kind.
pub(crate) struct Worker<S: Stores> {
    pub(crate) process: Arc<Process<S>>,
    renderer: Arc<Renderer<S>>,
    publishers: Arc<Publishers<S>>,
    walks: Arc<Walks<S>>,
    second_looks: Arc<SecondLooks<S>>,
    removals: Arc<Removals<S>>,
}

impl<S: Stores> Worker<S> {
    /// A worker of this process.
    pub(crate) fn new(
        renderer: &Arc<Renderer<S>>,
        purger: &Arc<Purger<S>>,
        publishers: &Arc<Publishers<S>>,
    ) -> Arc<Self> {
        let (process, second_looks) = (renderer.process.clone(), SecondLooks::new(renderer, purger));
        let (walks, removals) = (Walks::new(renderer, &second_looks), Removals::new(&process));
        Arc::new(Self {
            process,
            renderer: renderer.clone(),
            publishers: publishers.clone(),
            walks,
            second_looks,
            removals,
        })
    }

    /// The queue itself: a worker asks it even while it is left alone, and so finds out that it is well again.
    pub(crate) fn queue(&self) -> &S::Queue {
        self.process.stores.queue().unguarded()
    }

    /// Carries out one job. A job of another build was sent before a deployment, or before a rollback to an older build.
    pub(crate) async fn work(&self, job: &Job) -> JobOutcome {
        let is_own = *job.build == **self.process.build();
        if !is_own && !job.build.is_empty() && !is_build_id(&job.build) {
            return JobOutcome::Gone;
        }
        let page = || self.process.site.page_of_key(&job.key);
        let outcome = match &job.task {
            Task::Walk(walk) if is_own => {
                self.walks.work_walk(walk.clone()).await.map(|()| JobOutcome::Walked)
            }
            // The publisher was promised that visitors get renewed pages: those are now the pages of this build.
            Task::Walk(walk) => {
                self.walks.work_walk(walk.of_another_build()).await.map(|()| JobOutcome::Walked)
            }
            Task::Remove(removal) => {
                self.removals.work_removal(&job.build, removal.clone()).await.map(|()| JobOutcome::Walked)
            }
            Task::Publish(scheduled) => {
                work_scheduled(&self.publishers, scheduled).await.map(|()| JobOutcome::Walked)
            }
            Task::RemoveBody { sha256, replaced_at } => self.remove_body(job, sha256, *replaced_at).await,
            // A render for a visitor of the other build: this build's next visitor sends a job of its own.
            Task::Refresh { .. } if !is_own => return JobOutcome::Gone,
            Task::Refresh { ticket, reason } => match page() {
                Some(page) => work_refresh(&self.renderer, &page, *ticket, *reason).await,
                None => return JobOutcome::Gone,
            },
            Task::SecondLook { due } => match page() {
                Some(page) => self.second_looks.look_again(&page, *due).await,
                None => return JobOutcome::Gone,
            },
        };
        outcome.unwrap_or_else(|error| JobOutcome::Retry(error.to_string().into()))
    }

    /// Carries out one job and logs its failure. `true`: the queue must deliver the job again.
    pub(crate) async fn work_or_retry(&self, job: &Job) -> bool {
        match self.work(job).await {
            JobOutcome::Done(_) | JobOutcome::Walked | JobOutcome::Dropped => false,
            JobOutcome::Gone => {
                let (key, build) = (&job.key, &job.build);
                tracing::warn!(key, build, "a job was dropped: this build does not have its page");
                false
            }
            JobOutcome::Retry(error) => {
                tracing::error!(key = job.key, "a job will be tried again: {error}");
                true
            }
        }
    }

    /// Removes a body unless the page's record names it again.
    async fn remove_body(
        &self,
        job: &Job,
        sha256: &str,
        replaced_at: Millis,
    ) -> Result<JobOutcome, StoreError> {
        let Some(page) = PageKey::from_stored(&job.key) else { return Ok(JobOutcome::Gone) };
        let build_stores = stores_of_build(&self.process, &job.build.as_str().into());
        let record = build_stores.pages.read(&page, Wanted::default()).await?.record;
        if !record.is_some_and(|r| r.stored.names(sha256)) {
            build_stores.bodies.remove(&page, sha256, replaced_at).await?;
        }
        Ok(JobOutcome::Dropped)
    }
}
