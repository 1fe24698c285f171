//! Renders one page and commits it if it is newer: the only writer of pages.
//!
//! Three callers: a visitor of a missing page ([`first`](crate::visit::wait)), the queue ([`queue`](crate::work::worker)) and a
//! publisher ([`demand`](crate::publish::path)).

use crate::process::Process;
use crate::render::bodies::{inline, put_again, put_bodies, remove_later};
use crate::render::entry::{entry_of, keep, unsaved_entry};
use crate::render::leases::HeldLeases;
use crate::render::many_tags::ManyTags;
use crate::render::outcome::{Refreshed, VisitError};
use crate::render::pool::RenderPool;
use crate::render::quota::Quota;
use crate::render::unsaved::not_stored;
use std::sync::Arc;
use std::time::Duration;

use crate::base::counters::Event;
use crate::base::log_limits::Line;
use crate::guard::patience;
use crate::memory::Entry;
use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::grant::{Committed, Failed, Grant};
use crate::ports::pages::slot::Begun;
use crate::ports::pages::snapshot::Inline;
use crate::ports::pages::urgency::Urgency;
use crate::ports::stores::Stores;
use crate::record::page_record::{Record, Stored, Ticket};
use crate::record::reason::Reason;
use crate::render::leases::HeldLease;
use crate::render::pool::{RenderError, RenderOutput, RenderRequest};
use crate::site::route::Resolved;

/// Renders pages and commits them.
pub(crate) struct Renderer<S: Stores> {
    pub(crate) process: Arc<Process<S>>,
    pub(crate) pool: RenderPool,
    /// Leases that its renders hold.
    leases: HeldLeases,
    /// How many pages the store may hold.
    quota: Quota,
    pub(crate) many_tags: ManyTags<S>,
}

impl<S: Stores> Renderer<S> {
    /// A renderer of this process.
    pub(crate) fn new(process: &Arc<Process<S>>) -> Arc<Self> {
        let Process { site, clock, limits, stores, .. } = &**process;
        let pool = RenderPool::new(site.clone(), clock.clone(), limits.clone(), stores.build().clone());
        let (leases, quota) = (HeldLeases::default(), Quota::default());
        Arc::new(Self { process: process.clone(), pool, leases, quota, many_tags: ManyTags::new(process) })
    }

    /// Gives back the leases of what is still being rendered: its result is not stored any more.
    pub(crate) async fn give_back_leases(&self) {
        for (page, ticket) in self.leases.give_back() {
            match self.process.stores.pages().release(&page, ticket).await {
                Ok(()) => {
                    tracing::warn!(page = %page.path(), "stopped while it was rendered; its lease is given back");
                }
                Err(error) => {
                    tracing::error!(page = %page.path(), "cannot give its lease back, it will end by itself: {error}");
                }
            }
        }
    }

    /// The right to render whatever others do: for deletions and builds.
    pub(crate) async fn override_all(&self, page: &Resolved) -> Result<Ticket, StoreError> {
        match self
            .process
            .stores
            .pages()
            .begin(&page.key, self.process.ask(None, Urgency::Overriding))
            .await?
        {
            Begun::Granted(ticket) => Ok(ticket),
            other => Err(StoreError::Refused(format!("what nothing holds up was not granted: {other:?}"))),
        }
    }

    /// Renders under a ticket that was granted, and commits the result if it is newer than what is stored.
    ///
    /// # Errors
    /// The store could not tell what to start from. Nothing was rendered, and the lease is given back.
    pub(crate) async fn refresh(
        &self,
        page: &Resolved,
        ticket: Ticket,
        reason: Reason,
    ) -> Result<Refreshed, StoreError> {
        // The epoch, before any content is fetched: what is invalidated from here on makes this render stale.
        let grant = match self.process.stores.pages().prepare(&page.key, ticket).await {
            Ok(grant) => grant,
            Err(error) => {
                // If this fails too, the lease ends by itself.
                let _ = self.process.stores.pages().release(&page.key, ticket).await;
                return Err(error);
            }
        };
        let hold = self.leases.insert(&page.key, ticket);
        let refreshed = tokio::select! {
            biased;
            // What was rendered is worth more than a visitor's patience.
            refreshed = patience::with(None, self.render_and_commit(page, &grant, reason, &hold)) => refreshed,
            never = patience::with(None, self.keep_lease(page, ticket, reason, &hold)) => match never {},
        };
        self.leases.remove(&page.key, ticket);
        let counted = match &refreshed {
            Refreshed::Stored(_) => Some(Event::Stored),
            Refreshed::Unchanged(_) => Some(Event::Unchanged),
            Refreshed::Superseded => Some(Event::Superseded),
            Refreshed::Unsaved(_) => Some(Event::Unsaved),
            // Counted where it is logged, or by who renders it next.
            Refreshed::Failed { .. } | Refreshed::Kept | Refreshed::GivenBack(_) => None,
        };
        counted.into_iter().for_each(|event| page.route.counters.count(event));
        Ok(refreshed)
    }

    /// Extends the lease while its holder lives, so that leases can be short. That of a publisher's call for no longer
    /// than its render may take, even if it waits for a place first: other publishers wait for its end.
    async fn keep_lease(
        &self,
        page: &Resolved,
        ticket: Ticket,
        reason: Reason,
        hold: &HeldLease,
    ) -> std::convert::Infallible {
        let pause = self.process.limits.lease / 3;
        let longest = match reason {
            Reason::OnDemand => {
                page.route.options.render_timeout.unwrap_or(self.process.limits.render_timeout)
            }
            _ => Duration::MAX,
        };
        let mut kept = Duration::ZERO;
        loop {
            self.process.clock.sleep(pause).await;
            kept += pause;
            let renewed = match hold.write().await {
                Some(_writing) if kept <= longest => {
                    let lease = self.process.limits.lease;
                    self.process
                        .stores
                        .pages()
                        .renew(&page.key, ticket, lease, self.process.clock.now())
                        .await
                }
                _ => Ok(false),
            };
            match renewed {
                Ok(true) => {}
                // It is to end, or a newer ticket was handed out: the commit will tell which render counts.
                Ok(false) => std::future::pending().await,
                Err(error) => tracing::warn!(page = %page.key.path(), "cannot extend its lease: {error}"),
            }
        }
    }

    async fn render_and_commit(
        &self,
        page: &Resolved,
        grant: &Grant,
        reason: Reason,
        hold: &HeldLease,
    ) -> Refreshed {
        let order = RenderRequest {
            page: page.clone(),
            reason,
            generation: grant.ticket,
            epoch: grant.epoch,
            draft: false,
        };
        match self.pool.run(order).await {
            Ok(draft) => self.commit(page, grant, reason, hold, draft).await,
            Err(no_draft) => self.note_failure(page, grant, reason, hold, no_draft).await,
        }
    }

    async fn commit(
        &self,
        page: &Resolved,
        grant: &Grant,
        reason: Reason,
        hold: &HeldLease,
        mut draft: RenderOutput,
    ) -> Refreshed {
        if let Err(error) = self.many_tags.note_many(page, &draft.record).await {
            return not_stored(&self.process, page, grant, reason, draft, error).await;
        }
        let same = grant.replaces.as_ref().filter(|old| old.same_content(&draft.record));
        if let Some(old) = same {
            // The bodies are there already, under the names the old record gives them.
            draft.record.stored = old.stored.clone();
            draft.record.modified_at = old.modified_at;
        }
        if reason == Reason::First
            && grant.replaces.is_none()
            && let Err(limit) = self.quota.has_room(&self.process, page, &draft.record).await
        {
            return self.forget(page, grant, hold, draft, limit).await;
        }
        // A page that is rendered as missing although it has a record has lost its bodies: they are written again.
        let unchanged = same.is_some() && reason != Reason::First;
        let put = if unchanged { Ok(()) } else { put_bodies(&self.process, page, &mut draft).await };
        let Some(_writing) = hold.write().await else {
            if !unchanged {
                remove_later(&self.process, page, &draft.record, grant.replaces.as_deref()).await;
            }
            return self.given_back(draft, grant);
        };
        let committed = match put {
            Ok(()) => {
                let inline = if unchanged { Inline::default() } else { inline(&self.process, &draft) };
                self.process.stores.pages().commit(&page.key, &draft.record, &inline).await
            }
            Err(error) => Err(error),
        };
        match committed {
            Ok(Committed::Stored { replaced }) => {
                let generation = |record: &Option<Arc<Record>>| record.as_ref().map(|r| r.generation);
                if generation(&replaced) != generation(&grant.replaces) {
                    put_again(&self.process, page, &draft).await;
                }
                // What it was granted for, if the store could not tell.
                if let Some(replaced) = replaced.or_else(|| grant.replaces.clone()) {
                    remove_later(&self.process, page, &replaced, Some(&draft.record)).await;
                }
                let entry = keep(&self.process, page, entry_of(&self.process, draft, false));
                self.log_render(page, reason, grant.ticket, unchanged);
                if unchanged { Refreshed::Unchanged(entry) } else { Refreshed::Stored(entry) }
            }
            Ok(Committed::Superseded) => {
                remove_later(&self.process, page, &draft.record, None).await;
                Refreshed::Superseded
            }
            Err(error) => not_stored(&self.process, page, grant, reason, draft, error).await,
        }
    }

    /// Answers those who wait with a result that is not kept anywhere.
    async fn forget(
        &self,
        page: &Resolved,
        grant: &Grant,
        hold: &HeldLease,
        draft: RenderOutput,
        limit: &str,
    ) -> Refreshed {
        let Some(_writing) = hold.write().await else { return self.given_back(draft, grant) };
        if let Err(error) = self.process.stores.pages().release(&page.key, grant.ticket).await {
            self.process.complain(page, "a lease cannot be given back, it will end by itself", &error);
        }
        tracing::debug!(route = page.route.id(), "not kept: {limit} is reached");
        Refreshed::Unsaved(unsaved_entry(&self.process, draft, grant.ticket))
    }

    fn given_back(&self, draft: RenderOutput, grant: &Grant) -> Refreshed {
        Refreshed::GivenBack(unsaved_entry(&self.process, draft, grant.ticket))
    }

    async fn note_failure(
        &self,
        page: &Resolved,
        grant: &Grant,
        reason: Reason,
        hold: &HeldLease,
        no_draft: RenderError,
    ) -> Refreshed {
        let RenderError { message, retry_after, .. } = &no_draft;
        let failed =
            Failed { message: message.clone(), retry_after: *retry_after, now: self.process.clock.now() };
        let note = match hold.write().await {
            // Its lease is given back: there may be another one under its number.
            None => Ok(None),
            Some(_writing) => self.process.stores.pages().fail(&page.key, grant.ticket, failed).await,
        };
        let note = note.unwrap_or_else(|error| {
            self.process.complain(
                page,
                "a failed render cannot be noted, its lease will end by itself",
                &error,
            );
            None
        });
        let next = note
            .filter(|_| grant.replaces.as_ref().is_some_and(|r| r.stored != Stored::Deleted))
            .map(|n| (n.count, n.retry_at.since(n.at)));
        self.log_failure(page, reason, &no_draft, next);
        let RenderError { message, retry_after, kept } = no_draft;
        if kept { Refreshed::Kept } else { Refreshed::Failed { message: message.into(), retry_after } }
    }

    fn log_render(&self, page: &Resolved, reason: Reason, generation: Ticket, unchanged: bool) {
        let write = |left_out: Option<u64>| tracing::info!(page = %page.decoded_path().escape_debug(), reason = %reason, generation, unchanged, left_out, "rendered");
        // Whoever makes up a path can cause it.
        if reason == Reason::First { self.process.log(Line::FirstRender, write) } else { write(None) }
    }

    /// One line, whatever the page or its error contain.
    pub(crate) fn log_failure(
        &self,
        page: &Resolved,
        reason: Reason,
        failed: &RenderError,
        next: Option<(u32, Duration)>,
    ) {
        page.route.counters.count(if failed.kept { Event::Kept } else { Event::Failed });
        let path = page.decoded_path();
        let (page, error) = (path.escape_debug(), failed.message.escape_debug());
        let (attempt, retry_in_ms) = next
            .map_or((1, 0), |(count, delay)| (count, u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)));
        let write = |left_out: Option<u64>| {
            if failed.kept {
                tracing::info!(page = %page, reason = %reason, attempt, retry_in_ms, left_out, "kept: {error}");
            } else {
                tracing::error!(page = %page, reason = %reason, attempt, retry_in_ms, left_out, "render failed: {error}");
            }
        };
        // Whoever makes up a path can cause it, and whoever visits a dynamic route, each time. Other renders are held back
        // after a failure, or a publisher waits for them.
        let of_visitors = reason == Reason::First || (reason == Reason::Stale && next.is_none());
        if of_visitors { self.process.log(Line::FailedFirstRender, write) } else { write(None) }
    }

    /// Renders for one request and keeps nothing: dynamic routes, drafts, `dev`.
    ///
    /// # Errors
    /// [`VisitError`]: the render failed.
    pub(crate) async fn render_only(
        &self,
        page: &Resolved,
        reason: Reason,
        draft: bool,
    ) -> Result<Arc<Entry>, VisitError> {
        let order = RenderRequest { page: page.clone(), reason, generation: 0, epoch: 0, draft };
        match self.pool.run(order).await {
            Ok(draft) => Ok(entry_of(&self.process, draft, true)),
            Err(failed) => {
                self.log_failure(page, reason, &failed, None);
                Err(VisitError::new(500, failed.message))
            }
        }
    }
}
