//! Invalidations and deletions.

use crate::freshness::Epochs;
use crate::key::page_key::PageKey;
use crate::key::tags::{SITE_TAG, path_tag, route_tag, user_tag};
use crate::ports::pages::Pages;
use crate::ports::pages::slot::LeaseRequest;
use crate::ports::pages::snapshot::Stamp;
use crate::ports::pages::urgency::Urgency;
use crate::ports::suite::pages::kit::*;
use crate::record::page_record::Record;

pub(super) async fn epochs<P: Pages>(pages: &P) {
    let (page, (request, record)) = (page("epochs"), lease_request_and_record());
    let before = granted(pages, &page, request).await;
    assert_eq!(pages.epoch().await.expect("epoch"), before.epoch);
    let advanced = pages.invalidate(&[path_tag(page.path())], Stamp::Stale).await.expect("invalidate");
    assert!(advanced > before.epoch);
    assert_eq!(pages.epoch().await.expect("epoch"), advanced);
    let record = Record { generation: before.ticket, epoch: before.epoch, ..record };
    commit(pages, &page, &record).await;
    let read = read_all(pages, &page).await;
    assert!(read.epochs.newest > before.epoch, "invalidated during the render: stored, but stale");
    for tags in [vec![user_tag("t")], vec![route_tag(page.route())], vec![SITE_TAG.to_owned(), user_tag("u")]]
    {
        let before = read_all(pages, &page).await.epochs.newest;
        let epoch = pages.invalidate(&tags, Stamp::Stale).await.expect("invalidate");
        assert!(epoch > before);
        assert_eq!(read_all(pages, &page).await.epochs.newest, epoch, "{tags:?}");
    }
    deletions(pages, &page).await;
    let epoch = read_all(pages, &page).await.epochs.newest;
    pages
        .invalidate(&["tag:path:/suite/epochs".into(), "path:t".into()], Stamp::Stale)
        .await
        .expect("invalidate");
    assert_eq!(read_all(pages, &page).await.epochs.newest, epoch, "tags of other pages");
    let after =
        granted(pages, &page, LeaseRequest { seen: None, urgency: Urgency::Overriding, ..request }).await;
    assert!(after.epoch > epoch, "the epoch is the site's, not the page's");
}

/// A later invalidation does not bring a deleted page back.
async fn deletions<P: Pages>(pages: &P, page: &PageKey) {
    assert_eq!(read_all(pages, page).await.epochs.gone, 0);
    for tag in [path_tag(page.path()), user_tag("t"), SITE_TAG.to_owned()] {
        let gone = pages.invalidate(std::slice::from_ref(&tag), Stamp::Gone).await.expect("delete");
        assert_eq!(
            read_all(pages, page).await.epochs,
            Epochs { newest: gone, gone, partial: false },
            "{tag}"
        );
        let newest = pages.invalidate(std::slice::from_ref(&tag), Stamp::Stale).await.expect("invalidate");
        assert_eq!(read_all(pages, page).await.epochs, Epochs { newest, gone, partial: false }, "{tag}");
    }
    pages.invalidate(&[user_tag("another")], Stamp::Gone).await.expect("delete");
    let listed = pages.list(page.as_str(), None, 1).await.expect("list");
    assert_eq!(listed[0].1.epochs, read_all(pages, page).await.epochs);
}
