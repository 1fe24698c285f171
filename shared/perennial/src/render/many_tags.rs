//! Pages with more tags than the store keeps of a page, or than the shared cache takes of an answer: they go by one broad
//! tag, [`MANY`], and whatever tag is published, that one is published with it.
//!
//! One tag, not several: a page that carries a hundred tags would carry nearly every one of the fifty buckets that a shared
//! cache has room for. And only in a store that has such a page, because CloudFront bills each item of an order: the first
//! such page stamps the broad tag before it is committed. A publisher's call looks for that stamp after its own:
//!
//! - it finds the stamp: then it stamps the broad tag again, and has the shared cache forget it;
//! - it does not: then the page is committed after it, and was stamped after its render had begun. It is stale if it carries
//!   the broad tag in the store, and otherwise by the tag itself.

use crate::key::tags::{MANY, is_user_tag, user_tag};
use crate::ports::edge::{Edge, fits};
use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::snapshot::Stamp;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::record::page_record::{Epoch, Record};
use crate::site::route::Resolved;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How pages with too many tags are reached by publishers' calls.
pub(crate) struct ManyTags<S: Stores> {
    process: Arc<Process<S>>,
    /// Whether such a page was reported.
    logged: AtomicBool,
}

impl<S: Stores> ManyTags<S> {
    /// Of this process, which has reported no page yet.
    pub(crate) fn new(process: &Arc<Process<S>>) -> Self {
        Self { process: process.clone(), logged: AtomicBool::new(false) }
    }

    /// Has publishers' calls reach a page by the broad tag, if it is to go by that. Called before the page is committed.
    pub(crate) async fn note_many(&self, page: &Resolved, record: &Record) -> Result<(), StoreError> {
        let in_store = record.tags == [MANY];
        // Whether or not this process knows a shared cache: the one that answers may.
        if !in_store && fits(&record.tags) {
            return Ok(());
        }
        if !self.is_many_noted().await? {
            self.process.stores.pages().invalidate(&[user_tag(MANY)], Stamp::Stale).await?;
        }
        let is_seen = in_store || self.process.stores.edge().tag_header().is_some();
        if is_seen && !self.logged.swap(true, Ordering::Relaxed) {
            let limit = if in_store {
                "PERENNIAL_MAX_TAGS or PERENNIAL_MAX_TAG_BYTES allow"
            } else {
                "the shared cache takes"
            };
            tracing::warn!(
                page = page.key.path(),
                "the page has more tags than {limit}: whatever tag is published, this page and others like it are published with it. Give it fewer, broader tags"
            );
        }
        Ok(())
    }

    /// Invalidates tags, and the broad one if pages go by that. Gives the epoch, and the tags that the shared cache is to
    /// be told.
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

    /// These tags, and at their end the broad one if pages go by that.
    pub(crate) async fn broadened(&self, tags: &[String]) -> Result<Vec<String>, StoreError> {
        let mut all = tags.to_vec();
        if tags.iter().any(|tag| is_user_tag(tag)) && self.is_many_noted().await? {
            all.push(user_tag(MANY));
        }
        Ok(all)
    }

    async fn is_many_noted(&self) -> Result<bool, StoreError> {
        Ok(self.process.stores.pages().epochs(&[MANY.to_owned()]).await?.newest > 0)
    }
}
