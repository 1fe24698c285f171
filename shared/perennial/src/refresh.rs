//! Renders one page and commits it if it is newer: the only writer of pages.
//!
//! Three callers: a visitor of a missing page ([`Engine::first`]), the queue ([`Engine::work`]) and a publisher
//! ([`Engine::demand`]). [`Engine::trigger`] is how a stale answer asks the queue.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::bodies::Bodies;
use crate::clock::{Millis, within};
use crate::edge::Edge;
use crate::engine::Engine;
use crate::jobs::{Job, Jobs, Task};
use crate::memory::Entry;
use crate::page::Reason;
use crate::pages::{Ask, Begun, Committed, Failed, Grant, Pages, Snapshot, page_tags, path_tag};
use crate::record::{Record, Stored, Ticket};
use crate::render::{Draft, NoDraft, Order};
use crate::route::{Fallback, Resolved};
use crate::store::{StoreError, Stores};

/// A replaced body is kept this long: a reader may still hold the record that names it.
const REPLACED_BODY_GRACE: Duration = Duration::from_secs(60);

/// Pages looked at in one read of the store.
const LIST_BATCH: usize = 500;

/// The first and the longest pause between two looks at a page that another process renders.
const POLL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

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
    /// It failed; what was stored stays.
    Failed(Arc<str>),
}

/// What a visitor of a missing page gets.
pub(crate) type First = Result<Option<Arc<Entry>>, Trouble>;

/// Why a visitor gets no page.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// 500 for a failed render, 503 for a limit that was reached.
    pub status: u16,
    /// For the log, and for the author in `dev`; never for a visitor.
    pub message: Arc<str>,
}

impl Trouble {
    fn new(status: u16, message: impl Into<Arc<str>>) -> Self {
        Self { status, message: message.into() }
    }
}

/// A publisher's call for one page.
pub type Demanded = Result<Demand, Undone>;

/// What a publisher's call for one page came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// The page was rendered after the call came, and is what everybody sees.
    Revalidated,
    /// The page had not been generated, and was to be left alone.
    NotGenerated,
}

/// Why a publisher's call was not carried out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Undone {
    /// The route lists its pages, and this is none of them.
    #[error("no such page: its route serves listed paths only, and this one was not listed when the site was built")]
    NotListed,
    /// The route is never stored.
    #[error("pages of this route are rendered for every request: there is nothing to revalidate")]
    Dynamic,
    /// The render failed. The last good page stays, is stale, and is tried again.
    #[error("{0}")]
    Failed(Arc<str>),
    /// The store failed.
    #[error("{0}")]
    Store(Arc<str>),
}

/// What became of a job.
#[derive(Clone, Debug)]
pub enum Worked {
    /// Carried out, well or not: what was to be noted is noted.
    Done(Refreshed),
    /// Nothing is left to do: the page was rendered since, or a newer render was begun.
    Dropped,
    /// This build has no such page.
    Gone,
    /// The store failed: deliver it again.
    Retry(Arc<str>),
}

impl<S: Stores> Engine<S> {
    /// Renders a missing page while its visitor waits. Simultaneous visitors share one render, also across
    /// processes. The entry is none if another process rendered it: look again. The flag tells whether a render
    /// that was under way was shared.
    ///
    /// # Errors
    /// [`Trouble`]: the render failed, or a limit was reached.
    pub async fn first(self: &Arc<Self>, page: &Resolved, reason: Reason, judged: Ticket) -> (First, bool) {
        let Ok(_place) = self.waiting.try_acquire() else {
            let limit = self.limits.max_waiting_visitors;
            let message = format!("{limit} visitors are waiting for renders already (PERENNIAL_MAX_WAITING_VISITORS)");
            return (Err(Trouble::new(503, message)), false);
        };
        let engine = self.clone();
        let start = || {
            let page = page.clone();
            async move { engine.lead(&page, reason, judged).await }
        };
        let key = page.key.shared();
        let landing = self.flights.join(&self.tasks, &key, start);
        match within(&*self.clock, self.limits.max_wait, landing).await {
            Some((Some(first), joined)) => (first, joined),
            Some((None, joined)) => (Err(Trouble::new(500, "the render's task panicked")), joined),
            None => {
                let message = format!("waited {:?} for the page (PERENNIAL_MAX_WAIT_MS)", self.limits.max_wait);
                (Err(Trouble::new(503, message)), false)
            }
        }
    }

    /// One visitor's way to a missing page, on behalf of all who wait for it in this process.
    async fn lead(self: &Arc<Self>, page: &Resolved, reason: Reason, mut judged: Ticket) -> First {
        let mut pause = POLL.0;
        let mut waited_for: Option<Ticket> = None;
        loop {
            let snapshot = match self.stores.pages().begin(&page.key, self.ask(Some(judged), false)).await {
                Ok(Begun::Granted(grant)) => return shown(self.refresh(page, grant, reason).await),
                Ok(Begun::BackedOff { .. }) => {
                    return Err(Trouble::new(500, "its last render failed, and it is not time to try again"));
                }
                Ok(Begun::Busy { .. }) => {
                    self.clock.sleep(pause).await;
                    pause = (pause * 2).min(POLL.1);
                    self.stores.pages().read(&page.key).await
                }
                Ok(Begun::Unneeded) => self.stores.pages().read(&page.key).await,
                Err(error) => return self.unsaved(page, reason, judged, &error).await,
            };
            let snapshot = snapshot.map_err(|e| Trouble::new(500, e.to_string()))?;
            if snapshot.generation() != judged {
                if snapshot.record.as_ref().is_some_and(|r| r.stored != Stored::Deleted) {
                    return Ok(None);
                }
                judged = snapshot.generation();
            }
            // Who waits for another process's render shares its failure, as those in that process do.
            if let Some(failure) = snapshot.slot.failure.filter(|f| waited_for == Some(f.ticket)) {
                return Err(Trouble::new(500, failure.message));
            }
            waited_for = snapshot.slot.lease.map(|lease| lease.ticket).or(waited_for);
        }
    }

    /// Renders without storing, because the store cannot be written.
    async fn unsaved(&self, page: &Resolved, reason: Reason, judged: Ticket, error: &StoreError) -> First {
        tracing::error!(page = %page.key.path(), reason = %reason, "the store cannot be written; the page is kept in memory only: {error}");
        let order = Order { page: page.clone(), reason, generation: judged, epoch: 0 };
        match self.renders.run(order).await {
            Ok(draft) => Ok(Some(self.keep_unsaved(page, draft, judged))),
            Err(failed) => {
                self.log_failure(page, reason, &failed, None);
                Err(Trouble::new(500, failed.message))
            }
        }
    }

    fn keep_unsaved(&self, page: &Resolved, draft: Draft, judged: Ticket) -> Arc<Entry> {
        let kept = self.memory.get(&page.key);
        let newest_epoch = kept.map_or(draft.record.epoch, |e| e.snapshot.newest_epoch.max(draft.record.epoch));
        let record = Arc::new(Record { generation: judged, epoch: newest_epoch, ..draft.record });
        let snapshot = Snapshot { record: Some(record.clone()), newest_epoch, ..Snapshot::default() };
        let Draft { html, data, .. } = draft;
        let read_at = self.clock.now();
        let entry = Arc::new(Entry { record, html, data, snapshot, version: None, read_at, unsaved: true });
        self.memory.insert(&page.key, entry.clone());
        entry
    }

    /// Renders for one request and keeps nothing: dynamic routes, `dev`.
    ///
    /// # Errors
    /// [`Trouble`]: the render failed.
    pub async fn render_only(&self, page: &Resolved, reason: Reason) -> Result<Arc<Entry>, Trouble> {
        let order = Order { page: page.clone(), reason, generation: 0, epoch: 0 };
        match self.renders.run(order).await {
            Ok(Draft { record, html, data }) => {
                let (record, read_at) = (Arc::new(record), self.clock.now());
                let snapshot = Snapshot { record: Some(record.clone()), ..Snapshot::default() };
                Ok(Arc::new(Entry { record, html, data, snapshot, version: None, read_at, unsaved: true }))
            }
            Err(failed) => {
                self.log_failure(page, reason, &failed, None);
                Err(Trouble::new(500, failed.message))
            }
        }
    }

    /// Whether [`Engine::trigger`] would ask the store at all: nobody holds a lease, and no back-off holds, as far as
    /// this process knows.
    pub fn may_trigger(&self, entry: &Entry) -> bool {
        let (now, slot) = (self.clock.now(), &entry.snapshot.slot);
        slot.leased_until(now).is_none() && slot.backed_off_until(now).is_none()
    }

    /// Has a stale page renewed by the queue, unless somebody already does or it is not time to try again. Costs a
    /// visitor nothing: run it beside the answer, or before it where the process is frozen after it.
    pub async fn trigger(&self, page: &Resolved, entry: &Entry) {
        if !self.may_trigger(entry)
            || !self.triggered.lock().unwrap_or_else(PoisonError::into_inner).insert(page.key.shared())
        {
            return;
        }
        let begun = self.stores.pages().begin(&page.key, self.ask(Some(entry.record.generation), false)).await;
        match begun {
            Ok(Begun::Granted(grant)) => self.send(page, grant.ticket).await,
            Ok(Begun::Busy { .. } | Begun::BackedOff { .. } | Begun::Unneeded) => {}
            Err(error) => tracing::error!(page = %page.key.path(), "a stale page cannot be renewed while the store cannot be written: {error}"),
        }
        self.triggered.lock().unwrap_or_else(PoisonError::into_inner).remove(page.key.as_str());
    }

    async fn send(&self, page: &Resolved, ticket: Ticket) {
        let job = self.job(page, Task::Refresh { ticket, reason: Reason::Stale });
        if let Err(error) = self.stores.jobs().send(&job, Duration::ZERO).await {
            tracing::error!(page = %page.key.path(), "the queue refused to renew a stale page; the next visitor tries again: {error}");
            if let Err(error) = self.stores.pages().release(&page.key, ticket).await {
                tracing::error!(page = %page.key.path(), "its lease cannot be given back, it will end by itself: {error}");
            }
        }
    }

    fn job(&self, page: &Resolved, task: Task) -> Job {
        Job { v: 1, build: self.build().to_string(), key: page.key.as_str().to_owned(), task }
    }

    /// Carries out one job of the queue.
    pub async fn work(&self, job: &Job) -> Worked {
        let page = match self.site.page_of_key(&job.key) {
            Some(page) if *job.build == **self.build() => page,
            _ => return Worked::Gone,
        };
        let worked = match &job.task {
            Task::Refresh { ticket, reason } => self.work_refresh(&page, *ticket, *reason).await,
            Task::Renew { epoch } => self.work_renew(&page, *epoch).await,
            Task::RemoveBody { sha256, replaced_at } => self.work_remove(&page, sha256, *replaced_at).await,
        };
        worked.unwrap_or_else(|error| Worked::Retry(error.to_string().into()))
    }

    async fn work_refresh(&self, page: &Resolved, ticket: Ticket, reason: Reason) -> Result<Worked, StoreError> {
        let resumed = self.stores.pages().resume(&page.key, ticket, self.limits.lease, self.clock.now()).await?;
        match resumed {
            Some(grant) => Ok(Worked::Done(self.refresh(page, grant, reason).await)),
            None => Ok(Worked::Dropped),
        }
    }

    async fn work_renew(&self, page: &Resolved, epoch: u64) -> Result<Worked, StoreError> {
        let snapshot = self.stores.pages().read(&page.key).await?;
        if snapshot.record.as_ref().is_none_or(|r| r.epoch >= epoch || r.stored == Stored::Deleted) {
            return Ok(Worked::Dropped);
        }
        match self.stores.pages().begin(&page.key, self.ask(Some(snapshot.generation()), false)).await? {
            Begun::Granted(grant) => Ok(Worked::Done(self.refresh(page, grant, Reason::OnDemand).await)),
            _ => Ok(Worked::Dropped),
        }
    }

    async fn work_remove(&self, page: &Resolved, sha256: &str, replaced_at: Millis) -> Result<Worked, StoreError> {
        let record = self.stores.pages().read(&page.key).await?.record;
        if !record.is_some_and(|r| r.stored.bodies().any(|body| body.sha256 == sha256)) {
            self.stores.bodies().remove(&page.key, sha256, replaced_at).await?;
        }
        Ok(Worked::Dropped)
    }

    /// Marks a page and renders it anew before it answers. Simultaneous calls share a render only if it began
    /// after all of them had come.
    ///
    /// # Errors
    /// [`Undone`]; unless the store failed, the page is marked and will be tried again.
    pub async fn demand(self: &Arc<Self>, page: &Resolved, only_generated: bool) -> Demanded {
        if page.route.options.dynamic {
            return Err(Undone::Dynamic);
        }
        if self.dev {
            let rendered = self.render_only(page, Reason::OnDemand).await;
            return rendered.map(|_| Demand::Revalidated).map_err(|trouble| Undone::Failed(trouble.message));
        }
        let engine = self.clone();
        let (key, page) = (page.key.shared(), page.clone());
        // Calls that leave ungenerated pages alone do not share with those that generate them.
        let key = if only_generated { format!("{key}|only").into() } else { key };
        let start = || async move { engine.demanded(&page, only_generated).await };
        let panicked = || Err(Undone::Failed("the render's task panicked".into()));
        self.demands.take(&self.tasks, &key, start).await.unwrap_or_else(panicked)
    }

    async fn demanded(self: &Arc<Self>, page: &Resolved, only_generated: bool) -> Demanded {
        let store = |e: StoreError| Undone::Store(e.to_string().into());
        let snapshot = self.stores.pages().read(&page.key).await.map_err(store)?;
        let generated = snapshot.record.as_ref().is_some_and(|r| r.stored != Stored::Deleted);
        if !generated && only_generated {
            return Ok(Demand::NotGenerated);
        }
        if !generated && !snapshot.listed && page.route.options.fallback == Fallback::NotFound {
            return Err(Undone::NotListed);
        }
        // First the mark, which survives a crash of this process, then the render that began after it.
        self.stores.pages().invalidate(&[path_tag(page.key.path())]).await.map_err(store)?;
        for page in self.variants(page).await.map_err(store)? {
            let begun = self.stores.pages().begin(&page.key, self.ask(None, true)).await.map_err(store)?;
            let Begun::Granted(grant) = begun else {
                return Err(Undone::Store(format!("an urgent render was not granted: {begun:?}").into()));
            };
            match self.refresh(&page, grant, Reason::OnDemand).await {
                // A newer ticket was handed out after this one: that render began after the call as well.
                Refreshed::Stored(_) | Refreshed::Unchanged(_) | Refreshed::Superseded => {}
                Refreshed::Failed(message) => return Err(Undone::Failed(message)),
                Refreshed::Unsaved(_) => {
                    return Err(Undone::Store("the page was rendered but the store could not keep it".into()));
                }
            }
        }
        self.stores.edge().purge(&page_tags(&page.key)[..1]).await.map_err(store)?;
        Ok(Demand::Revalidated)
    }

    /// The page itself and every stored variant of it.
    async fn variants(&self, page: &Resolved) -> Result<Vec<Resolved>, StoreError> {
        let mut pages = vec![page.clone()];
        if page.route.has_query() {
            let prefix = format!("{}?", page.key.base_text());
            let stored = self.stores.pages().list(&prefix, None, usize::MAX).await?;
            let with_record = stored.into_iter().filter(|(_, snapshot)| snapshot.record.is_some());
            pages.extend(with_record.filter_map(|(text, _)| self.site.page_of_key(&text)));
        }
        Ok(pages)
    }

    /// Removes a page at once, and keeps renders that are under way from bringing it back.
    ///
    /// # Errors
    /// [`Undone::Store`].
    pub async fn delete(&self, page: &Resolved) -> Result<(), Undone> {
        let store = |e: StoreError| Undone::Store(e.to_string().into());
        self.stores.pages().invalidate(&[path_tag(page.key.path())]).await.map_err(store)?;
        for page in self.variants(page).await.map_err(store)? {
            let begun = self.stores.pages().begin(&page.key, self.ask(None, true)).await.map_err(store)?;
            let Begun::Granted(grant) = begun else { continue };
            let now = self.clock.now();
            let tombstone = Record {
                generation: grant.ticket,
                epoch: grant.epoch,
                started_at: now,
                period_s: None,
                expires_at: None,
                modified_at: now,
                reason: Reason::OnDemand,
                tags: Vec::new(),
                headers: Default::default(),
                stored: Stored::Deleted,
            };
            self.memory.remove(&page.key);
            if let Committed::Stored { replaced: Some(replaced) } =
                self.stores.pages().commit(&page.key, &tombstone).await.map_err(store)?
            {
                // For privacy, so at once: nobody may read it any more.
                for body in replaced.stored.bodies() {
                    self.stores.bodies().remove(&page.key, &body.sha256, now).await.map_err(store)?;
                }
            }
        }
        self.stores.edge().purge(&page_tags(&page.key)[..1]).await.map_err(store)
    }

    /// Marks everything that carries any of these tags: one write a tag, seen by every read from then on. With
    /// `renew`, pages that this build has stored are sent to the queue; tells how many.
    ///
    /// # Errors
    /// [`Undone::Store`]. Repeating the call is harmless.
    pub async fn invalidate(&self, tags: &[String], renew: bool) -> Result<usize, Undone> {
        let store = |e: StoreError| Undone::Store(e.to_string().into());
        let epoch = self.stores.pages().invalidate(tags).await.map_err(store)?;
        let mut queued = 0;
        let mut after: Option<String> = None;
        while renew {
            let batch = self.stores.pages().list("", after.as_deref(), LIST_BATCH).await.map_err(store)?;
            let last = batch.len() < LIST_BATCH;
            for (text, snapshot) in batch {
                let marked = snapshot.newest_epoch >= epoch && snapshot.record.is_some_and(|r| r.epoch < epoch);
                if let Some(page) = marked.then(|| self.site.page_of_key(&text)).flatten() {
                    let job = self.job(&page, Task::Renew { epoch });
                    self.stores.jobs().send(&job, Duration::ZERO).await.map_err(store)?;
                    queued += 1;
                }
                after = Some(text);
            }
            if last {
                break;
            }
        }
        self.stores.edge().purge(tags).await.map_err(store)?;
        Ok(queued)
    }

    pub(crate) fn ask(&self, judged: Option<Ticket>, urgent: bool) -> Ask {
        Ask { judged, urgent, lease: self.limits.lease, now: self.clock.now() }
    }

    /// Renders under a grant and commits the result if it is newer than what is stored.
    async fn refresh(&self, page: &Resolved, grant: Grant, reason: Reason) -> Refreshed {
        let held = (page.key.clone(), grant.ticket);
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(held.clone());
        let refreshed = tokio::select! {
            refreshed = self.render_and_commit(page, &grant, reason) => refreshed,
            never = self.keep_lease(page, grant.ticket) => match never {},
        };
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&held);
        refreshed
    }

    /// Extends the lease while its holder lives, so that leases can be short.
    async fn keep_lease(&self, page: &Resolved, ticket: Ticket) -> std::convert::Infallible {
        loop {
            self.clock.sleep(self.limits.lease / 3).await;
            let renewed = self.stores.pages().renew(&page.key, ticket, self.limits.lease, self.clock.now()).await;
            match renewed {
                Ok(true) => {}
                // A newer ticket was handed out: the commit will tell which render counts.
                Ok(false) => std::future::pending().await,
                Err(error) => tracing::warn!(page = %page.key.path(), "cannot extend its lease: {error}"),
            }
        }
    }

    async fn render_and_commit(&self, page: &Resolved, grant: &Grant, reason: Reason) -> Refreshed {
        let order = Order { page: page.clone(), reason, generation: grant.ticket, epoch: grant.epoch };
        match self.renders.run(order).await {
            Ok(draft) => self.commit(page, grant, reason, draft).await,
            Err(no_draft) => self.note_failure(page, grant, reason, no_draft).await,
        }
    }

    async fn commit(&self, page: &Resolved, grant: &Grant, reason: Reason, mut draft: Draft) -> Refreshed {
        let same = grant.replaces.as_ref().filter(|old| old.same_content(&draft.record));
        if let Some(old) = same {
            // The bodies are there already, under the names the old record gives them.
            draft.record.stored = old.stored.clone();
            draft.record.modified_at = old.modified_at;
        }
        let unchanged = same.is_some() && self.bodies_are_there(page, &draft.record).await;
        let put = if unchanged { Ok(()) } else { self.put_bodies(page, &mut draft).await };
        let committed = match put {
            Ok(()) => self.stores.pages().commit(&page.key, &draft.record).await,
            Err(error) => Err(error),
        };
        match committed {
            Ok(Committed::Stored { replaced }) => {
                self.remove_later(page, replaced.as_deref(), &draft.record).await;
                let entry = self.remember(page, draft);
                tracing::info!(page = %page.decoded_path().escape_debug(), reason = %reason, generation = grant.ticket, unchanged, "rendered");
                if unchanged { Refreshed::Unchanged(entry) } else { Refreshed::Stored(entry) }
            }
            Ok(Committed::Superseded) => Refreshed::Superseded,
            Err(error) => {
                tracing::error!(page = %page.key.path(), reason = %reason, "the page was rendered but cannot be stored; it is kept in memory only: {error}");
                let failed = Failed { message: error.to_string(), retry_after: None, now: self.clock.now() };
                if let Err(error) = self.stores.pages().fail(&page.key, grant.ticket, failed).await {
                    tracing::error!(page = %page.key.path(), "its lease cannot be given back, it will end by itself: {error}");
                }
                Refreshed::Unsaved(self.keep_unsaved(page, draft, grant.ticket))
            }
        }
    }

    /// An unchanged page's bodies are not written again, unless they were damaged or lost meanwhile.
    async fn bodies_are_there(&self, page: &Resolved, record: &Record) -> bool {
        for body in record.stored.bodies() {
            if !matches!(self.stores.bodies().get(&page.key, &body.sha256).await, Ok(Some(_))) {
                return false;
            }
        }
        true
    }

    pub(crate) async fn put_bodies(&self, page: &Resolved, draft: &mut Draft) -> Result<(), StoreError> {
        if let (Stored::Page { html: h, data: d } | Stored::NotFound { html: h, data: d }, Some(html), Some(data)) =
            (&mut draft.record.stored, &draft.html, &draft.data)
        {
            (*h, *d) = (html.body().clone(), data.body().clone());
            for content in [html, data] {
                let (name, bytes) = (&content.body().sha256, content.stored().clone());
                self.stores.bodies().put(&page.key, name, bytes, self.clock.now()).await?;
            }
        }
        Ok(())
    }

    async fn remove_later(&self, page: &Resolved, replaced: Option<&Record>, by: &Record) {
        for body in replaced.into_iter().flat_map(|r| r.stored.bodies()) {
            if by.stored.bodies().any(|kept| kept.sha256 == body.sha256) {
                continue;
            }
            let task = Task::RemoveBody { sha256: body.sha256.clone(), replaced_at: self.clock.now() };
            if let Err(error) = self.stores.jobs().send(&self.job(page, task), REPLACED_BODY_GRACE).await {
                tracing::warn!(page = %page.key.path(), sha256 = body.sha256, "a replaced body will not be removed: {error}");
            }
        }
    }

    /// Keeps the new page in memory, to be checked against the store before it is used.
    fn remember(&self, page: &Resolved, draft: Draft) -> Arc<Entry> {
        let Draft { record, html, data } = draft;
        let record = Arc::new(record);
        let newest_epoch = record.epoch;
        let snapshot = Snapshot { record: Some(record.clone()), newest_epoch, ..Snapshot::default() };
        let read_at = self.clock.now();
        let entry = Arc::new(Entry { record, html, data, snapshot, version: None, read_at, unsaved: false });
        self.memory.insert(&page.key, entry.clone());
        entry
    }

    async fn note_failure(&self, page: &Resolved, grant: &Grant, reason: Reason, no_draft: NoDraft) -> Refreshed {
        let NoDraft { message, retry_after, .. } = &no_draft;
        let failed = Failed { message: message.clone(), retry_after: *retry_after, now: self.clock.now() };
        let note = match self.stores.pages().fail(&page.key, grant.ticket, failed).await {
            Ok(note) => note,
            Err(error) => {
                tracing::error!(page = %page.key.path(), "a failed render cannot be noted, its lease will end by itself: {error}");
                None
            }
        };
        let next = note.filter(|_| grant.replaces.is_some()).map(|n| (n.count, n.retry_at.since(n.at)));
        self.log_failure(page, reason, &no_draft, next);
        Refreshed::Failed(no_draft.message.into())
    }

    /// One line, whatever the page or its error contain.
    fn log_failure(&self, page: &Resolved, reason: Reason, failed: &NoDraft, next: Option<(u32, Duration)>) {
        let path = page.decoded_path();
        let (page, error) = (path.escape_debug(), failed.message.escape_debug());
        let (attempt, retry_in_ms) = next.map_or((1, 0), |(count, delay)| (count, delay.as_millis()));
        if failed.kept {
            tracing::info!(page = %page, reason = %reason, attempt, retry_in_ms, "kept: {error}");
        } else {
            tracing::error!(page = %page, reason = %reason, attempt, retry_in_ms, "render failed: {error}");
        }
    }
}

/// What those who waited for a first render get.
fn shown(refreshed: Refreshed) -> First {
    match refreshed {
        Refreshed::Stored(entry) | Refreshed::Unchanged(entry) | Refreshed::Unsaved(entry) => Ok(Some(entry)),
        Refreshed::Superseded => Ok(None),
        Refreshed::Failed(message) => Err(Trouble { status: 500, message }),
    }
}
