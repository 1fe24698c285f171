//! A site as a `tower` service, for a server of your own: an axum router, for example, with state and layers.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Buf;
use http::{Request, Response};
use http_body::Body as HttpBody;
use perennial_core::engine::Engine;
use perennial_core::look::body::Body;
use perennial_core::ports::stores::Stores;
use perennial_core::run::function::{self, FunctionError, OnStores, SecretSource};
use perennial_core::run::settings::Settings;
use perennial_core::site::Site;
use perennial_core::site::service::{BoxError, RequestBody};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::handlers::{Answer, Handlers};
use crate::running::{handlers, own_secret, set_to_work};

/// A site as a service, to mount in a router of your own: pages, the revalidate endpoint, the publishing page, probes
/// and metrics, as the command `start` answers them, on the stores that the settings name. Await it inside of a Tokio
/// runtime:
///
/// ```no_run
/// # use axum::{Router, routing::get};
/// # fn site() -> perennial::Site { perennial::Site::new() }
/// # async fn run() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let site = perennial::service(site()).await?;
/// let app = Router::new().route("/hello", get(|| async { "Hello" })).fallback_service(site.clone());
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// axum::serve(listener, app).await?;
/// site.shut_down().await;
/// # Ok(())
/// # }
/// ```
pub fn service(site: Site) -> SiteSetup {
    SiteSetup { site, dev: false, defaults: Vec::new() }
}

/// A site that is about to be a service; see [`service`].
#[must_use = "await it to have the service"]
pub struct SiteSetup {
    site: Site,
    dev: bool,
    defaults: Vec<(String, String)>,
}

impl SiteSetup {
    /// Whether every request is rendered, nothing is stored, and errors are shown in the page, as by the command `dev`.
    pub fn dev(mut self, yes: bool) -> Self {
        self.dev = yes;
        self
    }

    /// The value of a setting that the environment does not give.
    pub fn default(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.defaults.push((name.into(), value.into()));
        self
    }

    async fn open(self) -> Result<SiteService, FunctionError> {
        let defaults: Vec<_> = self.defaults.iter().map(|(name, value)| (&**name, &**value)).collect();
        let settings = Settings::from_env(&defaults)?;
        let site = Arc::new(function::ready(self.site, &settings)?);
        let opened = Arc::new(Mutex::new(None));
        let open = Open { dev: self.dev, settings: settings.clone(), opened: opened.clone() };
        function::on_stores(site, settings, open).await?;
        let service = opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        service.ok_or_else(|| "the site was not opened".into())
    }
}

impl IntoFuture for SiteSetup {
    type Output = Result<SiteService, FunctionError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    /// Opens the stores, and starts the workers of the queue.
    ///
    /// # Errors
    /// Settings that cannot be used, or a site that contradicts itself; each mistake by its name.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

/// Opens a site, and leaves it where the caller finds it.
struct Open {
    dev: bool,
    settings: Settings,
    opened: Arc<Mutex<Option<SiteService>>>,
}

impl OnStores for Open {
    fn is_dev(&self) -> bool {
        self.dev
    }

    async fn run<S: Stores>(
        self,
        engine: Arc<Engine<S>>,
        secrets: SecretSource,
    ) -> Result<(), FunctionError> {
        let own = own_secret(&secrets)?;
        let stop = CancellationToken::new();
        let handlers = handlers(&engine, &secrets, own.as_deref(), &self.settings, &stop).await?;
        set_to_work(&engine, &self.settings, own, &stop).await;
        let service = SiteService(Arc::new(Opened { handlers, stop }));
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(service);
        Ok(())
    }
}

type Ended<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
type Answered = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

/// A site on its stores, whichever they are.
trait AnySite: Send + Sync {
    fn answer(self: Arc<Self>, request: Request<()>, body: RequestBody) -> Answered;
    fn stop(&self);
    fn shut_down(&self) -> Ended<'_>;
}

struct Opened<S: Stores> {
    handlers: Arc<Handlers<S>>,
    stop: CancellationToken,
}

impl<S: Stores> AnySite for Opened<S> {
    fn answer(self: Arc<Self>, request: Request<()>, body: RequestBody) -> Answered {
        let mut request = request.into_parts().0;
        Box::pin(async move { Ok(self.handlers.answer(&mut request, || body, None).await) })
    }

    fn stop(&self) {
        self.handlers.front.health().stop();
        self.stop.cancel();
    }

    fn shut_down(&self) -> Ended<'_> {
        self.stop();
        let engine = &self.handlers.engine;
        Box::pin(engine.shut_down(engine.limits().shutdown_grace))
    }
}

/// A site as a `tower` service: made by [`service`], cheap to clone. It takes requests with any body.
///
/// Mount it where requests keep their whole paths: with axum's `fallback_service` or `route_service`. Under axum's
/// `nest_service` the site would get other paths than its links name; set a base path instead
/// ([`Site::base_path`]).
#[derive(Clone)]
pub struct SiteService(Arc<dyn AnySite>);

impl SiteService {
    /// Takes no more jobs of the queue, ends the streams of publishing pages, and tells probes that the process is not ready.
    /// Requests are still answered. Call it when your server begins to stop, for example before its graceful shutdown
    /// waits for open connections.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Stops, and waits for running renders and jobs: at most as long as `PERENNIAL_SHUTDOWN_GRACE_MS` says. Renders that
    /// have not ended by then are given back to the store, and another process takes them up. Call it when your server
    /// has ended.
    pub async fn shut_down(&self) {
        self.0.shut_down().await;
    }
}

impl fmt::Debug for SiteService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SiteService")
    }
}

impl<B> Service<Request<B>> for SiteService
where
    B: HttpBody<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        self.0.clone().answer(Request::from_parts(head, ()), RequestBody::new(body))
    }
}
