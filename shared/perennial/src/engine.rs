//! The engine: a site on its stores. Looks pages up, and has them rendered by [`refresh`](crate::render::refresh).

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::base::budget::Budget;
use crate::base::clock::{Clock, Millis};
use crate::base::limits::Limits;
use crate::base::log_limits::{Line, LogLimits};
use crate::freshness::{Epochs, State, is_shown, state};
use crate::guard::{Guarded, patience};
use crate::look::body::Body;
use crate::look::load::{Found, Seek};
use crate::memory::{Entry, Memory};
use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::snapshot::{Snapshot, Wanted};
use crate::ports::stores::Stores;
use crate::publish::path::{Demanded, Undone};
use crate::publish::purge::Purges;
use crate::record::content::Content;
use crate::record::headers::left_out;
use crate::record::page_record::{BodyRef, Coding, Epoch, Form, Record, Ticket};
use crate::render::leases::Held;
use crate::render::quota::Room;
use crate::render::renders::Renders;
use crate::site::ReadySite;
use crate::site::route::Resolved;
use crate::visit::single_flight::{Flights, Turns};
use crate::visit::wait::First;

/// A site on its stores, within its limits. One per process; cheap to share.
pub struct Engine<S: Stores> {
    pub(crate) site: Arc<ReadySite>,
    pub(crate) stores: Guarded<S>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) memory: Memory,
    pub(crate) renders: Renders,
    pub(crate) waiting: Semaphore,
    pub(crate) room: Room,
    /// Places of walks, and of the pages that they renew: half of those of renders, so that visitors' and publishers'
    /// own never wait for a walk.
    pub(crate) walks: Semaphore,
    pub(crate) walked: Arc<Semaphore>,
    pub(crate) flights: Flights<First>,
    pub(crate) marks: Turns<Result<Option<Epoch>, Undone>>,
    pub(crate) demands: Turns<Demanded>,
    pub(crate) purges: Purges,
    pub(crate) triggered: Mutex<HashSet<Arc<str>>>,
    pub(crate) held: Held,
    pub(crate) tasks: TaskTracker,
    pub(crate) dev: bool,
    /// Whether a page with more tags than can be told apart was reported.
    pub(crate) many_logged: AtomicBool,
    pub(crate) passing: Arc<Budget>,
}

/// What a look found.
#[derive(Debug)]
pub struct Sight {
    /// The page with the content of the wanted form; none if it is missing.
    pub entry: Option<Arc<Entry>>,
    /// That content, if it is too large to be loaded: as it comes from the store, in the coding that was wanted.
    pub coming: Option<Body>,
    /// Whether that content cannot be passed on now, because too much is being passed on already.
    pub crowded: bool,
    /// Its state now.
    pub state: State,
    /// The generation that was judged; 0 for none. A missing page may have one: deleted, expired, or damaged.
    pub generation: Ticket,
    /// Whether the page exists for a route that serves listed pages only: it was listed, or generated before.
    pub known: bool,
}

/// What a visitor wants of a body.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    /// The coding it would be sent in.
    pub coding: Coding,
    /// Whether the visitor has it already.
    pub has: bool,
    /// Whether its length will do: HEAD.
    pub head: bool,
}

impl Sight {
    /// A page that there is nothing to show of.
    pub fn missing(generation: Ticket, known: bool) -> Self {
        Self { entry: None, coming: None, crowded: false, state: State::Missing, generation, known }
    }
}

impl Entry {
    /// The content of a form; none for redirects, whose answer is made of the record alone.
    pub fn content(&self, form: Form) -> Option<&Arc<Content>> {
        match form {
            Form::Html => self.html.as_ref(),
            Form::Data => self.data.as_ref(),
        }
    }

    pub(crate) fn has(&self, form: Form) -> bool {
        self.record.stored.body(form).is_none() || self.content(form).is_some()
    }
}

impl<S: Stores> Engine<S> {
    /// Puts a site on its stores.
    pub fn new(site: Arc<ReadySite>, stores: S, clock: Arc<dyn Clock>, limits: Limits) -> Arc<Self> {
        Self::in_mode(site, stores, clock, limits, false)
    }

    /// A site under development: every request is rendered, and neither memory nor the store is read or written.
    pub fn dev(site: Arc<ReadySite>, stores: S, clock: Arc<dyn Clock>, limits: Limits) -> Arc<Self> {
        Self::in_mode(site, stores, clock, limits, true)
    }

    fn in_mode(
        site: Arc<ReadySite>,
        stores: S,
        clock: Arc<dyn Clock>,
        limits: Limits,
        dev: bool,
    ) -> Arc<Self> {
        let tasks = TaskTracker::new();
        let stores = Guarded::new(stores, &clock, &limits, &tasks);
        let renders = Renders::new(site.clone(), clock.clone(), limits.clone(), stores.build().clone());
        Arc::new(Self {
            site,
            clock,
            renders,
            memory: Memory::new(limits.memory_cache_bytes),
            waiting: Semaphore::new(limits.max_waiting_visitors),
            room: Room::default(),
            walks: Semaphore::new(limits.max_concurrent_renders.div_ceil(2)),
            passing: Budget::new(limits.stream_memory_bytes),
            walked: Arc::new(Semaphore::new(limits.max_concurrent_renders.div_ceil(2))),
            limits,
            stores,
            flights: Flights::default(),
            marks: Turns::default(),
            demands: Turns::default(),
            purges: Purges::default(),
            triggered: Mutex::default(),
            held: Held::default(),
            tasks,
            dev,
            many_logged: AtomicBool::new(false),
        })
    }

    /// The site.
    pub fn site(&self) -> &ReadySite {
        &self.site
    }

    /// Whether the site is under development; see [`Engine::dev`].
    pub fn is_dev(&self) -> bool {
        self.dev
    }

    /// Work that outlives the request that asked for it; [`Engine::shut_down`] waits for it.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// The ports it runs on.
    pub fn stores(&self) -> &Guarded<S> {
        &self.stores
    }

    /// Does what one visitor waits for: all calls of stores together take as long as [`Limits::store_wait`], and then those
    /// that are to come are not made. What was rendered is stored whatever that takes.
    pub async fn visiting<T>(&self, work: impl Future<Output = T>) -> T {
        patience::with(Some(self.limits.store_wait), work).await
    }

    /// The build it serves.
    pub fn build(&self) -> &Arc<str> {
        self.stores.build()
    }

    /// The limits it keeps.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The present.
    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    /// The clock it goes by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The memory of answers that are passed on as they are read.
    pub fn passing(&self) -> &Arc<Budget> {
        &self.passing
    }

    /// Bytes in the memory cache, and their limit.
    pub fn memory_usage(&self) -> (u64, u64) {
        self.memory.usage()
    }

    /// Looks a page up: in memory if nothing was written since, else in the store. A body that the visitor has already is
    /// not read: the entry may come without it.
    ///
    /// # Errors
    /// The store cannot be read, and the page is not in memory either.
    pub async fn look(
        self: &Arc<Self>,
        page: &Resolved,
        form: Form,
        wants: impl Fn(&BodyRef) -> Want,
    ) -> Result<Sight, StoreError> {
        let now = self.clock.now();
        // Noted before reading: what is read may be newer than this version, never older.
        let version = self.stores.pages().version();
        let kept = self.memory.get(&page.key);
        if let Some(entry) = kept.as_ref().filter(|e| e.is_current(version, now) && e.has(form)) {
            return Ok(self.sight(page, entry.clone(), now));
        }
        let known = Known { kept: kept.as_ref(), version, now };
        match self.read(page, form, known, wants).await {
            Ok(sight) => Ok(sight),
            Err(error) => {
                self.complain(page, "the store cannot be read; serving what is in memory", &error);
                match kept.filter(|e| e.has(form)) {
                    Some(entry) => Ok(self.sight(page, entry.unchecked(), now)),
                    None => Err(error),
                }
            }
        }
    }

    async fn read(
        self: &Arc<Self>,
        page: &Resolved,
        form: Form,
        known: Known<'_>,
        wants: impl Fn(&BodyRef) -> Want,
    ) -> Result<Sight, StoreError> {
        let Known { kept, version, now } = known;
        let wanted = Wanted {
            tags: kept.map_or(&[], |e| &e.record.tags[..]),
            body: kept.is_none_or(|e| !e.has(form)).then_some(form),
        };
        let mut body_gone_of = None;
        loop {
            let mut snapshot = self.stores.pages().read(&page.key, wanted).await?;
            if let Some(unsaved) = kept.filter(|e| e.unsaved && e.has(form)) {
                // Its tags need not be those of the stored record.
                let epochs = self.epochs(page, &unsaved.record.tags).await.max(snapshot.epochs);
                if outlives(unsaved, &snapshot, epochs.newest, now) {
                    let entry = if epochs.partial { unsaved.unchecked() } else { unsaved.clone() };
                    return Ok(self.sight(page, entry, now));
                }
            }
            let generation = snapshot.generation;
            let missing = |known| Sight::missing(generation, known);
            let Some(record) = snapshot.record.clone() else { return Ok(missing(snapshot.listed)) };
            let (unread, body) = (std::mem::take(&mut snapshot.unread_tags), snapshot.body.take());
            let seek = Seek { page, form, record: &record, kept: kept.map(Arc::as_ref), beside: body };
            let (epochs, found) = tokio::join!(self.epochs(page, &unread), self.contents(seek, &wants));
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
                    self.memory.remove(&page.key);
                }
                return Ok(missing(known));
            }
            match found {
                Some(Found { html, data, passing, crowded }) => {
                    self.check_headers(page, &record, kept);
                    let coming = passing.map(|passing| self.pass(page, generation, passing));
                    let unsaved = false;
                    let entry =
                        Arc::new(Entry { record, html, data, snapshot, version, read_at: now, unsaved });
                    self.memory.insert(&page.key, entry.clone());
                    return Ok(Sight { entry: Some(entry), coming, crowded, state: seen, generation, known });
                }
                // A commit may have replaced the record, and its body been removed, since it was read.
                None if body_gone_of != Some(generation) => body_gone_of = Some(generation),
                None => {
                    self.log(Line::BadBody, |left_out| {
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
        self.stores.pages().epochs(unread_tags).await.unwrap_or_else(|error| {
            self.complain(page, "it cannot be told whether a page is stale; it is answered as stale", &error);
            Epochs::UNKNOWN
        })
    }

    fn sight(&self, page: &Resolved, entry: Arc<Entry>, now: Millis) -> Sight {
        let state = state(&entry.record, entry.snapshot.epochs, now, page.route.options.missing_when_expired);
        let generation = entry.record.generation;
        let entry = (state != State::Missing).then_some(entry);
        Sight { entry, coming: None, crowded: false, state, generation, known: true }
    }

    /// Has a line written that a stranger can cause, unless there were enough of its kind just now; see [`LogLimits`].
    pub fn log(&self, line: Line, write: impl FnOnce(Option<u64>)) {
        LogLimits::of_this_process().write(line, self.clock.now(), write);
    }

    /// Reports a store that fails, unless it has just been done.
    pub(crate) fn complain(&self, page: &Resolved, what: &str, error: &dyn Display) {
        self.log(Line::StoreFails, |left_out| {
            tracing::error!(page = %page.key.path(), left_out, "{what}: {error}");
        });
    }

    /// Reports a page that an earlier version has stored with a field that answers leave out, as it comes into memory.
    fn check_headers(&self, page: &Resolved, record: &Record, kept: Option<&Arc<Entry>>) {
        if kept.is_none_or(|kept| kept.record.generation != record.generation)
            && let Some(wrong) = left_out(&record.headers)
        {
            self.complain(page, "its answers leave a stored header field out; render the page again", &wrong);
        }
    }

    /// Waits until everything under way has ended, at most as long as the grace allows, and gives back the leases
    /// of what has not: its result is not stored any more.
    pub async fn shut_down(&self, grace: Duration) {
        self.tasks.close();
        if crate::base::clock::within(&*self.clock, grace, self.tasks.wait()).await.is_some() {
            return;
        }
        for (page, ticket) in self.held.give_back() {
            match self.stores.pages().release(&page, ticket).await {
                Ok(()) => {
                    tracing::warn!(page = %page.path(), "stopped while it was rendered; its lease is given back");
                }
                Err(error) => {
                    tracing::error!(page = %page.path(), "cannot give its lease back, it will end by itself: {error}");
                }
            }
        }
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
