//! Leases between processes whose clocks differ, or whose calls are delayed.

use crate::ports::pages::Pages;
use crate::ports::pages::slot::LeaseDecision;
use crate::ports::suite::pages::kit::*;

pub(super) async fn differ<P: Pages>(pages: &P) {
    let (page, (request, _)) = (page("clocks"), lease_request_and_record());
    let newer = later(request, 7_000);
    granted(pages, &page, newer).await;
    let delayed = pages.begin(&page, request).await.expect("begin");
    assert!(
        !matches!(delayed, LeaseDecision::Granted(_)),
        "a call with an older time than the lease does not take it: {delayed:?}"
    );
    granted(pages, &page, later(request, 60_000)).await;
    // The clock steps back so far that the lease cannot be from a live process: it is taken over.
    granted(pages, &page, request).await;
}
