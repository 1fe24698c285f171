//! Bodies that are passed on from S3 as they arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use perennial::parts::base::manual_clock::ManualClock;
use perennial::parts::look::body::Body;
use perennial::parts::run::settings::Settings;
use serde_json::json;
use tests::between::{Between, Fault};
use tests::{Ask, Aws, Upstream};

use crate::requests::Function;
use crate::settings;

const BYTES: usize = 400_000;

struct World {
    up: Upstream,
    aws: Aws,
    breaks: Arc<AtomicBool>,
    between: Between,
    settings: Settings,
}

impl World {
    async fn new() -> Self {
        let aws = Aws::start().await;
        let breaks = Arc::new(AtomicBool::new(false));
        let flag = breaks.clone();
        let plan = move |call: &tests::between::Call| {
            (call.name == "GET" && flag.load(Ordering::Relaxed)).then_some(Fault::LostMidway)
        };
        let between = Between::with(&aws, plan).await;
        let settings = settings(
            &aws,
            "b",
            &[("AWS_ENDPOINT_URL", &between.url()), ("PERENNIAL_STREAM_BODY_BYTES", "10000")],
        );
        let up = Upstream::start().await;
        up.on("/never", json!({ "pad_bytes": BYTES }));
        Self { up, aws, breaks, between, settings }
    }

    /// A process that has just started.
    fn cold(&self) -> Function {
        Function::start(&self.up, &ManualClock::default(), self.settings.clone())
    }
}

fn ask(coding: &str) -> Ask {
    Ask::get("/never").header("accept-encoding", coding)
}

/// What comes of a body, and whether that is all of it.
async fn heard(mut body: Body) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        match body.frame().await {
            Some(Ok(frame)) => bytes.extend(frame.into_data().expect("data")),
            Some(Err(_)) => return (bytes, false),
            None => return (bytes, true),
        }
    }
}

/// The visitor has had the beginning when the end is lost; and what is only lost is not rendered again.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_begins_before_its_body_is_there() {
    let w = World::new().await;
    w.cold().ask(ask("")).await.expect(200, "MISS");
    let function = w.cold();
    let whole = function.ask(ask("br")).await.expect(200, "HIT");
    for coding in ["br", "identity"] {
        w.breaks.store(true, Ordering::Relaxed);
        let begun = function.begin(ask(coding)).await;
        assert_eq!(begun.status(), 200);
        let announced: usize =
            begun.headers()["content-length"].to_str().ok().and_then(|n| n.parse().ok()).expect("a length");
        let mut body = begun.into_body();
        // Half of it has not been sent yet.
        let first = body.frame().await.expect("a part").expect("whole").into_data().expect("data");
        w.between.break_off();
        let (rest, is_all) = heard(body).await;
        assert!(!is_all && first.len() + rest.len() < announced, "{coding}: {} of {announced}", rest.len());
        w.breaks.store(false, Ordering::Relaxed);
        let (bytes, is_all) = heard(function.begin(ask(coding)).await.into_body()).await;
        assert!(is_all && bytes.len() == announced, "{coding}: {} of {announced}", bytes.len());
    }
    assert_eq!(function.ask(ask("br")).await.body, whole.body);
    assert_eq!(w.up.count("/never"), 1, "nothing was damaged");
}

/// An object of the same length that is not what its name says: the answer breaks off, and has healed the page.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_object_breaks_the_answer_and_heals() {
    let w = World::new().await;
    let old = w.cold().ask(ask("")).await.expect(200, "MISS");
    let function = w.cold();
    let list = w.aws.rest(Method::GET, &format!("/{}?list-type=2", w.aws.bucket), Bytes::new()).await;
    let keys: Vec<_> = tests::aws::elements(&list.text(), "Key");
    for key in &keys {
        let object = format!("/{}/{key}", w.aws.bucket);
        let mut bytes = w.aws.rest(Method::GET, &object, Bytes::new()).await.body.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        assert_eq!(w.aws.rest(Method::PUT, &object, bytes).await.status, 200);
    }
    let (bytes, is_all) = heard(function.begin(ask("")).await.into_body()).await;
    assert!(!is_all && bytes.len() < old.body.len());
    let new = function.ask(ask("")).await.expect(200, "HIT");
    assert_ne!(new.id(), old.id());
    let (bytes, is_all) = heard(w.cold().begin(ask("")).await.into_body()).await;
    assert!(is_all && bytes == new.body);
    assert_eq!(w.up.count("/never"), 2);
}
