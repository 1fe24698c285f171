//! Scheduled publishes. A scheduled publish waits in the queue, can be cancelled until it begins, and is carried out by any
//! process that takes its job when it is due.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Millis;
use crate::ports::error::StoreError;
use crate::ports::job::{Job, Task};
use crate::ports::journal::{Journal, Publish, PublishStatus, ScheduleDecision};
use crate::ports::queue::Queue;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::publish::carry_out::{PublishCall, Publishers, new_publish_id};
use crate::publish::progress::is_known_epoch;
use crate::publish::send::DELAY_MAX;
use crate::record::publish_request::{PublishRequest, Publisher, ScheduledPublish};

/// The largest job of a scheduled publish, in bytes of JSON: below 256 KiB, which every SQS queue takes
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>).
pub const SCHEDULED_BYTES_MAX: usize = 200_000;

/// How long after its due time the journal keeps the decision about a scheduled publish: longer than a queue keeps its job. SQS
/// keeps messages for 14 days at most.
const DECISION_KEPT: Duration = Duration::from_secs(15 * 86_400);

/// The result of cancelling a publish.
#[derive(Clone, Debug, PartialEq)]
pub enum Cancel {
    /// The publish will not be carried out. Holds its journal entry.
    Cancelled(Box<Publish>),
    /// The publish has begun, or was not scheduled.
    Begun,
    /// Neither the journal nor the store knows the id.
    Unknown,
}

/// Schedules a publish request for `due`: sends it to the queue and writes a journal entry. Returns the id of the publish.
///
/// # Errors
/// The queue did not take the job, or the job is larger than [`SCHEDULED_BYTES_MAX`].
pub(crate) async fn schedule<S: Stores>(
    publishers: &Arc<Publishers<S>>,
    request: &PublishRequest,
    publisher: Publisher,
    due: Millis,
) -> Result<String, StoreError> {
    let at = publishers.process.now();
    let id = new_publish_id(at);
    let job = ScheduledPublish { id: id.clone(), at, due, who: publisher.clone(), request: request.clone() };
    send_scheduled(&publishers.process, &job).await?;
    let call = PublishCall { id: None, publisher, arrived_at: at, due: Some(due) };
    let entry = publishers.entry(id.clone(), request, &call);
    publishers.journal(None, Publish { status: PublishStatus::Scheduled, ..entry }).await;
    Ok(id)
}

/// Sends the job with the delay that is left, 15 minutes at most ([`DELAY_MAX`]). A job that arrives too early is sent again.
async fn send_scheduled<S: Stores>(
    process: &Process<S>,
    scheduled: &ScheduledPublish,
) -> Result<(), StoreError> {
    let (build, key) = (String::new(), String::new());
    let job = Job { v: 1, build, key, task: Task::Publish(scheduled.clone()) };
    let bytes = job.to_json().len();
    if bytes > SCHEDULED_BYTES_MAX {
        return Err(StoreError::refused(format!(
            "the scheduled publish has {bytes} bytes, the limit is {SCHEDULED_BYTES_MAX}: schedule it in parts, or by tags"
        )));
    }
    process.stores.queue().send(&job, scheduled.due.since(process.now()).min(DELAY_MAX)).await
}

/// Cancels a scheduled publish for good: its job does nothing when it arrives. Repeating the call is harmless.
///
/// # Errors The journal or the store of pages failed. The publish may have been cancelled.
pub(crate) async fn cancel<S: Stores>(process: &Process<S>, id: &str) -> Result<Cancel, StoreError> {
    let Some(publish) = process.stores.journal().get(id).await?.and_then(|kept| kept.publish) else {
        let has_begun = match id.parse() {
            Ok(epoch) => is_known_epoch(process, epoch).await?,
            Err(_) => false,
        };
        return Ok(if has_begun { Cancel::Begun } else { Cancel::Unknown });
    };
    match publish.status {
        PublishStatus::Scheduled => {}
        PublishStatus::Cancelled => return Ok(Cancel::Cancelled(publish.into())),
        PublishStatus::Begun
        | PublishStatus::Accepted
        | PublishStatus::Renewing
        | PublishStatus::Done
        | PublishStatus::DoneWithFailures
        | PublishStatus::Failed => return Ok(Cancel::Begun),
    }
    let until = publish.due.unwrap_or(publish.at).plus(DECISION_KEPT);
    if process.stores.journal().settle(id, ScheduleDecision::Cancelled, until).await?
        == ScheduleDecision::Begun
    {
        return Ok(Cancel::Begun);
    }
    let publish = Publish { status: PublishStatus::Cancelled, ..publish };
    process.stores.journal().put(&publish).await?;
    Ok(Cancel::Cancelled(publish.into()))
}

/// Works on the job of a scheduled publish: sends it again if it is not due, drops it if it was cancelled, else carries it
/// out.
///
/// # Errors
/// The journal, the queue or the marking failed: the job must be delivered again.
pub(crate) async fn work_scheduled<S: Stores>(
    publishers: &Arc<Publishers<S>>,
    scheduled: &ScheduledPublish,
) -> Result<(), StoreError> {
    if publishers.process.now() < scheduled.due {
        return send_scheduled(&publishers.process, scheduled).await;
    }
    // If the journal cannot be read, the job fails and the queue delivers the job again: a cancelled publish must not
    // be carried out.
    let decision = publishers
        .process
        .stores
        .journal()
        .settle(&scheduled.id, ScheduleDecision::Begun, scheduled.due.plus(DECISION_KEPT))
        .await?;
    if decision == ScheduleDecision::Cancelled {
        tracing::info!(publish = scheduled.id, "a scheduled publish is not carried out: it was cancelled");
        return Ok(());
    }
    let (id, publisher) = (Some(scheduled.id.clone()), scheduled.who.clone());
    let call = PublishCall { id, publisher, arrived_at: scheduled.at, due: Some(scheduled.due) };
    // The journal tells the failures of single pages, and their next visitors have them rendered again.
    let published = publishers.carry_out(&scheduled.request, call).await;
    published.map(drop).map_err(|error| StoreError::refused(error.to_string()))
}
