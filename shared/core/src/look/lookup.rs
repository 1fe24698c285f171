//! Looks a page up, in memory or in the store, and decides its state.

use std::sync::Arc;

use crate::base::budget::Budget;
use crate::base::clock::Millis;
use crate::base::log_limits::Line;
use crate::freshness::{Epochs, State, is_shown, state};
use crate::look::body::Body;
use crate::look::load::{ContentQuery, Contents, contents};
use crate::look::stream::stream_body;
use crate::look::view::{BodyWanted, PageView};
use crate::memory::Entry;
use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::snapshot::{Snapshot, Wanted};
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::record::headers::stored_field_error;
use crate::record::page_record::{BodyRef, Epoch, Form, Record};
use crate::site::route::Resolved;
use crate::visit::wait::Visits;

/// Lookups of visitors' pages.
pub(crate) struct Lookup<S: Stores> {
    process: Arc<Process<S>>,
    visits: Arc<Visits<S>>,
    /// The memory of all streamed answers.
    pub(crate) stream_budget: Arc<Budget>,
}

impl<S: Stores> Lookup<S> {
    /// Lookups of this process. `visits` renders a page again whose body turns out damaged during a stream.
    pub(crate) fn new(process: &Arc<Process<S>>, visits: &Arc<Visits<S>>) -> Self {
        let stream_budget = Budget::new(process.limits.stream_memory_bytes);
        Self { process: process.clone(), visits: visits.clone(), stream_budget }
    }

    /// Looks a page up: in memory if the store has not changed since, or else in the store. The entry comes without a
    /// body that the visitor does not need, according to `wants`.
    ///
    /// # Errors
    /// The store cannot be read, and the page is not in memory.
    pub(crate) async fn look(
        &self,
        page: &Resolved,
        form: Form,
        wants: impl Fn(&BodyRef) -> BodyWanted,
    ) -> Result<PageView, StoreError> {
        let now = self.process.clock.now();
        // The version is read before the page: the page may be newer than this version, never older.
        let version = self.process.stores.pages().version();
        let cached = self.process.memory.get(&page.key);
        if let Some(entry) = cached.as_ref().filter(|e| e.is_current(version, now) && e.has(form)) {
            return Ok(self.view(page, entry.clone(), now));
        }
        let cache_state = CacheState { cached: cached.as_ref(), version, now };
        // Boxed, so that the future of a hit from memory has no room for a read of the store.
        match Box::pin(self.read(page, form, cache_state, wants)).await {
            Ok(view) => Ok(view),
            Err(error) => {
                self.process.complain(
                    page,
                    "the store cannot be read; the page is served from memory",
                    &error,
                );
                match cached.filter(|e| e.has(form)) {
                    Some(entry) => Ok(self.view(page, entry.unchecked(), now)),
                    None => Err(error),
                }
            }
        }
    }

    async fn read(
        &self,
        page: &Resolved,
        form: Form,
        cache_state: CacheState<'_>,
        wants: impl Fn(&BodyRef) -> BodyWanted,
    ) -> Result<PageView, StoreError> {
        let CacheState { cached, version, now } = cache_state;
        let wanted = cache_state.wanted(form);
        let mut body_gone_of = None;
        loop {
            let mut snapshot = self.process.stores.pages().read(&page.key, wanted).await?;
            if let Some(unsaved) = cached.filter(|e| e.unsaved && e.has(form))
                && let Some(view) = self.unsaved_view(page, unsaved, &snapshot, now).await
            {
                return Ok(view);
            }
            let generation = snapshot.generation;
            let missing = |known| PageView::missing(generation, known);
            let Some(record) = snapshot.record.clone() else { return Ok(missing(snapshot.listed)) };
            let (unread_tags, inline_body) =
                (std::mem::take(&mut snapshot.unread_tags), snapshot.body.take());
            let query =
                ContentQuery { page, form, record: &record, cached: cached.map(Arc::as_ref), inline_body };
            let (epochs, contents) = tokio::join!(
                self.epochs(page, &unread_tags),
                contents(&self.process, &self.stream_budget, query, &wants)
            );
            snapshot.epochs = epochs.max(snapshot.epochs);
            let is_same = |cached: &&Arc<Entry>| cached.record.generation == record.generation;
            if let Some(cached) = cached.filter(is_same).filter(|_| snapshot.epochs.partial) {
                // The process has read some of these epochs before: it must not forget an invalidation.
                snapshot.epochs = snapshot.epochs.at_least(cached.snapshot.epochs);
            }
            let known = snapshot.listed || snapshot.shown().is_some();
            let state = state(&record, snapshot.epochs, now, page.route.options.missing_when_expired);
            if state == State::Missing {
                self.forget_deleted(page, &record, snapshot.epochs);
                return Ok(missing(known));
            }
            match contents {
                Some(Contents { html, data, stream, is_over_budget }) => {
                    self.check_headers(page, &record, cached);
                    let stream = stream
                        .map(|stream| stream_body(&self.process, &self.visits, page, generation, stream));
                    let unsaved = false;
                    let entry =
                        Arc::new(Entry { record, html, data, snapshot, version, read_at: now, unsaved });
                    self.process.memory.insert(&page.key, entry.clone());
                    return Ok(PageView {
                        entry: Some(entry),
                        stream,
                        is_over_budget,
                        state,
                        generation,
                        known,
                    });
                }
                // Since the read, a commit may have replaced the record, and its body may have been removed: read
                // again.
                None if body_gone_of != Some(generation) => body_gone_of = Some(generation),
                None => {
                    self.log_bad_body(page);
                    return Ok(missing(known));
                }
            }
        }
    }

    /// The view of a page that is in memory alone, if it still counts beside the store's answer.
    async fn unsaved_view(
        &self,
        page: &Resolved,
        unsaved: &Arc<Entry>,
        snapshot: &Snapshot,
        now: Millis,
    ) -> Option<PageView> {
        // The unsaved page may have other tags than the stored record.
        let epochs = self.epochs(page, &unsaved.record.tags).await.max(snapshot.epochs);
        outlives(unsaved, snapshot, epochs.newest, now).then(|| {
            let entry = if epochs.partial { unsaved.unchecked() } else { unsaved.clone() };
            self.view(page, entry, now)
        })
    }

    /// Takes a deleted page out of memory: it must not be served from there either, when the store cannot be read.
    fn forget_deleted(&self, page: &Resolved, record: &Record, epochs: Epochs) {
        if !is_shown(record, epochs) {
            self.process.memory.remove(&page.key);
        }
    }

    fn log_bad_body(&self, page: &Resolved) {
        self.process.log(Line::BadBody, |left_out| {
            tracing::error!(
                page = %page.key.address(),
                left_out,
                "the stored body is gone or damaged; the page is rendered again"
            );
        });
    }

    /// The epochs of tags. If the store cannot read them, they are unknown, and the page is served nevertheless.
    async fn epochs(&self, page: &Resolved, unread_tags: &[String]) -> Epochs {
        if unread_tags.is_empty() {
            return Epochs::default();
        }
        self.process.stores.pages().epochs(unread_tags).await.unwrap_or_else(|error| {
            self.process.complain(
                page,
                "the store cannot tell whether a page was invalidated; the page is answered as stale",
                &error,
            );
            Epochs::UNKNOWN
        })
    }

    fn view(&self, page: &Resolved, entry: Arc<Entry>, now: Millis) -> PageView {
        let state = state(&entry.record, entry.snapshot.epochs, now, page.route.options.missing_when_expired);
        let generation = entry.record.generation;
        let entry = (state != State::Missing).then_some(entry);
        PageView { entry, stream: None, is_over_budget: false, state, generation, known: true }
    }

    /// Logs, once per generation in memory, that answers leave out a forbidden field that an earlier version has
    /// stored.
    fn check_headers(&self, page: &Resolved, record: &Record, cached: Option<&Arc<Entry>>) {
        if cached.is_none_or(|cached| cached.record.generation != record.generation)
            && let Some(error) = stored_field_error(&record.headers)
        {
            self.process.complain(
                page,
                "the page's answers leave out a stored header field; render the page again",
                &error,
            );
        }
    }

    /// Opens the body of a page that was looked up before a render. `Some(None)`: the content is in memory, or the
    /// visitor does not need it. `None`: the body is gone, or the budget of streams is used up.
    pub(crate) async fn open_again(
        &self,
        page: &Resolved,
        form: Form,
        entry: &Entry,
        wants: impl Fn(&BodyRef) -> BodyWanted,
    ) -> Option<Option<Body>> {
        if entry.has(form) {
            return Some(None);
        }
        let query =
            ContentQuery { page, form, record: &entry.record, cached: Some(entry), inline_body: None };
        let contents = contents(&self.process, &self.stream_budget, query, wants)
            .await
            .filter(|contents| !contents.is_over_budget)?;
        Some(
            contents.stream.map(|stream| {
                stream_body(&self.process, &self.visits, page, entry.record.generation, stream)
            }),
        )
    }
}

/// The memory cache's state before the store is read.
struct CacheState<'a> {
    cached: Option<&'a Arc<Entry>>,
    version: Option<u64>,
    now: Millis,
}

impl<'a> CacheState<'a> {
    /// The parts that the store must deliver.
    fn wanted(&self, form: Form) -> Wanted<'a> {
        Wanted {
            tags: self.cached.map_or(&[], |e| &e.record.tags[..]),
            body: self.cached.is_none_or(|e| !e.has(form)).then_some(form),
        }
    }
}

/// Whether an unsaved page is still to be served instead of the stored one: it is fresh, and the store has neither a
/// newer generation nor a newer invalidation.
fn outlives(unsaved: &Entry, snapshot: &Snapshot, newest_epoch: Epoch, now: Millis) -> bool {
    snapshot.generation <= unsaved.record.generation
        && snapshot.epochs.newest.max(newest_epoch) <= unsaved.snapshot.epochs.newest
        && matches!(state(&unsaved.record, unsaved.snapshot.epochs, now, true), State::Fresh { .. })
}
