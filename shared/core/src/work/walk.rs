//! Renews the pages that an invalidation has marked: a walk over the pages of each route, in steps that the queue carries from
//! process to process. Pages that visitors wanted last come first.
//!
//! An invalidation costs the same, and puts as many jobs into the queue, for ten pages and for a million. A page that a
//! visitor asks for meanwhile does not wait for the walk: the page is stale, so the visit sends a job of its own, and the
//! walk passes over the page.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::base::clock::Millis;
use crate::key::tags::path_tag;
use crate::ports::error::StoreError;
use crate::ports::job::Walk;
use crate::ports::journal::{Journal, RouteProgress};
use crate::ports::pages::Pages;
use crate::ports::pages::snapshot::Snapshot;
use crate::ports::pages::warmth::Warm;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::publish::outcome::is_marked;
use crate::publish::progress::end_entry;
use crate::publish::send::send_walk;
use crate::render::outcome::Refreshed;
use crate::render::refresh::Renderer;
use crate::site::route::Resolved;
use crate::work::renew::{JobOutcome, renew_page};
use crate::work::second_look::{LookOutcome, SecondLooks, is_for};

/// Pages in one read of the store.
const BATCH: usize = 100;

/// A step starts no page after this time. The next step renders the rest, so that other jobs get their turn.
pub(crate) const STEP_MAX: Duration = Duration::from_secs(10);

/// A walk looks at most at this many pages for each page that it may renew (`max_renewals`).
const LOOKS_PER_RENEWAL: u64 = 10;

/// After this many failures in a row the walk pauses, to relieve the route's upstream.
const FAILURES_IN_A_ROW_MAX: usize = 8;

/// The first pause after such failures. The pause doubles each time that nothing was renewed since the last one.
const FIRST_PAUSE: Duration = Duration::from_secs(15);

/// The longest pause, also where the upstream asks for a longer one (`Retry-After`).
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// After this many pauses without a renewal the walk ends: the next visitors have the other pages renewed.
const PAUSES_MAX: u32 = 5;

/// A walk that finds no free slot in its process is delivered again after this time.
const NO_SLOT_PAUSE: Duration = Duration::from_secs(2);

/// Counts of one batch of a walk.
#[derive(Default)]
struct Tally {
    renewed: u64,
    failed: u64,
    /// Failures since the last success.
    failures_in_a_row: usize,
    /// The longest pause that the upstream has asked for.
    retry_after: Option<Duration>,
    /// The index in the batch of the first page to render again after the pause.
    retry_from: Option<usize>,
    /// The error of a store that failed.
    store_error: Option<Arc<str>>,
    /// Path tags of the pages whose content has changed since a second look was due.
    changed: Vec<String>,
}

/// How a walk goes on after a step.
enum Next {
    /// The next step follows at once.
    Step,
    /// The next step follows after a pause for the upstream.
    Pause(Duration),
    /// The walk ends. `left_out`: not all pages were looked at.
    End { left_out: bool },
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tally {
    fn must_stop(&self) -> bool {
        self.retry_after.is_some()
            || self.store_error.is_some()
            || self.failures_in_a_row >= FAILURES_IN_A_ROW_MAX
    }

    fn note(&mut self, index: usize, job: JobOutcome) {
        match job {
            JobOutcome::Done(Refreshed::Failed { retry_after, .. }) => {
                self.failed += 1;
                self.failures_in_a_row += 1;
                if retry_after.is_some() {
                    self.retry_after = self.retry_after.max(retry_after);
                    self.retry_from = Some(self.retry_from.map_or(index, |first| first.min(index)));
                }
            }
            JobOutcome::Done(Refreshed::KeptStale) => self.failed += 1,
            JobOutcome::Done(_) => {
                self.renewed += 1;
                self.failures_in_a_row = 0;
            }
            JobOutcome::Retry(error) => self.store_error = Some(error),
            // Another worker renders the page, or has done so.
            JobOutcome::Dropped | JobOutcome::Gone | JobOutcome::Walked => {}
        }
    }
}

/// Carries out steps of walks.
pub(crate) struct Walks<S: Stores> {
    process: Arc<Process<S>>,
    renderer: Arc<Renderer<S>>,
    second_looks: Arc<SecondLooks<S>>,
    /// Slots of walks: half as many as render slots, so that renders for visitors and publishers never wait for walks.
    walk_slots: Semaphore,
    /// Slots of the pages that all walks of this process render: as many.
    page_slots: Arc<Semaphore>,
}

impl<S: Stores> Walks<S> {
    /// Takes the steps that the queue gives this process.
    pub(crate) fn new(renderer: &Arc<Renderer<S>>, second_looks: &Arc<SecondLooks<S>>) -> Arc<Self> {
        let (process, renderer) = (renderer.process.clone(), renderer.clone());
        let slots = process.limits.max_concurrent_renders.div_ceil(2);
        let (walk_slots, page_slots) = (Semaphore::new(slots), Arc::new(Semaphore::new(slots)));
        Arc::new(Self { process, renderer, second_looks: second_looks.clone(), walk_slots, page_slots })
    }

    /// Carries out one step. Sends the rest as the next step before this one ends, so that no step is lost.
    pub(crate) async fn work_walk(self: &Arc<Self>, walk: Walk) -> Result<(), StoreError> {
        let now = self.process.now();
        if let Some(until) = walk.waits_until.filter(|until| now < *until) {
            return send_walk(&self.process, walk, until.since(now)).await;
        }
        let Some(route) = walk.route.clone() else { return self.split(walk).await };
        let Ok(_slot) = self.walk_slots.try_acquire() else {
            return send_walk(&self.process, walk, NO_SLOT_PAUSE).await;
        };
        let mut walk = Walk { waits_until: None, ..walk };
        let mut changed = BTreeSet::new();
        let next = self.step(&route, &mut walk, now, &mut changed).await;
        // Also after a step that failed: these pages have changed.
        if let Some(second_look) = &walk.second_look {
            self.second_looks.purge_step(second_look, changed).await?;
        }
        match next? {
            Next::End { left_out } => {
                self.end_walk(&walk, left_out).await;
                Ok(())
            }
            Next::Step => send_walk(&self.process, walk, Duration::ZERO).await,
            Next::Pause(pause) => {
                walk.pauses += 1;
                walk.waits_until = Some(self.process.now().plus(pause));
                self.mark_walk(&walk, false, false).await;
                tracing::warn!(
                    route,
                    ?pause,
                    "the renewal of the route's pages pauses, because its renders fail; it goes on after the pause"
                );
                send_walk(&self.process, walk, pause).await
            }
        }
    }

    /// Renews batch after batch, until the step has run for [`STEP_MAX`] or must stop.
    async fn step(
        self: &Arc<Self>,
        route: &str,
        walk: &mut Walk,
        began: Millis,
        changed: &mut BTreeSet<String>,
    ) -> Result<Next, StoreError> {
        loop {
            let batch = self.process.stores.pages().warmest(route, walk.after.as_deref(), BATCH).await?;
            let (tally, finished) = self.renew_batch(&batch.pages, walk, began).await;
            changed.extend(tally.changed);
            if let Some(error) = tally.store_error {
                return Err(StoreError::refused(error.to_string()));
            }
            walk.looked += finished as u64;
            walk.renewed += tally.renewed;
            walk.failed += tally.failed;
            if tally.renewed > 0 {
                walk.pauses = 0;
            }
            if let Some(last) = finished.checked_sub(1) {
                walk.after = Some(batch.pages[last].place.clone());
            }
            let is_whole = finished == batch.pages.len();
            if is_whole && batch.next.is_none() {
                return Ok(Next::End { left_out: false });
            }
            walk.after = batch.next.filter(|_| is_whole).or(walk.after.take());
            let looks_max = self.process.limits.max_renewals.saturating_mul(LOOKS_PER_RENEWAL);
            let is_spent =
                walk.renewed + walk.failed >= self.process.limits.max_renewals || walk.looked >= looks_max;
            let pause = (tally.retry_after.is_some() || tally.failures_in_a_row >= FAILURES_IN_A_ROW_MAX)
                .then(|| {
                    let own_pause = FIRST_PAUSE * 2_u32.saturating_pow(walk.pauses);
                    tally.retry_after.unwrap_or(own_pause).min(PAUSE_MAX)
                });
            if is_spent || (pause.is_some() && walk.pauses >= PAUSES_MAX) {
                return Ok(Next::End { left_out: true });
            }
            if let Some(pause) = pause {
                return Ok(Next::Pause(pause));
            }
            self.mark_walk(walk, false, false).await;
            if self.process.now().since(began) >= STEP_MAX {
                return Ok(Next::Step);
            }
        }
    }

    /// Sends one walk for each route, so that a pause for one upstream does not delay other routes.
    async fn split(&self, walk: Walk) -> Result<(), StoreError> {
        let routes = self.process.site.routes().iter().filter(|route| !route.options.dynamic);
        let walks: Vec<_> =
            routes.map(|route| Walk { route: Some(route.id().to_owned()), ..walk.clone() }).collect();
        // Mark all before any is sent: if the first walk ended earlier, the publish would seem to have ended.
        for walk in &walks {
            self.mark_walk(walk, false, false).await;
        }
        for walk in walks {
            send_walk(&self.process, walk, Duration::ZERO).await?;
        }
        Ok(())
    }

    /// Whether the walk must render this page.
    fn is_due(&self, walk: &Walk, page: &Resolved, snapshot: &Snapshot) -> bool {
        match &walk.second_look {
            None => is_marked(snapshot, walk.epoch),
            Some(second_look) => is_for(second_look, page, snapshot, walk.epoch, self.process.now()),
        }
    }

    /// Renders one page of a walk.
    async fn render_page(&self, walk: &Walk, page: &Resolved) -> LookOutcome {
        let look = match &walk.second_look {
            None => {
                let job = renew_page(&self.renderer, page, walk.epoch).await;
                job.map(|job| LookOutcome { job, is_changed: false })
            }
            Some(second_look) => self.second_looks.look_again_at(page, second_look.due).await,
        };
        look.unwrap_or_else(|error| LookOutcome {
            job: JobOutcome::Retry(error.to_string().into()),
            is_changed: false,
        })
    }

    /// Renders the due pages of a batch, several at once, until it must stop. Returns how many pages of the batch, from its
    /// start, need no further step.
    async fn renew_batch(self: &Arc<Self>, batch: &[Warm], walk: &Walk, began: Millis) -> (Tally, usize) {
        let renewals_left = self.process.limits.max_renewals.saturating_sub(walk.renewed + walk.failed);
        let (tally, walk) = (Arc::new(Mutex::new(Tally::default())), Arc::new(walk.clone()));
        let (mut running, mut begun, mut index) = (JoinSet::new(), 0, 0);
        while index < batch.len() {
            let warm = &batch[index];
            let page = self.process.site.page_of_key(&warm.page);
            let Some(page) = page.filter(|page| self.is_due(&walk, page, &warm.snapshot)) else {
                index += 1;
                continue;
            };
            let Ok(slot) = self.page_slots.clone().acquire_owned().await else { break };
            let must_stop = lock(&tally).must_stop();
            if must_stop || begun >= renewals_left || self.process.now().since(began) >= STEP_MAX {
                break;
            }
            begun += 1;
            let (walks, tally, walk) = (self.clone(), tally.clone(), walk.clone());
            running.spawn(async move {
                let _slot = slot;
                let look = walks.render_page(&walk, &page).await;
                let mut tally = lock(&tally);
                tally.changed.extend(look.is_changed.then(|| path_tag(page.key.path())));
                tally.note(index, look.job);
            });
            index += 1;
        }
        while running.join_next().await.is_some() {}
        let tally = std::mem::take(&mut *lock(&tally));
        let finished = tally.retry_from.map_or(index, |first| first.min(index));
        (tally, finished)
    }

    async fn end_walk(&self, walk: &Walk, left_out: bool) {
        let Walk { renewed, failed, looked, .. } = *walk;
        let route = walk.route.as_deref().unwrap_or_default();
        tracing::info!(
            route,
            epoch = walk.epoch,
            renewed,
            failed,
            looked,
            left_out,
            second_look = walk.second_look.is_some(),
            "the walk over a route's pages has ended"
        );
        self.mark_walk(walk, true, left_out).await;
        if walk.second_look.is_none() {
            end_entry(&self.process, &walk.publish).await;
        }
    }

    /// Writes the progress of a walk into the journal. A failure is logged, and the walk goes on. A second look writes nothing:
    /// the journal tells the progress of the renewal, which comes first.
    async fn mark_walk(&self, walk: &Walk, ended: bool, left_out: bool) {
        if walk.second_look.is_some() {
            return;
        }
        let progress = RouteProgress {
            route: walk.route.clone().unwrap_or_default(),
            began_at: walk.began_at,
            at: self.process.now(),
            looked: walk.looked,
            renewed: walk.renewed,
            failed: walk.failed,
            waits_until: walk.waits_until,
            ended,
            left_out,
            ..RouteProgress::default()
        };
        if let Err(error) =
            self.process.stores.journal().note_progress(&walk.publish, &progress, walk.kept_until).await
        {
            tracing::error!("the progress of a renewal cannot be written into the journal: {error}");
        }
    }
}
