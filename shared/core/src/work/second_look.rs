//! Second looks at published pages, for a content source whose API lags behind its webhooks. A second look renders pages once
//! more after a delay, and purges the shared cache only if their content has changed.
//!
//! The record of a page tells whether its content has changed (`modified_at`), whichever process rendered it. A job that is
//! delivered twice, because its process died or the purge failed, thus finds the changes of its first run and purges them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::clock::Millis;
use crate::key::tags::{BROAD_TAG, is_user_tag, page_tags, path_tag, user_tag};
use crate::ports::error::StoreError;
use crate::ports::job::SecondLook;
use crate::ports::pages::Pages;
use crate::ports::pages::snapshot::{Snapshot, Wanted};
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::publish::purge::Purger;
use crate::publish::renew::variants;
use crate::record::reason::Reason;
use crate::render::outcome::Refreshed;
use crate::render::refresh::Renderer;
use crate::site::route::Resolved;
use crate::work::renew::{JobOutcome, render_under};

/// The result of a second look at one page.
pub(crate) struct LookOutcome {
    /// The outcome of the render.
    pub(crate) job: JobOutcome,
    /// Whether its content has changed since the look was due.
    pub(crate) is_changed: bool,
}

/// Whether the walk must render this page again: the page carries one of the tags, and was renewed since the
/// invalidation or is being rendered. A page that still waits for its renewal will get the late content by that render.
pub(crate) fn is_for(
    look: &SecondLook,
    page: &Resolved,
    snapshot: &Snapshot,
    epoch: u64,
    now: Millis,
) -> bool {
    let Some(record) = snapshot.shown() else { return false };
    let is_renewed = record.epoch >= epoch || snapshot.slot.lease_at(now).is_some();
    let is_due = record.started_at < look.due || record.modified_at >= look.due;
    let many_tags = look.tags.iter().any(|tag| is_user_tag(tag)).then(|| user_tag(BROAD_TAG));
    let carries = |tag: &String| look.tags.contains(tag) || many_tags.as_ref() == Some(tag);
    let mut user_tags = record.tags.iter().map(|tag| user_tag(tag));
    is_renewed && is_due && (page_tags(&page.key).iter().any(carries) || user_tags.any(|tag| carries(&tag)))
}

/// Carries out second looks.
pub(crate) struct SecondLooks<S: Stores> {
    process: Arc<Process<S>>,
    renderer: Arc<Renderer<S>>,
    purger: Arc<Purger<S>>,
}

impl<S: Stores> SecondLooks<S> {
    /// Takes the second looks that the queue gives this process.
    pub(crate) fn new(renderer: &Arc<Renderer<S>>, purger: &Arc<Purger<S>>) -> Arc<Self> {
        let (renderer, purger) = (renderer.clone(), purger.clone());
        Arc::new(Self { process: renderer.process.clone(), renderer, purger })
    }

    /// Renders a page and its variants once more, except those rendered since `due`. Purges the shared cache if any has
    /// changed.
    pub(crate) async fn look_again(&self, page: &Resolved, due: Millis) -> Result<JobOutcome, StoreError> {
        let mut is_changed = false;
        for page in variants(&self.process, page).await? {
            let look = self.look_again_at(&page, due).await?;
            if matches!(look.job, JobOutcome::Retry(_)) {
                return Ok(look.job);
            }
            is_changed |= look.is_changed;
        }
        if is_changed {
            self.purge(&[path_tag(page.key.path())]).await?;
        }
        Ok(JobOutcome::Walked)
    }

    /// Renders one page once more, unless it was rendered since `due`.
    pub(crate) async fn look_again_at(
        &self,
        page: &Resolved,
        due: Millis,
    ) -> Result<LookOutcome, StoreError> {
        let snapshot = self.process.stores.pages().read(&page.key, Wanted::default()).await?;
        let record = snapshot.shown();
        if record.is_none_or(|record| record.started_at >= due) {
            let is_changed = record.is_some_and(|record| record.modified_at >= due);
            return Ok(LookOutcome { job: JobOutcome::Dropped, is_changed });
        }
        let ticket = self.renderer.override_all(page).await?;
        let job = render_under(&self.renderer, page, ticket, Reason::OnDemand).await?;
        let is_changed = matches!(job, JobOutcome::Done(Refreshed::Stored(_)));
        Ok(LookOutcome { job, is_changed })
    }

    /// Purges the shared cache of the pages that a step has changed (given by their path tags): by these tags, or by the tags
    /// of the second look if those are fewer.
    pub(crate) async fn purge_step(
        &self,
        second_look: &SecondLook,
        changed: BTreeSet<String>,
    ) -> Result<(), StoreError> {
        if changed.is_empty() {
            return Ok(());
        }
        tracing::info!(changed = changed.len(), "a second look has found changed pages");
        let changed: Vec<_> = changed.into_iter().collect();
        let fewest_tags = if changed.len() <= second_look.tags.len() {
            changed
        } else {
            self.renderer.many_tags.broadened(&second_look.tags).await?
        };
        self.purge(&fewest_tags).await
    }

    async fn purge(&self, tags: &[String]) -> Result<(), StoreError> {
        self.purger.purge(tags).await.map(drop).map_err(|error| StoreError::refused(error.to_string()))
    }
}
