//! A page that a publisher has marked, rendered anew: by this process, or by another publisher's call.

use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::slot::Begun;
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

/// Why a render does not count.
pub(crate) const UNSAVED: &str = "the page was rendered but the store could not keep it";

/// Tells what the page itself is now.
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
        // Another call has rendered it. What it is helps people, and is no reason to fail.
        _ => {
            let read = renderer.process.stores.pages().read(&page.key, Wanted::default()).await;
            Ok(read.ok().and_then(|snapshot| Some(snapshot.shown()?.stored.name())))
        }
    }
}

/// Has a page rendered by a render that began at this epoch or later: this one, or another publisher's call's,
/// wherever that is. It ends: the lease of such a call does, and whatever follows it began later.
async fn render_since<S: Stores>(
    renderer: &Renderer<S>,
    page: &Resolved,
    epoch: Epoch,
) -> Result<Option<&'static str>, PublishError> {
    match refresh_since(renderer, page, epoch, None).await? {
        Some(Refreshed::Stored(entry) | Refreshed::Unchanged(entry)) => Ok(Some(entry.record.stored.name())),
        // A newer ticket was handed out after this one: that render began after the call as well.
        None | Some(Refreshed::Superseded) => Ok(None),
        Some(Refreshed::Failed { message, .. }) => Err(PublishError::Failed(message)),
        Some(Refreshed::Kept) => Err(PublishError::Kept),
        Some(Refreshed::GivenBack(_)) => Err(PublishError::Store(STOPPING.into())),
        Some(Refreshed::Unsaved(_)) => Err(PublishError::Store(UNSAVED.into())),
    }
}

/// The same, and what became of the render; none if it was another call's. A failure of the ticket that was `tried`
/// before counts no more.
pub(crate) async fn refresh_since<S: Stores>(
    renderer: &Renderer<S>,
    page: &Resolved,
    epoch: Epoch,
    tried: Option<Ticket>,
) -> Result<Option<Refreshed>, PublishError> {
    let mut pause = POLL.0;
    let mut refused = None;
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
            // For all who have marked the page until now.
            let urgency = Urgency::Demand(snapshot.epochs.newest.max(epoch));
            // Something newer than what is shown was committed, says the store, and shows the same again: somebody has
            // put an old record back. Whatever it is, it is to be replaced.
            let judged = Some(snapshot.generation).filter(|judged| refused != Some(*judged));
            match renderer
                .process
                .stores
                .pages()
                .begin(&page.key, renderer.process.ask(judged, urgency))
                .await?
            {
                Begun::Granted(ticket) => {
                    return renderer
                        .refresh(page, ticket, Reason::OnDemand)
                        .await
                        .map(Some)
                        .map_err(PublishError::from);
                }
                Begun::Unneeded => {
                    refused = judged;
                    continue;
                }
                Begun::Busy(_) | Begun::BackedOff { .. } => {}
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
