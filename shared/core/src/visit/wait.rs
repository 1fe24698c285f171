//! Renders a missing page while its visitors wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::base::clock::within;
use crate::freshness::{Epochs, is_shown};
use crate::guard::patience;
use crate::memory::Entry;
use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::slot::{FailureNote, Lease, LeaseDecision};
use crate::ports::pages::snapshot::{Snapshot, Wanted};
use crate::ports::pages::urgency::Urgency;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::record::page_record::Ticket;
use crate::record::reason::Reason;
use crate::render::entry::cache_unsaved;
use crate::render::outcome::{Refreshed, VisitError};
use crate::render::pool::RenderRequest;
use crate::render::refresh::Renderer;
use crate::site::route::Resolved;
use crate::visit::single_flight::SingleFlight;

/// The shortest and the longest pause between two reads of a page that another process renders.
pub(crate) const POLL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// The answer to a visitor of a missing page: the rendered page, or `None` if another process has rendered it.
pub(crate) type FirstRender = Result<Option<Arc<Entry>>, VisitError>;

/// Visits of missing pages.
pub(crate) struct Visits<S: Stores> {
    process: Arc<Process<S>>,
    renderer: Arc<Renderer<S>>,
    /// A permit for each visitor who may wait.
    waiting: Semaphore,
    /// Renders that visitors of this process share.
    renders: SingleFlight<FirstRender>,
}

impl<S: Stores> Visits<S> {
    /// Visits of this process.
    pub(crate) fn new(renderer: &Arc<Renderer<S>>) -> Arc<Self> {
        let (renderer, process) = (renderer.clone(), renderer.process.clone());
        let waiting = Semaphore::new(process.limits.max_waiting_visitors);
        Arc::new(Self { process, renderer, waiting, renders: SingleFlight::default() })
    }

    /// Renders a page while its visitor waits: a missing page, or one that is too stale to be served. Concurrent
    /// visitors share one render, also across processes. `seen` is the generation that the caller has seen. The entry
    /// is `None` if another process has rendered the page: look the page up again. The flag tells whether a running
    /// render was joined.
    ///
    /// # Errors
    /// [`VisitError`]: the render failed, or a limit was reached.
    pub(crate) async fn render_missing(
        self: &Arc<Self>,
        page: &Resolved,
        reason: Reason,
        seen: Ticket,
    ) -> (FirstRender, bool) {
        let Ok(_permit) = self.waiting.try_acquire() else {
            let limit = self.process.limits.max_waiting_visitors;
            let message =
                format!("{limit} visitors are waiting for renders already (PERENNIAL_MAX_WAITING_VISITORS)");
            return (Err(VisitError::new(503, message)), false);
        };
        let visits = self.clone();
        let start = || {
            let (page, left) = (page.clone(), patience::left());
            async move { patience::with(left, visits.render_or_wait(&page, reason, seen)).await }
        };
        let key = page.key.shared();
        let call = self.renders.join(&self.process.tasks, &key, start);
        match within(&*self.process.clock, self.process.limits.max_wait, call).await {
            Some((Some(render), joined)) => {
                // A joined render may have committed the generation that this visitor has already found to be expired.
                let is_newer = |entry: &Arc<Entry>| entry.unsaved || entry.record.generation > seen;
                (render.map(|entry| entry.filter(|entry| !joined || is_newer(entry))), joined)
            }
            Some((None, joined)) => (Err(VisitError::new(500, "the render's task panicked")), joined),
            None => {
                let message =
                    format!("waited {:?} for the page (PERENNIAL_MAX_WAIT_MS)", self.process.limits.max_wait);
                (Err(VisitError::new(503, message)), false)
            }
        }
    }

    /// Renders the page, or waits for the render of another process, on behalf of all waiting visitors of this process.
    async fn render_or_wait(
        self: &Arc<Self>,
        page: &Resolved,
        reason: Reason,
        mut seen: Ticket,
    ) -> FirstRender {
        // With a stale page to fall back on, a visit obeys back-offs. Without one, each visit tries again.
        let urgency = if reason == Reason::First { Urgency::Missing } else { Urgency::Ordinary };
        let mut pause = POLL.0;
        let mut waited_for: Option<Ticket> = None;
        // Another render's lease, as of the last read. While it is in force, this loop asks for no ticket: a grant at
        // the moment at which that render fails would hide its failure.
        let mut other_lease: Option<Lease> = None;
        loop {
            let begun = match other_lease {
                Some(lease) => Ok(LeaseDecision::Busy(lease)),
                None => {
                    self.process
                        .stores
                        .pages()
                        .begin(&page.key, self.process.lease_request(Some(seen), urgency))
                        .await
                }
            };
            let snapshot = match begun {
                Ok(LeaseDecision::Granted(ticket)) => match self.renderer.refresh(page, ticket, reason).await
                {
                    Ok(refreshed) => return self.first_render(page, refreshed).await,
                    Err(error) => return self.render_unsaved(page, reason, seen, &error).await,
                },
                Ok(LeaseDecision::BackedOff { .. }) => {
                    return Err(VisitError::new(
                        500,
                        "the page's last render failed, and its back-off has not ended",
                    ));
                }
                Ok(LeaseDecision::Busy(lease)) => {
                    waited_for = waited_for.or(Some(lease.ticket));
                    self.process.clock.sleep(pause).await;
                    pause = (pause * 2).min(POLL.1);
                    // The pause does not count as a wait for the store.
                    patience::begin_again(self.process.limits.store_wait);
                    self.process.stores.pages().read(&page.key, Wanted::default()).await
                }
                Ok(LeaseDecision::RecordChanged) => {
                    self.process.stores.pages().read(&page.key, Wanted::default()).await
                }
                Err(error) => return self.render_unsaved(page, reason, seen, &error).await,
            };
            let snapshot = snapshot.map_err(|e| VisitError::new(500, e.to_string()))?;
            if snapshot.generation != seen {
                if snapshot.shown().is_some() {
                    return Ok(None);
                }
                seen = snapshot.generation;
            }
            other_lease = snapshot.slot.lease_at(self.process.clock.now());
            // A visitor who waits for another process's render shares its failure, or the failure of a later render.
            // This does not hold if a page is stored whose body this process cannot read: the other process may have
            // failed to store that body.
            let is_stored = snapshot.shown().is_some();
            let is_shared = |failure: &FailureNote| {
                !is_stored && waited_for.is_some_and(|ticket| failure.ticket >= ticket)
            };
            if let Some(failure) = snapshot.slot.failure.filter(is_shared) {
                return Err(VisitError::new(500, failure.message));
            }
        }
    }

    /// Renders without a ticket and without storing, because the store cannot be written.
    async fn render_unsaved(
        &self,
        page: &Resolved,
        reason: Reason,
        seen: Ticket,
        error: &StoreError,
    ) -> FirstRender {
        self.process.complain(page, "the store cannot be written; the page is kept in memory only", error);
        // The newest epoch that is known before the render: a later invalidation makes the result stale. A store that
        // cannot be written may still be readable.
        let cached = self.process.memory.get(&page.key).map_or(0, |entry| entry.snapshot.epochs.newest);
        let snapshot = self.process.stores.pages().read(&page.key, Wanted::default()).await;
        let epochs = snapshot.map_or(Epochs::UNKNOWN, |snapshot| snapshot.epochs);
        let epoch = cached.max(epochs.newest);
        let request = RenderRequest { page: page.clone(), reason, generation: seen, epoch, draft: false };
        match self.renderer.pool.run(request).await {
            Ok(output) => {
                let entry = cache_unsaved(&self.process, page, output, seen);
                Ok(Some(if epochs.partial { entry.unchecked() } else { entry }))
            }
            Err(error) => {
                self.renderer.log_failure(page, reason, &error, None);
                Err(VisitError::new(500, error.message))
            }
        }
    }

    /// The answer of a render's result to the visitors who waited for it.
    async fn first_render(&self, page: &Resolved, refreshed: Refreshed) -> FirstRender {
        match refreshed {
            Refreshed::Stored(entry)
            | Refreshed::Unchanged(entry)
            | Refreshed::Unsaved(entry)
            | Refreshed::GivenBack(entry) => Ok(self.with_current_epochs(page, entry).await),
            Refreshed::Superseded => Ok(None),
            Refreshed::Failed { message, .. } => Err(VisitError { status: 500, message }),
            Refreshed::KeptStale => {
                Err(VisitError::new(500, "the page asked to keep the stored page, and none is stored"))
            }
        }
    }

    /// A rendered page with epochs that were read after the render. Another process may have invalidated the page
    /// during the render, and may have purged the shared cache already: that cache must not take this answer for fresh.
    /// `None` if a newer page is stored, or if the page was deleted meanwhile.
    async fn with_current_epochs(&self, page: &Resolved, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        let wanted = Wanted { tags: &entry.record.tags, body: None };
        let epochs = match self.process.stores.pages().read(&page.key, wanted).await {
            Ok(current) if current.generation > entry.record.generation => return None,
            Ok(current) => current.epochs.at_least(entry.snapshot.epochs),
            Err(_) if entry.unsaved => return Some(entry.unchecked()),
            Err(error) => {
                self.process.complain(
                    page,
                    "the store cannot tell whether a new page was invalidated",
                    &error,
                );
                Epochs::UNKNOWN.at_least(entry.snapshot.epochs)
            }
        };
        if !is_shown(&entry.record, epochs) {
            return None;
        }
        let snapshot = Snapshot { epochs, ..entry.snapshot.clone() };
        let (record, html, data) = (entry.record.clone(), entry.html.clone(), entry.data.clone());
        let Entry { version, read_at, unsaved, .. } = *entry;
        let entry = Arc::new(Entry { record, html, data, snapshot, version, read_at, unsaved });
        if !unsaved {
            self.process.memory.insert(&page.key, entry.clone());
        }
        Some(entry)
    }
}
