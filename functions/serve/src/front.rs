//! All that visitors, and probes, are answered with: services of the site, then pages.

use std::sync::Arc;

use http::request::Parts;
use perennial_core::engine::Engine;
use perennial_core::key::encode::{RESERVED_SEGMENT, decode_path};
use perennial_core::ports::stores::Stores;
use perennial_core::site::service::RequestBody;

use crate::Serve;
use crate::health::{Health, Probe};
use crate::reply::Reply;
use crate::services::Services;

/// Answers every request that is no publisher's.
pub struct Front<S: Stores> {
    engine: Arc<Engine<S>>,
    serve: Serve<S>,
    services: Services<S>,
    health: Health<S>,
    /// The beginning of Perennial's own paths, `/_perennial/`, after the base path.
    own: String,
}

impl<S: Stores> Front<S> {
    /// Answers with pages, and before them with the site's services. If answers are sent whole (`whole`), a service's
    /// answer is collected before it is sent.
    pub fn new(engine: Arc<Engine<S>>, serve: Serve<S>, whole: bool) -> Self {
        let own = format!("{}/{RESERVED_SEGMENT}/", engine.site().base_path());
        let (services, health) = (Services::new(engine.clone(), whole), Health::new(engine.clone()));
        Self { engine, serve, services, health, own }
    }

    /// Answers one request. A service alone asks for the body, and takes all but the method away from the request.
    pub async fn answer(&self, request: &mut Parts, body: impl FnOnce() -> RequestBody) -> Reply {
        let path = request.uri.path();
        // Boxed: every request's future is as large as its largest way, and these are rare.
        if let Some(probe) = self.own(path).and_then(Probe::named) {
            return Box::pin(self.health.answer(request, probe)).await;
        }
        if let Some((service, rest)) = self.engine.site().service_of(path) {
            let prefix_bytes = path.len() - rest.len();
            let below = path.strip_prefix(self.engine.site().base_path()).unwrap_or(path).to_owned();
            let mut reply = Box::pin(self.services.answer(service, prefix_bytes, request, body())).await;
            let segments = decode_path(&below).ok();
            self.engine.site().tables().add_headers(segments.as_deref(), reply.headers_mut());
            return reply;
        }
        self.serve.handle(request).await
    }

    /// The rest of a path of Perennial's own, such as `metrics`.
    pub fn own<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(&*self.own)
    }

    /// The health that probes are told.
    pub fn health(&self) -> &Health<S> {
        &self.health
    }
}
