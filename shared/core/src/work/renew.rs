//! Renders the page that a job names.

use std::sync::Arc;

use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::slot::LeaseDecision;
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

/// The outcome of a job.
#[derive(Clone, Debug)]
pub enum JobOutcome {
    /// A render was carried out, with success or not; the store has its result.
    Done(Refreshed),
    /// A step of a walk or a removal, a scheduled publish or a second look was carried out. The rest, if any, is a new job.
    Walked,
    /// Nothing was left to do: the page was rendered since, or a newer render has begun or failed.
    Dropped,
    /// This build does not have the page.
    Gone,
    /// The store failed, or the process is stopping: the queue must deliver the job again.
    Retry(Arc<str>),
}

/// Renders the page under the ticket that the sender of the job was granted.
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
        Some(ticket) => render_under(renderer, page, ticket, reason).await,
        None => work_redelivered(renderer, page, ticket, reason).await,
    }
}

/// A job whose ticket another worker has resumed before. That worker may have died or met a failing store. Unless the
/// ticket has ended or another render is under way, the page is rendered as if a visitor had asked for it now.
async fn work_redelivered<S: Stores>(
    renderer: &Renderer<S>,
    page: &Resolved,
    ticket: Ticket,
    reason: Reason,
) -> Result<JobOutcome, StoreError> {
    let snapshot = renderer.process.stores.pages().read(&page.key, Wanted::default()).await?;
    if snapshot.record.is_none() || snapshot.slot.has_ended(ticket, snapshot.generation) {
        return Ok(JobOutcome::Dropped);
    }
    begin_and_render(renderer, page, snapshot.generation, reason).await
}

/// Renders the page under this ticket.
pub(crate) async fn render_under<S: Stores>(
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

async fn begin_and_render<S: Stores>(
    renderer: &Renderer<S>,
    page: &Resolved,
    seen: Ticket,
    reason: Reason,
) -> Result<JobOutcome, StoreError> {
    match renderer
        .process
        .stores
        .pages()
        .begin(&page.key, renderer.process.lease_request(Some(seen), Urgency::Ordinary))
        .await?
    {
        LeaseDecision::Granted(ticket) => render_under(renderer, page, ticket, reason).await,
        LeaseDecision::Busy(_) | LeaseDecision::BackedOff { .. } | LeaseDecision::RecordChanged => {
            Ok(JobOutcome::Dropped)
        }
    }
}

/// Renders a page of a walk, unless its record is of this epoch or later, or tells that it was deleted.
pub(crate) async fn renew_page<S: Stores>(
    renderer: &Renderer<S>,
    page: &Resolved,
    epoch: u64,
) -> Result<JobOutcome, StoreError> {
    let snapshot = renderer.process.stores.pages().read(&page.key, Wanted::default()).await?;
    if snapshot.record.as_ref().is_none_or(|r| r.epoch >= epoch || r.stored == Stored::Deleted) {
        return Ok(JobOutcome::Dropped);
    }
    // Part of a publisher's call: neither an older render nor a back-off delays it. A page that nobody visits would
    // otherwise stay stale.
    let failed_before = snapshot.slot.failure.as_ref().map(|failure| failure.ticket);
    Ok(match refresh_since(renderer, page, epoch, failed_before).await {
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
