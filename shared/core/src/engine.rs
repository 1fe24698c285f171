//! The engine: a façade over the parts that serve, render and publish a site. Each part owns its fields and uses only
//! parts created before it. This module decides nothing.

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

/// A site with its stores and limits. A process has one engine and shares it by `Arc`.
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
    /// The engine of a site with these stores.
    pub fn new(site: Arc<ReadySite>, stores: S, clock: Arc<dyn Clock>, limits: Limits) -> Arc<Self> {
        Self::in_mode(site, stores, clock, limits, false)
    }

    /// The engine of a site under development: it renders every request, and uses neither the memory cache nor the
    /// store.
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

    /// Work that continues after the request that started it; [`Engine::shut_down`] waits for this work.
    pub fn tasks(&self) -> &TaskTracker {
        &self.process.tasks
    }

    /// The stores, inside their guard.
    pub fn stores(&self) -> &GuardedStores<S> {
        &self.process.stores
    }

    /// Runs the work of one visit. All its store calls together take at most [`Limits::store_wait`]; later calls fail
    /// at once. The bound does not hold for storing a finished render.
    pub fn visiting<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        patience::with(Some(self.process.limits.store_wait), work)
    }

    /// The id of the build that this process serves.
    pub fn build(&self) -> &Arc<str> {
        self.process.build()
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.process.limits
    }

    /// The present instant.
    pub fn now(&self) -> Millis {
        self.process.now()
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.process.clock
    }

    /// The memory of all streamed answers.
    pub fn stream_budget(&self) -> &Arc<Budget> {
        &self.lookup.stream_budget
    }

    /// Bytes in the memory cache, and the limit.
    pub fn memory_usage(&self) -> (u64, u64) {
        self.process.memory.usage()
    }

    /// Writes a log line that an anonymous client can cause, unless its kind's rate limit is reached; see
    /// [`LogLimits`](crate::base::log_limits::LogLimits).
    pub fn log(&self, line: Line, write: impl FnOnce(Option<u64>)) {
        self.process.log(line, write);
    }

    /// Looks a page up: in memory if the store has not changed since, or else in the store. The entry comes without a
    /// body that the visitor does not need, according to `wants`.
    ///
    /// # Errors
    /// The store cannot be read, and the page is not in memory.
    pub async fn look(
        &self,
        page: &Resolved,
        form: Form,
        wants: impl Fn(&BodyRef) -> BodyWanted,
    ) -> Result<PageView, StoreError> {
        self.lookup.look(page, form, wants).await
    }

    /// Opens the body of a page that was looked up before a render. `Some(None)`: the content is in memory, or the
    /// visitor does not need it. `None`: the body is gone, or the budget of streams is used up.
    pub async fn open_again(
        &self,
        page: &Resolved,
        form: Form,
        entry: &Entry,
        wants: impl Fn(&BodyRef) -> BodyWanted,
    ) -> Option<Option<Body>> {
        self.lookup.open_again(page, form, entry, wants).await
    }

    /// Renders a page while its visitor waits: a missing page, or one that is too stale to be served. Concurrent
    /// visitors share one render, also across processes. `seen` is the generation that the caller has seen. The entry
    /// is `None` if another process has rendered the page: look the page up again. The flag tells whether a running
    /// render was joined.
    ///
    /// # Errors
    /// [`VisitError`]: the render failed, or a limit was reached.
    pub async fn render_missing(&self, page: &Resolved, reason: Reason, seen: Ticket) -> (FirstRender, bool) {
        self.visits.render_missing(page, reason, seen).await
    }

    /// Renders for one request and stores nothing: dynamic routes, drafts, `dev`.
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

    /// Whether [`Engine::trigger`] would call the store: as far as this process knows, no lease and no back-off is in
    /// force.
    pub fn may_trigger(&self, entry: &Entry) -> bool {
        self.triggers.may_trigger(entry)
    }

    /// Sends a job that renews a stale page, unless a lease or a back-off is in force. The answer does not depend on
    /// this call: run it in a task, or before the answer if the process is frozen afterwards.
    pub async fn trigger(&self, page: &Resolved, entry: &Entry) {
        self.triggers.trigger(page, entry).await;
    }

    /// Invalidates a page, and renders it before it returns. Concurrent calls, of this process and of others, share a
    /// render and its failure if the render began after they had invalidated the page. With `only_generated`, a page
    /// that was never generated is skipped.
    ///
    /// # Errors
    /// [`PublishError`]. Unless the store failed, the page is invalidated, and will be rendered later.
    pub async fn revalidate_page(&self, page: &Resolved, only_generated: bool) -> RevalidationResult {
        self.publishers.paths.revalidate_page(page, only_generated).await
    }

    /// Invalidates all pages that carry any of these tags, with one write per tag; every later read sees it. With
    /// `renew`, the queue then renews this build's pages; the cost of this call does not depend on their number.
    /// `renew` is the id under which the journal notes the progress; if it is empty, the id is the invalidation's
    /// epoch.
    ///
    /// # Errors
    /// [`PublishError::Store`], or [`PublishError::Edge`] after all pages were invalidated. Repeating the call is
    /// harmless.
    pub async fn invalidate(
        &self,
        tags: &[String],
        renew: Option<&str>,
    ) -> Result<Invalidation, PublishError> {
        self.publishers.tags.invalidate(tags, renew).await
    }

    /// Deletes all pages that carry any of these tags at once, in every build, including running renders. The queue
    /// then removes the stored pages of this build. `publish` is the id under which the journal notes the progress; if
    /// it is empty, the id is the deletion's epoch.
    ///
    /// # Errors
    /// [`PublishError::Store`]: some pages may not be deleted, or the queue has no job. [`PublishError::Edge`]: all
    /// pages are deleted, and the queue has its job. Repeating the call is harmless.
    pub async fn delete_tagged(&self, tags: &[String], publish: &str) -> Result<Invalidation, PublishError> {
        self.publishers.deletions.delete_tagged(tags, publish).await
    }

    /// Deletes a page at once, in every build, and removes its stored record and bodies. The queue removes its
    /// variants.
    ///
    /// # Errors
    /// [`PublishError::Store`], or [`PublishError::Edge`] after the page was deleted. Repeating the call is harmless.
    pub async fn delete(&self, page: &Resolved) -> Result<Purged, PublishError> {
        self.publishers.deletions.delete(page).await
    }

    /// Carries out a request, and notes it in the journal. The result has an outcome per path.
    ///
    /// # Errors
    /// [`PublishError`]: the request's tags could not be invalidated, and nothing else was done.
    pub async fn publish(
        &self,
        request: &PublishRequest,
        publisher: Publisher,
    ) -> Result<Published, PublishError> {
        self.publishers.publish(request, publisher).await
    }

    /// The id of the publish that has carried out this delivery before: one with the same delivery id, or with the same
    /// signed bytes. `None` for a call that is no delivery, and if the journal cannot be read: to carry out a delivery
    /// twice is harmless.
    pub async fn carried_out(
        &self,
        request: &PublishRequest,
        publisher: &Publisher,
        fingerprint: Option<&Fingerprint>,
    ) -> Option<String> {
        self.publishers.carried_out(request, publisher, fingerprint).await
    }

    /// Notes that a delivery was carried out, so that a repetition does nothing.
    pub async fn note_carried_out(
        &self,
        request: &PublishRequest,
        publisher: &Publisher,
        fingerprint: Option<&Fingerprint>,
        id: &str,
    ) {
        self.publishers.note_carried_out(request, publisher, fingerprint, id).await;
    }

    /// Schedules a request, and returns its id in the journal. The queue keeps the request until it is due; any process
    /// that runs then carries it out.
    ///
    /// # Errors
    /// The queue has not accepted the request.
    pub async fn schedule(
        &self,
        request: &PublishRequest,
        publisher: Publisher,
        due: Millis,
    ) -> Result<String, StoreError> {
        schedule(&self.publishers, request, publisher, due).await
    }

    /// Cancels a scheduled publish for good: its job will do nothing. Repeating the call is harmless.
    ///
    /// # Errors
    /// The journal's. The publish may be cancelled nevertheless.
    pub async fn cancel(&self, id: &str) -> Result<Cancel, StoreError> {
        cancel(&self.process, id).await
    }

    /// The progress of a publish, by its id. `None` if the store knows no such publish. An id that is an invalidation's
    /// epoch is known even after the journal has forgotten it, because the pages tell the newest epoch.
    ///
    /// # Errors
    /// The store's.
    pub async fn progress(&self, id: &str) -> Result<Option<Progress>, StoreError> {
        progress(&self.process, id).await
    }

    /// The journal's entries with their current progress, newest first; see
    /// [`Journal::list`](crate::ports::journal::Journal::list).
    ///
    /// # Errors
    /// The store's.
    pub async fn entries(&self, after: Option<&str>, limit: usize) -> Result<Vec<Publish>, StoreError> {
        entries(&self.process, after, limit).await
    }

    /// Carries out one job of the queue. A job of another build was sent before a deployment or a rollback.
    pub async fn work(&self, job: &Job) -> JobOutcome {
        self.worker.work(job).await
    }

    /// Carries out one job, and logs its error. Returns whether the queue must deliver the job again.
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

    /// Renders every listed page within the limit of concurrent renders, and publishes all of them together. Served
    /// pages change only after every render has succeeded.
    ///
    /// # Errors
    /// [`BuildError`], which names every failed path.
    pub async fn build_site(&self, progress: impl Fn(BuildStep)) -> Result<Built, BuildError> {
        build_site(&self.renderer, progress).await
    }

    /// Stores the listing of the routes' pages without rendering them: for a server whose build was made elsewhere or
    /// was lost.
    ///
    /// # Errors
    /// A route cannot list its pages, or the store failed.
    pub async fn list_pages(&self) -> Result<(), BuildError> {
        list_pages(&self.process).await
    }

    /// Searches stored pages by a path prefix. A call reads a bounded number of pages, in the order of their keys.
    /// Under development, the search covers listed pages instead.
    ///
    /// # Errors
    /// The store cannot be read; under development, a route cannot list its pages.
    pub async fn search(&self, query: &Search) -> Result<SearchResult, StoreError> {
        search(&self.process, query).await
    }

    /// Waits for running work, for at most `grace`. Then gives back the leases of running renders, whose results are
    /// not stored.
    pub async fn shut_down(&self, grace: Duration) {
        self.process.tasks.close();
        if within(&*self.process.clock, grace, self.process.tasks.wait()).await.is_none() {
            self.renderer.give_back_leases().await;
        }
    }
}
