//! What becomes of a render that the store could not keep.

use crate::base::log_limits::Line;
use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::grant::{Failed, Grant};
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::record::page_record::Stored;
use crate::record::reason::Reason;
use crate::render::entry::{keep, unsaved_entry};
use crate::render::outcome::Refreshed;
use crate::render::pool::RenderOutput;
use crate::site::route::Resolved;

pub(crate) async fn not_stored<S: Stores>(
    process: &Process<S>,
    page: &Resolved,
    grant: &Grant,
    reason: Reason,
    draft: RenderOutput,
    error: StoreError,
) -> Refreshed {
    // What is stored is what all processes show: one that showed something newer, which no other can, would
    // have a visitor of both go back and forth. A page with nothing to show is shown by who has it.
    let has_none = grant.replaces.as_ref().is_none_or(|old| old.stored == Stored::Deleted);
    let kept = reason == Reason::First || has_none;
    let then = if kept { "it is kept in memory only" } else { "what is stored stays" };
    process.log(Line::NotStored, |left_out| {
        tracing::error!(page = %page.key.path(), reason = %reason, left_out, "the page was rendered but cannot be stored; {then}: {error}");
    });
    // A renewal is tried again after a while. Those who have nothing to show each render for themselves: they
    // are not told that it failed.
    let given_back = if kept {
        process.stores.pages().release(&page.key, grant.ticket).await
    } else {
        let failed = Failed { message: error.to_string(), retry_after: None, now: process.clock.now() };
        process.stores.pages().fail(&page.key, grant.ticket, failed).await.map(drop)
    };
    if let Err(error) = given_back {
        process.complain(page, "its lease cannot be given back, it will end by itself", &error);
    }
    let entry = unsaved_entry(process, draft, grant.ticket);
    Refreshed::Unsaved(if kept { keep(process, page, entry) } else { entry })
}
