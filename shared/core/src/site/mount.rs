//! How a site gets a service.

use std::future::poll_fn;

use bytes::Buf;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tower_service::Service;

use crate::site::Site;
use crate::site::service::{AnswerBody, Answered, BoxError, Mounted, RequestBody};

impl Site {
    /// Has a `tower` service answer every path below a prefix, such as `/api`, with all methods: an axum `Router`, for
    /// example. The service is asked on Lambda, too. It sees the path without the base path and the prefix, as under
    /// axum's `nest_service`, and finds the whole one in [`OriginalUri`](crate::site::service::OriginalUri). A service
    /// has its paths before any route with parameters. A route that is itself below the prefix is a mistake.
    ///
    /// No answer of a service is stored. Without a `Cache-Control` of its own, an answer gets `private, no-store`. A
    /// larger body than `PERENNIAL_MAX_SERVICE_BODY_BYTES` gets 413; a panic, or an error, gets 500; an answer that has not
    /// begun after `PERENNIAL_MAX_WAIT_MS` gets 503.
    ///
    /// ```
    /// use axum::Router;
    /// use axum::routing::{get, post};
    /// use perennial::Site;
    ///
    /// let api = Router::new()
    ///     .route("/hello", get(|| async { "Hello" }))
    ///     .route("/echo", post(|body: String| async move { body }));
    /// let site = Site::new().service("/api", api);
    /// # site.ready(None, None).unwrap();
    /// ```
    pub fn service<S, B>(mut self, prefix: impl Into<String>, service: S) -> Self
    where
        S: Service<
                Request<RequestBody>,
                Response = Response<B>,
                Error: Into<BoxError>,
                Future: Send + 'static,
            > + Clone
            + Send
            + Sync
            + 'static,
        B: HttpBody<Data: Buf, Error: Into<BoxError>> + Send + 'static,
    {
        let call = move |request| -> Answered {
            let mut service = service.clone();
            Box::pin(async move {
                poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
                let answer = service.call(request).await.map_err(Into::into)?;
                Ok(answer.map(AnswerBody::new))
            })
        };
        self.services.push(Mounted::new(prefix.into(), call));
        self
    }
}
