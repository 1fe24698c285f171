//! What every implementation of [`Queue`] must do: one entry, [`run`].

use std::time::Duration;

use crate::base::clock::Millis;
use crate::ports::job::{Job, Task};
use crate::ports::queue::*;
use crate::record::reason::Reason;

/// As long as a delivery is hidden here, and longer. Queues may count in whole seconds.
const HIDDEN: Duration = Duration::from_secs(2);
const LONGER: Duration = Duration::from_secs(4);
/// A job that is due comes within this time.
const WAIT: Duration = Duration::from_secs(10);
const NO_WAIT: Duration = Duration::ZERO;

/// A job of build `b` for the page `/suite/{name}`.
pub fn job(name: &str, task: Task) -> Job {
    Job { v: 1, build: "b".into(), key: format!("/suite/{{name}}|{name}"), task }
}

fn again(name: &str) -> Job {
    job(name, Task::SecondLook { due: Millis(1) })
}

/// Runs every check against an empty queue for jobs of build `b`. `open` opens it as another process does; `pass` lets
/// time pass by its clock.
pub async fn run<Q: Queue>(open: impl Fn() -> Q, pass: impl AsyncFn(Duration)) {
    let (a, b) = (open(), open());
    each_job_comes(&a, &b).await;
    a_delay_is_kept(&a, &b, &pass).await;
    a_delivery_hides_its_job(&a, &b, &pass).await;
    a_job_that_is_kept_stays_hidden(&a, &b, &pass).await;
    a_job_that_is_given_back_comes_again(&a, &b, &pass).await;
    whoever_waits_is_told(&a, &b, &pass).await;
}

/// The job that is there.
async fn taken<Q: Queue>(queue: &Q) -> Delivery {
    queue.take(HIDDEN, WAIT).await.expect("take").expect("a job is due")
}

async fn assert_none<Q: Queue>(queue: &Q, why: &str) {
    assert_eq!(queue.take(HIDDEN, NO_WAIT).await.expect("take"), None, "{why}");
}

async fn each_job_comes<Q: Queue>(a: &Q, b: &Q) {
    assert_none(a, "it is empty").await;
    a.send(&again("later"), Duration::from_secs(900)).await.expect("the longest delay there is");
    let sent = [
        job("é & <b>", Task::Refresh { ticket: u64::MAX, reason: Reason::Stale }),
        again("same"),
        again("same"),
        job("body", Task::RemoveBody { sha256: "ab".repeat(32), replaced_at: Millis(1_800_000_000_000) }),
    ];
    for job in &sent {
        a.send(job, Duration::ZERO).await.expect("send");
    }
    let mut received = Vec::new();
    for _ in &sent {
        let delivery = taken(b).await;
        assert_eq!(delivery.deliveries, 1, "{delivery:?}");
        received.push(delivery.message.clone());
        b.finish(delivery).await.expect("finish");
    }
    let mut texts = sent.each_ref().map(Job::to_json);
    texts.sort_unstable();
    received.sort_unstable();
    assert_eq!(received, texts, "each as it was sent, in any order");
    assert_none(a, "none comes again that was finished, and none before its time").await;
}

async fn a_delay_is_kept<Q: Queue>(a: &Q, b: &Q, pass: &impl AsyncFn(Duration)) {
    let sent = again("delayed");
    a.send(&sent, HIDDEN).await.expect("send");
    assert_none(b, "it is too early").await;
    pass(LONGER).await;
    let delivery = taken(b).await;
    assert_eq!(delivery.message, sent.to_json());
    b.finish(delivery).await.expect("finish");
}

async fn a_delivery_hides_its_job<Q: Queue>(a: &Q, b: &Q, pass: &impl AsyncFn(Duration)) {
    a.send(&again("hidden"), Duration::ZERO).await.expect("send");
    let first = taken(a).await;
    assert_none(b, "it is hidden from others").await;
    assert_none(a, "it is hidden from its own process").await;
    pass(LONGER).await;
    let second = taken(b).await;
    assert_eq!((&second.message, first.deliveries, second.deliveries), (&first.message, 1, 2));
    b.finish(second).await.expect("finish");
    pass(LONGER).await;
    assert_none(a, "it was finished").await;
}

async fn a_job_that_is_kept_stays_hidden<Q: Queue>(a: &Q, b: &Q, pass: &impl AsyncFn(Duration)) {
    a.send(&again("kept"), Duration::ZERO).await.expect("send");
    let delivery = taken(a).await;
    a.keep(&delivery, 4 * LONGER).await.expect("keep");
    pass(LONGER).await;
    assert_none(b, "its worker lives").await;
    a.keep(&delivery, HIDDEN).await.expect("keep");
    pass(LONGER).await;
    let again = taken(b).await;
    assert_eq!(again.message, delivery.message, "no longer than was asked for last");
    b.finish(again).await.expect("finish");
}

async fn a_job_that_is_given_back_comes_again<Q: Queue>(a: &Q, b: &Q, pass: &impl AsyncFn(Duration)) {
    a.send(&again("given back"), Duration::ZERO).await.expect("send");
    let first = a.take(WAIT, WAIT).await.expect("take").expect("a job is due");
    a.give_back(&first.receipt, HIDDEN).await.expect("give back");
    assert_none(b, "it is too early").await;
    pass(LONGER).await;
    let second = taken(b).await;
    assert_eq!((&second.message, second.deliveries), (&first.message, 2));
    b.give_back(&second.receipt, Duration::ZERO).await.expect("give back");
    let third = taken(a).await;
    assert_eq!((&third.message, third.deliveries), (&first.message, 3), "at once");
    a.finish(third).await.expect("finish");
}

async fn whoever_waits_is_told<Q: Queue>(a: &Q, b: &Q, pass: &impl AsyncFn(Duration)) {
    let time = async || {
        loop {
            pass(Duration::from_millis(100)).await;
            tokio::task::yield_now().await;
        }
    };
    let found = tokio::select! {
        found = a.take(HIDDEN, Duration::from_secs(1)) => found.expect("take"),
        () = time() => unreachable!("time goes on"),
    };
    assert_eq!(found, None, "nothing came within the wait");
    let sent = again("awaited");
    let send_late = async {
        pass(Duration::from_millis(300)).await;
        b.send(&sent, Duration::ZERO).await.expect("send");
        time().await;
    };
    let found = tokio::select! {
        found = a.take(HIDDEN, WAIT) => found.expect("take"),
        () = send_late => unreachable!("time goes on"),
    };
    let found = found.expect("it came while somebody waited");
    assert_eq!(found.message, sent.to_json());
    a.finish(found).await.expect("finish");
}
