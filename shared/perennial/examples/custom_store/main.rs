//! A store from outside: Perennial on the memory of one process. Run the site with
//! `cargo run -p perennial --example custom_store`, and the tests with `cargo test --workspace --examples`.
//!
//! A store of your own implements four traits of `perennial::parts::ports`: `Pages`, `Bodies`, `Queue` and `Journal`.
//! The documentation of each is its contract, and `ports::suite` checks every sentence. Who may render, and which render
//! is shown, is decided by the methods of `Slot`: a store only carries out each call in one step.

mod bodies;
mod journal;
mod pages;
mod queue;

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use perennial::parts::freshness::Epochs;
use perennial::parts::key::page_key::PageKey;
use perennial::parts::ports::edge::NoEdge;
use perennial::parts::ports::error::StoreError;
use perennial::parts::ports::journal::{Publish, RouteProgress, ScheduleDecision};
use perennial::parts::ports::stores::Ports;
use perennial::parts::record::page_record::Epoch;
use perennial::{Clock, Context, Failure, Millis, Outcome, Page, Route, Site};

use crate::pages::Row;
use crate::queue::Message;

type Result<T> = std::result::Result<T, StoreError>;

/// What the processes of a deployment share: here, what the threads of one process share.
#[derive(Default)]
struct Shared {
    rows: BTreeMap<(Arc<str>, PageKey), Row>,
    tags: HashMap<String, Epochs>,
    epoch: Epoch,
    bodies: HashMap<(Arc<str>, PageKey, String), (Bytes, Millis)>,
    jobs: BTreeMap<u64, Message>,
    publishes: BTreeMap<String, Publish>,
    routes: BTreeMap<(String, String), RouteProgress>,
    decisions: HashMap<String, ScheduleDecision>,
    deliveries: HashMap<String, (String, Millis)>,
    /// Changes so far: the version of the pages, and the number of a message.
    changes: u64,
}

impl Shared {
    fn number(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }
}

/// Any port of the store, as a process of a build sees it.
#[derive(Clone)]
struct InMemory {
    shared: Arc<Mutex<Shared>>,
    build: Arc<str>,
    clock: Arc<dyn Clock>,
}

impl InMemory {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("no thread panics while it holds this lock")
    }
}

type MemoryStores = Ports<InMemory, InMemory, InMemory, NoEdge, InMemory>;

/// Stores on what is shared, for a build.
fn open(shared: &Arc<Mutex<Shared>>, build: &Arc<str>, clock: Arc<dyn Clock>) -> MemoryStores {
    let port = || InMemory { shared: shared.clone(), build: build.clone(), clock: clock.clone() };
    Ports {
        pages: port(),
        bodies: port(),
        queue: port(),
        edge: NoEdge,
        journal: port(),
        build: build.clone(),
        are_local: true,
    }
}

/// A page that tells how often it was rendered.
#[derive(Default)]
struct Hello(AtomicU64);

impl Page for Hello {
    type Props = u64;

    async fn props(&self, _: &Context) -> std::result::Result<Outcome<u64>, Failure> {
        let renders = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Outcome::page(renders).revalidate(5).tag("hello"))
    }

    fn render(&self, renders: &u64, _: &Context) -> std::result::Result<String, Failure> {
        Ok(format!("<!doctype html><title>Hello</title><p>Render {renders} of this page.</p>"))
    }
}

fn site() -> Site {
    Site::new().route(Route::new("/", Hello::default()))
}

fn main() -> ExitCode {
    let shared = Arc::default();
    perennial::run_on(site(), move |settings, clock| open(&shared, &settings.build_id, clock))
}

#[cfg(test)]
mod tests {
    use perennial::parts::base::manual_clock::ManualClock;
    use perennial::parts::engine::Engine;
    use perennial::parts::key::tags::user_tag;
    use perennial::parts::look::body::Body;
    use perennial::parts::ports::suite;
    use perennial::parts::record::publish_request::{PublishRequest, Publisher};
    use perennial::parts::run::settings::Settings;
    use perennial_serve::{Renewal, Serve};
    use std::time::Duration;

    use super::*;

    /// Opens the same store again and again, each time for the named build.
    fn opener() -> (ManualClock, impl Fn(&str) -> MemoryStores) {
        let (shared, clock) = (Arc::default(), ManualClock::default());
        let of_store = clock.clone();
        (clock, move |build: &str| open(&shared, &build.into(), Arc::new(of_store.clone())))
    }

    #[tokio::test]
    async fn pages_keep_the_contract() {
        let (_, open) = opener();
        suite::pages::run(|build| open(build).pages).await;
        suite::pages::run_undisturbed(&open("b").pages).await;
    }

    #[tokio::test]
    async fn bodies_keep_the_contract() {
        let (_, open) = opener();
        suite::bodies::run(|build| open(build).bodies).await;
    }

    #[tokio::test]
    async fn the_queue_keeps_the_contract() {
        let (clock, open) = opener();
        suite::queue::run(|| open("b").queue, async |time| clock.advance(time)).await;
    }

    #[tokio::test]
    async fn the_journal_keeps_the_contract() {
        let (clock, open) = opener();
        suite::journal::run(|| open("b").journal, clock.now()).await;
    }

    #[tokio::test]
    async fn a_site_is_served_renewed_and_published() {
        let (clock, open) = opener();
        let site = site().clock(Arc::new(clock.clone())).ready(None, None).expect("a site");
        let (clock_of_engine, limits) = (Arc::new(clock.clone()), Settings::default().limits);
        let engine = Engine::new(Arc::new(site), open("b"), clock_of_engine, limits);
        let serve = Serve::new(engine.clone(), Renewal::Before);
        let visit = async || {
            let request = http::Request::get("/").body(()).expect("a request").into_parts().0;
            let (head, body) = serve.handle(&request).await.into_parts();
            let Body::Whole(body) = body else { panic!("the page is small") };
            let text = String::from_utf8_lossy(&body).into_owned();
            let renders = text.split("Render ").nth(1).and_then(|rest| rest.split(' ').next());
            let label = head.headers["x-perennial-cache"].to_str().expect("text").to_owned();
            (label, renders.expect("a number").to_owned())
        };
        let seen = |label: &str, renders: &str| (label.to_owned(), renders.to_owned());
        assert_eq!(visit().await, seen("MISS", "1"));
        assert_eq!(visit().await, seen("HIT", "1"));

        clock.advance(Duration::from_secs(6));
        assert_eq!(visit().await, seen("STALE", "1"));
        assert!(engine.work_next().await.expect("the queue"), "the visit has sent a job");
        assert_eq!(visit().await, seen("HIT", "2"));

        let request = PublishRequest { tags: vec![user_tag("hello")], ..PublishRequest::default() };
        engine.publish(&request, Publisher::default()).await.expect("marked");
        assert_eq!(visit().await, seen("STALE", "2"));
        while engine.work_next().await.expect("the queue") {}
        assert_eq!(visit().await, seen("HIT", "3"));
        assert_eq!(engine.entries(None, 10).await.expect("the journal").len(), 1);
    }
}
