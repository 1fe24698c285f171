//! Looks a page up, in memory or in the store, and judges it.

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

/// How visitors' pages are looked up.
pub(crate) struct Lookup<S: Stores> {
    process: Arc<Process<S>>,
    visits: Arc<Visits<S>>,
    /// The memory of answers that are passed on as they are read.
    pub(crate) streams: Arc<Budget>,
}

impl<S: Stores> Lookup<S> {
    /// Lookups of this process. What they find damaged, `visits` has rendered again.
    pub(crate) fn new(process: &Arc<Process<S>>, visits: &Arc<Visits<S>>) -> Self {
        let streams = Budget::new(process.limits.stream_memory_bytes);
        Self { process: process.clone(), visits: visits.clone(), streams }
    }

    /// Looks a page up: in memory if nothing was written since, else in the store. A body that the visitor has already is
    /// not read: the entry may come without it.
    ///
    /// # Errors
    /// The store cannot be read, and the page is not in memory either.
    pub(crate) async fn look(
        &self,
        page: &Resolved,
        form: Form,
        wants: impl Fn(&BodyRef) -> BodyWanted,
    ) -> Result<PageView, StoreError> {
        let now = self.process.clock.now();
        // Noted before reading: what is read may be newer than this version, never older.
        let version = self.process.stores.pages().version();
        let kept = self.process.memory.get(&page.key);
        if let Some(entry) = kept.as_ref().filter(|e| e.is_current(version, now) && e.has(form)) {
            return Ok(self.sight(page, entry.clone(), now));
        }
        let known = Known { kept: kept.as_ref(), version, now };
        match self.read(page, form, known, wants).await {
            Ok(sight) => Ok(sight),
            Err(error) => {
                self.process.complain(page, "the store cannot be read; serving what is in memory", &error);
                match kept.filter(|e| e.has(form)) {
                    Some(entry) => Ok(self.sight(page, entry.unchecked(), now)),
                    None => Err(error),
                }
            }
        }
    }

    async fn read(
        &self,
        page: &Resolved,
        form: Form,
        known: Known<'_>,
        wants: impl Fn(&BodyRef) -> BodyWanted,
    ) -> Result<PageView, StoreError> {
        let Known { kept, version, now } = known;
        let wanted = Wanted {
            tags: kept.map_or(&[], |e| &e.record.tags[..]),
            body: kept.is_none_or(|e| !e.has(form)).then_some(form),
        };
        let mut body_gone_of = None;
        loop {
            let mut snapshot = self.process.stores.pages().read(&page.key, wanted).await?;
            if let Some(unsaved) = kept.filter(|e| e.unsaved && e.has(form)) {
                // Its tags need not be those of the stored record.
                let epochs = self.epochs(page, &unsaved.record.tags).await.max(snapshot.epochs);
                if outlives(unsaved, &snapshot, epochs.newest, now) {
                    let entry = if epochs.partial { unsaved.unchecked() } else { unsaved.clone() };
                    return Ok(self.sight(page, entry, now));
                }
            }
            let generation = snapshot.generation;
            let missing = |known| PageView::missing(generation, known);
            let Some(record) = snapshot.record.clone() else { return Ok(missing(snapshot.listed)) };
            let (unread, body) = (std::mem::take(&mut snapshot.unread_tags), snapshot.body.take());
            let seek =
                ContentQuery { page, form, record: &record, kept: kept.map(Arc::as_ref), beside: body };
            let (epochs, found) = tokio::join!(
                self.epochs(page, &unread),
                contents(&self.process, &self.streams, seek, &wants)
            );
            snapshot.epochs = epochs.max(snapshot.epochs);
            let same = |kept: &&Arc<Entry>| kept.record.generation == record.generation;
            if let Some(kept) = kept.filter(same).filter(|_| snapshot.epochs.partial) {
                // What this process has heard of once, it does not forget because the store does not repeat it.
                snapshot.epochs = snapshot.epochs.at_least(kept.snapshot.epochs);
            }
            let known = snapshot.listed || snapshot.shown().is_some();
            let seen = state(&record, snapshot.epochs, now, page.route.options.missing_when_expired);
            if seen == State::Missing {
                // Nor may it be shown when the store cannot be read.
                if !is_shown(&record, snapshot.epochs) {
                    self.process.memory.remove(&page.key);
                }
                return Ok(missing(known));
            }
            match found {
                Some(Contents { html, data, passing, is_over_budget }) => {
                    self.check_headers(page, &record, kept);
                    let stream = passing
                        .map(|passing| stream_body(&self.process, &self.visits, page, generation, passing));
                    let unsaved = false;
                    let entry =
                        Arc::new(Entry { record, html, data, snapshot, version, read_at: now, unsaved });
                    self.process.memory.insert(&page.key, entry.clone());
                    return Ok(PageView {
                        entry: Some(entry),
                        stream,
                        is_over_budget,
                        state: seen,
                        generation,
                        known,
                    });
                }
                // A commit may have replaced the record, and its body been removed, since it was read.
                None if body_gone_of != Some(generation) => body_gone_of = Some(generation),
                None => {
                    self.process.log(Line::BadBody, |left_out| {
                        tracing::error!(
                            page = %page.key.path(),
                            left_out,
                            "the stored body is gone or damaged; the page is rendered again"
                        );
                    });
                    return Ok(missing(known));
                }
            }
        }
    }

    /// What was done to tags; a store that does not say so takes no page away.
    async fn epochs(&self, page: &Resolved, unread_tags: &[String]) -> Epochs {
        if unread_tags.is_empty() {
            return Epochs::default();
        }
        self.process.stores.pages().epochs(unread_tags).await.unwrap_or_else(|error| {
            self.process.complain(
                page,
                "it cannot be told whether a page is stale; it is answered as stale",
                &error,
            );
            Epochs::UNKNOWN
        })
    }

    fn sight(&self, page: &Resolved, entry: Arc<Entry>, now: Millis) -> PageView {
        let state = state(&entry.record, entry.snapshot.epochs, now, page.route.options.missing_when_expired);
        let generation = entry.record.generation;
        let entry = (state != State::Missing).then_some(entry);
        PageView { entry, stream: None, is_over_budget: false, state, generation, known: true }
    }

    /// Reports a page that an earlier version has stored with a field that answers leave out, as it comes into memory.
    fn check_headers(&self, page: &Resolved, record: &Record, kept: Option<&Arc<Entry>>) {
        if kept.is_none_or(|kept| kept.record.generation != record.generation)
            && let Some(wrong) = stored_field_error(&record.headers)
        {
            self.process.complain(
                page,
                "its answers leave a stored header field out; render the page again",
                &wrong,
            );
        }
    }

    /// The content of a page that was looked up a while ago, unless that is in memory; none if it is gone.
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
        let seek = ContentQuery { page, form, record: &entry.record, kept: Some(entry), beside: None };
        let found = contents(&self.process, &self.streams, seek, wants)
            .await
            .filter(|found| !found.is_over_budget)?;
        Some(
            found.passing.map(|passing| {
                stream_body(&self.process, &self.visits, page, entry.record.generation, passing)
            }),
        )
    }
}

/// What is known before the store is read.
struct Known<'a> {
    kept: Option<&'a Arc<Entry>>,
    version: Option<u64>,
    now: Millis,
}

/// Whether a page rendered while the store could not be written still counts beside what the store says now.
fn outlives(unsaved: &Entry, snapshot: &Snapshot, newest_epoch: Epoch, now: Millis) -> bool {
    snapshot.generation <= unsaved.record.generation
        && snapshot.epochs.newest.max(newest_epoch) <= unsaved.snapshot.epochs.newest
        && matches!(state(&unsaved.record, unsaved.snapshot.epochs, now, true), State::Fresh { .. })
}
