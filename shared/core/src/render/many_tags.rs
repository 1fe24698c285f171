//! Pages with more tags than the store keeps of one page, or than the shared cache accepts in one answer. Such a page
//! carries the broad tag [`BROAD_TAG`] instead, and every publish of any tag also publishes the broad tag.
//!
//! There is one broad tag and not several buckets of tags: CloudFront accepts 50 tags in an answer, and a page with a
//! hundred tags would be in nearly every one of 50 buckets.
//!
//! CloudFront bills each tag of an invalidation, so the broad tag is published only if the store has a page that
//! carries it. The first such page therefore invalidates the broad tag before its commit, which leaves an epoch. A
//! publisher's call reads that epoch after it has invalidated its own tags:
//!
//! - If there is one, the call invalidates the broad tag too, and purges it from the shared cache.
//! - If there is none, the page will be committed after the call, and its render had begun before. The page is then stale:
//!   by the broad tag if the store keeps that one of it, or else by the published tag itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::key::tags::{BROAD_TAG, is_user_tag, user_tag};
use crate::ports::edge::{Edge, fits};
use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::snapshot::Stamp;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::record::page_record::{Epoch, Record};
use crate::site::route::Resolved;

/// The broad tag's bookkeeping in one process.
pub(crate) struct ManyTags<S: Stores> {
    process: Arc<Process<S>>,
    /// Whether this process has logged a page with too many tags: one warning is enough.
    logged: AtomicBool,
}

impl<S: Stores> ManyTags<S> {
    /// The bookkeeping of this process, which has logged no page yet.
    pub(crate) fn new(process: &Arc<Process<S>>) -> Self {
        Self { process: process.clone(), logged: AtomicBool::new(false) }
    }

    /// Makes publishers' calls publish the broad tag from now on, if this page needs it. Call this before the commit.
    pub(crate) async fn note_many(&self, page: &Resolved, record: &Record) -> Result<(), StoreError> {
        let in_store = record.tags == [BROAD_TAG];
        // Checked even if this process has no shared cache in front: the process that serves the page may have one.
        if !in_store && fits(&record.tags) {
            return Ok(());
        }
        if !self.is_many_noted().await? {
            self.process.stores.pages().invalidate(&[user_tag(BROAD_TAG)], Stamp::Stale).await?;
        }
        let has_effect = in_store || self.process.stores.edge().tag_header().is_some();
        if has_effect && !self.logged.swap(true, Ordering::Relaxed) {
            let limit = if in_store {
                "PERENNIAL_MAX_TAGS or PERENNIAL_MAX_TAG_BYTES allow"
            } else {
                "the shared cache takes"
            };
            tracing::warn!(
                page = page.key.address(),
                "the page has more tags than {limit}: every publish of a tag also invalidates this page and all others with too many tags. Give the page fewer, broader tags"
            );
        }
        Ok(())
    }

    /// Invalidates tags, and the broad tag if pages carry it. Returns the epoch of the tags, and the tags to purge from
    /// the shared cache.
    pub(crate) async fn stamp(
        &self,
        tags: &[String],
        how: Stamp,
    ) -> Result<(Epoch, Vec<String>), StoreError> {
        let epoch = self.process.stores.pages().invalidate(tags, how).await?;
        let all = self.broadened(tags).await?;
        if let [.., broad] = &all[tags.len()..] {
            self.process.stores.pages().invalidate(std::slice::from_ref(broad), how).await?;
        }
        Ok((epoch, all))
    }

    /// These tags, followed by the broad tag if pages carry it.
    pub(crate) async fn broadened(&self, tags: &[String]) -> Result<Vec<String>, StoreError> {
        let mut all = tags.to_vec();
        if tags.iter().any(|tag| is_user_tag(tag)) && self.is_many_noted().await? {
            all.push(user_tag(BROAD_TAG));
        }
        Ok(all)
    }

    async fn is_many_noted(&self) -> Result<bool, StoreError> {
        Ok(self.process.stores.pages().epochs(&[BROAD_TAG.to_owned()]).await?.newest > 0)
    }
}
