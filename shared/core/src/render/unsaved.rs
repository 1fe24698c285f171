//! The handling of a render that could not be stored.

use crate::base::log_limits::Line;
use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::grant::{Failed, Grant};
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::record::page_record::Stored;
use crate::record::reason::Reason;
use crate::render::entry::{cache_entry, unsaved_entry};
use crate::render::outcome::Refreshed;
use crate::render::pool::RenderOutput;
use crate::site::route::Resolved;

/// Ends the lease of a render that could not be stored. Without a stored page to serve, the render is kept in the
/// memory cache.
pub(crate) async fn not_stored<S: Stores>(
    process: &Process<S>,
    page: &Resolved,
    grant: &Grant,
    reason: Reason,
    output: RenderOutput,
    error: StoreError,
) -> Refreshed {
    // All processes serve the stored page. If this process alone served a newer one, a visitor of two processes would
    // see the page go back and forth. Only if there is no stored page does this process serve its own render.
    let nothing_stored = grant.replaces.as_ref().is_none_or(|old| old.stored == Stored::Deleted);
    let in_memory = reason == Reason::First || nothing_stored;
    let then = if in_memory { "it is kept in memory only" } else { "what is stored stays" };
    process.log(Line::NotStored, |left_out| {
        tracing::error!(page = %page.key.address(), reason = %reason, left_out, "the page was rendered but cannot be stored; {then}: {error}");
    });
    // A failure makes the renewal of a stale page back off. A missing page gets no failure: other processes, which have
    // nothing to serve, must be able to render at once.
    let ended = if in_memory {
        process.stores.pages().release(&page.key, grant.ticket).await
    } else {
        let failed = Failed { message: error.to_string(), retry_after: None, now: process.clock.now() };
        process.stores.pages().fail(&page.key, grant.ticket, failed).await.map(drop)
    };
    if let Err(error) = ended {
        process.complain(page, "the page's lease cannot be given back and will expire", &error);
    }
    let entry = unsaved_entry(process, output, grant.ticket);
    Refreshed::Unsaved(if in_memory { cache_entry(process, page, entry) } else { entry })
}
