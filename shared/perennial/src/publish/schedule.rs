//! A publish for a future time: it waits in the queue, may be cancelled until it begins, and is carried out by whichever
//! process there is then.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Millis;
use crate::engine::Engine;
use crate::ports::error::StoreError;
use crate::ports::job::{Job, Task};
use crate::ports::journal::{Fate, Publish, Publishes, Went};
use crate::ports::queue::Jobs;
use crate::ports::stores::Stores;
use crate::publish::carry_out::{Publishing, name};
use crate::record::wish::{Due, Publisher, Wish};
use crate::work::walk::DELAY_MAX;

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

impl<S: Stores> Engine<S> {
    /// Has a wish carried out at its time, by whichever process there is then: it is in the queue alone, and in the
    /// journal. Gives its id.
    ///
    /// # Errors
    /// The queue did not take it.
    pub async fn schedule(
        self: &Arc<Self>,
        wish: &Wish,
        who: Publisher,
        due: Millis,
    ) -> Result<String, StoreError> {
        let at = self.now();
        let id = name(at);
        let job = Due { id: id.clone(), at, due, who: who.clone(), wish: wish.clone() };
        self.send_due(&job).await?;
        let publishing = Publishing { id: None, who, at, due: Some(due) };
        let entry = self.entry(id.clone(), wish, &publishing);
        self.journal(None, Publish { went: Went::Scheduled, ..entry }).await;
        Ok(id)
    }

    /// A queue delays a message for fifteen minutes at most, so one that waits for longer is sent again until it is due.
    async fn send_due(&self, due: &Due) -> Result<(), StoreError> {
        let (build, key) = (String::new(), String::new());
        let job = Job { v: 1, build, key, task: Task::Publish(due.clone()) };
        let bytes = job.to_json().len();
        if bytes > SCHEDULED_BYTES_MAX {
            return Err(StoreError::Refused(format!(
                "what is to be published then takes {bytes} bytes, {SCHEDULED_BYTES_MAX} at most: schedule it in parts, or by tags"
            )));
        }
        self.stores.jobs().send(&job, due.due.since(self.now()).min(DELAY_MAX)).await
    }

    /// Carries out what is due and was not cancelled, or sends it on.
    pub(crate) async fn work_due(self: &Arc<Self>, due: &Due) -> Result<(), StoreError> {
        if self.now() < due.due {
            return self.send_due(due).await;
        }
        // If that cannot be told, the job comes again: what was cancelled must not be published.
        let fate = self.stores.publishes().settle(&due.id, Fate::Begun, due.due.plus(FATE_KEPT)).await?;
        if fate == Fate::Cancelled {
            tracing::info!(publish = due.id, "a publish is not carried out: it was cancelled");
            return Ok(());
        }
        let (id, who) = (Some(due.id.clone()), due.who.clone());
        let publishing = Publishing { id, who, at: due.at, due: Some(due.due) };
        // Its pages' failures are told of in the journal, and tried again by their visitors.
        let published = self.carry_out(&due.wish, publishing).await;
        published.map(drop).map_err(|undone| StoreError::Refused(undone.to_string()))
    }

    /// Cancels a publish that waits for its time, once for all: its job does nothing when it comes. Repeating the call is
    /// harmless.
    ///
    /// # Errors
    /// The journal's. It may be cancelled.
    pub async fn cancel(&self, id: &str) -> Result<Cancel, StoreError> {
        let Some(publish) = self.stores.publishes().get(id).await?.and_then(|kept| kept.publish) else {
            let was_given = match id.parse() {
                Ok(number) => self.was_given(number).await?,
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
        if self.stores.publishes().settle(id, Fate::Cancelled, until).await? == Fate::Begun {
            return Ok(Cancel::Begun);
        }
        let publish = Publish { went: Went::Cancelled, ..publish };
        self.stores.publishes().put(&publish).await?;
        Ok(Cancel::Cancelled(publish.into()))
    }
}
