//! The contract of [`Pages`] as tests; the entry is [`run`].

mod clocks;
mod demands;
mod epochs;
mod inline_bodies;
pub mod kit;
mod warmth;

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Millis;
use crate::key::page_key::PageKey;
use crate::key::tags::{SITE_TAG, path_tag};
use crate::ports::pages::Pages;
use crate::ports::pages::grant::{Committed, Failed, Grant};
use crate::ports::pages::slot::{LeaseDecision, LeaseRequest};
use crate::ports::pages::snapshot::{Inline, Stamp};
use crate::ports::pages::urgency::Urgency;
use crate::ports::suite::pages::kit::{commit, granted, later, lease_request_and_record, page, read_all};
use crate::record::page_record::{Record, Stored};

/// Runs every check. `open` opens the same storage for the build with the given id.
pub async fn run<P: Pages>(open: impl Fn(&str) -> P) {
    let pages = open("b");
    one_lease(&pages).await;
    clocks::differ(&pages).await;
    a_release_leaves_nothing(&pages).await;
    tickets_decide(&pages).await;
    failures_back_off(&pages).await;
    urgent_pre_empts(&pages).await;
    demands::share(&pages).await;
    epochs::epochs(&pages).await;
    resuming(&pages).await;
    versions(&pages, &open("b")).await;
    builds_are_apart(&pages, &open("c")).await;
    listing(&pages).await;
    not_found(&pages).await;
    inline_bodies::are_of_their_record(&pages).await;
    warmth::warmest_first(&pages, &open("c")).await;
    races(Arc::new(open("b"))).await;
}

/// Checks that hold only while no answer of the store is lost.
pub async fn run_undisturbed<P: Pages>(pages: &P) {
    let (page, (request, record)) = (page("undisturbed"), lease_request_and_record());
    let first = granted(pages, &page, request).await;
    let old = Record { generation: first.ticket, ..record };
    assert_eq!(commit(pages, &page, &old).await, Committed::Stored { replaced: None });
    let second = granted(pages, &page, LeaseRequest { seen: Some(first.ticket), ..request }).await;
    let new = Record { generation: second.ticket, ..old.clone() };
    let stored = commit(pages, &page, &new).await;
    assert_eq!(stored, Committed::Stored { replaced: Some(Arc::new(old)) }, "the caller removes its bodies");
}

async fn one_lease<P: Pages>(pages: &P) {
    let (page, (request, record)) = (page("lease"), lease_request_and_record());
    let first = granted(pages, &page, request).await;
    assert!(first.replaces.is_none());
    let busy = pages.begin(&page, later(request, 9_999)).await.expect("begin");
    assert!(
        matches!(busy, LeaseDecision::Busy(lease) if lease.ticket == first.ticket && lease.until == Millis(1_010_000)),
        "{busy:?}"
    );
    assert!(pages.extend(&page, first.ticket, request.lease, Millis(1_009_000)).await.expect("extend"));
    let busy = pages.begin(&page, later(request, 18_999)).await.expect("begin");
    assert!(matches!(busy, LeaseDecision::Busy(_)), "a renewed lease holds: {busy:?}");
    let second = granted(pages, &page, later(request, 19_000)).await;
    assert!(second.ticket > first.ticket, "an ended lease is taken over under a newer ticket");
    assert!(!pages.extend(&page, first.ticket, request.lease, request.now).await.expect("extend"));
    pages.release(&page, first.ticket).await.expect("release");
    let busy = pages.begin(&page, later(request, 19_001)).await.expect("begin");
    assert!(matches!(busy, LeaseDecision::Busy(_)), "another ticket cannot release a lease: {busy:?}");
    pages.release(&page, second.ticket).await.expect("release");
    let third = granted(pages, &page, later(request, 19_002)).await;
    commit(pages, &page, &Record { generation: third.ticket, ..record }).await;
    let unneeded = pages.begin(&page, later(request, 19_003)).await.expect("begin");
    assert!(matches!(unneeded, LeaseDecision::RecordChanged), "the page is no longer missing: {unneeded:?}");
    let slot = read_all(pages, &page).await.slot;
    assert_eq!(slot.leased_until(request.now), None, "a commit releases its lease");
}

async fn a_release_leaves_nothing<P: Pages>(pages: &P) {
    let (page, (request, _)) = (page("undone"), lease_request_and_record());
    let grant = granted(pages, &page, request).await;
    pages.release(&page, grant.ticket).await.expect("release");
    let listed = pages.list(page.as_str(), None, 1).await.expect("list");
    assert!(listed.is_empty(), "a released page leaves no item: {listed:?}");
    let first = granted(pages, &page, request).await;
    let second =
        granted(pages, &page, LeaseRequest { urgency: Urgency::Overriding, seen: None, ..request }).await;
    pages.release(&page, second.ticket).await.expect("release");
    let third = granted(pages, &page, request).await;
    assert!(
        third.ticket > second.ticket && second.ticket > first.ticket,
        "tickets stay unique: the first may still commit"
    );
    pages.release(&page, third.ticket).await.expect("release");
}

async fn tickets_decide<P: Pages>(pages: &P) {
    let (page, (request, record)) = (page("tickets"), lease_request_and_record());
    let old = granted(pages, &page, request).await;
    let new =
        granted(pages, &page, LeaseRequest { urgency: Urgency::Overriding, seen: None, ..request }).await;
    let record_of = |grant: &Grant| Record {
        generation: grant.ticket,
        period_s: Some(grant.ticket as u32),
        ..record.clone()
    };
    let stored = commit(pages, &page, &record_of(&new)).await;
    assert_eq!(stored, Committed::Stored { replaced: None });
    assert_eq!(commit(pages, &page, &record_of(&old)).await, Committed::Superseded);
    // A caller repeats a commit whose answer was lost: the store may recognise its own write, or refuse it.
    let repeated = commit(pages, &page, &record_of(&new)).await;
    assert!(matches!(repeated, Committed::Superseded | Committed::Stored { replaced: None }), "{repeated:?}");
    let read = read_all(pages, &page).await;
    assert_eq!(read.record.as_deref(), Some(&record_of(&new)));
    let next = granted(pages, &page, LeaseRequest { seen: Some(new.ticket), ..request }).await;
    assert_eq!(next.replaces.as_deref(), Some(&record_of(&new)));
    let stored = commit(pages, &page, &record_of(&next)).await;
    let Committed::Stored { replaced } = stored else { panic!("not stored: {stored:?}") };
    // `replaced` may have been in an answer that was lost.
    assert!(replaced.is_none_or(|replaced| *replaced == record_of(&new)));
}

async fn failures_back_off<P: Pages>(pages: &P) {
    let (page, (request, record)) = (page("failures"), lease_request_and_record());
    let failed = |now, retry_after| Failed { message: "no".into(), retry_after, now };
    let grant = granted(pages, &page, request).await;
    pages.fail(&page, grant.ticket, failed(request.now, None)).await.expect("fail");
    let grant = granted(pages, &page, request).await;
    let first_note = read_all(pages, &page).await.slot.failure.expect("a note");
    assert_eq!((first_note.count, &*first_note.message), (1, "no"));
    commit(pages, &page, &Record { generation: grant.ticket, ..record }).await;
    assert_eq!(read_all(pages, &page).await.slot.failure, None, "a commit forgets failures");

    let stale = LeaseRequest { seen: Some(grant.ticket), ..request };
    let grant = granted(pages, &page, stale).await;
    pages.fail(&page, grant.ticket, failed(request.now, None)).await.expect("fail");
    let backed_off = pages.begin(&page, later(stale, 1_000)).await.expect("begin");
    assert!(matches!(backed_off, LeaseDecision::BackedOff { .. }), "{backed_off:?}");
    let grant = granted(pages, &page, later(stale, 1_500)).await;
    let retry_after = Some(Duration::from_secs(60));
    pages.fail(&page, grant.ticket, failed(request.now, retry_after)).await.expect("fail");
    let note = read_all(pages, &page).await.slot.failure.expect("a note");
    assert_eq!((note.count, note.retry_at), (2, request.now.plus(Duration::from_secs(60))));
    let backed_off = pages.begin(&page, later(stale, 59_999)).await.expect("begin");
    assert!(
        matches!(backed_off, LeaseDecision::BackedOff { .. }),
        "Retry-After is longer than the back-off: {backed_off:?}"
    );
    granted(pages, &page, LeaseRequest { urgency: Urgency::Missing, ..later(stale, 59_999) }).await;
    granted(pages, &page, LeaseRequest { urgency: Urgency::Overriding, ..stale }).await;
}

async fn urgent_pre_empts<P: Pages>(pages: &P) {
    let (page, (request, record)) = (page("urgent"), lease_request_and_record());
    let slow = granted(pages, &page, request).await;
    let urgent =
        granted(pages, &page, LeaseRequest { urgency: Urgency::Overriding, seen: None, ..request }).await;
    let failed = Failed { message: "late".into(), retry_after: None, now: request.now };
    pages.fail(&page, slow.ticket, failed).await.expect("fail");
    let slot = read_all(pages, &page).await.slot;
    assert_eq!(
        (slot.ticket, slot.failure),
        (urgent.ticket, None),
        "the failure of an older render is not noted"
    );
    let stored = commit(pages, &page, &Record { generation: slow.ticket, ..record }).await;
    assert_eq!(stored, Committed::Stored { replaced: None });
    let busy = pages.begin(&page, LeaseRequest { seen: Some(slow.ticket), ..request }).await.expect("begin");
    assert!(matches!(busy, LeaseDecision::Busy(_)), "the urgent render's lease stays: {busy:?}");
}

async fn resuming<P: Pages>(pages: &P) {
    let (page, (request, record)) = (page("passed"), lease_request_and_record());
    let grant = granted(pages, &page, request).await;
    let late = Millis(request.now.0 + 60_000);
    let epoch = pages.invalidate(&[SITE_TAG.to_owned()], Stamp::Stale).await.expect("invalidate");
    let resumed =
        pages.resume(&page, grant.ticket, request.lease, late).await.expect("resume").expect("the newest");
    let resumed = pages.prepare(&page, resumed).await.expect("prepare");
    assert!(resumed.ticket > grant.ticket && resumed.epoch == epoch);
    let twice = pages.resume(&page, grant.ticket, request.lease, late).await.expect("resume");
    assert!(twice.is_none(), "the same job, delivered again");
    let busy = pages.begin(&page, LeaseRequest { now: late, ..request }).await.expect("begin");
    assert!(matches!(busy, LeaseDecision::Busy(_)), "{busy:?}");
    commit(pages, &page, &Record { generation: resumed.ticket, ..record }).await;
    let resumed_again = pages.resume(&page, resumed.ticket, request.lease, late).await.expect("resume");
    assert!(resumed_again.is_none(), "the ticket is committed");
    let newer = granted(pages, &page, LeaseRequest { seen: None, ..request }).await;
    pages.release(&page, newer.ticket).await.expect("release");
    let newest = granted(pages, &page, LeaseRequest { seen: None, ..request }).await;
    assert!(pages.resume(&page, newer.ticket, request.lease, late).await.expect("resume").is_none());
    pages.release(&page, newest.ticket).await.expect("release");
}

async fn versions<P: Pages>(pages: &P, other: &P) {
    let Some(before) = pages.version() else { return };
    assert_eq!(other.version(), Some(before));
    let (page, (request, _)) = (page("versions"), lease_request_and_record());
    granted(other, &page, request).await;
    let after = pages.version().expect("no write is under way");
    assert_ne!(after, before, "a write of another process changes the version");
    let busy = other.begin(&page, request).await.expect("begin");
    assert!(matches!(busy, LeaseDecision::Busy(_)));
    assert_eq!(pages.version(), Some(after), "a refusal changes nothing");
}

async fn builds_are_apart<P: Pages>(pages: &P, other: &P) {
    let (page, (request, record)) = (page("builds"), lease_request_and_record());
    let grant = granted(pages, &page, request).await;
    commit(pages, &page, &Record { generation: grant.ticket, ..record.clone() }).await;
    assert!(read_all(other, &page).await.record.is_none());
    let elsewhere = granted(other, &page, request).await;
    commit(other, &page, &Record { generation: elsewhere.ticket, ..record }).await;
    let epoch = other.invalidate(&[path_tag(page.path())], Stamp::Stale).await.expect("invalidate");
    assert_eq!(read_all(pages, &page).await.epochs.newest, epoch, "tags are shared");
    other.invalidate(&[path_tag(page.path())], Stamp::Gone).await.expect("invalidate");
    let pages_of_b = other.of_build(&"b".into());
    let snapshot = read_all(&pages_of_b, &page).await;
    assert!(
        snapshot.is_gone() && snapshot.record.is_some_and(|r| r.generation == grant.ticket),
        "that build's"
    );
}

async fn listing<P: Pages>(pages: &P) {
    let (request, record) = lease_request_and_record();
    let names = ["list-a", "list-b", "list-c"].map(page);
    let mut records = Vec::new();
    for page in &names[..2] {
        let grant = granted(pages, page, request).await;
        let record = Record { generation: grant.ticket, ..record.clone() };
        records.push((page.clone(), record, Inline::default()));
    }
    pages.publish(&records, &names).await.expect("publish");
    let read = read_all(pages, &names[2]).await;
    assert!(read.listed && read.record.is_none());
    let prefix = "/suite/{name}|list-";
    let all = pages.list(prefix, None, 10).await.expect("list");
    let texts: Vec<_> = all.iter().map(|(text, _)| text.as_str()).collect();
    assert_eq!(texts, names.each_ref().map(PageKey::as_str));
    let rest = pages.list(prefix, Some(texts[0]), 1).await.expect("list");
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].0, texts[1]);

    let newer = granted(pages, &names[0], LeaseRequest { seen: None, ..request }).await;
    let renewed = Record { generation: newer.ticket, ..record };
    commit(pages, &names[0], &renewed).await;
    pages.publish(&records, &names[..1]).await.expect("publish");
    let read = read_all(pages, &names[0]).await;
    assert_eq!(read.generation, newer.ticket, "a build does not undo newer renders");
    assert!(!read_all(pages, &names[1]).await.listed, "the new listing replaces the old one");
}

async fn not_found<P: Pages>(pages: &P) {
    let (request, record) = lease_request_and_record();
    let before = pages.count_not_found("/suite/{name}", 1_000).await.expect("count");
    let stored = pages.count_stored("/suite/{name}", 1_000).await.expect("count");
    let body = crate::record::content::Content::render("gone".into()).body().clone();
    let gone = Stored::NotFound { html: body.clone(), data: body };
    let mut newest = Vec::new();
    for page in ["gone-a", "gone-b", "gone-c"].map(page) {
        let grant = granted(pages, &page, request).await;
        let record = Record { generation: grant.ticket, stored: gone.clone(), ..record.clone() };
        commit(pages, &page, &record).await;
        newest.push((page, record));
    }
    let count = |limit| pages.count_not_found("/suite/{name}", limit);
    assert_eq!(count(1_000).await.expect("count"), before + 3);
    assert_eq!(count(2).await.expect("count"), 2, "the count stops at the limit");
    assert_eq!(pages.count_not_found("/suite", 10).await.expect("count"), 0, "another route's");
    assert_eq!(pages.count_stored("/suite/{name}", 1_000).await.expect("count"), stored + 3);
    assert_eq!(
        pages.count_stored("/suite/{name}", 2).await.expect("count"),
        2,
        "the count stops at the limit"
    );
    assert_eq!(pages.count_stored("/suite", 10).await.expect("count"), 0, "another route's");
    let (page, old) = &newest[0];
    let grant = granted(pages, page, LeaseRequest { seen: Some(old.generation), ..request }).await;
    commit(pages, page, &Record { generation: grant.ticket, ..record }).await;
    assert_eq!(count(1_000).await.expect("count"), before + 2, "the page exists now");
}

async fn races<P: Pages>(pages: Arc<P>) {
    const WRITERS: usize = 20;
    let (page, (request, record)) = (page("races"), lease_request_and_record());
    let barrier = Arc::new(tokio::sync::Barrier::new(WRITERS));
    let begin = |urgency: Urgency| {
        let (pages, page, barrier) = (pages.clone(), page.clone(), barrier.clone());
        tokio::spawn(async move {
            barrier.wait().await;
            pages.begin(&page, LeaseRequest { urgency, seen: None, ..request }).await.expect("begin")
        })
    };
    let mut tickets = Vec::new();
    for task in (0..WRITERS).map(|_| begin(Urgency::Ordinary)).collect::<Vec<_>>() {
        if let LeaseDecision::Granted(ticket) = task.await.expect("no panic") {
            tickets.push(ticket);
        }
    }
    assert_eq!(tickets.len(), 1, "one winner");
    for task in (0..WRITERS).map(|_| begin(Urgency::Demand(1))).collect::<Vec<_>>() {
        if let LeaseDecision::Granted(ticket) = task.await.expect("no panic") {
            tickets.push(ticket);
        }
    }
    assert_eq!(tickets.len(), 2, "one publisher's call pre-empts the lease, the others wait for it");
    for task in (0..WRITERS).map(|_| begin(Urgency::Overriding)).collect::<Vec<_>>() {
        if let LeaseDecision::Granted(ticket) = task.await.expect("no panic") {
            tickets.push(ticket);
        }
    }
    tickets.sort_unstable();
    assert_eq!(tickets.len(), 2 + WRITERS);
    assert!(tickets.windows(2).all(|pair| pair[0] < pair[1]), "one order of tickets: {tickets:?}");
    let newest = *tickets.last().expect("some");
    let commits = tickets.into_iter().map(|generation| {
        let (pages, page, record) = (pages.clone(), page.clone(), Record { generation, ..record.clone() });
        tokio::spawn(async move { commit(&*pages, &page, &record).await })
    });
    for task in commits.collect::<Vec<_>>() {
        task.await.expect("no panic");
    }
    assert_eq!(read_all(&*pages, &page).await.generation, newest, "the newest ticket wins");
}
