//! A publisher's deletion, and the removal of what is stored of pages that are gone.
//!
//! A deletion is one write a tag: from then on no build shows the pages. The shared cache is told right after that. The
//! stored bytes are removed by the queue, in steps that go on from process to process, as the renewal of many pages
//! does ([`walk`](crate::work::walk)): what a call costs is the same for ten pages and for millions.
//!
//! A removal goes over the pages twice. A render that began before the deletion may end after the first pass, and what it
//! stores is never shown; the last pass begins when all such renders have ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};

use crate::engine::Engine;
use crate::key::page_key::PageKey;
use crate::key::tags::{path_tag, route_tag};
use crate::ports::edge::Purged;
use crate::ports::error::StoreError;
use crate::ports::job::{Job, Removal, Task};
use crate::ports::journal::{Mark, Publishes};
use crate::ports::pages::Pages;
use crate::ports::pages::slot::Begun;
use crate::ports::pages::snapshot::Stamp;
use crate::ports::pages::urgency::Urgency;
use crate::ports::queue::Jobs;
use crate::ports::stores::Stores;
use crate::publish::path::{LIST_BATCH, Marked, Undone, is_marked};
use crate::record::page_record::{Epoch, Ticket};
use crate::render::burial::Kept;
use crate::site::route::Resolved;
use crate::work::walk::{DELAY_MAX, LOOKED_AT_FIRST, STEP_MAX};

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

impl<S: Stores> Engine<S> {
    /// Has every page that carries any of these tags gone at once, in every build, and whatever is being rendered. The
    /// queue then removes what this build has stored of them, and tells the journal how far that is, under the name
    /// `publish`, or under the deletion's number if the name is empty.
    ///
    /// # Errors
    /// [`Undone::Store`]: perhaps not all is gone, or the queue has not been told. [`Undone::Edge`]: all is gone, and the
    /// queue knows. Repeating the call is harmless.
    pub async fn delete_tagged(self: &Arc<Self>, tags: &[String], publish: &str) -> Result<Marked, Undone> {
        if self.dev {
            return Ok(Marked::default());
        }
        let store = |e: StoreError| Undone::Store(e.to_string().into());
        let (epoch, all) = self.stamp(tags, Stamp::Gone).await.map_err(store)?;
        // Neither waits for the other: a copy at the edge that is fresh for a year would never ask.
        let (told, sent) = tokio::join!(self.purge(&all), self.start_removal(epoch, tags, publish));
        let (queued, more) = sent.map_err(store)?;
        Ok(Marked { epoch, queued, more, edge: told.map_err(Undone::Edge)? })
    }

    /// Has a page gone at once, in every build, and removes what is stored of it. The queue removes its variants.
    ///
    /// # Errors
    /// [`Undone::Store`], or [`Undone::Edge`] once the page is gone. Repeating the call is harmless.
    pub async fn delete(self: &Arc<Self>, page: &Resolved) -> Result<Purged, Undone> {
        if self.dev {
            return Ok(Purged::NoCache);
        }
        let store = |e: StoreError| Undone::Store(e.to_string().into());
        let tags = [path_tag(page.key.path())];
        let epoch = self.stores.pages().invalidate(&tags, Stamp::Gone).await.map_err(store)?;
        let (told, removed) = tokio::join!(self.purge(&tags), self.remove_named(page, epoch));
        removed.map_err(store)?;
        told.map_err(Undone::Edge)
    }

    async fn remove_named(&self, page: &Resolved, epoch: Epoch) -> Result<(), StoreError> {
        if page.route.has_query() {
            let prefix = format!("{}?", page.key.base_text());
            let removal = Removal { epoch, prefix, began_at: self.now(), ..Removal::default() };
            self.send_removal(self.build(), removal, Duration::ZERO).await?;
        }
        let ticket = self.override_all(page).await?;
        self.bury(&self.kept_of(self.build()), &page.key, ticket).await
    }

    /// Tells the queue. Gives how many of the first pages that the store lists are gone, and whether there are more.
    async fn start_removal(
        &self,
        epoch: Epoch,
        tags: &[String],
        publish: &str,
    ) -> Result<(usize, bool), StoreError> {
        let first = self.stores.pages().list("", None, LOOKED_AT_FIRST).await;
        let now = self.now();
        let publish = if publish.is_empty() { epoch.to_string() } else { publish.to_owned() };
        let kept_until = now.plus(self.limits.publishes_kept);
        // One route's own tag: the others' pages need not be looked at.
        let only = match tags {
            [tag] => self.site.routes().iter().find(|route| route_tag(route.id()) == *tag),
            _ => None,
        };
        let prefix = only.map(|route| route.id().to_owned()).unwrap_or_default();
        let removal = Removal { publish, kept_until, epoch, prefix, began_at: now, ..Removal::default() };
        self.send_removal(self.build(), removal, Duration::ZERO).await?;
        Ok(match first {
            Ok(first) => {
                let gone = first.iter().filter(|(_, snapshot)| is_marked(snapshot, epoch)).count();
                (gone, first.len() == LOOKED_AT_FIRST)
            }
            Err(error) => {
                tracing::warn!("how many pages a deletion concerns cannot be told: {error}");
                (0, true)
            }
        })
    }

    async fn send_removal(&self, build: &str, removal: Removal, delay: Duration) -> Result<(), StoreError> {
        let job = Job { v: 1, build: build.to_owned(), key: String::new(), task: Task::Remove(removal) };
        self.stores.jobs().send(&job, delay.min(DELAY_MAX)).await
    }

    /// One step of a removal. What is left is sent as the next one before this one ends, so that none is lost.
    pub(crate) async fn work_removal(
        self: &Arc<Self>,
        build: &str,
        removal: Removal,
    ) -> Result<(), StoreError> {
        let began = self.now();
        if let Some(until) = removal.waits_until.filter(|until| began < *until) {
            return self.send_removal(build, removal, until.since(began)).await;
        }
        let mut removal = Removal { waits_until: None, ..removal };
        let kept = self.kept_of(&build.into());
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
            if self.now().since(began) >= STEP_MAX {
                return self.send_removal(build, removal, Duration::ZERO).await;
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
        let until = removal.began_at.plus(self.longest_render()).max(self.now());
        (removal.is_last, removal.waits_until, removal.passed_over) = (true, Some(until), 0);
        self.send_removal(build, removal, until.since(self.now())).await
    }

    /// A render that has its number ends within this: it waits for a place, renders, and writes.
    fn longest_render(&self) -> Duration {
        let own = self.site.routes().iter().filter_map(|route| route.options.render_timeout);
        let render = own.fold(self.limits.render_timeout, Duration::max);
        self.limits.max_wait + render + self.limits.lease
    }

    async fn remove_batch(
        self: &Arc<Self>,
        kept: &Arc<Kept<S>>,
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
            let (engine, kept, is_last) = (self.clone(), kept.clone(), removal.is_last);
            removing
                .spawn(async move { engine.remove_gone(&kept, &page, snapshot.generation, is_last).await });
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
        kept: &Kept<S>,
        page: &PageKey,
        seen: Ticket,
        is_last: bool,
    ) -> Result<bool, StoreError> {
        let urgency = if is_last { Urgency::Overriding } else { Urgency::Missing };
        match kept.pages.begin(page, self.ask(Some(seen), urgency)).await? {
            Begun::Granted(ticket) => self.bury(kept, page, ticket).await.map(|()| true),
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
        let mark = Mark { route, began_at, at: self.now(), looked, removed, ended, ..Mark::default() };
        if let Err(error) = self.stores.publishes().mark(&removal.publish, &mark, removal.kept_until).await {
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
