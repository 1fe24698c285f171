//! Serve as a function of AWS Lambda, behind a function URL.

use std::sync::Arc;

use lambda_http::{Error, Request, RequestExt as _, service_fn};
use perennial::draft::Drafts;
use perennial::function::{FunctionError, OnStores, SecretSource};
use perennial::url::as_sent;
use perennial::{Engine, Site, Stores};

use crate::{Renewal, Serve};

struct Visitors;

impl OnStores for Visitors {
    const WORKS_QUEUE: bool = true;

    async fn run<S: Stores>(
        self,
        engine: Arc<Engine<S>>,
        secrets: SecretSource,
    ) -> Result<(), FunctionError> {
        let drafts = secrets.live(|secrets| Ok(Drafts::new(secrets)))?;
        let serve = Arc::new(Serve::new(engine, Renewal::Before).with_drafts(drafts));
        lambda_http::run(service_fn(move |request: Request| {
            let serve = serve.clone();
            async move {
                let target = as_sent(request.raw_http_path(), request.uri());
                let mut parts = request.into_parts().0;
                parts.uri = target;
                Ok::<_, Error>(serve.handle(&parts).await)
            }
        }))
        .await
    }
}

/// Answers a site's visitors until the process ends.
///
/// # Errors
/// Settings that cannot be used, a site that contradicts itself, or the end of Lambda's runtime API.
pub async fn run(site: Site) -> Result<(), FunctionError> {
    perennial::function::run(site, Visitors).await
}
