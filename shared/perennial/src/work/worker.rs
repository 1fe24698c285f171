//! A stale page, renewed behind its visitors' backs: how an answer asks the queue, and what the queue's worker does.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::clock::Millis;
use crate::engine::Engine;
use crate::key::page_key::PageKey;
use crate::memory::Entry;
use crate::ports::bodies::Bodies;
use crate::ports::error::StoreError;
use crate::ports::job::{Job, Task};
use crate::ports::pages::Pages;
use crate::ports::pages::slot::Begun;
use crate::ports::pages::snapshot::Wanted;
use crate::ports::pages::urgency::Urgency;
use crate::ports::queue::Jobs;
use crate::ports::stores::Stores;
use crate::publish::path::{UNSAVED, Undone};
use crate::record::page_record::{Stored, Ticket};
use crate::record::reason::Reason;
use crate::render::refresh::{Refreshed, STOPPING};
use crate::run::settings::is_build_id;
use crate::site::route::Resolved;

/// What became of a job.
#[derive(Clone, Debug)]
pub enum Worked {
    /// Carried out, well or not: what was to be noted is noted.
    Done(Refreshed),
    /// A walk came as far as it could, or a publish was carried out; what is left of it is a job of its own.
    Walked,
    /// Nothing is left to do: the page was rendered since, or a newer render was begun, or failed.
    Dropped,
    /// Its page is not one of this build's.
    Gone,
    /// The store failed, or the process is stopping: deliver it again.
    Retry(Arc<str>),
}

impl<S: Stores> Engine<S> {
    /// Whether [`Engine::trigger`] would ask the store at all: nobody holds a lease, and no back-off holds, as far as
    /// this process knows.
    pub fn may_trigger(&self, entry: &Entry) -> bool {
        let (now, slot) = (self.clock.now(), &entry.snapshot.slot);
        slot.leased_until(now).is_none() && slot.backed_off_until(now).is_none()
    }

    /// Has a stale page renewed by the queue, unless somebody already does or it is not time to try again. Costs a
    /// visitor nothing: run it beside the answer, or before it where the process is frozen after it.
    pub async fn trigger(&self, page: &Resolved, entry: &Entry) {
        let Some(_asking) = self.may_trigger(entry).then(|| Asking::new(&self.triggered, page)).flatten()
        else {
            return;
        };
        let begun = self
            .stores
            .pages()
            .begin(&page.key, self.ask(Some(entry.record.generation), Urgency::Ordinary))
            .await;
        match begun {
            Ok(Begun::Granted(ticket)) => self.send(page, ticket).await,
            Ok(Begun::Busy(_) | Begun::BackedOff { .. } | Begun::Unneeded) => {}
            Err(error) => self.complain(
                page,
                "a stale page cannot be renewed while the store cannot be written",
                &error,
            ),
        }
    }

    async fn send(&self, page: &Resolved, ticket: Ticket) {
        let job = self.job(page, Task::Refresh { ticket, reason: Reason::Stale });
        if let Err(error) = self.stores.jobs().send(&job, Duration::ZERO).await {
            self.complain(
                page,
                "the queue refused to renew a stale page; the next visitor tries again",
                &error,
            );
            if let Err(error) = self.stores.pages().release(&page.key, ticket).await {
                self.complain(page, "its lease cannot be given back, it will end by itself", &error);
            }
        }
    }

    pub(crate) fn job(&self, page: &Resolved, task: Task) -> Job {
        Job { v: 1, build: self.build().to_string(), key: page.key.as_str().to_owned(), task }
    }

    /// Carries out one job of the queue. A job of another build is one that was sent before a deployment, or before a
    /// return to an older build.
    pub async fn work(self: &Arc<Self>, job: &Job) -> Worked {
        let is_own = *job.build == **self.build();
        if !is_own && !job.build.is_empty() && !is_build_id(&job.build) {
            return Worked::Gone;
        }
        let page = || self.site.page_of_key(&job.key);
        let worked = match &job.task {
            Task::Walk(walk) if is_own => self.work_walk(walk.clone()).await.map(|()| Worked::Walked),
            // Its publisher was promised that what visitors see is renewed: that is this build's now.
            Task::Walk(walk) => self.work_walk(walk.begun_anew()).await.map(|()| Worked::Walked),
            Task::Remove(removal) => {
                self.work_removal(&job.build, removal.clone()).await.map(|()| Worked::Walked)
            }
            Task::Publish(due) => self.work_due(due).await.map(|()| Worked::Walked),
            Task::RemoveBody { sha256, replaced_at } => self.work_remove(job, sha256, *replaced_at).await,
            // For a visitor of that build: the next one asks again.
            Task::Refresh { .. } if !is_own => return Worked::Gone,
            Task::Refresh { ticket, reason } => match page() {
                Some(page) => self.work_refresh(&page, *ticket, *reason).await,
                None => return Worked::Gone,
            },
            Task::Again { due } => match page() {
                Some(page) => self.look_again(&page, *due).await,
                None => return Worked::Gone,
            },
        };
        worked.unwrap_or_else(|error| Worked::Retry(error.to_string().into()))
    }

    /// Carries out one job and logs what kept it from being done; tells whether it must be delivered again.
    pub async fn work_or_retry(self: &Arc<Self>, job: &Job) -> bool {
        match self.work(job).await {
            Worked::Done(_) | Worked::Walked | Worked::Dropped => false,
            Worked::Gone => {
                let (key, build) = (&job.key, &job.build);
                tracing::warn!(key, build, "a job was dropped: its page is not one of this build's");
                false
            }
            Worked::Retry(error) => {
                tracing::error!(key = job.key, "a job will be tried again: {error}");
                true
            }
        }
    }

    async fn work_refresh(
        &self,
        page: &Resolved,
        ticket: Ticket,
        reason: Reason,
    ) -> Result<Worked, StoreError> {
        let resumed =
            self.stores.pages().resume(&page.key, ticket, self.limits.lease, self.clock.now()).await?;
        match resumed {
            Some(ticket) => self.work_refreshed(page, ticket, reason).await,
            None => self.work_again(page, ticket, reason).await,
        }
    }

    /// A job whose ticket was taken up before. Whoever did may have died, or met a store that failed: unless it is known
    /// what came of that, or somebody is at it, the page is renewed as if a visitor had asked for it now.
    async fn work_again(
        &self,
        page: &Resolved,
        ticket: Ticket,
        reason: Reason,
    ) -> Result<Worked, StoreError> {
        let snapshot = self.stores.pages().read(&page.key, Wanted::default()).await?;
        if snapshot.record.is_none() || snapshot.slot.has_ended(ticket, snapshot.generation) {
            return Ok(Worked::Dropped);
        }
        self.work_ordinary(page, snapshot.generation, reason).await
    }

    pub(crate) async fn work_refreshed(
        &self,
        page: &Resolved,
        ticket: Ticket,
        reason: Reason,
    ) -> Result<Worked, StoreError> {
        Ok(match self.refresh(page, ticket, reason).await? {
            Refreshed::GivenBack(_) => Worked::Retry(STOPPING.into()),
            refreshed => Worked::Done(refreshed),
        })
    }

    async fn work_ordinary(
        &self,
        page: &Resolved,
        judged: Ticket,
        reason: Reason,
    ) -> Result<Worked, StoreError> {
        match self.stores.pages().begin(&page.key, self.ask(Some(judged), Urgency::Ordinary)).await? {
            Begun::Granted(ticket) => self.work_refreshed(page, ticket, reason).await,
            Begun::Busy(_) | Begun::BackedOff { .. } | Begun::Unneeded => Ok(Worked::Dropped),
        }
    }

    pub(crate) async fn work_renew(&self, page: &Resolved, epoch: u64) -> Result<Worked, StoreError> {
        let snapshot = self.stores.pages().read(&page.key, Wanted::default()).await?;
        if snapshot.record.as_ref().is_none_or(|r| r.epoch >= epoch || r.stored == Stored::Deleted) {
            return Ok(Worked::Dropped);
        }
        // It is a publisher's call: neither a render that began before it nor a back-off holds it up. Left to visitors, a
        // page that nobody visits would stay as it is.
        let tried = snapshot.slot.failure.as_ref().map(|failure| failure.ticket);
        Ok(match self.refresh_since(page, epoch, tried).await {
            Ok(Some(Refreshed::GivenBack(_))) => Worked::Retry(STOPPING.into()),
            Ok(Some(Refreshed::Unsaved(_))) => Worked::Retry(UNSAVED.into()),
            Ok(Some(refreshed)) => Worked::Done(refreshed),
            Err(Undone::Store(error)) => Worked::Retry(error),
            Err(Undone::Failed(message)) => Worked::Done(Refreshed::Failed { message, retry_after: None }),
            Ok(None) | Err(_) => Worked::Dropped,
        })
    }

    async fn work_remove(&self, job: &Job, sha256: &str, replaced_at: Millis) -> Result<Worked, StoreError> {
        let Some(page) = PageKey::from_stored(&job.key) else { return Ok(Worked::Gone) };
        let kept = self.kept_of(&job.build.as_str().into());
        let record = kept.pages.read(&page, Wanted::default()).await?.record;
        if !record.is_some_and(|r| r.stored.names(sha256)) {
            kept.bodies.remove(&page, sha256, replaced_at).await?;
        }
        Ok(Worked::Dropped)
    }
}

/// Held while this process asks the store to renew a page, so that a crowd asks once.
struct Asking<'a> {
    pages: &'a Mutex<HashSet<Arc<str>>>,
    page: Arc<str>,
}

impl<'a> Asking<'a> {
    fn new(pages: &'a Mutex<HashSet<Arc<str>>>, page: &Resolved) -> Option<Self> {
        let page = page.key.shared();
        let first = pages.lock().unwrap_or_else(PoisonError::into_inner).insert(page.clone());
        first.then_some(Self { pages, page })
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.page);
    }
}
