//! A publisher's deletion, and the removal of what is stored of pages that are gone.
//!
//! A deletion is one write a tag: from then on no build shows the pages. The shared cache is told right after that. The
//! stored bytes are removed by the queue, in steps that go on from process to process, as the renewal of many pages
//! does ([`walk`](crate::work::walk)): what a call costs is the same for ten pages and for millions.
//!
//! A removal goes over the pages twice. A render that began before the deletion may end after the first pass, and what it
//! stores is never shown; the last pass begins when all such renders have ended.

use crate::process::Process;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};

use crate::key::page_key::PageKey;
use crate::ports::error::StoreError;
use crate::ports::job::Removal;
use crate::ports::journal::{Journal, Mark};
use crate::ports::pages::Pages;
use crate::ports::pages::slot::Begun;
use crate::ports::pages::urgency::Urgency;
use crate::ports::stores::Stores;
use crate::publish::outcome::LIST_BATCH;
use crate::publish::send::send_removal;
use crate::record::page_record::Ticket;
use crate::render::tombstone::{BuildStores, stores_of_build, write_tombstone};
use crate::work::walk::STEP_MAX;

/// Pages that are removed at the same time.
const REMOVED_AT_ONCE: usize = 16;

/// What a batch of a removal came to.
#[derive(Default)]
struct Batch {
    looked: u64,
    removed: u64,
    /// Pages that are being rendered: left to the last pass.
    passed_over: u64,
    /// The last page; none after the last batch.
    next: Option<String>,
}

/// Removals that this process takes a step of.
pub(crate) struct Removals<S: Stores> {
    process: Arc<Process<S>>,
}

impl<S: Stores> Removals<S> {
    /// Removals of this process.
    pub(crate) fn new(process: &Arc<Process<S>>) -> Arc<Self> {
        Arc::new(Self { process: process.clone() })
    }

    /// One step of a removal. What is left is sent as the next one before this one ends, so that none is lost.
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
        let kept = stores_of_build(&self.process, &build.into());
        loop {
            let batch = self.remove_batch(&kept, &removal).await?;
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
            "what was stored of deleted pages is removed"
        );
        self.mark_removal(&removal, is_last || passed_over == 0).await;
        if is_last {
            return Ok(());
        }
        let until = removal.began_at.plus(self.longest_render()).max(self.process.now());
        (removal.is_last, removal.waits_until, removal.passed_over) = (true, Some(until), 0);
        send_removal(&self.process, build, removal, until.since(self.process.now())).await
    }

    /// A render that has its number ends within this: it waits for a place, renders, and writes.
    fn longest_render(&self) -> Duration {
        let own = self.process.site.routes().iter().filter_map(|route| route.options.render_timeout);
        let render = own.fold(self.process.limits.render_timeout, Duration::max);
        self.process.limits.max_wait + render + self.process.limits.lease
    }

    async fn remove_batch(
        self: &Arc<Self>,
        kept: &Arc<BuildStores<S>>,
        removal: &Removal,
    ) -> Result<Batch, StoreError> {
        let pages = kept.pages.list(&removal.prefix, removal.after.as_deref(), LIST_BATCH).await?;
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
            let (removals, kept, is_last) = (self.clone(), kept.clone(), removal.is_last);
            removing
                .spawn(async move { removals.remove_gone(&kept, &page, snapshot.generation, is_last).await });
        }
        while let Some(done) = removing.join_next().await {
            batch.note(Some(done))?;
        }
        Ok(batch)
    }

    /// Removes what is stored of a page, if it is still what was seen of it. `false`: it is not, or somebody renders the
    /// page; what that stores takes its place, and its bytes go with it.
    async fn remove_gone(
        &self,
        kept: &BuildStores<S>,
        page: &PageKey,
        seen: Ticket,
        is_last: bool,
    ) -> Result<bool, StoreError> {
        let urgency = if is_last { Urgency::Overriding } else { Urgency::Missing };
        match kept.pages.begin(page, self.process.ask(Some(seen), urgency)).await? {
            Begun::Granted(ticket) => write_tombstone(&self.process, kept, page, ticket).await.map(|()| true),
            Begun::Busy(_) | Begun::BackedOff { .. } | Begun::Unneeded => Ok(false),
        }
    }

    /// Tells the journal how far a removal is. It goes on whether that can be written or not.
    async fn mark_removal(&self, removal: &Removal, ended: bool) {
        if removal.publish.is_empty() {
            return;
        }
        let Removal { began_at, looked, removed, .. } = *removal;
        let route = removal.prefix.clone();
        let mark =
            Mark { route, began_at, at: self.process.now(), looked, removed, ended, ..Mark::default() };
        if let Err(error) =
            self.process.stores.journal().mark(&removal.publish, &mark, removal.kept_until).await
        {
            tracing::error!("how far a removal is cannot be written into the journal: {error}");
        }
    }
}

impl Batch {
    fn note(
        &mut self,
        removed: Option<Result<Result<bool, StoreError>, JoinError>>,
    ) -> Result<(), StoreError> {
        let ended_early = |e| StoreError::Refused(format!("a removal ended early: {e}"));
        match removed.transpose().map_err(ended_early)?.transpose()? {
            Some(true) => self.removed += 1,
            Some(false) => self.passed_over += 1,
            None => {}
        }
        Ok(())
    }
}
