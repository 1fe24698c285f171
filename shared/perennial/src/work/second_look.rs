//! A second look at what was published, for a source whose interface lags behind its webhooks: pages are rendered once
//! more after a while, and only a change is published.
//!
//! What has changed is told by the pages themselves, not by who has rendered them: a job that comes again, because its
//! process died or the shared cache refused the order, finds its own changes and has the cache told of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Millis;
use crate::engine::Engine;
use crate::key::tags::{MANY, is_user_tag, page_tags, path_tag, user_tag};
use crate::ports::error::StoreError;
use crate::ports::job::{Again, Task, Walk};
use crate::ports::pages::Pages;
use crate::ports::pages::snapshot::{Snapshot, Wanted};
use crate::ports::queue::Jobs;
use crate::ports::stores::Stores;
use crate::record::reason::Reason;
use crate::render::refresh::Refreshed;
use crate::site::route::Resolved;
use crate::work::walk::DELAY_MAX;
use crate::work::worker::Worked;

/// What a second look at a page came to.
pub(crate) struct Looked {
    /// What became of its render.
    pub(crate) worked: Worked,
    /// Whether its content has changed since the look was due.
    pub(crate) is_changed: bool,
}

impl Again {
    /// Whether a page is to be looked at: it carries one of the tags, and has been renewed since their invalidation, or is
    /// being rendered. One that still waits for its renewal finds what came late by that.
    pub(crate) fn is_for(&self, page: &Resolved, snapshot: &Snapshot, epoch: u64, now: Millis) -> bool {
        let Some(record) = snapshot.shown() else { return false };
        let is_renewed = record.epoch >= epoch || snapshot.slot.lease_at(now).is_some();
        let is_due = record.started_at < self.due || record.modified_at >= self.due;
        let broad = self.tags.iter().any(|tag| is_user_tag(tag)).then(|| user_tag(MANY));
        let carries = |tag: &String| self.tags.contains(tag) || broad.as_ref() == Some(tag);
        let user = record.tags.iter().map(|tag| user_tag(tag));
        is_renewed
            && is_due
            && (page_tags(&page.key).iter().any(carries) || user.into_iter().any(|t| carries(&t)))
    }
}

impl<S: Stores> Engine<S> {
    /// Has a page rendered once more after a while.
    pub(crate) async fn send_again(&self, page: &Resolved, after_s: u32) {
        let after = Duration::from_secs(after_s.into()).min(DELAY_MAX);
        let task = Task::Again { due: self.now().plus(after) };
        if let Err(error) = self.stores.jobs().send(&self.job(page, task), after).await {
            tracing::error!(page = page.key.path(), "the queue refused to look at the page again: {error}");
        }
    }

    /// The same for the pages of tags that were invalidated: a walk of its own, once the first one has had that time.
    pub(crate) async fn send_tags_again(&self, tags: &[String], epoch: u64, after_s: u32) {
        let after = Duration::from_secs(after_s.into()).min(DELAY_MAX);
        let due = self.now().plus(after);
        let walk = Walk {
            epoch,
            began_at: due,
            waits_until: Some(due),
            again: Some(Again { tags: tags.to_vec(), due }),
            ..Walk::default()
        };
        if let Err(error) = self.send_walk(self.on_its_route(walk, tags), after).await {
            tracing::error!(epoch, "the queue refused to look at the pages of tags again: {error}");
        }
    }

    /// Renders a page and its variants once more, unless they have been since. Only a change is published.
    pub(crate) async fn look_again(
        self: &Arc<Self>,
        page: &Resolved,
        due: Millis,
    ) -> Result<Worked, StoreError> {
        let mut is_changed = false;
        for page in self.variants(page).await? {
            let looked = self.look_again_at(&page, due).await?;
            if matches!(looked.worked, Worked::Retry(_)) {
                return Ok(looked.worked);
            }
            is_changed |= looked.is_changed;
        }
        if is_changed {
            self.tell_of_changes(&[path_tag(page.key.path())]).await?;
        }
        Ok(Worked::Walked)
    }

    /// Renders one page once more, unless it has been since.
    pub(crate) async fn look_again_at(&self, page: &Resolved, due: Millis) -> Result<Looked, StoreError> {
        let snapshot = self.stores.pages().read(&page.key, Wanted::default()).await?;
        let there = snapshot.shown();
        if there.is_none_or(|record| record.started_at >= due) {
            let is_changed = there.is_some_and(|record| record.modified_at >= due);
            return Ok(Looked { worked: Worked::Dropped, is_changed });
        }
        let ticket = self.override_all(page).await?;
        let worked = self.work_refreshed(page, ticket, Reason::OnDemand).await?;
        let is_changed = matches!(worked, Worked::Done(Refreshed::Stored(_)));
        Ok(Looked { worked, is_changed })
    }

    /// Has the shared cache forget what a step of a second look has changed: by the pages, or by the tags if those are
    /// fewer.
    pub(crate) async fn tell_of_step(
        self: &Arc<Self>,
        again: &Again,
        changed: BTreeSet<String>,
    ) -> Result<(), StoreError> {
        if changed.is_empty() {
            return Ok(());
        }
        tracing::info!(changed = changed.len(), "a second look at pages of tags has found changes");
        let changed: Vec<_> = changed.into_iter().collect();
        let fewer =
            if changed.len() <= again.tags.len() { changed } else { self.broadened(&again.tags).await? };
        self.tell_of_changes(&fewer).await
    }

    async fn tell_of_changes(self: &Arc<Self>, tags: &[String]) -> Result<(), StoreError> {
        self.purge(tags).await.map(drop).map_err(|error| StoreError::Refused(error.to_string()))
    }
}
