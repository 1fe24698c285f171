//! Renewal of a stale page in the background: the visit that gets the stale page sends a job to the queue.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::memory::Entry;
use crate::ports::job::Task;
use crate::ports::pages::Pages;
use crate::ports::pages::slot::LeaseDecision;
use crate::ports::pages::urgency::Urgency;
use crate::ports::queue::Queue;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::record::page_record::Ticket;
use crate::record::reason::Reason;
use crate::site::route::Resolved;

/// Renewals that visits of this process trigger.
pub(crate) struct Triggers<S: Stores> {
    process: Arc<Process<S>>,
    /// Keys of pages whose renewal is being triggered at this moment.
    asking: Mutex<HashSet<Arc<str>>>,
}

impl<S: Stores> Triggers<S> {
    /// Triggers of this process.
    pub(crate) fn new(process: &Arc<Process<S>>) -> Self {
        Self { process: process.clone(), asking: Mutex::default() }
    }

    /// Whether [`Triggers::trigger`] would call the store: as far as this process knows, no lease and no back-off is in
    /// force.
    pub(crate) fn may_trigger(&self, entry: &Entry) -> bool {
        let (now, slot) = (self.process.clock.now(), &entry.snapshot.slot);
        slot.leased_until(now).is_none() && slot.backed_off_until(now).is_none()
    }

    /// Sends a job that renews a stale page, unless a lease or a back-off is in force. The answer does not depend on
    /// this call: run it in a task, or before the answer if the process is frozen afterwards.
    pub(crate) async fn trigger(&self, page: &Resolved, entry: &Entry) {
        let Some(_asking) = self.may_trigger(entry).then(|| Asking::new(&self.asking, page)).flatten() else {
            return;
        };
        let begun = self
            .process
            .stores
            .pages()
            .begin(&page.key, self.process.lease_request(Some(entry.record.generation), Urgency::Ordinary))
            .await;
        match begun {
            Ok(LeaseDecision::Granted(ticket)) => self.send(page, ticket).await,
            Ok(LeaseDecision::Busy(_) | LeaseDecision::BackedOff { .. } | LeaseDecision::RecordChanged) => {}
            Err(error) => self.process.complain(
                page,
                "a stale page cannot be renewed, because the store cannot be written",
                &error,
            ),
        }
    }

    async fn send(&self, page: &Resolved, ticket: Ticket) {
        let job = self.process.job(page, Task::Refresh { ticket, reason: Reason::Stale });
        if let Err(error) = self.process.stores.queue().send(&job, Duration::ZERO).await {
            self.process.complain(
                page,
                "the queue did not accept a stale page's renewal; the next visit tries again",
                &error,
            );
            if let Err(error) = self.process.stores.pages().release(&page.key, ticket).await {
                self.process.complain(page, "the page's lease cannot be given back and will expire", &error);
            }
        }
    }
}

/// Marks a page in [`Triggers::asking`] until it is dropped, so that many concurrent visits send one job.
struct Asking<'a> {
    pages: &'a Mutex<HashSet<Arc<str>>>,
    page: Arc<str>,
}

impl<'a> Asking<'a> {
    fn new(pages: &'a Mutex<HashSet<Arc<str>>>, page: &Resolved) -> Option<Self> {
        let page = page.key.shared();
        let is_new = pages.lock().unwrap_or_else(PoisonError::into_inner).insert(page.clone());
        is_new.then_some(Self { pages, page })
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.page);
    }
}
