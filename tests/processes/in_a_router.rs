//! Section 10: a site in the router of another program, beside its state and its layers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use http::Method;
use http::header::{HeaderName, HeaderValue};
use perennial::SiteService;
use serde_json::json;
use tempfile::TempDir;
use tests::client::Client;
use tests::until::{soon, until};
use tests::{Ask, Asks as _, Reply, Upstream};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower_http::set_header::SetResponseHeaderLayer;

/// The state of the program itself.
#[derive(Clone, Default)]
struct Orders(Arc<AtomicUsize>);

async fn order(State(orders): State<Orders>, body: String) -> String {
    format!("{} of {body}", orders.0.fetch_add(1, Ordering::SeqCst) + 1)
}

struct Program {
    up: Upstream,
    site: SiteService,
    client: Client,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
    _store: TempDir,
}

impl Program {
    async fn start(dev: bool) -> Self {
        let (up, store) = (Upstream::start().await, TempDir::new().expect("a temporary directory"));
        let folder = store.path().join("store").display().to_string();
        let site = perennial::service(tests::conformance::site(up.url()))
            .dev(dev)
            .default("PERENNIAL_STORE", folder)
            .default("PERENNIAL_REVALIDATE_SECRETS", "test-secret")
            .await
            .expect("a site");
        let name = HeaderName::from_static("x-program");
        let app = Router::new()
            .route("/orders", post(order))
            .with_state(Orders::default())
            .fallback_service(site.clone())
            .layer(SetResponseHeaderLayer::overriding(name, HeaderValue::from_static("of my own")));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr: SocketAddr = listener.local_addr().expect("a bound port");
        let (stop, stopped) = oneshot::channel();
        let at_stop = site.clone();
        let server = tokio::spawn(async move {
            let signal = async move {
                let _ = stopped.await;
                at_stop.stop();
            };
            axum::serve(listener, app).with_graceful_shutdown(signal).await.expect("the server");
        });
        Self { up, site, client: Client { addr }, stop, server, _store: store }
    }
}

/// Pages, data, publishers, the queue and the service of the site answer as under `start`, and the program's own routes beside.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_is_one_service_of_a_router() {
    let p = Program::start(false).await;
    let first = p.client.get("/tagged/a").await.expect(200, "MISS");
    let hit = p.client.get("/tagged/a").await.expect(200, "HIT");
    assert_eq!((hit.id(), hit.header("x-program")), (first.id(), "of my own"));
    p.client.data("/tagged/a").await.expect(200, "HIT");
    let order = Ask::new(Method::POST, "/orders").body("tea");
    assert_eq!(p.client.ask(order.clone()).await.text(), "1 of tea");
    assert_eq!(p.client.ask(order).await.text(), "2 of tea");
    let told = p.client.ask(Ask::new(Method::PUT, "/svc/x").body("a body")).await.expect(200, "").json();
    assert_eq!((&told["method"], &told["body"]), (&json!("PUT"), &json!("YSBib2R5")));
    p.client.get("/none/at/all").await.expect(404, "").holds("custom-404");
    p.client.get("/api/revalidate?path=/tagged/a&secret=wrong").await.expect(401, "");
    p.client.revalidate("/tagged/a").await.expect(200, "");
    let newer = p.client.get("/tagged/a").await.expect(200, "HIT");
    assert_ne!(newer.id(), first.id());
    // A worker of the process renews what a tag marks.
    p.client.get("/api/revalidate?route=/tagged/%7Bslug%7D&secret=test-secret").await.expect(202, "");
    until("the queue's render", async || (p.up.count("/tagged/a") == 3).then_some(())).await;
    // An axum server tells no peer: nobody is at home here, and metrics need their secret.
    p.client.get("/_perennial/metrics").await.expect(401, "");
    p.client.get("/_perennial/live").await.expect(200, "");
    p.client.get("/_perennial/ready").await.expect(200, "");
}

/// The end of the program is the site's: probes are told, and what is under way ends first.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_in_a_router_shuts_down() {
    let p = Program::start(false).await;
    p.client.get("/never").await.expect(200, "MISS");
    p.site.stop();
    p.client.get("/_perennial/ready").await.expect(503, "");
    p.client.get("/never").await.expect(200, "HIT");
    p.stop.send(()).expect("the server waits");
    soon("the end of the server", p.server).await.expect("no panic");
    soon("the end of the site", p.site.shut_down()).await;
    // Nothing of it is left that would render.
    assert!(p.client.try_ask(Ask::get("/never")).await.is_err());
}

/// Under development every request is rendered.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_in_a_router_may_be_under_development() {
    let p = Program::start(true).await;
    p.up.on("/never", Reply::value("as it is"));
    for _ in 0..2 {
        p.client.get("/never").await.expect(200, "BYPASS");
    }
    assert_eq!(p.up.count("/never"), 2);
    p.client.get("/_perennial/ready").await.expect(200, "");
}

/// A mistake ends the start of the program with its name.
#[tokio::test]
async fn mistakes_are_told_before_anything_is_served() {
    let site = || tests::conformance::site("http://127.0.0.1:1".to_owned());
    let wrong = BTreeMap::from([
        ("PERENNIAL_LEASE_MS", ("soon", "PERENNIAL_LEASE_MS is `soon`")),
        ("PERENNIAL_BASE_PATH", ("docs/", "base path `docs/`")),
    ]);
    for (name, (value, words)) in wrong {
        let error = perennial::service(site()).default(name, value).await.expect_err("refused").to_string();
        assert!(error.contains(words), "{error}");
    }
    let twice = site().service("/svc", tests::echo::Echo::default());
    let error = perennial::service(twice).await.expect_err("refused").to_string();
    assert!(error.contains("two services have the prefix `/svc`"), "{error}");
}
