//! A missing page, rendered while its first visitor waits.

use crate::process::Process;
use crate::render::entry::cache_unsaved;
use crate::render::outcome::VisitError;
use crate::render::refresh::Renderer;
use crate::visit::single_flight::SingleFlight;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

use crate::base::clock::within;
use crate::freshness::{Epochs, is_shown};
use crate::guard::patience;
use crate::memory::Entry;
use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::slot::{Begun, FailureNote, Lease};
use crate::ports::pages::snapshot::{Snapshot, Wanted};
use crate::ports::pages::urgency::Urgency;
use crate::ports::stores::Stores;
use crate::record::page_record::Ticket;
use crate::record::reason::Reason;
use crate::render::outcome::Refreshed;
use crate::render::pool::RenderRequest;
use crate::site::route::Resolved;

/// The first and the longest pause between two looks at a page that another process renders.
pub(crate) const POLL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// What a visitor of a missing page gets.
pub(crate) type FirstRender = Result<Option<Arc<Entry>>, VisitError>;

/// Visits of missing pages.
pub(crate) struct Visits<S: Stores> {
    process: Arc<Process<S>>,
    renderer: Arc<Renderer<S>>,
    /// Places of visitors who wait.
    waiting: Semaphore,
    /// Renders that visitors of this process share.
    flights: SingleFlight<FirstRender>,
}

impl<S: Stores> Visits<S> {
    /// Visits of this process.
    pub(crate) fn new(renderer: &Arc<Renderer<S>>) -> Arc<Self> {
        let (renderer, process) = (renderer.clone(), renderer.process.clone());
        let waiting = Semaphore::new(process.limits.max_waiting_visitors);
        Arc::new(Self { process, renderer, waiting, flights: SingleFlight::default() })
    }

    /// Renders a missing page while its visitor waits. Simultaneous visitors share one render, also across
    /// processes. The entry is none if another process rendered it: look again. The flag tells whether a render
    /// that was under way was shared.
    ///
    /// # Errors
    /// [`VisitError`]: the render failed, or a limit was reached.
    pub(crate) async fn first(
        self: &Arc<Self>,
        page: &Resolved,
        reason: Reason,
        judged: Ticket,
    ) -> (FirstRender, bool) {
        let Ok(_place) = self.waiting.try_acquire() else {
            let limit = self.process.limits.max_waiting_visitors;
            let message =
                format!("{limit} visitors are waiting for renders already (PERENNIAL_MAX_WAITING_VISITORS)");
            return (Err(VisitError::new(503, message)), false);
        };
        let visits = self.clone();
        let start = || {
            let (page, left) = (page.clone(), patience::left());
            async move { patience::with(left, visits.lead(&page, reason, judged)).await }
        };
        let key = page.key.shared();
        let landing = self.flights.join(&self.process.tasks, &key, start);
        match within(&*self.process.clock, self.process.limits.max_wait, landing).await {
            Some((Some(first), joined)) => {
                // One that was committed already when this visitor looked, and then told the queue: what is missing has
                // expired since.
                let newer = |entry: &Arc<Entry>| entry.unsaved || entry.record.generation > judged;
                (first.map(|shown| shown.filter(|entry| !joined || newer(entry))), joined)
            }
            Some((None, joined)) => (Err(VisitError::new(500, "the render's task panicked")), joined),
            None => {
                let message =
                    format!("waited {:?} for the page (PERENNIAL_MAX_WAIT_MS)", self.process.limits.max_wait);
                (Err(VisitError::new(503, message)), false)
            }
        }
    }

    /// One visitor's way to a missing page, on behalf of all who wait for it in this process.
    async fn lead(self: &Arc<Self>, page: &Resolved, reason: Reason, mut judged: Ticket) -> FirstRender {
        // Who has a page to fall back on can wait for the end of a back-off; others try again with each visit.
        let urgency = if reason == Reason::First { Urgency::Missing } else { Urgency::Ordinary };
        let mut pause = POLL.0;
        let mut waited_for: Option<Ticket> = None;
        // The lease that the last look has shown. While one holds nothing is asked for: a grant in the moment in which
        // that render fails would hide its failure.
        let mut held: Option<Lease> = None;
        loop {
            let begun = match held {
                Some(lease) => Ok(Begun::Busy(lease)),
                None => {
                    self.process
                        .stores
                        .pages()
                        .begin(&page.key, self.process.ask(Some(judged), urgency))
                        .await
                }
            };
            let snapshot = match begun {
                Ok(Begun::Granted(ticket)) => match self.renderer.refresh(page, ticket, reason).await {
                    Ok(refreshed) => return self.shown(page, refreshed).await,
                    Err(error) => return self.unsaved(page, reason, judged, &error).await,
                },
                Ok(Begun::BackedOff { .. }) => {
                    return Err(VisitError::new(
                        500,
                        "its last render failed, and it is not time to try again",
                    ));
                }
                Ok(Begun::Busy(lease)) => {
                    waited_for = waited_for.or(Some(lease.ticket));
                    self.process.clock.sleep(pause).await;
                    pause = (pause * 2).min(POLL.1);
                    // That was no wait for the store.
                    patience::begin_again(self.process.limits.store_wait);
                    self.process.stores.pages().read(&page.key, Wanted::default()).await
                }
                Ok(Begun::Unneeded) => self.process.stores.pages().read(&page.key, Wanted::default()).await,
                Err(error) => return self.unsaved(page, reason, judged, &error).await,
            };
            let snapshot = snapshot.map_err(|e| VisitError::new(500, e.to_string()))?;
            if snapshot.generation != judged {
                if snapshot.shown().is_some() {
                    return Ok(None);
                }
                judged = snapshot.generation;
            }
            held = snapshot.slot.lease_at(self.process.clock.now());
            // Who waits for another process's render shares its failure, as those in that process do; or that of a
            // later one, which began while this visitor waited. Not where a page is stored whose body cannot be read
            // here: what has failed may have been to store it.
            let stored = snapshot.shown().is_some();
            let shared =
                |failed: &FailureNote| !stored && waited_for.is_some_and(|ticket| failed.ticket >= ticket);
            if let Some(failure) = snapshot.slot.failure.filter(shared) {
                return Err(VisitError::new(500, failure.message));
            }
        }
    }

    /// Renders without storing, because the store cannot be written.
    async fn unsaved(
        &self,
        page: &Resolved,
        reason: Reason,
        judged: Ticket,
        error: &StoreError,
    ) -> FirstRender {
        self.process.complain(page, "the store cannot be written; the page is kept in memory only", error);
        // As much as is known before the render: what it began before makes it stale also here. A store that cannot be
        // written may still be read.
        let known = self.process.memory.get(&page.key).map_or(0, |entry| entry.snapshot.epochs.newest);
        let said =
            self.process.stores.pages().read(&page.key, Wanted::default()).await.map(|said| said.epochs);
        let said = said.unwrap_or(Epochs::UNKNOWN);
        let epoch = known.max(said.newest);
        let order = RenderRequest { page: page.clone(), reason, generation: judged, epoch, draft: false };
        match self.renderer.pool.run(order).await {
            Ok(draft) => {
                let entry = cache_unsaved(&self.process, page, draft, judged);
                Ok(Some(if said.partial { entry.unchecked() } else { entry }))
            }
            Err(failed) => {
                self.renderer.log_failure(page, reason, &failed, None);
                Err(VisitError::new(500, failed.message))
            }
        }
    }

    /// What those who waited for a render get.
    async fn shown(&self, page: &Resolved, refreshed: Refreshed) -> FirstRender {
        match refreshed {
            Refreshed::Stored(entry)
            | Refreshed::Unchanged(entry)
            | Refreshed::Unsaved(entry)
            | Refreshed::GivenBack(entry) => Ok(self.as_it_is_now(page, entry).await),
            Refreshed::Superseded => Ok(None),
            Refreshed::Failed { message, .. } => Err(VisitError { status: 500, message }),
            Refreshed::Kept => {
                Err(VisitError::new(500, "the page asked to keep what there is, and there is nothing"))
            }
        }
    }

    /// A page that has just been rendered, judged by what was invalidated meanwhile: elsewhere, so that this process has
    /// not heard of it, and before the shared cache in front was told, which is about to get this answer. None if
    /// something newer is shown already.
    async fn as_it_is_now(&self, page: &Resolved, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        let wanted = Wanted { tags: &entry.record.tags, body: None };
        let epochs = match self.process.stores.pages().read(&page.key, wanted).await {
            Ok(now) if now.generation > entry.record.generation => return None,
            Ok(now) => now.epochs.at_least(entry.snapshot.epochs),
            Err(_) if entry.unsaved => return Some(entry.unchecked()),
            Err(error) => {
                self.process.complain(page, "it cannot be told whether a new page is stale already", &error);
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
