//! What every implementation of [`Queue`] must do: one entry, [`run`].

use crate::base::clock::Millis;
use crate::ports::job::Job;
use crate::ports::job::Task;
use crate::ports::queue::*;
use crate::record::reason::Reason;
use std::time::Duration;

/// A job of build `b` for the page `/suite/{name}`.
pub fn job(name: &str, task: Task) -> Job {
    Job { v: 1, build: "b".into(), key: format!("/suite/{{name}}|{name}"), task }
}

/// Runs every check against an empty queue, of which `receive` takes one message for good, if there is one.
pub async fn run<J: Queue>(jobs: &J, mut receive: impl AsyncFnMut() -> Option<String>) {
    assert_eq!(receive().await, None);
    let later = job("later", Task::Again { due: Millis(1) });
    jobs.send(&later, Duration::from_secs(900)).await.expect("the longest delay there is");
    let sent = [
        job("é & <b>", Task::Refresh { ticket: u64::MAX, reason: Reason::Stale }),
        job("same", Task::Again { due: Millis(7) }),
        job("same", Task::Again { due: Millis(7) }),
        job("body", Task::RemoveBody { sha256: "ab".repeat(32), replaced_at: Millis(1_800_000_000_000) }),
    ];
    let mut texts = sent.each_ref().map(Job::to_json);
    for job in &sent {
        jobs.send(job, Duration::ZERO).await.expect("send");
    }
    let mut received = Vec::new();
    while let Some(text) = receive().await {
        received.push(text);
    }
    texts.sort_unstable();
    received.sort_unstable();
    assert_eq!(received, texts, "each once, in any order, and none before its time");
}
