//! The handlers on a temporary store, with the test's hand on the clock, the upstream and the queue.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use perennial::parts::base::limits::Limits;
use perennial::parts::base::manual_clock::ManualClock;
use perennial::parts::engine::Engine;
use perennial::parts::ports::pages::Pages as _;
use perennial::parts::ports::pages::grant::Committed;
use perennial::parts::ports::pages::slot::{LeaseDecision, LeaseRequest};
use perennial::parts::ports::pages::snapshot::{Inline, Wanted};
use perennial::parts::ports::pages::urgency::Urgency;
use perennial::parts::ports::stores::Stores as _;
use perennial::parts::record::page_record::Record;
use perennial::parts::run::preview::Drafts;
use perennial::parts::run::secrets::LiveSecrets;
use perennial::parts::run::settings::Settings;
use perennial::{Clock, Millis, ReadySite, Site};
use perennial_revalidate::Revalidate;
use perennial_revalidate::auth::Secrets;
use perennial_serve::front::Front;
use perennial_serve::{Renewal, Serve};
use tests::until::soon;
use tests::{Answer, Ask, Asks, Upstream};
use tokio::task::JoinHandle;

use crate::cache_in_front::{Behind, Found, SharedCache};
use crate::stores::{Place, TestStores};

/// Seconds.
pub(crate) fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Milliseconds.
pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// The build of most of them.
const BUILD: &str = "dev-build";

/// The most that the future of an answer may take. The standalone server allocates it for each request, so that idle
/// connections have no room for it; beyond a kilobyte, the server's own part included, the allocator is slow.
const ANSWER_BYTES_MAX: usize = 900;

/// One engine with its handlers; several may share a store.
pub(crate) struct World {
    pub(crate) up: Arc<Upstream>,
    pub(crate) clock: ManualClock,
    pub(crate) cache: SharedCache,
    node: Arc<Node>,
    site: Arc<ReadySite>,
    place: Place,
}

struct Node {
    engine: Arc<Engine<Behind<TestStores>>>,
    front: Front<Behind<TestStores>>,
    revalidate: Revalidate<Behind<TestStores>>,
}

impl Node {
    fn open(
        site: &Arc<ReadySite>,
        place: &Place,
        build: &str,
        cache: &SharedCache,
        clock: &ManualClock,
        limits: Limits,
    ) -> Arc<Self> {
        let clock: Arc<dyn Clock> = Arc::new(clock.clone());
        let stores = place.open(build, clock.clone()).with_edge(cache.clone());
        let engine = Engine::new(site.clone(), stores, clock, limits);
        // Before the answer, as on Lambda: when the answer is there, so is the job.
        let secrets = ["test-secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"].map(str::to_owned);
        let serve = Serve::new(engine.clone(), Renewal::Before).with_drafts(
            LiveSecrets::given(secrets.to_vec(), |secrets| Ok(Drafts::new(secrets))).expect("drafts"),
        );
        let secrets = LiveSecrets::given(secrets.to_vec(), Secrets::new).expect("one secret");
        let front = Front::new(engine.clone(), serve, false);
        Arc::new(Self { revalidate: Revalidate::new(engine.clone(), secrets), engine, front })
    }

    async fn answer(&self, ask: Ask) -> Answer {
        let request =
            ask.headers.iter().fold(http::Request::builder(), |r, (name, value)| r.header(name, value));
        let request = request.method(ask.method).uri(ask.target).header("host", "site.example").body(());
        let mut parts = request.expect("a request").into_parts().0;
        let response = match parts.uri.path() {
            path if self.revalidate.owns(path) => self.revalidate.handle(&parts, &ask.body).await,
            _ => {
                let answer = self.front.answer(&mut parts, || ask.body.into());
                // A hit pays for the room of the rarest way, unless that is boxed.
                assert!(size_of_val(&answer) <= ANSWER_BYTES_MAX, "{} bytes", size_of_val(&answer));
                answer.await
            }
        };
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a body in memory").to_bytes();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    async fn settle(&self) {
        while self.engine.work_next().await.expect("the queue") {}
    }
}

impl World {
    /// The conformance site on an empty store, with default limits.
    pub(crate) async fn new() -> Self {
        Self::make(|_| {}, |site, _| site).await
    }

    /// With other limits.
    pub(crate) async fn with(change: impl FnOnce(&mut Limits)) -> Self {
        Self::make(change, |site, _| site).await
    }

    /// With a changed site; the change is told the upstream's URL.
    pub(crate) async fn of(change: impl FnOnce(Site, &str) -> Site) -> Self {
        Self::make(|_| {}, change).await
    }

    /// With other limits and a changed site.
    pub(crate) async fn make(
        change: impl FnOnce(&mut Limits),
        change_site: impl FnOnce(Site, &str) -> Site,
    ) -> Self {
        let up = Arc::new(Upstream::start().await);
        let clock = ManualClock::default();
        let place = Place::new().await;
        let mut limits = Settings::default().limits;
        change(&mut limits);
        let site =
            change_site(tests::conformance::site(up.url()), &up.url()).ready(None, None).expect("a site");
        let site = Arc::new(site);
        let cache = SharedCache::new(&clock);
        let node = Node::open(&site, &place, BUILD, &cache, &clock, limits);
        Self { up, clock, cache, node, site, place }
    }

    /// Another engine, as in another process, on the same store, clock and upstream.
    pub(crate) fn beside(&self) -> Self {
        self.of_build(BUILD)
    }

    /// The same, of another build.
    pub(crate) fn of_build(&self, build: &str) -> Self {
        let limits = self.node.engine.limits().clone();
        let (up, clock, site, place) =
            (self.up.clone(), self.clock.clone(), self.site.clone(), self.place.clone());
        let cache = self.cache.clone();
        Self { node: Node::open(&site, &place, build, &cache, &clock, limits), up, clock, cache, site, place }
    }

    /// Its visitors beyond the shared cache.
    pub(crate) fn edge(&self) -> Beyond<'_> {
        Beyond(self)
    }

    /// The site's epoch: how often something was invalidated.
    pub(crate) async fn epoch(&self) -> u64 {
        self.node.engine.stores().pages().epoch().await.expect("the epoch")
    }

    /// Stores a page's record as something else would have written it.
    pub(crate) async fn rewrite(&self, path: &str, change: impl FnOnce(&mut Record)) {
        let (pages, limits) = (self.node.engine.stores().pages(), self.node.engine.limits());
        let page = self.site.page_of_key(path).expect("a page of the site");
        let stored = pages.read(page.key(), Wanted::default()).await.expect("the store").record;
        let mut record = Record::clone(&stored.expect("a stored page"));
        let request =
            LeaseRequest { seen: None, urgency: Urgency::Overriding, lease: limits.lease, now: self.now() };
        let begun = pages.begin(page.key(), request).await.expect("the store");
        let LeaseDecision::Granted(ticket) = begun else { panic!("not granted: {begun:?}") };
        record.generation = ticket;
        change(&mut record);
        let committed = pages.commit(page.key(), &record, &Inline::default()).await.expect("the store");
        assert!(matches!(committed, Committed::Stored { .. }), "{committed:?}");
    }

    /// Whether a publisher's call has a page's lease.
    pub(crate) async fn is_demanded(&self, path: &str) -> bool {
        let pages = self.node.engine.stores().pages().list("", None, usize::MAX).await.expect("a list");
        let page = pages.iter().find(|(text, _)| text == path);
        page.is_some_and(|(_, snapshot)| snapshot.slot.demand_at(self.now()).is_some())
    }

    /// The present.
    pub(crate) fn now(&self) -> Millis {
        self.clock.now()
    }

    /// Turns the clock forward.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Works the queue until nothing in it is due.
    pub(crate) async fn settle(&self) {
        soon("the end of the queue", self.node.settle()).await;
    }

    /// [`World::settle`] in a task, for when a gate holds a render.
    pub(crate) fn work(&self) -> JoinHandle<()> {
        let node = self.node.clone();
        // As the process's own workers are.
        self.node.engine.tasks().spawn(async move { node.settle().await })
    }

    /// Starts a request in a task, for when a gate holds its render.
    pub(crate) fn begin(&self, ask: Ask) -> JoinHandle<Answer> {
        let node = self.node.clone();
        tokio::spawn(async move { node.answer(ask).await })
    }

    /// Stops as a process does that has no time left: what it renders goes on, which gives it time to do harm.
    pub(crate) async fn shut_down(&self) {
        self.node.engine.shut_down(Duration::ZERO).await;
    }

    /// Tells probes that it stops.
    pub(crate) fn stop(&self) {
        self.node.front.health().stop();
    }

    /// Lets every task go as far as it can by itself: before something is said not to have happened.
    pub(crate) async fn idle(&self) {
        tests::until::pass(ms(50)).await;
    }

    /// How much memory its pages take.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.node.engine.memory_usage().0
    }

    /// The names of all bodies in the store.
    pub(crate) async fn bodies(&self) -> Vec<String> {
        self.place.bodies().await
    }

    /// Builds the site's listed pages.
    pub(crate) async fn build(&self) {
        self.try_build().await.expect("a build");
    }

    /// The same, or why it failed.
    pub(crate) async fn try_build(&self) -> Result<(), String> {
        self.node.engine.build_site(|_| {}).await.map(drop).map_err(|e| e.to_string())
    }
}

impl Asks for World {
    async fn ask(&self, ask: Ask) -> Answer {
        soon("an answer", Box::pin(self.node.answer(ask))).await
    }
}

/// Visitors whose requests the shared cache answers where it can. What it does behind their backs is done when they
/// have their answer.
pub(crate) struct Beyond<'a>(&'a World);

impl Asks for Beyond<'_> {
    async fn ask(&self, ask: Ask) -> Answer {
        let found = self.0.cache.find(&ask);
        if let Found::Fresh(answer) = found {
            return answer;
        }
        let answer = self.0.ask(ask.clone()).await;
        self.0.cache.keep(&ask, &answer);
        if let Found::Stale(old) = found { old } else { answer }
    }
}
