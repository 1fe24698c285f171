//! Removes the stored bytes of deleted pages.
//!
//! A deletion itself is one write for each tag, after which no build shows the pages, and a purge of the shared cache
//! ([`delete`](crate::publish::delete)). The queue removes the stored bytes, in steps that any process can continue, like a
//! [`walk`](crate::work::walk): the cost of the call is the same for ten pages and for millions.
//!
//! A removal passes over the pages twice. A render that began before the deletion may store its page after the first pass;
//! that page is never shown, and the last pass removes it. The last pass begins once all such renders have ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};

use crate::key::page_key::PageKey;
use crate::ports::error::StoreError;
use crate::ports::job::Removal;
use crate::ports::journal::{Journal, RouteProgress};
use crate::ports::pages::Pages;
use crate::ports::pages::slot::LeaseDecision;
use crate::ports::pages::urgency::Urgency;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::publish::outcome::LIST_BATCH;
use crate::publish::send::send_removal;
use crate::record::page_record::Ticket;
use crate::render::tombstone::{BuildStores, stores_of_build, write_tombstone};
use crate::work::walk::STEP_MAX;

/// Pages that are removed at the same time.
const REMOVED_AT_ONCE: usize = 16;

/// Counts of one batch of a removal.
#[derive(Default)]
struct Batch {
    looked: u64,
    removed: u64,
    /// Pages that were being rendered: the last pass removes them.
    passed_over: u64,
    /// The key of the last page; `None` after the last batch.
    next: Option<String>,
}

/// Carries out steps of removals.
pub(crate) struct Removals<S: Stores> {
    process: Arc<Process<S>>,
}

impl<S: Stores> Removals<S> {
    /// Takes the steps that the queue gives this process.
    pub(crate) fn new(process: &Arc<Process<S>>) -> Arc<Self> {
        Arc::new(Self { process: process.clone() })
    }

    /// Carries out one step. Sends the rest as the next step before this one ends, so that no step is lost.
    pub(crate) async fn work_removal(
        self: &Arc<Self>,
        build: &str,
        removal: Removal,
    ) -> Result<(), StoreError> {
        let began = self.process.now();
        if let Some(until) = removal.waits_until.filter(|until| began < *until) {
            return send_removal(&self.process, build, removal, until.since(began)).await;
        }
        let mut removal = Removal { waits_until: None, ..removal };
        let build_stores = stores_of_build(&self.process, &build.into());
        loop {
            let batch = self.remove_batch(&build_stores, &removal).await?;
            removal.looked += batch.looked;
            removal.removed += batch.removed;
            removal.passed_over += batch.passed_over;
            removal.after = batch.next;
            if removal.after.is_none() {
                return self.end_pass(build, removal).await;
            }
            self.mark_removal(&removal, false).await;
            if self.process.now().since(began) >= STEP_MAX {
                return send_removal(&self.process, build, removal, Duration::ZERO).await;
            }
        }
    }

    async fn end_pass(&self, build: &str, mut removal: Removal) -> Result<(), StoreError> {
        let Removal { epoch, looked, removed, passed_over, is_last, .. } = removal;
        tracing::info!(
            build,
            epoch,
            looked,
            removed,
            passed_over,
            is_last,
            "a pass over deleted pages has removed their stored bytes"
        );
        self.mark_removal(&removal, is_last || passed_over == 0).await;
        if is_last {
            return Ok(());
        }
        let until = removal.began_at.plus(self.render_time_max()).max(self.process.now());
        (removal.is_last, removal.waits_until, removal.passed_over) = (true, Some(until), 0);
        send_removal(&self.process, build, removal, until.since(self.process.now())).await
    }

    /// The longest time from a ticket to the commit: the wait for a render slot, the render, and the write.
    fn render_time_max(&self) -> Duration {
        let route_timeouts =
            self.process.site.routes().iter().filter_map(|route| route.options.render_timeout);
        let render = route_timeouts.fold(self.process.limits.render_timeout, Duration::max);
        self.process.limits.max_wait + render + self.process.limits.lease
    }

    async fn remove_batch(
        self: &Arc<Self>,
        build_stores: &Arc<BuildStores<S>>,
        removal: &Removal,
    ) -> Result<Batch, StoreError> {
        let pages = build_stores.pages.list(&removal.prefix, removal.after.as_deref(), LIST_BATCH).await?;
        let mut batch = Batch { looked: pages.len() as u64, ..Batch::default() };
        if pages.len() == LIST_BATCH {
            batch.next = pages.last().map(|(text, _)| text.clone());
        }
        let mut removing = JoinSet::new();
        for (text, snapshot) in pages {
            let Some(page) = PageKey::from_stored(&text).filter(|_| snapshot.is_gone()) else { continue };
            if removing.len() == REMOVED_AT_ONCE {
                batch.note(removing.join_next().await)?;
            }
            let (removals, build_stores, is_last) = (self.clone(), build_stores.clone(), removal.is_last);
            removing.spawn(async move {
                removals.remove_gone(&build_stores, &page, snapshot.generation, is_last).await
            });
        }
        while let Some(removed) = removing.join_next().await {
            batch.note(Some(removed))?;
        }
        Ok(batch)
    }

    /// Removes a page that is still at the generation `seen`. `false`: the page has a newer generation, or is being
    /// rendered. The newer record then replaces the old one, and its commit removes the old bytes.
    async fn remove_gone(
        &self,
        build_stores: &BuildStores<S>,
        page: &PageKey,
        seen: Ticket,
        is_last: bool,
    ) -> Result<bool, StoreError> {
        let urgency = if is_last { Urgency::Overriding } else { Urgency::Missing };
        match build_stores.pages.begin(page, self.process.lease_request(Some(seen), urgency)).await? {
            LeaseDecision::Granted(ticket) => {
                write_tombstone(&self.process, build_stores, page, ticket).await.map(|()| true)
            }
            LeaseDecision::Busy(_) | LeaseDecision::BackedOff { .. } | LeaseDecision::RecordChanged => {
                Ok(false)
            }
        }
    }

    /// Writes the progress of a removal into the journal. A failure is logged, and the removal goes on.
    async fn mark_removal(&self, removal: &Removal, ended: bool) {
        if removal.publish.is_empty() {
            return;
        }
        let Removal { began_at, looked, removed, .. } = *removal;
        let route = removal.prefix.clone();
        let progress = RouteProgress {
            route,
            began_at,
            at: self.process.now(),
            looked,
            removed,
            ended,
            ..RouteProgress::default()
        };
        if let Err(error) =
            self.process.stores.journal().note_progress(&removal.publish, &progress, removal.kept_until).await
        {
            tracing::error!("the progress of a removal cannot be written into the journal: {error}");
        }
    }
}

impl Batch {
    fn note(
        &mut self,
        removed: Option<Result<Result<bool, StoreError>, JoinError>>,
    ) -> Result<(), StoreError> {
        let ended_early = |e| StoreError::refused(format!("a removal ended early: {e}"));
        match removed.transpose().map_err(ended_early)?.transpose()? {
            Some(true) => self.removed += 1,
            Some(false) => self.passed_over += 1,
            None => {}
        }
        Ok(())
    }
}
