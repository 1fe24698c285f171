//! Renders one page and commits it if it is newer: the only writer of pages.
//!
//! Three callers: a visitor of a missing page ([`first`](crate::visit::wait)), the queue ([`queue`](crate::work::worker)) and a
//! publisher ([`demand`](crate::publish::path)).

use std::sync::Arc;
use std::time::Duration;

use crate::base::counters::Event;
use crate::base::log_limits::Line;
use crate::engine::Engine;
use crate::freshness::Epochs;
use crate::guard::patience;
use crate::memory::Entry;
use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::grant::{Committed, Failed, Grant};
use crate::ports::pages::slot::{Ask, Begun};
use crate::ports::pages::snapshot::{Inline, Snapshot};
use crate::ports::pages::urgency::Urgency;
use crate::ports::stores::Stores;
use crate::record::page_record::{Record, Stored, Ticket};
use crate::record::reason::Reason;
use crate::render::leases::Hold;
use crate::render::renders::{Draft, NoDraft, Order};
use crate::site::route::Resolved;

/// Why a lease was given back.
pub(crate) const STOPPING: &str = "the process is stopping";

/// What became of a render.
#[derive(Clone, Debug)]
pub enum Refreshed {
    /// It is the page now.
    Stored(Arc<Entry>),
    /// Its content is the page's already: only its freshness was written.
    Unchanged(Arc<Entry>),
    /// A newer render was committed before.
    Superseded,
    /// It was rendered, but the store could not keep it.
    Unsaved(Arc<Entry>),
    /// It was rendered, but the process is stopping and has given the lease back: it is not stored.
    GivenBack(Arc<Entry>),
    /// It failed; what was stored stays.
    Failed {
        /// Why.
        message: Arc<str>,
        /// What the upstream said about when to come back.
        retry_after: Option<Duration>,
    },
    /// It asked to keep what is stored.
    Kept,
}

impl<S: Stores> Engine<S> {
    /// Keeps a page that the store could not keep, for as long as it is fresh.
    pub(crate) fn keep_unsaved(&self, page: &Resolved, draft: Draft, judged: Ticket) -> Arc<Entry> {
        let entry = self.unsaved_entry(draft, judged);
        self.keep(page, entry)
    }

    /// Puts what was rendered into memory, where it may be known that the page was invalidated meanwhile.
    pub(super) fn keep(&self, page: &Resolved, mut entry: Arc<Entry>) -> Arc<Entry> {
        let known = self.memory.get(&page.key).map_or_else(Epochs::default, |kept| kept.snapshot.epochs);
        if let Some(entry) = Arc::get_mut(&mut entry) {
            entry.snapshot.epochs = entry.snapshot.epochs.at_least(known);
        }
        self.memory.insert(&page.key, entry.clone());
        entry
    }

    pub(super) fn unsaved_entry(&self, mut draft: Draft, judged: Ticket) -> Arc<Entry> {
        draft.record.generation = judged;
        self.entry_of(draft, true)
    }

    /// What a render gave as it is answered; to be checked against the store before it is used again.
    pub(crate) fn entry_of(&self, draft: Draft, unsaved: bool) -> Arc<Entry> {
        let Draft { record, html, data } = draft;
        let record = Arc::new(record);
        let epochs = record.epoch.into();
        let (shown, generation) = (Some(record.clone()), record.generation);
        let snapshot = Snapshot { record: shown, generation, epochs, ..Snapshot::default() };
        let read_at = self.clock.now();
        Arc::new(Entry { record, html, data, snapshot, version: None, read_at, unsaved })
    }

    pub(crate) fn ask(&self, judged: Option<Ticket>, urgency: Urgency) -> Ask {
        Ask { judged, urgency, lease: self.limits.lease, now: self.clock.now() }
    }

    /// The right to render whatever others do: for deletions and builds.
    pub(crate) async fn override_all(&self, page: &Resolved) -> Result<Ticket, StoreError> {
        match self.stores.pages().begin(&page.key, self.ask(None, Urgency::Overriding)).await? {
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
        let grant = match self.stores.pages().prepare(&page.key, ticket).await {
            Ok(grant) => grant,
            Err(error) => {
                // If this fails too, the lease ends by itself.
                let _ = self.stores.pages().release(&page.key, ticket).await;
                return Err(error);
            }
        };
        let hold = self.held.insert(&page.key, ticket);
        let refreshed = tokio::select! {
            biased;
            // What was rendered is worth more than a visitor's patience.
            refreshed = patience::with(None, self.render_and_commit(page, &grant, reason, &hold)) => refreshed,
            never = patience::with(None, self.keep_lease(page, ticket, reason, &hold)) => match never {},
        };
        self.held.remove(&page.key, ticket);
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
        hold: &Hold,
    ) -> std::convert::Infallible {
        let pause = self.limits.lease / 3;
        let longest = match reason {
            Reason::OnDemand => page.route.options.render_timeout.unwrap_or(self.limits.render_timeout),
            _ => Duration::MAX,
        };
        let mut kept = Duration::ZERO;
        loop {
            self.clock.sleep(pause).await;
            kept += pause;
            let renewed = match hold.write().await {
                Some(_writing) if kept <= longest => {
                    let lease = self.limits.lease;
                    self.stores.pages().renew(&page.key, ticket, lease, self.clock.now()).await
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
        hold: &Hold,
    ) -> Refreshed {
        let order =
            Order { page: page.clone(), reason, generation: grant.ticket, epoch: grant.epoch, draft: false };
        match self.renders.run(order).await {
            Ok(draft) => self.commit(page, grant, reason, hold, draft).await,
            Err(no_draft) => self.note_failure(page, grant, reason, hold, no_draft).await,
        }
    }

    async fn commit(
        &self,
        page: &Resolved,
        grant: &Grant,
        reason: Reason,
        hold: &Hold,
        mut draft: Draft,
    ) -> Refreshed {
        if let Err(error) = self.note_many(page, &draft.record).await {
            return self.not_stored(page, grant, reason, draft, error).await;
        }
        let same = grant.replaces.as_ref().filter(|old| old.same_content(&draft.record));
        if let Some(old) = same {
            // The bodies are there already, under the names the old record gives them.
            draft.record.stored = old.stored.clone();
            draft.record.modified_at = old.modified_at;
        }
        if reason == Reason::First
            && grant.replaces.is_none()
            && let Err(limit) = self.has_room(page, &draft.record).await
        {
            return self.forget(page, grant, hold, draft, limit).await;
        }
        // A page that is rendered as missing although it has a record has lost its bodies: they are written again.
        let unchanged = same.is_some() && reason != Reason::First;
        let put = if unchanged { Ok(()) } else { self.put_bodies(page, &mut draft).await };
        let Some(_writing) = hold.write().await else {
            if !unchanged {
                self.remove_later(page, &draft.record, grant.replaces.as_deref()).await;
            }
            return self.given_back(draft, grant);
        };
        let committed = match put {
            Ok(()) => {
                let inline = if unchanged { Inline::default() } else { self.inline(&draft) };
                self.stores.pages().commit(&page.key, &draft.record, &inline).await
            }
            Err(error) => Err(error),
        };
        match committed {
            Ok(Committed::Stored { replaced }) => {
                let generation = |record: &Option<Arc<Record>>| record.as_ref().map(|r| r.generation);
                if generation(&replaced) != generation(&grant.replaces) {
                    self.put_again(page, &draft).await;
                }
                // What it was granted for, if the store could not tell.
                if let Some(replaced) = replaced.or_else(|| grant.replaces.clone()) {
                    self.remove_later(page, &replaced, Some(&draft.record)).await;
                }
                let entry = self.keep(page, self.entry_of(draft, false));
                self.log_render(page, reason, grant.ticket, unchanged);
                if unchanged { Refreshed::Unchanged(entry) } else { Refreshed::Stored(entry) }
            }
            Ok(Committed::Superseded) => {
                self.remove_later(page, &draft.record, None).await;
                Refreshed::Superseded
            }
            Err(error) => self.not_stored(page, grant, reason, draft, error).await,
        }
    }

    /// Answers those who wait with a result that is not kept anywhere.
    async fn forget(
        &self,
        page: &Resolved,
        grant: &Grant,
        hold: &Hold,
        draft: Draft,
        limit: &str,
    ) -> Refreshed {
        let Some(_writing) = hold.write().await else { return self.given_back(draft, grant) };
        if let Err(error) = self.stores.pages().release(&page.key, grant.ticket).await {
            self.complain(page, "a lease cannot be given back, it will end by itself", &error);
        }
        tracing::debug!(route = page.route.id(), "not kept: {limit} is reached");
        Refreshed::Unsaved(self.unsaved_entry(draft, grant.ticket))
    }

    fn given_back(&self, draft: Draft, grant: &Grant) -> Refreshed {
        Refreshed::GivenBack(self.unsaved_entry(draft, grant.ticket))
    }

    async fn note_failure(
        &self,
        page: &Resolved,
        grant: &Grant,
        reason: Reason,
        hold: &Hold,
        no_draft: NoDraft,
    ) -> Refreshed {
        let NoDraft { message, retry_after, .. } = &no_draft;
        let failed = Failed { message: message.clone(), retry_after: *retry_after, now: self.clock.now() };
        let note = match hold.write().await {
            // Its lease is given back: there may be another one under its number.
            None => Ok(None),
            Some(_writing) => self.stores.pages().fail(&page.key, grant.ticket, failed).await,
        };
        let note = note.unwrap_or_else(|error| {
            self.complain(page, "a failed render cannot be noted, its lease will end by itself", &error);
            None
        });
        let next = note
            .filter(|_| grant.replaces.as_ref().is_some_and(|r| r.stored != Stored::Deleted))
            .map(|n| (n.count, n.retry_at.since(n.at)));
        self.log_failure(page, reason, &no_draft, next);
        let NoDraft { message, retry_after, kept } = no_draft;
        if kept { Refreshed::Kept } else { Refreshed::Failed { message: message.into(), retry_after } }
    }

    fn log_render(&self, page: &Resolved, reason: Reason, generation: Ticket, unchanged: bool) {
        let write = |left_out: Option<u64>| tracing::info!(page = %page.decoded_path().escape_debug(), reason = %reason, generation, unchanged, left_out, "rendered");
        // Whoever makes up a path can cause it.
        if reason == Reason::First { self.log(Line::FirstRender, write) } else { write(None) }
    }

    /// One line, whatever the page or its error contain.
    pub(crate) fn log_failure(
        &self,
        page: &Resolved,
        reason: Reason,
        failed: &NoDraft,
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
        if of_visitors { self.log(Line::FailedFirstRender, write) } else { write(None) }
    }
}
