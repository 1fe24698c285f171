//! One job of the queue, carried out.

use std::sync::Arc;

use crate::base::clock::Millis;
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
use crate::publish::schedule::work_due;
use crate::render::refresh::Renderer;
use crate::render::tombstone::stores_of_build;
use crate::run::settings::is_build_id;
use crate::work::removal::Removals;
use crate::work::renew::{JobOutcome, work_refresh};
use crate::work::second_look::SecondLooks;
use crate::work::walk::Walks;

/// Carries out what the queue delivers.
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

    /// Carries out one job of the queue. A job of another build is one that was sent before a deployment, or before a
    /// return to an older build.
    pub(crate) async fn work(&self, job: &Job) -> JobOutcome {
        let is_own = *job.build == **self.process.build();
        if !is_own && !job.build.is_empty() && !is_build_id(&job.build) {
            return JobOutcome::Gone;
        }
        let page = || self.process.site.page_of_key(&job.key);
        let worked = match &job.task {
            Task::Walk(walk) if is_own => {
                self.walks.work_walk(walk.clone()).await.map(|()| JobOutcome::Walked)
            }
            // Its publisher was promised that what visitors see is renewed: that is this build's now.
            Task::Walk(walk) => self.walks.work_walk(walk.begun_anew()).await.map(|()| JobOutcome::Walked),
            Task::Remove(removal) => {
                self.removals.work_removal(&job.build, removal.clone()).await.map(|()| JobOutcome::Walked)
            }
            Task::Publish(due) => work_due(&self.publishers, due).await.map(|()| JobOutcome::Walked),
            Task::RemoveBody { sha256, replaced_at } => self.work_remove(job, sha256, *replaced_at).await,
            // For a visitor of that build: the next one asks again.
            Task::Refresh { .. } if !is_own => return JobOutcome::Gone,
            Task::Refresh { ticket, reason } => match page() {
                Some(page) => work_refresh(&self.renderer, &page, *ticket, *reason).await,
                None => return JobOutcome::Gone,
            },
            Task::Again { due } => match page() {
                Some(page) => self.second_looks.look_again(&page, *due).await,
                None => return JobOutcome::Gone,
            },
        };
        worked.unwrap_or_else(|error| JobOutcome::Retry(error.to_string().into()))
    }

    /// Carries out one job and logs what kept it from being done; tells whether it must be delivered again.
    pub(crate) async fn work_or_retry(&self, job: &Job) -> bool {
        match self.work(job).await {
            JobOutcome::Done(_) | JobOutcome::Walked | JobOutcome::Dropped => false,
            JobOutcome::Gone => {
                let (key, build) = (&job.key, &job.build);
                tracing::warn!(key, build, "a job was dropped: its page is not one of this build's");
                false
            }
            JobOutcome::Retry(error) => {
                tracing::error!(key = job.key, "a job will be tried again: {error}");
                true
            }
        }
    }

    async fn work_remove(
        &self,
        job: &Job,
        sha256: &str,
        replaced_at: Millis,
    ) -> Result<JobOutcome, StoreError> {
        let Some(page) = PageKey::from_stored(&job.key) else { return Ok(JobOutcome::Gone) };
        let kept = stores_of_build(&self.process, &job.build.as_str().into());
        let record = kept.pages.read(&page, Wanted::default()).await?.record;
        if !record.is_some_and(|r| r.stored.names(sha256)) {
            kept.bodies.remove(&page, sha256, replaced_at).await?;
        }
        Ok(JobOutcome::Dropped)
    }
}
