//! Deletion of a page: a tombstone replaces its record, and its bodies are removed.

use std::sync::Arc;

use crate::guard::guarded::Guarded;
use crate::key::page_key::PageKey;
use crate::ports::bodies::Bodies;
use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::grant::Committed;
use crate::ports::pages::snapshot::{Inline, Wanted};
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::record::page_record::{Record, Stored, Ticket};
use crate::record::reason::Reason;

/// The stores of pages and bodies of one build, which may be another build than the process's own: any program that
/// works the queue can remove another build's pages.
pub(crate) struct BuildStores<S: Stores> {
    pub(crate) pages: Guarded<S::Pages>,
    pub(crate) bodies: Guarded<S::Bodies>,
}

/// Commits a tombstone in place of a page, and removes the page's bodies without the usual grace, because nobody may
/// read a deleted page.
pub(crate) async fn write_tombstone<S: Stores>(
    process: &Process<S>,
    stores: &BuildStores<S>,
    page: &PageKey,
    ticket: Ticket,
) -> Result<(), StoreError> {
    let grant = match stores.pages.prepare(page, ticket).await {
        Ok(grant) => grant,
        Err(error) => {
            // If the release fails too, the lease expires.
            let _ = stores.pages.release(page, ticket).await;
            return Err(error);
        }
    };
    let now = process.now();
    let tombstone = Record {
        generation: grant.ticket,
        epoch: grant.epoch,
        started_at: now,
        period_s: None,
        expires_at: None,
        modified_at: now,
        reason: Reason::OnDemand,
        tags: Vec::new(),
        headers: Default::default(),
        stored: Stored::Deleted,
    };
    process.memory.remove(page);
    let committed = stores.pages.commit(page, &tombstone, &Inline::default()).await?;
    let Committed::Stored { replaced: Some(replaced) } = committed else { return Ok(()) };
    // A newer render may have stored the same bodies again. If its process's clock is behind, their time lies before
    // `now`, so that the store's own check would not spare them.
    let current = stores.pages.read(page, Wanted::default()).await?.record;
    let is_in_use = |sha256: &str| current.as_ref().is_some_and(|record| record.stored.names(sha256));
    for body in replaced.stored.bodies().filter(|body| !is_in_use(&body.sha256)) {
        stores.bodies.remove(page, &body.sha256, now).await?;
    }
    Ok(())
}

/// The stores of the build with this id.
pub(crate) fn stores_of_build<S: Stores>(process: &Process<S>, build: &Arc<str>) -> Arc<BuildStores<S>> {
    let (pages, bodies) = (process.stores.pages().of_build(build), process.stores.bodies().of_build(build));
    Arc::new(BuildStores { pages, bodies })
}
