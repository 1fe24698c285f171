//! The contract of [`Jobs`] as tests; the entry is [`run`].

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

/// Runs every check on an empty queue. `receive` takes one message out of the queue for good; `None` if none is due.
pub async fn run<J: Jobs>(jobs: &J, mut receive: impl AsyncFnMut() -> Option<String>) {
    assert_eq!(receive().await, None);
    let delayed = job("later", Task::Again { due: Millis(1) });
    jobs.send(&delayed, Duration::from_secs(900)).await.expect("the longest delay is accepted");
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
    assert_eq!(received, texts, "every message once, in any order, and none before its delay has passed");
}
