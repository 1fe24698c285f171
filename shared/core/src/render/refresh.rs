//! Renders one page under a lease, and commits it if no newer render was committed.
//!
//! The callers are visitors of missing pages ([`wait`](crate::visit::wait)), the queue's jobs
//! ([`worker`](crate::work::worker)) and publishers ([`path`](crate::publish::path)).

use std::sync::Arc;
use std::time::Duration;

use crate::base::counters::Event;
use crate::base::log_limits::Line;
use crate::guard::patience;
use crate::memory::Entry;
use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::grant::{Committed, Failed, Grant};
use crate::ports::pages::slot::LeaseDecision;
use crate::ports::pages::snapshot::Inline;
use crate::ports::pages::urgency::Urgency;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::record::page_record::{Record, Stored, Ticket};
use crate::record::reason::Reason;
use crate::render::bodies::{inline, put_again, put_bodies, schedule_removal};
use crate::render::entry::{cache_entry, entry_of, unsaved_entry};
use crate::render::leases::{HeldLease, HeldLeases};
use crate::render::many_tags::ManyTags;
use crate::render::outcome::{Refreshed, VisitError};
use crate::render::pool::{RenderError, RenderOutput, RenderPool, RenderRequest};
use crate::render::quota::Quota;
use crate::render::unsaved::not_stored;
use crate::site::route::Resolved;

/// Renders pages and commits them.
pub(crate) struct Renderer<S: Stores> {
    pub(crate) process: Arc<Process<S>>,
    pub(crate) pool: RenderPool,
    /// Leases of the running renders.
    leases: HeldLeases,
    /// Limits on the pages that visitors may add to the store.
    quota: Quota,
    pub(crate) many_tags: ManyTags<S>,
}

impl<S: Stores> Renderer<S> {
    /// The renderer of this process.
    pub(crate) fn new(process: &Arc<Process<S>>) -> Arc<Self> {
        let Process { site, clock, limits, stores, .. } = &**process;
        let pool = RenderPool::new(site.clone(), clock.clone(), limits.clone(), stores.build().clone());
        let (leases, quota) = (HeldLeases::default(), Quota::default());
        Arc::new(Self { process: process.clone(), pool, leases, quota, many_tags: ManyTags::new(process) })
    }

    /// Gives back the leases of all running renders, whose results are then not stored. Called when the process stops.
    pub(crate) async fn give_back_leases(&self) {
        for (page, ticket) in self.leases.give_back() {
            match self.process.stores.pages().release(&page, ticket).await {
                Ok(()) => {
                    tracing::warn!(page = %page.address(), "the process stops during the page's render; the lease is given back");
                }
                Err(error) => {
                    tracing::error!(page = %page.address(), "the page's lease cannot be given back and will expire: {error}");
                }
            }
        }
    }

    /// A ticket that is granted in spite of leases and back-offs: for deletions, builds and second looks.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn override_all(&self, page: &Resolved) -> Result<Ticket, StoreError> {
        match self
            .process
            .stores
            .pages()
            .begin(&page.key, self.process.lease_request(None, Urgency::Overriding))
            .await?
        {
            LeaseDecision::Granted(ticket) => Ok(ticket),
            other => Err(StoreError::refused(format!("an overriding ticket was not granted: {other:?}"))),
        }
    }

    /// Renders under a granted ticket, and commits the result if no newer render was committed.
    ///
    /// # Errors
    /// The store cannot read the page's epoch and record. Nothing was rendered, and the lease is given back.
    pub(crate) async fn refresh(
        &self,
        page: &Resolved,
        ticket: Ticket,
        reason: Reason,
    ) -> Result<Refreshed, StoreError> {
        // This reads the epoch before the page fetches data: an invalidation from here on makes this render stale.
        let grant = match self.process.stores.pages().prepare(&page.key, ticket).await {
            Ok(grant) => grant,
            Err(error) => {
                // If the release fails too, the lease expires.
                let _ = self.process.stores.pages().release(&page.key, ticket).await;
                return Err(error);
            }
        };
        let lease = self.leases.insert(&page.key, ticket);
        let refreshed = tokio::select! {
            biased;
            // Without the visitor's bound on store calls: a finished render is worth a longer wait.
            refreshed = patience::with(None, self.render_and_commit(page, &grant, reason, &lease)) => refreshed,
            never = patience::with(None, self.extend_lease(page, ticket, reason, &lease)) => match never {},
        };
        self.leases.remove(&page.key, ticket);
        let event = match &refreshed {
            Refreshed::Stored(_) => Some(Event::Stored),
            Refreshed::Unchanged(_) => Some(Event::Unchanged),
            Refreshed::Superseded => Some(Event::Superseded),
            Refreshed::Unsaved(_) => Some(Event::Unsaved),
            // `log_failure` counts failures. The page of a lease given back will be rendered and counted elsewhere.
            Refreshed::Failed { .. } | Refreshed::KeptStale | Refreshed::GivenBack(_) => None,
        };
        event.into_iter().for_each(|event| page.route.counters.count(event));
        Ok(refreshed)
    }

    /// Extends the lease while the render runs, so that leases can be short. An on-demand render's lease is extended
    /// for no longer than the render's time limit, even if the render waits for a permit first, because other
    /// publishers wait for the lease's end.
    async fn extend_lease(
        &self,
        page: &Resolved,
        ticket: Ticket,
        reason: Reason,
        lease: &HeldLease,
    ) -> std::convert::Infallible {
        let pause = self.process.limits.lease / 3;
        let extension_max = match reason {
            Reason::OnDemand => {
                page.route.options.render_timeout.unwrap_or(self.process.limits.render_timeout)
            }
            _ => Duration::MAX,
        };
        let mut extended = Duration::ZERO;
        loop {
            self.process.clock.sleep(pause).await;
            extended += pause;
            let renewed = match lease.write().await {
                Some(_writing) if extended <= extension_max => {
                    let duration = self.process.limits.lease;
                    self.process
                        .stores
                        .pages()
                        .extend(&page.key, ticket, duration, self.process.clock.now())
                        .await
                }
                _ => Ok(false),
            };
            match renewed {
                Ok(true) => {}
                // The lease is to expire, or a newer ticket was granted. The commit decides which render counts.
                Ok(false) => std::future::pending().await,
                Err(error) => {
                    tracing::warn!(page = %page.key.address(), "the page's lease cannot be extended: {error}")
                }
            }
        }
    }

    async fn render_and_commit(
        &self,
        page: &Resolved,
        grant: &Grant,
        reason: Reason,
        lease: &HeldLease,
    ) -> Refreshed {
        let request = RenderRequest {
            page: page.clone(),
            reason,
            generation: grant.ticket,
            epoch: grant.epoch,
            draft: false,
        };
        match self.pool.run(request).await {
            Ok(output) => self.commit(page, grant, reason, lease, output).await,
            Err(error) => self.note_failure(page, grant, reason, lease, error).await,
        }
    }

    async fn commit(
        &self,
        page: &Resolved,
        grant: &Grant,
        reason: Reason,
        lease: &HeldLease,
        mut output: RenderOutput,
    ) -> Refreshed {
        if let Err(error) = self.many_tags.note_many(page, &output.record).await {
            return not_stored(&self.process, page, grant, reason, output, error).await;
        }
        let same = grant.replaces.as_ref().filter(|old| old.same_content(&output.record));
        if let Some(old) = same {
            // The bodies are stored already, under the names in the old record.
            output.record.stored = old.stored.clone();
            output.record.modified_at = old.modified_at;
        }
        if reason == Reason::First
            && grant.replaces.is_none()
            && let Err(limit) = self.quota.has_room(&self.process, page, &output.record).await
        {
            return self.skip_storing(page, grant, lease, output, limit).await;
        }
        // A page that has a record and is nevertheless rendered as missing has lost its bodies, which are stored again.
        let unchanged = same.is_some() && reason != Reason::First;
        let put = if unchanged { Ok(()) } else { put_bodies(&self.process, page, &mut output).await };
        let Some(_writing) = lease.write().await else {
            if !unchanged {
                schedule_removal(&self.process, page, &output.record, grant.replaces.as_deref()).await;
            }
            return self.given_back(output, grant);
        };
        let committed = match put {
            Ok(()) => {
                let inline = if unchanged { Inline::default() } else { inline(&self.process, &output) };
                self.process.stores.pages().commit(&page.key, &output.record, &inline).await
            }
            Err(error) => Err(error),
        };
        match committed {
            Ok(Committed::Stored { replaced }) => {
                let generation = |record: &Option<Arc<Record>>| record.as_ref().map(|r| r.generation);
                if generation(&replaced) != generation(&grant.replaces) {
                    put_again(&self.process, page, &output).await;
                }
                // If the store does not know the replaced record, it is the one that was read before the render.
                if let Some(replaced) = replaced.or_else(|| grant.replaces.clone()) {
                    schedule_removal(&self.process, page, &replaced, Some(&output.record)).await;
                }
                let entry = cache_entry(&self.process, page, entry_of(&self.process, output, false));
                self.log_render(page, reason, grant.ticket, unchanged);
                if unchanged { Refreshed::Unchanged(entry) } else { Refreshed::Stored(entry) }
            }
            Ok(Committed::Superseded) => {
                schedule_removal(&self.process, page, &output.record, None).await;
                Refreshed::Superseded
            }
            Err(error) => not_stored(&self.process, page, grant, reason, output, error).await,
        }
    }

    /// Returns a result that is neither stored nor cached, because a limit on stored pages is reached.
    async fn skip_storing(
        &self,
        page: &Resolved,
        grant: &Grant,
        lease: &HeldLease,
        output: RenderOutput,
        limit: &str,
    ) -> Refreshed {
        let Some(_writing) = lease.write().await else { return self.given_back(output, grant) };
        if let Err(error) = self.process.stores.pages().release(&page.key, grant.ticket).await {
            self.process.complain(page, "the page's lease cannot be given back and will expire", &error);
        }
        tracing::debug!(route = page.route.id(), "a render was not stored: {limit} is reached");
        Refreshed::Unsaved(unsaved_entry(&self.process, output, grant.ticket))
    }

    fn given_back(&self, output: RenderOutput, grant: &Grant) -> Refreshed {
        Refreshed::GivenBack(unsaved_entry(&self.process, output, grant.ticket))
    }

    async fn note_failure(
        &self,
        page: &Resolved,
        grant: &Grant,
        reason: Reason,
        lease: &HeldLease,
        error: RenderError,
    ) -> Refreshed {
        let RenderError { message, retry_after, .. } = &error;
        let failed =
            Failed { message: message.clone(), retry_after: *retry_after, now: self.process.clock.now() };
        let note = match lease.write().await {
            // The lease was given back: another render may have a ticket with the same number.
            None => Ok(None),
            Some(_writing) => self.process.stores.pages().fail(&page.key, grant.ticket, failed).await,
        };
        let note = note.unwrap_or_else(|error| {
            self.process.complain(
                page,
                "the page's failed render cannot be noted; its lease will expire",
                &error,
            );
            None
        });
        let next = note
            .filter(|_| grant.replaces.as_ref().is_some_and(|r| r.stored != Stored::Deleted))
            .map(|n| (n.count, n.retry_at.since(n.at)));
        self.log_failure(page, reason, &error, next);
        let RenderError { message, retry_after, keeps_stored } = error;
        if keeps_stored {
            Refreshed::KeptStale
        } else {
            Refreshed::Failed { message: message.into(), retry_after }
        }
    }

    fn log_render(&self, page: &Resolved, reason: Reason, generation: Ticket, unchanged: bool) {
        let write = |left_out: Option<u64>| tracing::info!(page = %page.shown().escape_debug(), reason = %reason, generation, unchanged, left_out, "rendered");
        // Any client can cause this line with a made-up path.
        if reason == Reason::First { self.process.log(Line::FirstRender, write) } else { write(None) }
    }

    /// Counts and logs a failed render, in one line whatever the path and the message contain. `next` is the number of
    /// failures in a row and the pause before the next render.
    pub(crate) fn log_failure(
        &self,
        page: &Resolved,
        reason: Reason,
        failed: &RenderError,
        next: Option<(u32, Duration)>,
    ) {
        page.route.counters.count(if failed.keeps_stored { Event::KeptStale } else { Event::Failed });
        let shown = page.shown();
        let (page, error) = (shown.escape_debug(), failed.message.escape_debug());
        let (attempt, retry_in_ms) = next
            .map_or((1, 0), |(count, delay)| (count, u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)));
        let write = |left_out: Option<u64>| {
            if failed.keeps_stored {
                tracing::info!(page = %page, reason = %reason, attempt, retry_in_ms, left_out, "kept: {error}");
            } else {
                tracing::error!(page = %page, reason = %reason, attempt, retry_in_ms, left_out, "render failed: {error}");
            }
        };
        // Any client can cause this line with a made-up path, or with each request to a dynamic route. Other renders
        // back off after a failure, or are a publisher's.
        let by_visitors = reason == Reason::First || (reason == Reason::Stale && next.is_none());
        if by_visitors { self.process.log(Line::FailedFirstRender, write) } else { write(None) }
    }

    /// Renders for one request and stores nothing: dynamic routes, drafts, `dev`.
    ///
    /// # Errors
    /// [`VisitError`]: the render failed.
    pub(crate) async fn render_only(
        &self,
        page: &Resolved,
        reason: Reason,
        draft: bool,
    ) -> Result<Arc<Entry>, VisitError> {
        let request = RenderRequest { page: page.clone(), reason, generation: 0, epoch: 0, draft };
        match self.pool.run(request).await {
            Ok(output) => Ok(entry_of(&self.process, output, true)),
            Err(error) => {
                self.log_failure(page, reason, &error, None);
                Err(VisitError::new(500, error.message))
            }
        }
    }
}
