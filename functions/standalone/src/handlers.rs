//! Requests to the handlers: publishers, visitors, those who look at metrics.

use std::sync::Arc;

use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body as _;
use perennial_core::base::budget::{Budget, Part, STANDS_STILL_AFTER};
use perennial_core::base::log_limits::Line;
use perennial_core::engine::Engine;
use perennial_core::look::body::Body;
use perennial_core::ports::stores::Stores;
use perennial_core::run::metrics::prometheus;
use perennial_core::site::service::RequestBody;
use perennial_revalidate::Revalidate;
use perennial_revalidate::console::Peer;
use perennial_revalidate::tokens::Tokens;
use perennial_serve::front::Front;
use perennial_serve::reply;

use crate::events::Listeners;

/// What requests are answered with.
pub(crate) struct Handlers<S: Stores> {
    pub(crate) front: Front<S>,
    pub(crate) revalidate: Revalidate<S>,
    pub(crate) listeners: Listeners,
    /// What may read the metrics, beside a publisher's secret.
    pub(crate) metrics_tokens: Tokens,
    /// The memory of bodies whose signature has not been judged.
    pub(crate) unverified: Arc<Budget>,
    pub(crate) engine: Arc<Engine<S>>,
}

/// An answer that is there, or one that goes on.
pub(crate) type Answer = Response<Body>;

impl<S: Stores> Handlers<S> {
    /// Answers one request. The peer is known where no other server stands before this one.
    pub(crate) async fn answer(
        &self,
        request: &mut Parts,
        body: impl FnOnce() -> RequestBody,
        peer: Option<Peer>,
    ) -> Answer {
        if self.engine.is_dev()
            && let Some(peer) = peer
        {
            // Only these requests need the peer, so no other request pays for the extension.
            request.extensions.insert(peer);
        }
        let path = request.uri.path();
        if self.revalidate.is_for_events(request) {
            // Boxed like the other rare ways: every request's future is as large as its largest way.
            Box::pin(self.events(request)).await
        } else if self.revalidate.owns(path) {
            Box::pin(self.revalidate(request, body())).await
        } else if self.front.own(path) == Some("metrics") {
            Box::pin(self.metrics(request)).await
        } else {
            self.front.answer(request, body).await
        }
    }

    /// Answers the publishing page's request for events.
    async fn events(&self, request: &Parts) -> Answer {
        let watch = match self.revalidate.watch(request).await {
            Ok(watch) => watch,
            Err(refused) => return refused,
        };
        match self.listeners.listen(watch, &self.engine) {
            Some(stream) => stream,
            None => {
                let text = "Too many listen already (PERENNIAL_MAX_LISTENERS): ask for the pages every few seconds.\n";
                let mut refused = reply::plain(request, StatusCode::SERVICE_UNAVAILABLE, text);
                refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("30"));
                refused
            }
        }
    }

    /// Answers with the metrics, for callers with a token for them or with a secret of the revalidate endpoint.
    async fn metrics(&self, request: &Parts) -> Answer {
        if ![Method::GET, Method::HEAD].contains(&request.method) {
            reply::method_not_allowed(request)
        } else if self.metrics_tokens.admit(request) || self.revalidate.admits(request).await {
            let (site, breakers) =
                (self.engine.site(), perennial_core::guard::breakers(self.engine.stores()));
            let text = prometheus(site, self.engine.memory_usage(), &breakers);
            reply::text(request, StatusCode::OK, text)
        } else {
            reply::plain(request, StatusCode::UNAUTHORIZED, "Invalid token\n")
        }
    }

    async fn revalidate(&self, request: &Parts, body: RequestBody) -> Answer {
        // A body without a secret or a signature is not waited for.
        if !self.revalidate.reads_body(request).await {
            return self.revalidate.handle(request, b"").await;
        }
        let max_bytes = self.engine.limits().max_webhook_bytes;
        // The caller has authenticated by its secret.
        let part = if self.revalidate.admits(request).await {
            None
        } else {
            let length = body.size_hint().upper().unwrap_or(u64::MAX).min(max_bytes as u64);
            // As it comes, and in one piece.
            match self.unverified.take(2 * length, &**self.engine.clock()).await {
                None => return self.is_used_up(request),
                part => part,
            }
        };
        let body = Limited::new(body, max_bytes).collect();
        let body = tokio::select! {
            body = body => body,
            () = self.gives_way(part.as_ref()) => return self.is_used_up(request),
            () = self.engine.clock().sleep(self.engine.limits().head_timeout) => {
                return reply::plain(request, StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time.\n");
            }
        };
        match body {
            Ok(body) => self.revalidate.handle(request, &body.to_bytes()).await,
            Err(error) if error.is::<LengthLimitError>() => {
                reply::plain(request, StatusCode::PAYLOAD_TOO_LARGE, "The body is too large.\n")
            }
            Err(_) => reply::bad_request(request, "The body is malformed.\n"),
        }
    }

    /// Completes when others need the memory of a body that does not arrive.
    async fn gives_way(&self, part: Option<&Part>) {
        loop {
            self.engine.clock().sleep(STANDS_STILL_AFTER).await;
            if part.is_some() && self.unverified.is_wanted() {
                return;
            }
        }
    }

    fn is_used_up(&self, request: &Parts) -> Answer {
        self.engine.log(Line::UsedUp, |left_out| {
            tracing::warn!(left_out, "a delivery gets 503: as many signed bodies arrive as PERENNIAL_UNVERIFIED_MEMORY_BYTES allows");
        });
        reply::plain(request, StatusCode::SERVICE_UNAVAILABLE, "Too many deliveries arrive: try again.\n")
    }
}
