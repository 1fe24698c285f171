//! Connections: when they are opened, what happens when they break, whom they trust.

use std::time::Duration;

use perennial::Millis;
use perennial::parts::ports::bodies::Bodies as _;
use perennial::parts::ports::error::StoreErrorKind;
use perennial::parts::ports::job::Task;
use perennial::parts::ports::pages::Pages as _;
use perennial::parts::ports::pages::snapshot::Stamp;
use perennial::parts::ports::queue::Queue as _;
use perennial::parts::ports::stores::Stores as _;
use perennial::parts::ports::suite::pages::kit::page;
use perennial::parts::ports::suite::queue::job;
use perennial::parts::stores::aws::stores::warm;
use tests::Aws;
use tokio::net::TcpListener;

use crate::front::Front;
use crate::{stores, with_account};

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[tokio::test]
async fn the_first_request_finds_its_connections_open() {
    let aws = Aws::start().await;
    let front = Front::plain(&aws).await;
    let (account, stores) = with_account(&aws, "b", &[("AWS_ENDPOINT_URL", front.url())]);
    assert_eq!(front.opened(), 0, "none before they are asked for");
    warm(&account, &stores).await;
    let opened = front.opened();
    assert_eq!(opened, 3);
    stores.pages().invalidate(&["tag:a".into()], Stamp::Stale).await.expect("invalidate");
    stores.bodies().get(&page("a"), EMPTY).await.expect("get");
    stores.queue().send(&job("a", Task::SecondLook { due: Millis(1) }), Duration::ZERO).await.expect("send");
    assert_eq!(front.opened(), opened);
}

#[tokio::test]
async fn connections_that_were_closed_meanwhile_are_no_error() {
    let aws = Aws::start().await;
    let front = Front::plain(&aws).await;
    let (account, stores) = with_account(&aws, "b", &[("AWS_ENDPOINT_URL", front.url())]);
    for _ in 0..3 {
        warm(&account, &stores).await;
        // As a function finds them that was frozen for an hour.
        front.cut().await;
        stores.pages().invalidate(&["tag:a".into()], Stamp::Stale).await.expect("invalidate");
        front.cut().await;
        stores.bodies().put(&page("a"), EMPTY, "".into(), Millis(1)).await.expect("put");
        front.cut().await;
        stores
            .queue()
            .send(&job("a", Task::SecondLook { due: Millis(1) }), Duration::ZERO)
            .await
            .expect("send");
    }
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_unsure() {
    let aws = Aws::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    // Hears everybody out for a moment, and hangs up.
    let deaf = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.readable().await.expect("readable");
        }
    });
    let stores = stores(&aws, "b", &[("AWS_ENDPOINT_URL", &url)]);
    let sent = stores.queue().send(&job("a", Task::SecondLook { due: Millis(1) }), Duration::ZERO).await;
    assert_eq!(sent.unwrap_err().kind(), StoreErrorKind::Unsure);
    let read = stores.bodies().get(&page("a"), EMPTY).await;
    assert_eq!(read.unwrap_err().kind(), StoreErrorKind::Unavailable);
    deaf.abort();
}

#[tokio::test]
async fn a_bundle_of_roots_replaces_those_of_amazon() {
    let aws = Aws::start().await;
    let (front, root) = Front::tls(&aws).await;
    let bundle = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(&bundle, root).expect("written");
    let bundle = bundle.path().to_str().expect("a plain path");
    let more = [("AWS_ENDPOINT_URL", front.url()), ("AWS_CA_BUNDLE", bundle)];
    let (account, trusting) = with_account(&aws, "b", &more);
    warm(&account, &trusting).await;
    trusting
        .queue()
        .send(&job("a", Task::SecondLook { due: Millis(1) }), Duration::ZERO)
        .await
        .expect("send");
    assert_eq!(front.opened(), 3);

    let others = stores(&aws, "b", &[("AWS_ENDPOINT_URL", front.url())]);
    let error = others
        .queue()
        .send(&job("a", Task::SecondLook { due: Millis(1) }), Duration::ZERO)
        .await
        .unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{text}");
    assert!(text.contains("AWS_CA_BUNDLE"), "{text}");
}
