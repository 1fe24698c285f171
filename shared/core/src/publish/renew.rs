//! Renders a page that a publisher has marked as stale, or waits for the render of another publisher's call.

use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::slot::LeaseDecision;
use crate::ports::pages::snapshot::Wanted;
use crate::ports::pages::urgency::Urgency;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::publish::outcome::PublishError;
use crate::record::page_record::{Epoch, Ticket};
use crate::record::reason::Reason;
use crate::render::outcome::{Refreshed, STOPPING};
use crate::render::refresh::Renderer;
use crate::site::route::Resolved;
use crate::visit::wait::POLL;

/// The error of a render whose page the store did not take.
pub(crate) const UNSAVED: &str = "the page was rendered but the store could not keep it";

/// Renders the page and all its stored variants at this epoch or later. Returns the page's own kind
/// ([`Stored::name`](crate::record::page_record::Stored::name)); `None` if it cannot be read.
pub(crate) async fn render_variants<S: Stores>(
    renderer: &Renderer<S>,
    page: &Resolved,
    epoch: Epoch,
) -> Result<Option<&'static str>, PublishError> {
    let mut kinds = Vec::new();
    for page in variants(&renderer.process, page).await? {
        kinds.push(render_since(renderer, &page, epoch).await?);
    }
    match kinds.first() {
        Some(Some(kind)) => Ok(Some(*kind)),
        // Another call has rendered the page. The kind is for people only: a failed read is no error.
        _ => {
            let read = renderer.process.stores.pages().read(&page.key, Wanted::default()).await;
            Ok(read.ok().and_then(|snapshot| Some(snapshot.shown()?.stored.name())))
        }
    }
}

/// Returns once a render that began at this epoch or later has ended: a render here, or one for another publisher's call in
/// any process. The wait is bounded: the other render's lease ends, and any later render counts.
async fn render_since<S: Stores>(
    renderer: &Renderer<S>,
    page: &Resolved,
    epoch: Epoch,
) -> Result<Option<&'static str>, PublishError> {
    match refresh_since(renderer, page, epoch, None).await? {
        Some(Refreshed::Stored(entry) | Refreshed::Unchanged(entry)) => Ok(Some(entry.record.stored.name())),
        // A newer ticket exists: that render, too, began after the call.
        None | Some(Refreshed::Superseded) => Ok(None),
        Some(Refreshed::Failed { message, .. }) => Err(PublishError::Failed(message)),
        Some(Refreshed::KeptStale) => Err(PublishError::KeptStale),
        Some(Refreshed::GivenBack(_)) => Err(PublishError::Store(STOPPING.into())),
        Some(Refreshed::Unsaved(_)) => Err(PublishError::Store(UNSAVED.into())),
    }
}

/// Like [`render_since`], with the outcome of the render; `None` if the render was another call's. A noted failure of the
/// ticket `tried` is ignored: the caller has seen it before.
pub(crate) async fn refresh_since<S: Stores>(
    renderer: &Renderer<S>,
    page: &Resolved,
    epoch: Epoch,
    tried: Option<Ticket>,
) -> Result<Option<Refreshed>, PublishError> {
    let mut pause = POLL.0;
    let mut unneeded_for = None;
    loop {
        let snapshot = renderer.process.stores.pages().read(&page.key, Wanted::default()).await?;
        let (slot, record) = (&snapshot.slot, snapshot.record.as_ref());
        if record.is_some_and(|record| slot.answers_demand(epoch, record.generation, record.epoch)) {
            return Ok(None);
        }
        if let Some(failure) = slot.failed_demand(epoch).filter(|failure| Some(failure.ticket) != tried) {
            return Err(PublishError::Failed(failure.message.as_str().into()));
        }
        if slot.demand_at(renderer.process.clock.now()).is_none() {
            // One render serves every call that has marked the page until now.
            let urgency = Urgency::Demand(snapshot.epochs.newest.max(epoch));
            // The store said that a newer record was committed, and then showed the same record again: somebody has restored
            // an old record from a backup. Asking without `seen` replaces any record.
            let seen = Some(snapshot.generation).filter(|seen| unneeded_for != Some(*seen));
            match renderer
                .process
                .stores
                .pages()
                .begin(&page.key, renderer.process.lease_request(seen, urgency))
                .await?
            {
                LeaseDecision::Granted(ticket) => {
                    return renderer
                        .refresh(page, ticket, Reason::OnDemand)
                        .await
                        .map(Some)
                        .map_err(PublishError::from);
                }
                LeaseDecision::RecordChanged => {
                    unneeded_for = seen;
                    continue;
                }
                LeaseDecision::Busy(_) | LeaseDecision::BackedOff { .. } => {}
            }
        }
        renderer.process.clock.sleep(pause).await;
        pause = (pause * 2).min(POLL.1);
    }
}

/// The page itself and every stored variant of it.
pub(crate) async fn variants<S: Stores>(
    process: &Process<S>,
    page: &Resolved,
) -> Result<Vec<Resolved>, StoreError> {
    let mut pages = vec![page.clone()];
    if page.route.has_query() {
        let prefix = format!("{}?", page.key.base_text());
        let stored = process.stores.pages().list(&prefix, None, usize::MAX).await?;
        let with_record = stored.into_iter().filter(|(_, snapshot)| snapshot.record.is_some());
        pages.extend(with_record.filter_map(|(text, _)| process.site.page_of_key(&text)));
    }
    Ok(pages)
}
