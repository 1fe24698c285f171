//! The ports' contract while calls go wrong: throttled, slow, lost before they arrive, and lost after they were carried
//! out. They are repeated, and the repetition finds what the first has done.

use std::sync::atomic::{AtomicUsize, Ordering};

use perennial::parts::ports::stores::Stores as _;
use perennial::{Clock as _, SystemClock};
use tests::Aws;
use tests::between::{Between, Call, Fault};

use crate::stores;

const FAULTS: [Fault; 5] =
    [Fault::LostAfter, Fault::Throttled, Fault::LostBefore, Fault::Slow, Fault::ServerError];

/// One call in so many goes wrong, each in the next way; no call twice.
fn every(nth: usize) -> impl Fn(&Call) -> Option<Fault> + Send + Sync + 'static {
    let (calls, faults) = (AtomicUsize::new(0), AtomicUsize::new(0));
    move |call| {
        let due = !call.is_repeated && (calls.fetch_add(1, Ordering::SeqCst) + 1).is_multiple_of(nth);
        due.then(|| FAULTS[faults.fetch_add(1, Ordering::SeqCst) % FAULTS.len()])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_keep_the_contract_while_calls_go_wrong() {
    let aws = Aws::start().await;
    let between = Between::with(&aws, every(5)).await;
    let url = between.url();
    perennial::parts::ports::suite::pages::run(|build| {
        stores(&aws, build, &[("AWS_ENDPOINT_URL", &url)]).pages().clone()
    })
    .await;
    assert!(between.calls().len() > 200, "the suite went through here");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_keep_the_contract_while_the_answer_to_every_other_write_is_lost() {
    let aws = Aws::start().await;
    // Not of every write: some repetitions are to meet what has not been written.
    let writes = AtomicUsize::new(0);
    let lose = move |call: &Call| {
        let first = ["UpdateItem", "PutItem", "DeleteItem"].contains(&&*call.name) && !call.is_repeated;
        (first && writes.fetch_add(1, Ordering::SeqCst).is_multiple_of(2)).then_some(Fault::LostAfter)
    };
    let between = Between::with(&aws, lose).await;
    let url = between.url();
    perennial::parts::ports::suite::pages::run(|build| {
        stores(&aws, build, &[("AWS_ENDPOINT_URL", &url)]).pages().clone()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_keep_the_contract_while_calls_go_wrong() {
    let aws = Aws::start().await;
    let between = Between::with(&aws, every(3)).await;
    let url = between.url();
    perennial::parts::ports::suite::bodies::run(|build| {
        stores(&aws, build, &[("AWS_ENDPOINT_URL", &url)]).bodies().clone()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_keeps_the_contract_while_calls_go_wrong() {
    let aws = Aws::start().await;
    let between = Between::with(&aws, every(3)).await;
    let url = between.url();
    let open = || stores(&aws, "b", &[("AWS_ENDPOINT_URL", &url)]).journal().clone();
    perennial::parts::ports::suite::journal::run(open, SystemClock.now()).await;
    assert!(between.calls().len() > 40, "the suite went through here");
}
