//! A second look at what was published, for a source whose interface lags behind its webhooks: pages are rendered once
//! more after a while, and only a change is published.
//!
//! What has changed is told by the pages themselves, not by who has rendered them: a job that comes again, because its
//! process died or the shared cache refused the order, finds its own changes and has the cache told of them.

use crate::process::Process;
use crate::publish::purge::Purger;
use crate::publish::renew::variants;
use crate::render::refresh::Renderer;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::clock::Millis;
use crate::key::tags::{MANY, is_user_tag, page_tags, path_tag, user_tag};
use crate::ports::error::StoreError;
use crate::ports::job::SecondLook;
use crate::ports::pages::Pages;
use crate::ports::pages::snapshot::{Snapshot, Wanted};
use crate::ports::stores::Stores;
use crate::record::reason::Reason;
use crate::render::outcome::Refreshed;
use crate::site::route::Resolved;
use crate::work::renew::{JobOutcome, work_refreshed};

/// What a second look at a page came to.
pub(crate) struct LookOutcome {
    /// What became of its render.
    pub(crate) worked: JobOutcome,
    /// Whether its content has changed since the look was due.
    pub(crate) is_changed: bool,
}

impl SecondLook {
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

/// Second looks at pages.
pub(crate) struct SecondLooks<S: Stores> {
    process: Arc<Process<S>>,
    renderer: Arc<Renderer<S>>,
    purger: Arc<Purger<S>>,
}

impl<S: Stores> SecondLooks<S> {
    /// Those that this process takes.
    pub(crate) fn new(renderer: &Arc<Renderer<S>>, purger: &Arc<Purger<S>>) -> Arc<Self> {
        let (renderer, purger) = (renderer.clone(), purger.clone());
        Arc::new(Self { process: renderer.process.clone(), renderer, purger })
    }

    /// Renders a page and its variants once more, unless they have been since. Only a change is published.
    pub(crate) async fn look_again(&self, page: &Resolved, due: Millis) -> Result<JobOutcome, StoreError> {
        let mut is_changed = false;
        for page in variants(&self.process, page).await? {
            let looked = self.look_again_at(&page, due).await?;
            if matches!(looked.worked, JobOutcome::Retry(_)) {
                return Ok(looked.worked);
            }
            is_changed |= looked.is_changed;
        }
        if is_changed {
            self.tell_of_changes(&[path_tag(page.key.path())]).await?;
        }
        Ok(JobOutcome::Walked)
    }

    /// Renders one page once more, unless it has been since.
    pub(crate) async fn look_again_at(
        &self,
        page: &Resolved,
        due: Millis,
    ) -> Result<LookOutcome, StoreError> {
        let snapshot = self.process.stores.pages().read(&page.key, Wanted::default()).await?;
        let there = snapshot.shown();
        if there.is_none_or(|record| record.started_at >= due) {
            let is_changed = there.is_some_and(|record| record.modified_at >= due);
            return Ok(LookOutcome { worked: JobOutcome::Dropped, is_changed });
        }
        let ticket = self.renderer.override_all(page).await?;
        let worked = work_refreshed(&self.renderer, page, ticket, Reason::OnDemand).await?;
        let is_changed = matches!(worked, JobOutcome::Done(Refreshed::Stored(_)));
        Ok(LookOutcome { worked, is_changed })
    }

    /// Has the shared cache forget what a step of a second look has changed: by the pages, or by the tags if those are
    /// fewer.
    pub(crate) async fn tell_of_step(
        &self,
        again: &SecondLook,
        changed: BTreeSet<String>,
    ) -> Result<(), StoreError> {
        if changed.is_empty() {
            return Ok(());
        }
        tracing::info!(changed = changed.len(), "a second look at pages of tags has found changes");
        let changed: Vec<_> = changed.into_iter().collect();
        let fewer = if changed.len() <= again.tags.len() {
            changed
        } else {
            self.renderer.many_tags.broadened(&again.tags).await?
        };
        self.tell_of_changes(&fewer).await
    }

    async fn tell_of_changes(&self, tags: &[String]) -> Result<(), StoreError> {
        self.purger.purge(tags).await.map(drop).map_err(|error| StoreError::Refused(error.to_string()))
    }
}
