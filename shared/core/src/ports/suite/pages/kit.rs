//! What the checks of pages start from.

use std::time::Duration;

use crate::base::clock::Millis;
use crate::key::page_key::PageKey;
use crate::key::params::Params;
use crate::key::pattern::Pattern;
use crate::ports::pages::Pages;
use crate::ports::pages::grant::{Committed, Grant};
use crate::ports::pages::slot::{LeaseDecision, LeaseRequest};
use crate::ports::pages::snapshot::{Inline, Snapshot, Wanted};
use crate::ports::pages::urgency::Urgency;
use crate::record::page_record::{Record, Stored};
use crate::record::reason::Reason;

/// A page of the route `/suite/{name}`.
pub fn page(name: &str) -> PageKey {
    let pattern = Pattern::parse("/suite/{name}").expect("a constant");
    PageKey::new(&pattern, &Params::new().with("name", name), &[])
}

/// A request to render a missing page, and a record that can be its result once `generation` is set.
pub fn lease_request_and_record() -> (LeaseRequest, Record) {
    let request = LeaseRequest {
        seen: Some(0),
        urgency: Urgency::Ordinary,
        lease: Duration::from_secs(10),
        now: Millis(1_000_000),
    };
    let record = Record {
        generation: 0,
        epoch: 0,
        started_at: request.now,
        period_s: Some(2),
        expires_at: None,
        modified_at: request.now,
        reason: Reason::First,
        tags: vec!["t".into()],
        headers: Default::default(),
        stored: Stored::Redirect { destination: "/x".into(), status: 307, base_path: true },
    };
    (request, record)
}

pub(super) async fn granted<P: Pages>(pages: &P, page: &PageKey, request: LeaseRequest) -> Grant {
    match pages.begin(page, request).await.expect("begin") {
        LeaseDecision::Granted(ticket) => pages.prepare(page, ticket).await.expect("prepare"),
        other => panic!("not granted: {other:?}"),
    }
}

/// The snapshot of a page with the epochs of all its tags, read as for a visitor.
pub(super) async fn read_all<P: Pages>(pages: &P, page: &PageKey) -> Snapshot {
    let mut snapshot = pages.read(page, Wanted::default()).await.expect("read");
    let unread = std::mem::take(&mut snapshot.unread_tags);
    if !unread.is_empty() {
        let epochs = pages.epochs(&unread).await.expect("epochs");
        snapshot.epochs = snapshot.epochs.max(epochs);
        let reread = pages.read(page, Wanted { tags: &unread, body: None }).await.expect("read");
        assert!(reread.unread_tags.is_empty(), "one read is enough once the tags are known");
        assert_eq!(reread.epochs, snapshot.epochs);
    }
    snapshot
}

pub(super) async fn commit<P: Pages>(pages: &P, page: &PageKey, record: &Record) -> Committed {
    pages.commit(page, record, &Inline::default()).await.expect("commit")
}

pub(super) fn later(request: LeaseRequest, ms: u64) -> LeaseRequest {
    LeaseRequest { now: Millis(request.now.0 + ms), ..request }
}
