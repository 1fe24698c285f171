//! Many pages renewed after one invalidation: a walk over the pages of each route, those first that visitors want, in
//! steps that the queue carries from process to process.
//!
//! What an invalidation costs, and what is in the queue because of it, is the same for ten pages and for a million. Pages
//! that visitors ask for meanwhile do not wait for their turn: they are stale, so their first visitor has them renewed by
//! a job of their own, and the walk passes over them.

use crate::process::Process;
use crate::publish::progress::end_entry;
use crate::publish::send::send_walk;
use crate::render::refresh::Renderer;
use crate::work::second_look::SecondLooks;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

use tokio::task::JoinSet;

use crate::base::clock::Millis;
use crate::key::tags::path_tag;
use crate::ports::error::StoreError;
use crate::ports::job::Walk;
use crate::ports::journal::{Journal, Mark};
use crate::ports::pages::Pages;
use crate::ports::pages::snapshot::Snapshot;
use crate::ports::pages::warmth::Warm;
use crate::ports::stores::Stores;
use crate::publish::outcome::is_marked;
use crate::render::outcome::Refreshed;
use crate::site::route::Resolved;
use crate::work::renew::{JobOutcome, work_renew};
use crate::work::second_look::LookOutcome;

/// Pages looked at in one read of the store.
const BATCH: usize = 100;

/// A step begins no page after this long. The rest is the next step's, and other jobs get their turn.
pub(crate) const STEP_MAX: Duration = Duration::from_secs(10);

/// A walk looks at as many pages for each that it may renew.
const LOOKS_A_RENEWAL: u64 = 10;

/// As many failures in a row, and the route's upstream is left alone for a while.
const FAILURES_IN_A_ROW_MAX: usize = 8;

/// The first pause after those; each further one in which nothing was renewed is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(15);

/// A pause that the upstream has asked for is this long at most.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// After as many pauses in which nothing was renewed the pages are left to their visitors.
const PAUSES_MAX: u32 = 5;

/// A walk that finds no place in its process comes again after this long.
const NO_PLACE: Duration = Duration::from_secs(2);

/// What became of the pages of one batch.
#[derive(Default)]
struct Tally {
    renewed: u64,
    failed: u64,
    /// Failures since the last success.
    in_a_row: usize,
    /// How long the upstream has asked to be left alone.
    asked: Option<Duration>,
    /// The first page that is to be tried again, by its index in the batch.
    refused: Option<usize>,
    /// The store failed.
    broken: Option<Arc<str>>,
    /// Path tags of the pages that a second look has found changed.
    changed: Vec<String>,
}

/// How a walk goes on after a step.
enum Next {
    /// With the next step, at once.
    Step,
    /// With the next step, after its upstream was left alone.
    Pause(Duration),
    /// Not at all.
    End { left_out: bool },
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tally {
    fn is_enough(&self) -> bool {
        self.asked.is_some() || self.broken.is_some() || self.in_a_row >= FAILURES_IN_A_ROW_MAX
    }

    fn note(&mut self, index: usize, worked: JobOutcome) {
        match worked {
            JobOutcome::Done(Refreshed::Failed { retry_after, .. }) => {
                self.failed += 1;
                self.in_a_row += 1;
                if retry_after.is_some() {
                    self.asked = self.asked.max(retry_after);
                    self.refused = Some(self.refused.map_or(index, |first| first.min(index)));
                }
            }
            JobOutcome::Done(Refreshed::Kept) => self.failed += 1,
            JobOutcome::Done(_) => {
                self.renewed += 1;
                self.in_a_row = 0;
            }
            JobOutcome::Retry(error) => self.broken = Some(error),
            // Somebody else does, or has.
            JobOutcome::Dropped | JobOutcome::Gone | JobOutcome::Walked => {}
        }
    }
}

/// Walks that this process takes a step of.
pub(crate) struct Walks<S: Stores> {
    process: Arc<Process<S>>,
    renderer: Arc<Renderer<S>>,
    second_looks: Arc<SecondLooks<S>>,
    /// Places of walks: half of those of renders, so that visitors' and publishers' own never wait for a walk.
    places: Semaphore,
    /// As many places of the pages that walks renew.
    renewals: Arc<Semaphore>,
}

impl<S: Stores> Walks<S> {
    /// Walks of this process.
    pub(crate) fn new(renderer: &Arc<Renderer<S>>, second_looks: &Arc<SecondLooks<S>>) -> Arc<Self> {
        let (process, renderer) = (renderer.process.clone(), renderer.clone());
        let most = process.limits.max_concurrent_renders.div_ceil(2);
        let (places, renewals) = (Semaphore::new(most), Arc::new(Semaphore::new(most)));
        Arc::new(Self { process, renderer, second_looks: second_looks.clone(), places, renewals })
    }

    /// One step. What is left is sent as the next one before this one ends, so that none is lost.
    pub(crate) async fn work_walk(self: &Arc<Self>, walk: Walk) -> Result<(), StoreError> {
        let now = self.process.now();
        if let Some(until) = walk.waits_until.filter(|until| now < *until) {
            return send_walk(&self.process, walk, until.since(now)).await;
        }
        let Some(route) = walk.route.clone() else { return self.split(walk).await };
        let Ok(_place) = self.places.try_acquire() else {
            return send_walk(&self.process, walk, NO_PLACE).await;
        };
        let mut walk = Walk { waits_until: None, ..walk };
        let mut changed = BTreeSet::new();
        let next = self.step(&route, &mut walk, now, &mut changed).await;
        // Whatever became of the rest: these are new.
        if let Some(again) = &walk.again {
            self.second_looks.tell_of_step(again, changed).await?;
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
                    "its upstream is left alone for a while; the renewal of its pages goes on after it"
                );
                send_walk(&self.process, walk, pause).await
            }
        }
    }

    /// Goes over batches until the step has taken its time, or there is a reason to stop.
    async fn step(
        self: &Arc<Self>,
        route: &str,
        walk: &mut Walk,
        began: Millis,
        changed: &mut BTreeSet<String>,
    ) -> Result<Next, StoreError> {
        loop {
            let batch = self.process.stores.pages().warmest(route, walk.after.as_deref(), BATCH).await?;
            let (tally, dealt_with) = self.renew_batch(&batch.pages, walk, began).await;
            changed.extend(tally.changed);
            if let Some(error) = tally.broken {
                return Err(StoreError::Refused(error.to_string()));
            }
            walk.looked += dealt_with as u64;
            walk.renewed += tally.renewed;
            walk.failed += tally.failed;
            if tally.renewed > 0 {
                walk.pauses = 0;
            }
            if let Some(last) = dealt_with.checked_sub(1) {
                walk.after = Some(batch.pages[last].place.clone());
            }
            let all = dealt_with == batch.pages.len();
            if all && batch.next.is_none() {
                return Ok(Next::End { left_out: false });
            }
            walk.after = batch.next.filter(|_| all).or(walk.after.take());
            let most_looks = self.process.limits.max_renewals.saturating_mul(LOOKS_A_RENEWAL);
            let is_spent =
                walk.renewed + walk.failed >= self.process.limits.max_renewals || walk.looked >= most_looks;
            let pause = (tally.asked.is_some() || tally.in_a_row >= FAILURES_IN_A_ROW_MAX).then(|| {
                let own = FIRST_PAUSE * 2_u32.saturating_pow(walk.pauses);
                tally.asked.unwrap_or(own).min(PAUSE_MAX)
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

    /// A walk for each route, so that one whose upstream asks for a pause keeps no other from going on.
    async fn split(&self, walk: Walk) -> Result<(), StoreError> {
        let routes = self.process.site.routes().iter().filter(|route| !route.options.dynamic);
        let walks: Vec<_> =
            routes.map(|route| Walk { route: Some(route.id().to_owned()), ..walk.clone() }).collect();
        // All are noted before the first may end: who asks meanwhile would be told that this was the last.
        for walk in &walks {
            self.mark_walk(walk, false, false).await;
        }
        for walk in walks {
            send_walk(&self.process, walk, Duration::ZERO).await?;
        }
        Ok(())
    }

    /// Whether a walk is for a page that it has come to.
    fn is_due(&self, walk: &Walk, page: &Resolved, snapshot: &Snapshot) -> bool {
        match &walk.again {
            None => is_marked(snapshot, walk.epoch),
            Some(again) => again.is_for(page, snapshot, walk.epoch, self.process.now()),
        }
    }

    /// Renders a page of a walk. Tells whether a second look has found it changed.
    async fn walk_to(&self, walk: &Walk, page: &Resolved) -> LookOutcome {
        let looked = match &walk.again {
            None => {
                let worked = work_renew(&self.renderer, page, walk.epoch).await;
                worked.map(|worked| LookOutcome { worked, is_changed: false })
            }
            Some(again) => self.second_looks.look_again_at(page, again.due).await,
        };
        looked.unwrap_or_else(|error| LookOutcome {
            worked: JobOutcome::Retry(error.to_string().into()),
            is_changed: false,
        })
    }

    /// Renews the marked pages of a batch, a few at once, until there is a reason to stop. Tells how many of the batch,
    /// from its beginning, are dealt with for good.
    async fn renew_batch(self: &Arc<Self>, batch: &[Warm], walk: &Walk, began: Millis) -> (Tally, usize) {
        let most = self.process.limits.max_renewals.saturating_sub(walk.renewed + walk.failed);
        let (tally, walk) = (Arc::new(Mutex::new(Tally::default())), Arc::new(walk.clone()));
        let (mut running, mut begun, mut index) = (JoinSet::new(), 0, 0);
        while index < batch.len() {
            let warm = &batch[index];
            let page = self.process.site.page_of_key(&warm.page);
            let Some(page) = page.filter(|page| self.is_due(&walk, page, &warm.snapshot)) else {
                index += 1;
                continue;
            };
            let Ok(place) = self.renewals.clone().acquire_owned().await else { break };
            let enough = lock(&tally).is_enough();
            if enough || begun >= most || self.process.now().since(began) >= STEP_MAX {
                break;
            }
            begun += 1;
            let (walks, tally, walk) = (self.clone(), tally.clone(), walk.clone());
            running.spawn(async move {
                let _place = place;
                let looked = walks.walk_to(&walk, &page).await;
                let mut tally = lock(&tally);
                tally.changed.extend(looked.is_changed.then(|| path_tag(page.key.path())));
                tally.note(index, looked.worked);
            });
            index += 1;
        }
        while running.join_next().await.is_some() {}
        let tally = std::mem::take(&mut *lock(&tally));
        let dealt_with = tally.refused.map_or(index, |refused| refused.min(index));
        (tally, dealt_with)
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
            again = walk.again.is_some(),
            "the pages of an invalidation are renewed"
        );
        self.mark_walk(walk, true, left_out).await;
        if walk.again.is_none() {
            end_entry(&self.process, &walk.publish).await;
        }
    }

    /// Tells the journal how far a walk is. It goes on whether that can be written or not. What is told there is how far the
    /// renewal is: a second look comes after it.
    async fn mark_walk(&self, walk: &Walk, ended: bool, left_out: bool) {
        if walk.again.is_some() {
            return;
        }
        let mark = Mark {
            route: walk.route.clone().unwrap_or_default(),
            began_at: walk.began_at,
            at: self.process.now(),
            looked: walk.looked,
            renewed: walk.renewed,
            failed: walk.failed,
            waits_until: walk.waits_until,
            ended,
            left_out,
            ..Mark::default()
        };
        if let Err(error) = self.process.stores.journal().mark(&walk.publish, &mark, walk.kept_until).await {
            tracing::error!("how far a renewal is cannot be written into the journal: {error}");
        }
    }
}
