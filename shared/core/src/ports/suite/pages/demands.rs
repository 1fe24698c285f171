//! Publishers' calls for one page share renders.

use crate::ports::pages::Pages;
use crate::ports::pages::grant::Failed;
use crate::ports::pages::slot::{LeaseDecision, LeaseRequest};
use crate::ports::pages::urgency::Urgency;
use crate::ports::suite::pages::kit::*;
use crate::record::page_record::Record;

pub(super) async fn share<P: Pages>(pages: &P) {
    let (page, (request, record)) = (page("demands"), lease_request_and_record());
    let demand = |epoch| LeaseRequest { urgency: Urgency::Demand(epoch), seen: None, ..request };
    granted(pages, &page, request).await;
    let first = granted(pages, &page, demand(5)).await;
    for waiting in [demand(6), demand(4), request] {
        let busy = pages.begin(&page, waiting).await.expect("begin");
        assert!(
            matches!(busy, LeaseDecision::Busy(lease) if lease.ticket == first.ticket),
            "{waiting:?}: {busy:?}"
        );
    }
    assert!(
        pages.extend(&page, first.ticket, request.lease, later(request, 9_000).now).await.expect("extend")
    );
    let slot = read_all(pages, &page).await.slot;
    assert_eq!((slot.demanded, slot.demand_at(later(request, 18_999).now).map(|l| l.ticket)), (5, Some(2)));
    let busy = pages.begin(&page, later(demand(6), 18_999)).await.expect("begin");
    assert!(matches!(busy, LeaseDecision::Busy(_)), "a renewed lease still belongs to the demand: {busy:?}");
    let second = granted(pages, &page, later(demand(6), 19_000)).await;

    let failed = Failed { message: "no".into(), retry_after: None, now: request.now };
    pages.fail(&page, second.ticket, failed).await.expect("fail");
    let slot = read_all(pages, &page).await.slot;
    assert!(slot.demand_at(request.now).is_none());
    assert_eq!(slot.failed_demand(6).map(|failure| &*failure.message), Some("no"));
    assert_eq!(slot.failed_demand(7), None, "the failed render may have begun before that call");
    let third = granted(pages, &page, demand(7)).await;
    assert_eq!(read_all(pages, &page).await.slot.failed_demand(6), None, "a newer render clears the failure");

    let overriding = granted(pages, &page, LeaseRequest { urgency: Urgency::Overriding, ..demand(0) }).await;
    assert!(overriding.ticket > third.ticket, "an overriding render does not wait");
    let fourth = granted(pages, &page, demand(8)).await;
    commit(pages, &page, &Record { generation: fourth.ticket, ..record }).await;
    assert!(read_all(pages, &page).await.slot.demand_at(request.now).is_none(), "a commit ends its lease");
    let stale = LeaseRequest { seen: Some(fourth.ticket), ..request };
    let queued = granted(pages, &page, stale).await;
    let resumed = pages.resume(&page, queued.ticket, request.lease, request.now).await.expect("resume");
    assert!(resumed.is_some() && read_all(pages, &page).await.slot.demanded == 0);
    granted(pages, &page, demand(9)).await;
}
