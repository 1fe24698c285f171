//! A publish for a future time: it waits in the queue, may be cancelled until it begins, and is carried out by whichever
//! process there is then.

use crate::process::Process;
use crate::publish::carry_out::Publishers;
use crate::publish::progress::was_given;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Millis;
use crate::ports::error::StoreError;
use crate::ports::job::{Job, Task};
use crate::ports::journal::{Fate, Journal, Publish, Went};
use crate::ports::queue::Queue;
use crate::ports::stores::Stores;
use crate::publish::carry_out::{PublishCall, name};
use crate::publish::send::DELAY_MAX;
use crate::record::publish_request::{PublishRequest, Publisher, ScheduledPublish};

/// A message of SQS has 256 KiB.
pub const SCHEDULED_BYTES_MAX: usize = 200_000;

/// What was decided of a scheduled publish is known for this long after it was due: longer than a queue keeps its job. SQS
/// keeps messages for 14 days at most.
const FATE_KEPT: Duration = Duration::from_secs(15 * 86_400);

/// What a call that cancels a publish came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Cancel {
    /// It will not be carried out: its entry in the journal.
    Cancelled(Box<Publish>),
    /// It has begun, or was never for later.
    Begun,
    /// The journal knows no such publish.
    Unknown,
}

/// Has a wish carried out at its time, by whichever process there is then: it is in the queue alone, and in the
/// journal. Gives its id.
///
/// # Errors
/// The queue did not take it.
pub(crate) async fn schedule<S: Stores>(
    publishers: &Arc<Publishers<S>>,
    wish: &PublishRequest,
    who: Publisher,
    due: Millis,
) -> Result<String, StoreError> {
    let at = publishers.process.now();
    let id = name(at);
    let job = ScheduledPublish { id: id.clone(), at, due, who: who.clone(), wish: wish.clone() };
    send_due(&publishers.process, &job).await?;
    let publishing = PublishCall { id: None, who, at, due: Some(due) };
    let entry = publishers.entry(id.clone(), wish, &publishing);
    publishers.journal(None, Publish { went: Went::Scheduled, ..entry }).await;
    Ok(id)
}

/// A queue delays a message for fifteen minutes at most, so one that waits for longer is sent again until it is due.
async fn send_due<S: Stores>(process: &Process<S>, due: &ScheduledPublish) -> Result<(), StoreError> {
    let (build, key) = (String::new(), String::new());
    let job = Job { v: 1, build, key, task: Task::Publish(due.clone()) };
    let bytes = job.to_json().len();
    if bytes > SCHEDULED_BYTES_MAX {
        return Err(StoreError::Refused(format!(
            "what is to be published then takes {bytes} bytes, {SCHEDULED_BYTES_MAX} at most: schedule it in parts, or by tags"
        )));
    }
    process.stores.queue().send(&job, due.due.since(process.now()).min(DELAY_MAX)).await
}

/// Cancels a publish that waits for its time, once for all: its job does nothing when it comes. Repeating the call is
/// harmless.
///
/// # Errors
/// The journal's. It may be cancelled.
pub(crate) async fn cancel<S: Stores>(process: &Process<S>, id: &str) -> Result<Cancel, StoreError> {
    let Some(publish) = process.stores.journal().get(id).await?.and_then(|kept| kept.publish) else {
        let was_given = match id.parse() {
            Ok(number) => was_given(process, number).await?,
            Err(_) => false,
        };
        return Ok(if was_given { Cancel::Begun } else { Cancel::Unknown });
    };
    match publish.went {
        Went::Scheduled => {}
        Went::Cancelled => return Ok(Cancel::Cancelled(publish.into())),
        Went::Begun
        | Went::Accepted
        | Went::Renewing
        | Went::Done
        | Went::DoneWithFailures
        | Went::Failed => return Ok(Cancel::Begun),
    }
    let until = publish.due.unwrap_or(publish.at).plus(FATE_KEPT);
    if process.stores.journal().settle(id, Fate::Cancelled, until).await? == Fate::Begun {
        return Ok(Cancel::Begun);
    }
    let publish = Publish { went: Went::Cancelled, ..publish };
    process.stores.journal().put(&publish).await?;
    Ok(Cancel::Cancelled(publish.into()))
}

/// Carries out what is due and was not cancelled, or sends it on.
pub(crate) async fn work_due<S: Stores>(
    publishers: &Arc<Publishers<S>>,
    due: &ScheduledPublish,
) -> Result<(), StoreError> {
    if publishers.process.now() < due.due {
        return send_due(&publishers.process, due).await;
    }
    // If that cannot be told, the job comes again: what was cancelled must not be published.
    let fate =
        publishers.process.stores.journal().settle(&due.id, Fate::Begun, due.due.plus(FATE_KEPT)).await?;
    if fate == Fate::Cancelled {
        tracing::info!(publish = due.id, "a publish is not carried out: it was cancelled");
        return Ok(());
    }
    let (id, who) = (Some(due.id.clone()), due.who.clone());
    let publishing = PublishCall { id, who, at: due.at, due: Some(due.due) };
    // Its pages' failures are told of in the journal, and tried again by their visitors.
    let published = publishers.carry_out(&due.wish, publishing).await;
    published.map(drop).map_err(|undone| StoreError::Refused(undone.to_string()))
}
