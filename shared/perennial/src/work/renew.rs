//! A page that a job names, rendered.

use std::sync::Arc;

use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::slot::Begun;
use crate::ports::pages::snapshot::Wanted;
use crate::ports::pages::urgency::Urgency;
use crate::ports::stores::Stores;
use crate::publish::outcome::PublishError;
use crate::publish::renew::{UNSAVED, refresh_since};
use crate::record::page_record::{Stored, Ticket};
use crate::record::reason::Reason;
use crate::render::outcome::{Refreshed, STOPPING};
use crate::render::refresh::Renderer;
use crate::site::route::Resolved;

/// What became of a job.
#[derive(Clone, Debug)]
pub enum JobOutcome {
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

pub(crate) async fn work_refresh<S: Stores>(
    renderer: &Renderer<S>,
    page: &Resolved,
    ticket: Ticket,
    reason: Reason,
) -> Result<JobOutcome, StoreError> {
    let resumed = renderer
        .process
        .stores
        .pages()
        .resume(&page.key, ticket, renderer.process.limits.lease, renderer.process.clock.now())
        .await?;
    match resumed {
        Some(ticket) => work_refreshed(renderer, page, ticket, reason).await,
        None => work_again(renderer, page, ticket, reason).await,
    }
}

/// A job whose ticket was taken up before. Whoever did may have died, or met a store that failed: unless it is known
/// what came of that, or somebody is at it, the page is renewed as if a visitor had asked for it now.
async fn work_again<S: Stores>(
    renderer: &Renderer<S>,
    page: &Resolved,
    ticket: Ticket,
    reason: Reason,
) -> Result<JobOutcome, StoreError> {
    let snapshot = renderer.process.stores.pages().read(&page.key, Wanted::default()).await?;
    if snapshot.record.is_none() || snapshot.slot.has_ended(ticket, snapshot.generation) {
        return Ok(JobOutcome::Dropped);
    }
    work_ordinary(renderer, page, snapshot.generation, reason).await
}

pub(crate) async fn work_refreshed<S: Stores>(
    renderer: &Renderer<S>,
    page: &Resolved,
    ticket: Ticket,
    reason: Reason,
) -> Result<JobOutcome, StoreError> {
    Ok(match renderer.refresh(page, ticket, reason).await? {
        Refreshed::GivenBack(_) => JobOutcome::Retry(STOPPING.into()),
        refreshed => JobOutcome::Done(refreshed),
    })
}

async fn work_ordinary<S: Stores>(
    renderer: &Renderer<S>,
    page: &Resolved,
    judged: Ticket,
    reason: Reason,
) -> Result<JobOutcome, StoreError> {
    match renderer
        .process
        .stores
        .pages()
        .begin(&page.key, renderer.process.ask(Some(judged), Urgency::Ordinary))
        .await?
    {
        Begun::Granted(ticket) => work_refreshed(renderer, page, ticket, reason).await,
        Begun::Busy(_) | Begun::BackedOff { .. } | Begun::Unneeded => Ok(JobOutcome::Dropped),
    }
}

pub(crate) async fn work_renew<S: Stores>(
    renderer: &Renderer<S>,
    page: &Resolved,
    epoch: u64,
) -> Result<JobOutcome, StoreError> {
    let snapshot = renderer.process.stores.pages().read(&page.key, Wanted::default()).await?;
    if snapshot.record.as_ref().is_none_or(|r| r.epoch >= epoch || r.stored == Stored::Deleted) {
        return Ok(JobOutcome::Dropped);
    }
    // It is a publisher's call: neither a render that began before it nor a back-off holds it up. Left to visitors, a
    // page that nobody visits would stay as it is.
    let tried = snapshot.slot.failure.as_ref().map(|failure| failure.ticket);
    Ok(match refresh_since(renderer, page, epoch, tried).await {
        Ok(Some(Refreshed::GivenBack(_))) => JobOutcome::Retry(STOPPING.into()),
        Ok(Some(Refreshed::Unsaved(_))) => JobOutcome::Retry(UNSAVED.into()),
        Ok(Some(refreshed)) => JobOutcome::Done(refreshed),
        Err(PublishError::Store(error)) => JobOutcome::Retry(error),
        Err(PublishError::Failed(message)) => {
            JobOutcome::Done(Refreshed::Failed { message, retry_after: None })
        }
        Ok(None) | Err(_) => JobOutcome::Dropped,
    })
}
