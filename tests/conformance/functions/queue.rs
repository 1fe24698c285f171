//! The queue of a deployed site, and what goes wrong on the way through it.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tests::conformance::pad;
use tests::deployed::kill_after;
use tests::until::{pass, until, until_true};
use tests::{Answer, Ask, Asks as _, Gate, Reply};

use crate::{Fixture, until_new};

/// A page that has just grown old.
pub(crate) async fn stale(f: &Fixture) -> Answer {
    f.up.on("/blog/a", json!({ "value": "old", "revalidate": 1 }));
    let old = f.get("/blog/a").await.expect(200, "MISS");
    pass(Duration::from_millis(1100)).await;
    old
}

/// B4.57, B4.59, invariant 3: a failure changes nothing that visitors see, is noted, and is tried again after a while.
#[tokio::test]
async fn a_failed_renewal_keeps_the_page() {
    let f = Fixture::start().await;
    let old = stale(&f).await;
    f.up.on("/blog/a", Reply::status(500));
    f.get("/blog/a").await.expect(200, "STALE");
    f.site.log.wait_for(&["/blog/a", "stale", "the upstream answered 500"]).await;
    f.until_worked().await;
    assert_eq!(f.messages(&f.site.stack.aws.dead_letters_url).await, 0);
    let noted = f.launch.run(&["pages"]).await.success();
    assert!(noted.output.contains("the upstream answered 500"), "{}", noted.output);
    f.up.on("/blog/a", json!({ "value": "new", "revalidate": 60 }));
    let new = until("the new page", async || {
        let answer = f.get("/blog/a").await;
        assert!(answer.id() == old.id() || answer.value() == "new", "{answer}");
        (answer.value() == "new").then_some(answer)
    })
    .await;
    new.expect(200, "HIT").cc(60);
    // Once in vain: the back-off lasts longer than the few visits to it.
    assert_eq!(f.up.count("/blog/a"), 3);
}

pub(crate) async fn queue_attributes(f: &Fixture, attributes: Value) {
    let asked = json!({ "QueueUrl": f.site.stack.aws.queue_url, "Attributes": attributes });
    f.site.stack.aws.json("AmazonSQS.SetQueueAttributes", &asked).await;
}

/// A job that the store kept from being carried out is delivered again, without a visitor, and after seconds: the queue's
/// own time-out is twelve minutes.
#[tokio::test]
async fn a_job_that_found_no_store_is_delivered_again() {
    let f = Fixture::start().await;
    stale(&f).await;
    let variables = f.site.stack.environment("Regenerate").await;
    let mut broken = variables.clone();
    broken["PERENNIAL_TABLE"] = "no-such-table".into();
    f.site.stack.set_environment("Regenerate", &broken).await;
    f.up.on("/blog/a", json!({ "value": "new", "revalidate": 60 }));
    f.get("/blog/a").await.expect(200, "STALE");
    f.site.log.wait_for(&["/blog/{slug}|a", "a job will be tried again", "check PERENNIAL_TABLE"]).await;
    assert_eq!(f.up.count("/blog/a"), 1);
    f.site.stack.set_environment("Regenerate", &variables).await;
    f.up.wait_for_calls("/blog/a", 2).await;
    f.until_worked().await;
    assert_eq!(f.get("/blog/a").await.expect(200, "HIT").value(), "new");
}

/// A renewal that was promised to a publisher goes on seconds after its first step has met a table that fails.
#[tokio::test]
async fn a_walk_whose_first_step_finds_no_table_goes_on_within_seconds() {
    let f = Fixture::start().await;
    let pages: Vec<_> = (0..3).map(|n| format!("/tagged/{n}")).collect();
    f.up.otherwise(|_| json!({ "value": "old", "tags": ["t"], "revalidate": false }).into());
    for page in &pages {
        f.get(page).await.expect(200, "MISS");
    }
    f.up.otherwise(|_| json!({ "value": "new", "tags": ["t"], "revalidate": false }).into());
    let variables = f.site.stack.environment("Regenerate").await;
    let mut broken = variables.clone();
    broken["PERENNIAL_TABLE"] = "no-such-table".into();
    f.site.stack.set_environment("Regenerate", &broken).await;
    let target = "/api/revalidate?route=/tagged/%7Bslug%7D";
    let ask = Ask::new(Method::POST, target).header("authorization", "Bearer test-secret");
    f.ask(ask).await.expect(202, "");
    f.site.log.wait_for(&["a job will be tried again", "check PERENNIAL_TABLE"]).await;
    f.site.stack.set_environment("Regenerate", &variables).await;
    // No visitor comes before they are rendered.
    for page in &pages {
        f.up.wait_for_calls(page, 2).await;
        until("the new page", async || (f.get(page).await.value() == "new").then_some(())).await;
    }
}

pub(crate) async fn dead_letters_arn(f: &Fixture) -> String {
    let asked = json!({ "QueueUrl": f.site.stack.aws.dead_letters_url, "AttributeNames": ["QueueArn"] });
    let answer = f.site.stack.aws.json("AmazonSQS.GetQueueAttributes", &asked).await;
    answer["Attributes"]["QueueArn"].as_str().expect("an ARN").to_owned()
}

/// B10.149, invariant 7: a function that is killed while it renders leaves the old page, and the next visit after its
/// lease renews it. Nobody waits for the queue's twelve minutes.
#[tokio::test]
async fn a_killed_renewal_is_taken_over() {
    let f = Fixture::with(&[("PERENNIAL_LEASE_MS", "1000")]).await;
    let old = stale(&f).await;
    f.up.next("/blog/a", Reply::value("never").behind(&Gate::new()));
    f.up.on("/blog/a", json!({ "value": "new", "revalidate": 60 }));
    f.get("/blog/a").await.expect(200, "STALE");
    f.up.wait_for_calls("/blog/a", 2).await;
    assert_eq!(f.site.stack.kill("regenerate").await, 1);
    let new = until_new(&f, "/blog/a", &old.id()).await.expect(200, "HIT");
    assert_eq!((new.value(), f.up.count("/blog/a")), ("new".to_owned(), 3));
}

/// B10.148, invariant 1: of two renewals out of order the one that began later wins. The first process stands still
/// beyond its lease, the second renders and stores, then the first goes on.
#[tokio::test]
async fn a_late_commit_is_superseded() {
    let f = Fixture::with(&[("PERENNIAL_LEASE_MS", "1000")]).await;
    let old = stale(&f).await;
    let gate = Gate::new();
    f.up.next("/blog/a", Reply::from(json!({ "value": "late", "revalidate": 60 })).behind(&gate));
    f.up.on("/blog/a", json!({ "value": "new", "revalidate": 60 }));
    f.get("/blog/a").await.expect(200, "STALE");
    f.up.wait_for_calls("/blog/a", 2).await;
    f.site.stack.signal("regenerate", "STOP").await;
    let stopped = f.site.stack.processes("regenerate");
    let new = until_new(&f, "/blog/a", &old.id()).await.expect(200, "HIT");
    assert_eq!((new.value(), stopped.len()), ("new".to_owned(), 1));
    gate.open();
    f.site.stack.signal("regenerate", "CONT").await;
    f.until_worked().await;
    assert_eq!(f.get("/blog/a").await.expect(200, "HIT").id(), new.id());
    assert_eq!(f.up.count("/blog/a"), 3);
}

/// B9.133, invariant 5: functions that are killed at any moment of a renewal leave a whole page, old or new.
#[tokio::test]
async fn killed_functions_leave_whole_pages() {
    const PAD: usize = 300_000;
    let f = Fixture::with(&[("PERENNIAL_LEASE_MS", "300")]).await;
    f.up.on("/blog/a", json!({ "revalidate": 1, "pad_bytes": PAD }));
    f.get("/blog/a").await.expect(200, "MISS");
    let begin = async || {
        let (calls, gate) = (f.up.count("/blog/a"), Gate::new());
        let held = Reply::from(json!({ "revalidate": 1, "pad_bytes": PAD })).behind(&gate);
        f.up.next("/blog/a", held);
        until("a renewal", async || {
            whole(&f, PAD).await;
            (f.up.count("/blog/a") > calls).then_some(())
        })
        .await;
        gate
    };
    // How long one takes from the upstream's answer on: rendered, compressed, written, committed.
    let gate = begin().await;
    let began = Instant::now();
    gate.open();
    until_true("a renewal's end", || f.site.log.count("rendered") == 2).await;
    let renewal = began.elapsed();
    let mut interrupted = 0;
    for part in 0..8 {
        let gate = begin().await;
        let (processes, rendered) = (f.site.stack.processes("regenerate"), f.site.log.count("rendered"));
        f.site.stack.signal("regenerate", "STOP").await;
        gate.open();
        kill_after(&processes, renewal * part / 8).await;
        whole(&f, PAD).await;
        interrupted += u32::from(f.site.log.count("rendered") == rendered);
    }
    assert!(interrupted > 0, "all renders were finished before their process was killed");
}

/// Both forms of the page, neither empty nor torn.
async fn whole(f: &Fixture, pad_bytes: usize) {
    let html = f.get("/blog/a").await;
    assert_eq!(html.status, 200, "{html}");
    assert!(html.text().ends_with(&format!("{}</html>", pad(&html.id(), pad_bytes))), "torn: {html}");
    let data = f.data("/blog/a").await;
    assert_eq!((data.status, data.prop("path")), (200, "/blog/a".to_owned()), "{data}");
}
