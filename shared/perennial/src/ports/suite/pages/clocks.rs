//! Leases between processes whose clocks differ, or who were slow to call.

use crate::ports::pages::slot::Begun;
use crate::ports::suite::pages::*;

pub(super) async fn differ<P: Pages>(pages: &P) {
    let (page, (ask, _)) = (page("clocks"), ask_and_record());
    let since = later(ask, 7_000);
    granted(pages, &page, since).await;
    let delayed = pages.begin(&page, ask).await.expect("begin");
    assert!(
        !matches!(delayed, Begun::Granted(_)),
        "who asked before a lease was granted, and arrives after, does not take it: {delayed:?}"
    );
    granted(pages, &page, later(ask, 60_000)).await;
    // The clock steps back, far enough for the lease to be a promise of nobody.
    granted(pages, &page, ask).await;
}
