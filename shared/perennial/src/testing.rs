//! A site under test, for its author: visitors, publishers, the queue and the store in one process, with the clock in the
//! test's hand. No port is opened, and nothing waits for real time.
//!
//! ```
//! use std::time::Duration;
//!
//! use perennial::testing::TestSite;
//! # use perennial::{Context, Failure, Outcome, Page, Route, Site};
//! # struct Post;
//! # impl Page for Post {
//! #     type Props = String;
//! #     async fn props(&self, cx: &Context) -> Result<Outcome<String>, Failure> {
//! #         Ok(Outcome::page(cx.param("slug").to_owned()).revalidate(60).tag("posts"))
//! #     }
//! #     fn render(&self, slug: &String, _: &Context) -> Result<String, Failure> { Ok(format!("<h1>{slug}</h1>")) }
//! # }
//! # fn site() -> Site { Site::new().route(Route::new("/blog/{slug}", Post)) }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let site = TestSite::new(site());
//! let post = site.get("/blog/hello").await;
//! assert_eq!((post.status(), post.cache()), (200, "MISS"));
//! assert!(post.text().contains("<h1>hello</h1>"));
//!
//! site.advance(Duration::from_secs(61));
//! assert_eq!(site.get("/blog/hello").await.cache(), "STALE");
//! site.settle().await;
//! assert_eq!(site.get("/blog/hello").await.cache(), "HIT");
//!
//! site.publish_tag("posts").await;
//! assert_eq!(site.get("/blog/hello").await.cache(), "STALE");
//! # }
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use perennial_core::base::clock::{Clock, Millis, SystemClock};
use perennial_core::base::manual_clock::ManualClock;
use perennial_core::engine::Engine;
use perennial_core::ports::pages::Pages as _;
use perennial_core::ports::stores::Stores as _;
use perennial_core::run::preview::Drafts;
use perennial_core::run::secrets::LiveSecrets;
use perennial_core::run::settings::Settings;
use perennial_core::site::Site;
use perennial_core::stores::embedded::{self, EmbeddedStores};
use perennial_revalidate::Revalidate;
use perennial_revalidate::auth::Secrets;
use perennial_serve::front::Front;
use perennial_serve::{Renewal, Serve};
use serde_json::Value;
use tempfile::TempDir;

/// The secret of the site's publishers under test.
const SECRET: &str = "the-secret-of-a-site-under-test";

/// How long a request may take, in real time.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// How long [`TestSite::check`] lets pass between two renders of a page: longer than any date that a page should show.
const CHECK_AFTER: Duration = Duration::from_secs(400 * 86_400);

/// A site on an empty store of its own, which is removed with it. See the [module](self).
pub struct TestSite {
    engine: Arc<Engine<EmbeddedStores>>,
    front: Front<EmbeddedStores>,
    revalidate: Revalidate<EmbeddedStores>,
    clock: ManualClock,
    _folder: TempDir,
}

impl TestSite {
    /// The site with the default settings. Its clock stands at an instant of the year 2027 until the test moves it.
    ///
    /// # Panics
    /// The site has mistakes: the message has all of them.
    pub fn new(site: Site) -> Self {
        let clock = ManualClock::default();
        let port: Arc<dyn Clock> = Arc::new(clock.clone());
        let site = site.clock(port.clone()).ready(None, None).unwrap_or_else(|error| panic!("{error}"));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let limits = Settings::default().limits;
        let stores = embedded::open(folder.path(), &"test".into(), port.clone(), limits.store_lock_wait);
        let engine = Engine::new(Arc::new(site), stores, port, limits);
        let secrets = vec![SECRET.to_owned()];
        let drafts = LiveSecrets::given(secrets.clone(), |secrets| Ok(Drafts::new(secrets)));
        // Before the answer, so that a renewal's job is in the queue when the test goes on.
        let serve = Serve::new(engine.clone(), Renewal::Before).with_drafts(drafts.expect("a good secret"));
        let publishers = LiveSecrets::given(secrets, Secrets::new).expect("a good secret");
        let front = Front::new(engine.clone(), serve, false);
        let revalidate = Revalidate::new(engine.clone(), publishers);
        Self { engine, front, revalidate, clock, _folder: folder }
    }

    /// A visitor's GET of a path, with its query.
    pub async fn get(&self, path: &str) -> TestAnswer {
        self.send(Request::get(path).body(Bytes::new()).expect("a path")).await
    }

    /// The data JSON of the page at this path: what a shell or a client-side navigation fetches.
    pub async fn data(&self, path: &str) -> TestAnswer {
        let url =
            perennial_core::key::url::data_url(self.engine.site().base_path(), self.engine.build(), path);
        self.get(&url).await
    }

    /// Any request, of a visitor or of a publisher.
    ///
    /// # Panics
    /// No answer comes within a minute of real time: a page waits for something that only the test can give.
    pub async fn send(&self, request: Request<Bytes>) -> TestAnswer {
        let (mut parts, body) = request.into_parts();
        parts.headers.entry(HOST).or_insert_with(|| http::HeaderValue::from_static("site.example"));
        let asked = format!("{} {}", parts.method, parts.uri);
        let answer = async {
            let answer = if self.revalidate.owns(parts.uri.path()) {
                self.revalidate.handle(&parts, &body).await
            } else {
                self.front.answer(&mut parts, || body.into()).await
            };
            let (head, body) = answer.into_parts();
            let body = body.collect().await.unwrap_or_else(|error| panic!("the answer broke off: {error}"));
            TestAnswer { status: head.status, headers: head.headers, body: body.to_bytes() }
        };
        tokio::select! {
            answer = answer => answer,
            // The site's own clock stands still.
            () = SystemClock.sleep(ANSWER_WAIT) => panic!("no answer to {asked} within {ANSWER_WAIT:?}"),
        }
    }

    /// Publishes a page, as `POST /api/revalidate?path=…` does: the page is rendered anew before this returns.
    ///
    /// # Panics
    /// The endpoint refuses the call, or the render fails: the message has the answer.
    pub async fn publish_path(&self, path: &str) {
        self.publish("path", path).await;
    }

    /// Publishes a tag: pages that carry it are stale, and are renewed by the queue ([`TestSite::settle`]).
    ///
    /// # Panics
    /// The endpoint refuses the call.
    pub async fn publish_tag(&self, tag: &str) {
        self.publish("tag", tag).await;
    }

    async fn publish(&self, name: &str, value: &str) {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/api/revalidate?{query}"))
            .header(AUTHORIZATION, format!("Bearer {SECRET}"))
            .body(Bytes::new());
        let answer = self.send(request.expect("a call")).await;
        assert!(
            answer.status.is_success(),
            "publishing the {name} {value}: {} {}",
            answer.status,
            answer.text()
        );
    }

    /// Moves the clock forward. Nothing is renewed by that alone: a visitor has to come.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// The present of the site's clock.
    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    /// Carries out the jobs of the queue that are due: renewals that visits and publishes have asked for.
    ///
    /// # Panics
    /// The store fails.
    pub async fn settle(&self) {
        while self.engine.work_next().await.expect("the test's own store works") {}
    }

    /// Renders every listed page into the store, as `build` does.
    ///
    /// # Errors
    /// The message of `build`, which names every page that failed, also by a panic.
    pub async fn build(&self) -> Result<(), String> {
        self.engine.build_site(|_| {}).await.map(drop).map_err(|error| error.to_string())
    }

    /// Builds the site twice, more than a year apart, and compares the pages. A page whose content differs depends on
    /// something that is not its data: the time, a random number, the order of a hash map. Such a page is renewed and
    /// purged each time although nothing has changed.
    ///
    /// Returns the paths of these pages.
    ///
    /// # Errors
    /// As [`TestSite::build`].
    pub async fn check(&self) -> Result<Vec<String>, String> {
        self.build().await?;
        let before = self.contents().await;
        self.advance(CHECK_AFTER);
        self.build().await?;
        let after = self.contents().await;
        Ok(before
            .into_iter()
            .filter(|(path, body)| after.get(path) != Some(body))
            .map(|(path, _)| path)
            .collect())
    }

    /// What visitors get at each stored page.
    async fn contents(&self) -> BTreeMap<String, Bytes> {
        let pages = self.engine.stores().pages().list("", None, usize::MAX).await;
        let mut contents = BTreeMap::new();
        for (key, _) in pages.expect("the test's own store works") {
            let Some(page) = self.engine.site().page_of_key(&key) else { continue };
            let path = format!("{}{}", self.engine.site().base_path(), page.key().path());
            let answer = self.get(&path).await;
            contents.insert(path, answer.body);
        }
        contents
    }
}

/// An answer of a [`TestSite`].
#[derive(Clone, Debug)]
pub struct TestAnswer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl TestAnswer {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The value of a header field; empty if there is none, or if it is not ASCII.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// All header fields.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Where the answer comes from: `HIT`, `STALE`, `MISS`, `REVALIDATED` or `BYPASS` (`x-perennial-cache`); empty for an
    /// answer that is no page.
    pub fn cache(&self) -> &str {
        self.header("x-perennial-cache")
    }

    /// For how long a shared cache may give this answer to others (`s-maxage`, RFC 9111 section 5.2.2.10). `None`: it
    /// must not store the answer.
    pub fn shared_max_age(&self) -> Option<Duration> {
        let directives = self.header("cache-control").split(',').map(str::trim);
        let seconds = directives.filter_map(|directive| directive.strip_prefix("s-maxage=")).next()?;
        seconds.parse().ok().map(Duration::from_secs)
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body as text.
    ///
    /// # Panics
    /// It is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// It is no JSON: the message has the body.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use perennial_core::key::params::Params;
    use perennial_core::site::page::{Context, Failure, Outcome, Page};
    use perennial_core::site::route::Route;

    use super::*;

    /// `/same` is the same each time, `/counts` is not, and `/panics` panics if it is listed.
    struct Odd(AtomicU32, &'static [&'static str]);

    impl Page for Odd {
        type Props = u32;

        async fn paths(&self) -> Result<Vec<Params>, Failure> {
            Ok(self.1.iter().map(|slug| Params::new().with("slug", *slug)).collect())
        }

        async fn props(&self, cx: &Context) -> Result<Outcome<u32>, Failure> {
            match cx.param("slug") {
                "counts" => Ok(Outcome::page(self.0.fetch_add(1, Ordering::Relaxed))),
                "panics" => panic!("as the path says"),
                _ => Ok(Outcome::page(0).revalidate(60).tag("t")),
            }
        }

        fn render(&self, count: &u32, _: &Context) -> Result<String, Failure> {
            Ok(format!("<p>{count}</p>"))
        }
    }

    fn site(listed: &'static [&'static str]) -> TestSite {
        TestSite::new(Site::new().route(Route::new("/{slug}", Odd(AtomicU32::new(1), listed))))
    }

    #[tokio::test]
    async fn a_page_that_differs_from_render_to_render_is_found() {
        assert_eq!(site(&["same", "counts"]).check().await, Ok(vec!["/counts".to_owned()]));
        assert_eq!(site(&["same"]).check().await, Ok(vec![]));
    }

    #[tokio::test]
    async fn a_page_that_panics_is_named() {
        let site = site(&["same", "panics"]);
        for error in [site.build().await.unwrap_err(), site.check().await.unwrap_err()] {
            assert!(error.contains("/panics") && error.contains("as the path says"), "{error}");
        }
        assert_eq!(site.get("/same").await.cache(), "MISS", "a failed build changes nothing");
    }

    #[tokio::test]
    async fn time_passes_only_by_the_test() {
        let site = site(&[]);
        let page = site.get("/same").await;
        assert_eq!((page.cache(), page.shared_max_age()), ("MISS", Some(Duration::from_secs(60))));
        assert_eq!(site.data("/same").await.json(), serde_json::json!({ "props": 0 }));
        site.advance(Duration::from_secs(59));
        assert_eq!(site.get("/same").await.shared_max_age(), Some(Duration::from_secs(1)));
        site.advance(Duration::from_secs(2));
        assert_eq!(site.get("/same").await.cache(), "STALE");
        site.settle().await;
        assert_eq!(site.get("/same").await.cache(), "HIT");
        site.publish_path("/same").await;
        assert_eq!(site.get("/same").await.cache(), "HIT");
        site.publish_tag("t").await;
        assert_eq!(site.get("/same").await.cache(), "STALE");
        let none = site.get("/none/at/all").await;
        assert_eq!((none.status(), none.cache(), none.shared_max_age()), (404, "", None));
    }

    #[tokio::test]
    async fn a_service_of_the_site_answers_as_well() {
        let hello = axum::Router::new().route("/hello", axum::routing::get(|| async { "Hello" }));
        let site = TestSite::new(Site::new().service("/api", hello));
        assert_eq!(site.get("/api/hello").await.text(), "Hello");
        assert_eq!(site.get("/_perennial/ready").await.status(), 200);
    }

    #[tokio::test]
    #[should_panic(expected = "no route of the site accepts the path")]
    async fn a_publish_that_is_refused_fails_the_test() {
        site(&[]).publish_path("/none/at/all").await;
    }
}
