//! The engine: a site on its stores, and all that can be asked of it. Each part owns what it needs, and stands on the
//! parts before it; nothing is decided here.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::budget::Budget;
use crate::base::clock::{Clock, Millis, within};
use crate::base::limits::Limits;
use crate::base::log_limits::Line;
use crate::build::{BuildError, BuildStep, Built, build_site, list_pages};
use crate::guard::{GuardedStores, patience};
use crate::look::body::Body;
use crate::look::lookup::Lookup;
use crate::look::view::{BodyWanted, PageView};
use crate::memory::Entry;
use crate::overview::{Search, SearchResult, search};
use crate::ports::edge::Purged;
use crate::ports::error::StoreError;
use crate::ports::job::Job;
use crate::ports::journal::Publish;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::publish::carry_out::{Published, Publishers};
use crate::publish::outcome::{Invalidation, PublishError, RevalidationResult};
use crate::publish::progress::{Progress, entries, progress};
use crate::publish::purge::Purger;
use crate::publish::schedule::{Cancel, cancel, schedule};
use crate::record::page_record::{BodyRef, Form, Ticket};
use crate::record::publish_request::{Fingerprint, PublishRequest, Publisher};
use crate::record::reason::Reason;
use crate::render::outcome::VisitError;
use crate::render::refresh::Renderer;
use crate::site::ReadySite;
use crate::site::route::Resolved;
use crate::visit::trigger::Triggers;
use crate::visit::wait::{FirstRender, Visits};
use crate::work::poll::{start_workers, work_next};
use crate::work::renew::JobOutcome;
use crate::work::worker::Worker;

/// A site on its stores, within its limits. One per process; cheap to share.
pub struct Engine<S: Stores> {
    process: Arc<Process<S>>,
    renderer: Arc<Renderer<S>>,
    visits: Arc<Visits<S>>,
    triggers: Triggers<S>,
    lookup: Lookup<S>,
    publishers: Arc<Publishers<S>>,
    worker: Arc<Worker<S>>,
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
        let process = Process::new(site, stores, clock, limits, dev);
        let renderer = Renderer::new(&process);
        let visits = Visits::new(&renderer);
        let triggers = Triggers::new(&process);
        let lookup = Lookup::new(&process, &visits);
        let purger = Purger::new(&process);
        let publishers = Publishers::new(&renderer, &purger);
        let worker = Worker::new(&renderer, &purger, &publishers);
        Arc::new(Self { process, renderer, visits, triggers, lookup, publishers, worker })
    }

    /// The site.
    pub fn site(&self) -> &ReadySite {
        &self.process.site
    }

    /// Whether the site is under development; see [`Engine::dev`].
    pub fn is_dev(&self) -> bool {
        self.process.dev
    }

    /// Work that outlives the request that asked for it; [`Engine::shut_down`] waits for it.
    pub fn tasks(&self) -> &TaskTracker {
        &self.process.tasks
    }

    /// The ports it runs on.
    pub fn stores(&self) -> &GuardedStores<S> {
        &self.process.stores
    }

    /// Does what one visitor waits for: all calls of stores together take as long as [`Limits::store_wait`], and then those
    /// that are to come are not made. What was rendered is stored whatever that takes.
    pub async fn visiting<T>(&self, work: impl Future<Output = T>) -> T {
        patience::with(Some(self.process.limits.store_wait), work).await
    }

    /// The build it serves.
    pub fn build(&self) -> &Arc<str> {
        self.process.build()
    }

    /// The limits it keeps.
    pub fn limits(&self) -> &Limits {
        &self.process.limits
    }

    /// The present.
    pub fn now(&self) -> Millis {
        self.process.now()
    }

    /// The clock it goes by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.process.clock
    }

    /// The memory of answers that are passed on as they are read.
    pub fn stream_budget(&self) -> &Arc<Budget> {
        &self.lookup.stream_budget
    }

    /// Bytes in the memory cache, and their limit.
    pub fn memory_usage(&self) -> (u64, u64) {
        self.process.memory.usage()
    }

    /// Has a line written that a stranger can cause, unless there were enough of its kind just now; see [`LogLimits`].
    pub fn log(&self, line: Line, write: impl FnOnce(Option<u64>)) {
        self.process.log(line, write);
    }

    /// Looks a page up: in memory if nothing was written since, else in the store. A body that the visitor has already is
    /// not read: the entry may come without it.
    ///
    /// # Errors
    /// The store cannot be read, and the page is not in memory either.
    pub async fn look(
        &self,
        page: &Resolved,
        form: Form,
        wants: impl Fn(&BodyRef) -> BodyWanted,
    ) -> Result<PageView, StoreError> {
        self.lookup.look(page, form, wants).await
    }

    /// The content of a page that was looked up a while ago, unless that is in memory; none if it is gone.
    pub async fn open_again(
        &self,
        page: &Resolved,
        form: Form,
        entry: &Entry,
        wants: impl Fn(&BodyRef) -> BodyWanted,
    ) -> Option<Option<Body>> {
        self.lookup.open_again(page, form, entry, wants).await
    }

    /// Renders a missing page while its visitor waits. Simultaneous visitors share one render, also across
    /// processes. The entry is none if another process rendered it: look again. The flag tells whether a render
    /// that was under way was shared.
    ///
    /// # Errors
    /// [`VisitError`]: the render failed, or a limit was reached.
    pub async fn first(&self, page: &Resolved, reason: Reason, judged: Ticket) -> (FirstRender, bool) {
        self.visits.render_missing(page, reason, judged).await
    }

    /// Renders for one request and keeps nothing: dynamic routes, drafts, `dev`.
    ///
    /// # Errors
    /// [`VisitError`]: the render failed.
    pub async fn render_only(
        &self,
        page: &Resolved,
        reason: Reason,
        draft: bool,
    ) -> Result<Arc<Entry>, VisitError> {
        self.renderer.render_only(page, reason, draft).await
    }

    /// Whether [`Engine::trigger`] would ask the store at all: nobody holds a lease, and no back-off holds, as far as
    /// this process knows.
    pub fn may_trigger(&self, entry: &Entry) -> bool {
        self.triggers.may_trigger(entry)
    }

    /// Has a stale page renewed by the queue, unless somebody already does or it is not time to try again. Costs a
    /// visitor nothing: run it beside the answer, or before it where the process is frozen after it.
    pub async fn trigger(&self, page: &Resolved, entry: &Entry) {
        self.triggers.trigger(page, entry).await;
    }

    /// Marks a page and has it rendered anew before it answers. Simultaneous calls, of this process and of others, share
    /// a render, and its failure, if it began after they had marked the page.
    ///
    /// # Errors
    /// [`PublishError`]; unless the store failed, the page is marked and will be tried again.
    pub async fn revalidate_page(&self, page: &Resolved, only_generated: bool) -> RevalidationResult {
        self.publishers.paths.revalidate_page(page, only_generated).await
    }

    /// Marks everything that carries any of these tags: a write for each, seen by every read from then on. With
    /// `renew`, the queue then renews pages that this build has stored; what that takes here is the same for any number
    /// of them. It is told under that name in the journal, or under the invalidation's number if the name is empty.
    ///
    /// # Errors
    /// [`PublishError::Store`], or [`PublishError::Edge`] once everything is marked. Repeating the call is harmless.
    pub async fn invalidate(
        &self,
        tags: &[String],
        renew: Option<&str>,
    ) -> Result<Invalidation, PublishError> {
        self.publishers.tags.invalidate(tags, renew).await
    }

    /// Has every page that carries any of these tags gone at once, in every build, and whatever is being rendered. The
    /// queue then removes what this build has stored of them, and tells the journal how far that is, under the name
    /// `publish`, or under the deletion's number if the name is empty.
    ///
    /// # Errors
    /// [`PublishError::Store`]: perhaps not all is gone, or the queue has not been told. [`PublishError::Edge`]: all is gone, and the
    /// queue knows. Repeating the call is harmless.
    pub async fn delete_tagged(&self, tags: &[String], publish: &str) -> Result<Invalidation, PublishError> {
        self.publishers.deletions.delete_tagged(tags, publish).await
    }

    /// Has a page gone at once, in every build, and removes what is stored of it. The queue removes its variants.
    ///
    /// # Errors
    /// [`PublishError::Store`], or [`PublishError::Edge`] once the page is gone. Repeating the call is harmless.
    pub async fn delete(&self, page: &Resolved) -> Result<Purged, PublishError> {
        self.publishers.deletions.delete(page).await
    }

    /// Carries out a wish, and writes it into the journal.
    ///
    /// # Errors
    /// [`PublishError`]: its tags could not be marked, and nothing else was done. What becomes of its paths is told of each.
    pub async fn publish(&self, wish: &PublishRequest, who: Publisher) -> Result<Published, PublishError> {
        self.publishers.publish(wish, who).await
    }

    /// The id of the publish by which this very delivery was carried out before: one of the same id, or one in which the
    /// same was signed. None for a call that is no delivery, and if the journal cannot tell: then it is carried out again,
    /// which is harmless.
    pub async fn carried_out(
        &self,
        wish: &PublishRequest,
        who: &Publisher,
        signed: Option<&Fingerprint>,
    ) -> Option<String> {
        self.publishers.carried_out(wish, who, signed).await
    }

    /// Notes that a delivery was carried out, so that it does nothing when it comes again.
    pub async fn note_carried_out(
        &self,
        wish: &PublishRequest,
        who: &Publisher,
        signed: Option<&Fingerprint>,
        id: &str,
    ) {
        self.publishers.note_carried_out(wish, who, signed, id).await;
    }

    /// Has a wish carried out at its time, by whichever process there is then: it is in the queue alone, and in the
    /// journal. Gives its id.
    ///
    /// # Errors
    /// The queue did not take it.
    pub async fn schedule(
        &self,
        wish: &PublishRequest,
        who: Publisher,
        due: Millis,
    ) -> Result<String, StoreError> {
        schedule(&self.publishers, wish, who, due).await
    }

    /// Cancels a publish that waits for its time, once for all: its job does nothing when it comes. Repeating the call is
    /// harmless.
    ///
    /// # Errors
    /// The journal's. It may be cancelled.
    pub async fn cancel(&self, id: &str) -> Result<Cancel, StoreError> {
        cancel(&self.process, id).await
    }

    /// How far a publish is, by its id in the journal. None if there is no such publish, as far as the store knows: the
    /// pages tell of every number that an invalidation was given, also once the journal has forgotten it.
    ///
    /// # Errors
    /// The store's.
    pub async fn progress(&self, id: &str) -> Result<Option<Progress>, StoreError> {
        progress(&self.process, id).await
    }

    /// Entries of the journal as they are by now, newest first; see [`Journal::list`].
    ///
    /// # Errors
    /// The store's.
    pub async fn entries(&self, after: Option<&str>, limit: usize) -> Result<Vec<Publish>, StoreError> {
        entries(&self.process, after, limit).await
    }

    /// Carries out one job of the queue. A job of another build is one that was sent before a deployment, or before a
    /// return to an older build.
    pub async fn work(&self, job: &Job) -> JobOutcome {
        self.worker.work(job).await
    }

    /// Carries out one job and logs what kept it from being done; tells whether it must be delivered again.
    pub async fn work_or_retry(&self, job: &Job) -> bool {
        self.worker.work_or_retry(job).await
    }

    /// Starts the workers that carry out what any process has queued: as many as may render at once. They stop taking jobs
    /// when `stop` is cancelled; [`Engine::shut_down`] waits for those under way. Not where an event source takes the jobs,
    /// as on AWS Lambda.
    pub fn start_workers(&self, stop: &CancellationToken) {
        start_workers(&self.worker, stop);
    }

    /// Carries out the next job that is due; tells whether there is one.
    ///
    /// # Errors
    /// The queue cannot be read or written.
    pub async fn work_next(&self) -> Result<bool, StoreError> {
        work_next(&self.worker).await
    }

    /// Renders every listed page, as many at once as may be rendered, and makes them visible together. Nothing
    /// that is served changes before every page has succeeded.
    ///
    /// # Errors
    /// [`BuildError`], naming every path that failed.
    pub async fn build_site(&self, progress: impl Fn(BuildStep)) -> Result<Built, BuildError> {
        build_site(&self.renderer, progress).await
    }

    /// Notes which pages the routes list, without rendering them: for a server whose build was made elsewhere or
    /// has been lost.
    ///
    /// # Errors
    /// A route cannot list its pages, or the store failed.
    pub async fn list_pages(&self) -> Result<(), BuildError> {
        list_pages(&self.process).await
    }

    /// Looks for pages that the store holds. It reads the pages of the routes that the prefix allows, in order of their
    /// keys, a bounded number a call. Under development the store is not read: then it is what the site lists.
    ///
    /// # Errors
    /// The store cannot be read; under development, a route cannot list its pages.
    pub async fn search(&self, wanted: &Search) -> Result<SearchResult, StoreError> {
        search(&self.process, wanted).await
    }

    /// Waits until everything under way has ended, at most as long as the grace allows, and gives back the leases
    /// of what has not: its result is not stored any more.
    pub async fn shut_down(&self, grace: Duration) {
        self.process.tasks.close();
        if within(&*self.process.clock, grace, self.process.tasks.wait()).await.is_none() {
            self.renderer.give_back_leases().await;
        }
    }
}
