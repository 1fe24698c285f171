//! What every implementation of [`Journal`] must do: one entry, [`run`].

use std::time::Duration;

use crate::base::clock::Millis;
use crate::ports::journal::*;

/// A journal entry with this id, which arrived at `at_ms` (milliseconds since the Unix epoch).
pub fn publish(id: &str, at_ms: u64) -> Publish {
    Publish {
        v: 1,
        id: id.to_owned(),
        at: Millis(at_ms),
        kept_until: Millis(u64::MAX >> 12),
        build: "b".into(),
        key_id: "7692c3ad".into(),
        provider: None,
        delivery_id: None,
        mode: "now".into(),
        paths: vec!["/é \u{1}".into()],
        tags: vec![],
        epoch: None,
        due: None,
        status: PublishStatus::Begun,
        renewal: None,
        results: vec![],
        error: None,
        visible_ms: None,
    }
}

/// Runs every check on an empty journal; `open` opens it as another process does, `now` is what its clock shows.
pub async fn run<J: Journal>(open: impl Fn() -> J, now: Millis) {
    let (a, b) = (open(), open());
    entries(&a, &b, now).await;
    progress(&a, &b, now).await;
    decisions(&a, &b, now).await;
    deliveries(&a, &b, now).await;
}

async fn entries<J: Journal>(a: &J, b: &J, now: Millis) {
    assert_eq!(a.get("1").await.expect("get"), None);
    assert!(a.list(None, 10).await.expect("list").is_empty());
    // Ids are epochs or texts, two of one arrival time: the order is the order of arrival.
    let ids = ["9", "10", "p1", "p2", "11"];
    for (id, at) in ids.iter().zip([1, 2, 2, 3, 4]) {
        a.put(&publish(id, now.0 + at)).await.expect("put");
    }
    let done = Publish { status: PublishStatus::Done, visible_ms: Some(7), ..publish("p1", now.0 + 2) };
    b.put(&done).await.expect("put again");
    let kept = a.get("p1").await.expect("get").expect("kept");
    assert_eq!(kept, JournalEntry { publish: Some(done), routes: vec![] });

    let all = b.list(None, 10).await.expect("list");
    let names: Vec<_> = all.iter().map(|p| &*p.id).collect();
    assert_eq!(names, ["11", "p2", "p1", "10", "9"], "newest first, each once");
    let some = b.list(Some(&all[1].place()), 2).await.expect("list");
    assert_eq!(some, all[2..4]);
    assert!(b.list(Some(&all[4].place()), 2).await.expect("list").is_empty());

    let old = Publish { kept_until: Millis(now.0 - 1), ..publish("old", now.0 - 2) };
    a.put(&old).await.expect("put");
    assert_eq!(a.get("old").await.expect("get"), None, "forgotten after `kept_until`");
    assert_eq!(b.list(None, 10).await.expect("list").len(), ids.len());
}

async fn progress<J: Journal>(a: &J, b: &J, now: Millis) {
    let progress =
        |route: &str, renewed| RouteProgress { route: route.to_owned(), renewed, ..RouteProgress::default() };
    let until = now.plus(Duration::from_secs(3600));
    a.note_progress("10", &progress("/b/{x}", 1), until).await.expect("note");
    b.note_progress("10", &progress("/a", 2), until).await.expect("note");
    a.note_progress("10", &progress("/b/{x}", 3), until).await.expect("note again");
    let kept = b.get("10").await.expect("get").expect("kept");
    assert_eq!(kept.routes, [progress("/a", 2), progress("/b/{x}", 3)]);
    assert_eq!(kept.publish.expect("the entry").id, "10");
    assert!(b.get("9").await.expect("get").expect("kept").routes.is_empty());
    a.note_progress("unwritten", &progress("/a", 1), until).await.expect("note");
    let kept = a.get("unwritten").await.expect("get").expect("progress without its entry");
    assert_eq!((kept.publish, kept.routes.len()), (None, 1));
    assert_eq!(b.list(None, 10).await.expect("list").len(), 5, "progress is no entry");
}

async fn decisions<J: Journal>(a: &J, b: &J, now: Millis) {
    let until = now.plus(Duration::from_secs(3600));
    for (id, first, second) in [
        ("p8", ScheduleDecision::Cancelled, ScheduleDecision::Begun),
        ("p9", ScheduleDecision::Begun, ScheduleDecision::Cancelled),
    ] {
        assert_eq!(a.settle(id, first, until).await.expect("settle"), first);
        for (journal, other) in [(b, second), (a, first), (a, second)] {
            assert_eq!(
                journal.settle(id, other, until).await.expect("settle"),
                first,
                "{id}: the first decision stays"
            );
        }
        assert_eq!(b.get(id).await.expect("get"), None, "a decision is no entry");
    }
    let (begun, cancelled) = tokio::join!(
        a.settle("p10", ScheduleDecision::Begun, until),
        b.settle("p10", ScheduleDecision::Cancelled, until)
    );
    assert_eq!(
        begun.expect("settle"),
        cancelled.expect("settle"),
        "both calls get the decision of the first"
    );
}

async fn deliveries<J: Journal>(a: &J, b: &J, now: Millis) {
    let long = "msg_é".repeat(1_000);
    for (delivery, id) in [("msg_1", "10"), (&*long, "11")] {
        assert_eq!(a.carried_out(delivery, now).await.expect("asked"), None);
        b.note_carried_out(delivery, id, now).await.expect("noted");
        assert_eq!(a.carried_out(delivery, now).await.expect("asked").as_deref(), Some(id));
    }
    let before_end = |ms| Millis(now.plus(DELIVERY_KEPT).0 - ms);
    assert!(a.carried_out("msg_1", before_end(1_000)).await.expect("asked").is_some());
    assert_eq!(a.carried_out("msg_1", before_end(0)).await.expect("asked"), None, "forgotten");
    assert_eq!(a.carried_out("msg_2", now).await.expect("asked"), None);
}
