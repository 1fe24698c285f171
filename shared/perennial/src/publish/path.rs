//! A publisher's call: pages marked, rendered anew, or removed.

use std::sync::Arc;

use crate::engine::Engine;
use crate::key::tags::{page_tags, path_tag};
use crate::memory::Entry;
use crate::ports::edge::Purged;
use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::slot::Begun;
use crate::ports::pages::snapshot::{Snapshot, Stamp, Wanted};
use crate::ports::pages::urgency::Urgency;
use crate::ports::stores::Stores;
use crate::record::page_record::{Epoch, Stored, Ticket};
use crate::record::reason::Reason;
use crate::render::refresh::{Refreshed, STOPPING};
use crate::site::route::{Fallback, Resolved};
use crate::visit::wait::POLL;

/// Pages looked at in one read of the store.
pub(crate) const LIST_BATCH: usize = 500;

/// Why a render does not count.
pub(crate) const UNSAVED: &str = "the page was rendered but the store could not keep it";

/// A publisher's call for one page.
pub type Demanded = Result<Demand, Undone>;

/// What a publisher's call for one page came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// The page was rendered after the call came, and is what everybody sees.
    Revalidated {
        /// What the shared cache was told.
        edge: Purged,
        /// What it is now, as [`Stored::name`] has it: `page`, `not-found` or `redirect`; none if that cannot be told.
        kind: Option<&'static str>,
    },
    /// The page had not been generated, and was to be left alone.
    NotGenerated,
}

/// Why a publisher's call was not carried out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Undone {
    /// The route lists its pages, and this is none of them.
    #[error(
        "no such page: its route serves listed paths only, and this one was not listed when the site was built"
    )]
    NotListed,
    /// The route is never stored.
    #[error("pages of this route are rendered for every request: there is nothing to revalidate")]
    Dynamic,
    /// The render failed. The last good page stays, is stale, and is tried again.
    #[error("{0}")]
    Failed(Arc<str>),
    /// The page itself asked to be left as it is for now. It is stale, and is tried again.
    #[error("the page asked to keep what there is")]
    Kept,
    /// The store failed.
    #[error("{0}")]
    Store(Arc<str>),
    /// The store has it all, but the shared cache may go on with its copies until they get old.
    #[error("the shared cache was not told what changed, call again: {0}")]
    Edge(Arc<str>),
}

/// What an invalidation has marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marked {
    /// Its number, to ask [`Engine::progress`] with.
    pub epoch: Epoch,
    /// Pages that the queue renews, or removes: of the first [`LOOKED_AT_FIRST`](crate::work::walk::LOOKED_AT_FIRST) that the store lists.
    pub queued: usize,
    /// Whether the store lists more.
    pub more: bool,
    /// What the shared cache was told.
    pub edge: Purged,
}

/// Whether a page is shown that was rendered before an invalidation that concerns it.
pub(crate) fn is_marked(snapshot: &Snapshot, epoch: Epoch) -> bool {
    let shown = snapshot.record.as_ref().filter(|r| r.stored != Stored::Deleted);
    snapshot.epochs.newest >= epoch && shown.is_some_and(|r| r.epoch < epoch)
}

impl<S: Stores> Engine<S> {
    /// Marks a page and has it rendered anew before it answers. Simultaneous calls, of this process and of others, share
    /// a render, and its failure, if it began after they had marked the page.
    ///
    /// # Errors
    /// [`Undone`]; unless the store failed, the page is marked and will be tried again.
    pub async fn demand(self: &Arc<Self>, page: &Resolved, only_generated: bool) -> Demanded {
        if page.route.options.dynamic {
            return Err(Undone::Dynamic);
        }
        if self.dev {
            let lists = page.route.options.fallback == Fallback::NotFound;
            let listed = if lists { page.is_listed().await } else { Ok(true) };
            match listed {
                Ok(true) => {}
                Ok(false) => return Err(Undone::NotListed),
                Err(failure) => return Err(Undone::Failed(failure.message().into())),
            }
            let rendered = self.render_only(page, Reason::OnDemand, false).await;
            let done = |entry: Arc<Entry>| Demand::Revalidated {
                edge: Purged::NoCache,
                kind: Some(entry.record.stored.name()),
            };
            return rendered.map(done).map_err(|trouble| Undone::Failed(trouble.message));
        }
        let panicked = || Undone::Failed("the render's task panicked".into());
        let key = page.key.shared();
        // Marked as soon as the call comes, so that a render for another process's call that begins from now on does for
        // this one. Calls that leave ungenerated pages alone do not share with those that generate them.
        let marks_key = if only_generated { format!("{key}|only").into() } else { key.clone() };
        let (engine, marks_page) = (self.clone(), page.clone());
        let mark = move |_| async move { engine.mark_page(&marks_page, only_generated).await };
        let marked = self.marks.take(&self.tasks, &marks_key, 0, mark).await;
        let Some(epoch) = marked.unwrap_or_else(|| Err(panicked()))? else { return Ok(Demand::NotGenerated) };
        let (engine, page) = (self.clone(), page.clone());
        let render = move |epoch| async move { engine.demanded(&page, epoch).await };
        self.demands.take(&self.tasks, &key, epoch, render).await.unwrap_or_else(|| Err(panicked()))
    }

    /// The mark, which survives a crash of this process. None: the page is to be left alone.
    async fn mark_page(&self, page: &Resolved, only_generated: bool) -> Result<Option<Epoch>, Undone> {
        let store = |e: StoreError| Undone::Store(e.to_string().into());
        let snapshot = self.stores.pages().read(&page.key, Wanted::default()).await.map_err(store)?;
        let generated = snapshot.shown().is_some();
        if !generated && only_generated {
            return Ok(None);
        }
        if !generated && !snapshot.listed && page.route.options.fallback == Fallback::NotFound {
            return Err(Undone::NotListed);
        }
        self.stores
            .pages()
            .invalidate(&[path_tag(page.key.path())], Stamp::Stale)
            .await
            .map(Some)
            .map_err(store)
    }

    async fn demanded(self: &Arc<Self>, page: &Resolved, epoch: Epoch) -> Demanded {
        let rendered = self.render_variants(page, epoch).await;
        // Whatever came of that: the page is marked, and a copy that is fresh for a year would never ask for it.
        let told = self.purge(&page_tags(&page.key)[..1]).await;
        if let (Err(_), Err(error)) = (&rendered, &told) {
            tracing::error!(page = page.key.path(), "nor was the shared cache told what changed: {error}");
        }
        let kind = rendered?;
        told.map(|edge| Demand::Revalidated { edge, kind }).map_err(Undone::Edge)
    }

    /// Tells what the page itself is now.
    async fn render_variants(&self, page: &Resolved, epoch: Epoch) -> Result<Option<&'static str>, Undone> {
        let store = |e: StoreError| Undone::Store(e.to_string().into());
        let mut kinds = Vec::new();
        for page in self.variants(page).await.map_err(store)? {
            kinds.push(self.render_since(&page, epoch).await?);
        }
        match kinds.first() {
            Some(Some(kind)) => Ok(Some(*kind)),
            // Another call has rendered it. What it is helps people, and is no reason to fail.
            _ => {
                let read = self.stores.pages().read(&page.key, Wanted::default()).await;
                Ok(read.ok().and_then(|snapshot| Some(snapshot.shown()?.stored.name())))
            }
        }
    }

    /// Has a page rendered by a render that began at this epoch or later: this one, or another publisher's call's,
    /// wherever that is. It ends: the lease of such a call does, and whatever follows it began later.
    async fn render_since(&self, page: &Resolved, epoch: Epoch) -> Result<Option<&'static str>, Undone> {
        match self.refresh_since(page, epoch, None).await? {
            Some(Refreshed::Stored(entry) | Refreshed::Unchanged(entry)) => {
                Ok(Some(entry.record.stored.name()))
            }
            // A newer ticket was handed out after this one: that render began after the call as well.
            None | Some(Refreshed::Superseded) => Ok(None),
            Some(Refreshed::Failed { message, .. }) => Err(Undone::Failed(message)),
            Some(Refreshed::Kept) => Err(Undone::Kept),
            Some(Refreshed::GivenBack(_)) => Err(Undone::Store(STOPPING.into())),
            Some(Refreshed::Unsaved(_)) => Err(Undone::Store(UNSAVED.into())),
        }
    }

    /// The same, and what became of the render; none if it was another call's. A failure of the ticket that was `tried`
    /// before counts no more.
    pub(crate) async fn refresh_since(
        &self,
        page: &Resolved,
        epoch: Epoch,
        tried: Option<Ticket>,
    ) -> Result<Option<Refreshed>, Undone> {
        let store = |e: StoreError| Undone::Store(e.to_string().into());
        let mut pause = POLL.0;
        let mut refused = None;
        loop {
            let snapshot = self.stores.pages().read(&page.key, Wanted::default()).await.map_err(store)?;
            let (slot, record) = (&snapshot.slot, snapshot.record.as_ref());
            if record.is_some_and(|record| slot.answers_demand(epoch, record.generation, record.epoch)) {
                return Ok(None);
            }
            if let Some(failure) = slot.failed_demand(epoch).filter(|failure| Some(failure.ticket) != tried) {
                return Err(Undone::Failed(failure.message.as_str().into()));
            }
            if slot.demand_at(self.clock.now()).is_none() {
                // For all who have marked the page until now.
                let urgency = Urgency::Demand(snapshot.epochs.newest.max(epoch));
                // Something newer than what is shown was committed, says the store, and shows the same again: somebody has
                // put an old record back. Whatever it is, it is to be replaced.
                let judged = Some(snapshot.generation).filter(|judged| refused != Some(*judged));
                match self.stores.pages().begin(&page.key, self.ask(judged, urgency)).await.map_err(store)? {
                    Begun::Granted(ticket) => {
                        return self.refresh(page, ticket, Reason::OnDemand).await.map(Some).map_err(store);
                    }
                    Begun::Unneeded => {
                        refused = judged;
                        continue;
                    }
                    Begun::Busy(_) | Begun::BackedOff { .. } => {}
                }
            }
            self.clock.sleep(pause).await;
            pause = (pause * 2).min(POLL.1);
        }
    }

    /// The page itself and every stored variant of it.
    pub(crate) async fn variants(&self, page: &Resolved) -> Result<Vec<Resolved>, StoreError> {
        let mut pages = vec![page.clone()];
        if page.route.has_query() {
            let prefix = format!("{}?", page.key.base_text());
            let stored = self.stores.pages().list(&prefix, None, usize::MAX).await?;
            let with_record = stored.into_iter().filter(|(_, snapshot)| snapshot.record.is_some());
            pages.extend(with_record.filter_map(|(text, _)| self.site.page_of_key(&text)));
        }
        Ok(pages)
    }

    /// Marks everything that carries any of these tags: a write for each, seen by every read from then on. With
    /// `renew`, the queue then renews pages that this build has stored; what that takes here is the same for any number
    /// of them. It is told under that name in the journal, or under the invalidation's number if the name is empty.
    ///
    /// # Errors
    /// [`Undone::Store`], or [`Undone::Edge`] once everything is marked. Repeating the call is harmless.
    pub async fn invalidate(
        self: &Arc<Self>,
        tags: &[String],
        renew: Option<&str>,
    ) -> Result<Marked, Undone> {
        if self.dev {
            return Ok(Marked::default());
        }
        let store = |e: StoreError| Undone::Store(e.to_string().into());
        let (epoch, all) = self.stamp(tags, Stamp::Stale).await.map_err(store)?;
        let walking = async {
            match renew {
                Some(publish) => self.start_walk(epoch, tags, publish).await,
                None => Ok((0, false)),
            }
        };
        // Neither waits for the other, and whatever comes of one, the pages are marked.
        let (told, walked) = tokio::join!(self.purge(&all), walking);
        let (queued, more) = walked.map_err(store)?;
        Ok(Marked { epoch, queued, more, edge: told.map_err(Undone::Edge)? })
    }
}
