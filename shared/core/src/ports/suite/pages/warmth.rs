//! The order of pages by their last visit.

use crate::base::clock::Millis;
use crate::key::page_key::PageKey;
use crate::key::params::Params;
use crate::key::pattern::Pattern;
use crate::ports::pages::Pages;
use crate::ports::pages::slot::LeaseRequest;
use crate::ports::pages::snapshot::Stamp;
use crate::ports::pages::urgency::Urgency;
use crate::ports::pages::warmth::Warm;
use crate::ports::suite::pages::kit::{commit, granted, lease_request_and_record};
use crate::record::content::Content;
use crate::record::page_record::{Record, Stored};
use crate::record::reason::Reason;

const HOUR_MS: u64 = 3_600_000;
const ROUTE: &str = "/warm/{name}";

fn page(name: &str) -> PageKey {
    let pattern = Pattern::parse(ROUTE).expect("a constant");
    PageKey::new(&pattern, &Params::new().with("name", name), &[])
}

/// Commits a record with this start time, in hours since the Unix epoch, and this reason.
async fn render<P: Pages>(pages: &P, name: &str, reason: Reason, hour: u64, stored: &Stored) {
    let (request, record) = lease_request_and_record();
    let now = Millis(hour * HOUR_MS);
    let grant = granted(
        pages,
        &page(name),
        LeaseRequest { seen: None, urgency: Urgency::Overriding, now, ..request },
    )
    .await;
    let (generation, stored) = (grant.ticket, stored.clone());
    let record = Record { generation, reason, started_at: now, stored, ..record };
    commit(pages, &page(name), &record).await;
}

async fn warmest<P: Pages>(pages: &P, after: Option<&str>, limit: usize) -> (Vec<Warm>, Option<String>) {
    let batch = pages.warmest(ROUTE, after, limit).await.expect("warmest");
    (batch.pages, batch.next)
}

/// Lists every page once, the page with the latest visit first.
pub(super) async fn warmest_first<P: Pages>(pages: &P, other_build: &P) {
    let (_, record) = lease_request_and_record();
    let body = Content::render("gone".into()).body().clone();
    let not_found = Stored::NotFound { html: body.clone(), data: body };
    let present = record.stored;
    assert!(warmest(pages, None, 10).await.0.is_empty());
    for (name, reason, hour) in [
        ("built", Reason::Build, 900),
        ("old", Reason::First, 100),
        ("recent", Reason::Stale, 300),
        ("older", Reason::First, 99),
        ("published", Reason::First, 200),
        ("deleted", Reason::First, 400),
        ("revived", Reason::First, 250),
    ] {
        render(pages, name, reason, hour, &present).await;
    }
    render(pages, "missing", Reason::First, 500, &not_found).await;
    // Renders for publishers do not change the time of the last visit.
    render(pages, "published", Reason::OnDemand, 901, &present).await;
    render(pages, "deleted", Reason::OnDemand, 902, &Stored::Deleted).await;
    render(pages, "revived", Reason::OnDemand, 903, &not_found).await;
    render(pages, "revived", Reason::OnDemand, 904, &present).await;
    render(other_build, "elsewhere", Reason::First, 999, &present).await;

    let (all, next) = warmest(pages, None, 20).await;
    assert_eq!(next, None);
    let mut names: Vec<_> = all.iter().map(|warm| warm.page.rsplit('|').next().expect("a name")).collect();
    // A store may list pages that are not found after all others.
    let missing = names.iter().position(|name| *name == "missing").expect("not found is an outcome too");
    names.remove(missing);
    assert_eq!(names, ["recent", "revived", "published", "old", "older", "built"]);
    assert!(missing == 0 || missing == names.len());
    assert!(all.iter().all(|warm| warm.snapshot.generation > 0 && warm.snapshot.record.is_some()));
    let epoch = pages.invalidate(&[format!("route:{ROUTE}")], Stamp::Stale).await.expect("invalidate");
    assert!(warmest(pages, None, 20).await.0.iter().all(|warm| warm.snapshot.epochs.newest == epoch));

    let (mut seen, mut after, mut rounds) = (Vec::new(), None, 0);
    loop {
        let (some, next) = warmest(pages, after.as_deref(), 2).await;
        seen.extend(some.into_iter().map(|warm| warm.page));
        rounds += 1;
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, all.iter().map(|warm| warm.page.clone()).collect::<Vec<_>>());
    assert!((4..=5).contains(&rounds), "{rounds} rounds of two");
    let (rest, _) = warmest(pages, Some(&all[2].place), 20).await;
    assert_eq!(rest.len(), all.len() - 3, "from after a page in the middle");
}
