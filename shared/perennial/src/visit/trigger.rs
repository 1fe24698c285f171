//! A stale page, renewed behind its visitors: an answer asks the queue.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::memory::Entry;
use crate::ports::job::Task;
use crate::ports::pages::Pages;
use crate::ports::pages::slot::Begun;
use crate::ports::pages::urgency::Urgency;
use crate::ports::queue::Queue;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::record::page_record::Ticket;
use crate::record::reason::Reason;
use crate::site::route::Resolved;

/// How visitors of stale pages have them renewed.
pub(crate) struct Triggers<S: Stores> {
    process: Arc<Process<S>>,
    /// Pages that this process is asking the store to renew.
    asking: Mutex<HashSet<Arc<str>>>,
}

impl<S: Stores> Triggers<S> {
    /// Those of this process.
    pub(crate) fn new(process: &Arc<Process<S>>) -> Self {
        Self { process: process.clone(), asking: Mutex::default() }
    }

    /// Whether [`Engine::trigger`] would ask the store at all: nobody holds a lease, and no back-off holds, as far as
    /// this process knows.
    pub(crate) fn may_trigger(&self, entry: &Entry) -> bool {
        let (now, slot) = (self.process.clock.now(), &entry.snapshot.slot);
        slot.leased_until(now).is_none() && slot.backed_off_until(now).is_none()
    }

    /// Has a stale page renewed by the queue, unless somebody already does or it is not time to try again. Costs a
    /// visitor nothing: run it beside the answer, or before it where the process is frozen after it.
    pub(crate) async fn trigger(&self, page: &Resolved, entry: &Entry) {
        let Some(_asking) = self.may_trigger(entry).then(|| Asking::new(&self.asking, page)).flatten() else {
            return;
        };
        let begun = self
            .process
            .stores
            .pages()
            .begin(&page.key, self.process.ask(Some(entry.record.generation), Urgency::Ordinary))
            .await;
        match begun {
            Ok(Begun::Granted(ticket)) => self.send(page, ticket).await,
            Ok(Begun::Busy(_) | Begun::BackedOff { .. } | Begun::Unneeded) => {}
            Err(error) => self.process.complain(
                page,
                "a stale page cannot be renewed while the store cannot be written",
                &error,
            ),
        }
    }

    async fn send(&self, page: &Resolved, ticket: Ticket) {
        let job = self.process.job(page, Task::Refresh { ticket, reason: Reason::Stale });
        if let Err(error) = self.process.stores.queue().send(&job, Duration::ZERO).await {
            self.process.complain(
                page,
                "the queue refused to renew a stale page; the next visitor tries again",
                &error,
            );
            if let Err(error) = self.process.stores.pages().release(&page.key, ticket).await {
                self.process.complain(page, "its lease cannot be given back, it will end by itself", &error);
            }
        }
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
