//! The end of a page: what is stored of it is replaced by a tombstone.

use crate::process::Process;
use std::sync::Arc;

use crate::guard::guarded::Guarded;
use crate::key::page_key::PageKey;
use crate::ports::bodies::Bodies;
use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::grant::Committed;
use crate::ports::pages::snapshot::{Inline, Wanted};
use crate::ports::stores::Stores;
use crate::record::page_record::{Record, Stored, Ticket};
use crate::record::reason::Reason;

/// What one build has stored. Whichever program works the queue can remove it.
pub(crate) struct BuildStores<S: Stores> {
    pub(crate) pages: Guarded<S::Pages>,
    pub(crate) bodies: Guarded<S::Bodies>,
}

/// Replaces a page by a tombstone, and removes its bodies at once: nobody may read them any more.
pub(crate) async fn write_tombstone<S: Stores>(
    process: &Process<S>,
    kept: &BuildStores<S>,
    page: &PageKey,
    ticket: Ticket,
) -> Result<(), StoreError> {
    let grant = match kept.pages.prepare(page, ticket).await {
        Ok(grant) => grant,
        Err(error) => {
            // If this fails too, the lease ends by itself.
            let _ = kept.pages.release(page, ticket).await;
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
    let committed = kept.pages.commit(page, &tombstone, &Inline::default()).await?;
    let Committed::Stored { replaced: Some(replaced) } = committed else { return Ok(()) };
    // A render since then may have put the same again; and by a clock that is behind, before now.
    let shown = kept.pages.read(page, Wanted::default()).await?.record;
    let names = |sha256: &str| shown.as_ref().is_some_and(|record| record.stored.names(sha256));
    for body in replaced.stored.bodies().filter(|body| !names(&body.sha256)) {
        kept.bodies.remove(page, &body.sha256, now).await?;
    }
    Ok(())
}

/// What that build has stored.
pub(crate) fn stores_of_build<S: Stores>(process: &Process<S>, build: &Arc<str>) -> Arc<BuildStores<S>> {
    let (pages, bodies) = (process.stores.pages().of_build(build), process.stores.bodies().of_build(build));
    Arc::new(BuildStores { pages, bodies })
}
