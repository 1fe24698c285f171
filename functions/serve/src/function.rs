//! The serve function on AWS Lambda, behind a function URL.

use std::sync::Arc;

use perennial_core::engine::Engine;
use perennial_core::ports::stores::Stores;
use perennial_core::run::function::{FunctionError, OnStores, SecretSource};
use perennial_core::run::lambda;
use perennial_core::run::preview::Drafts;
use perennial_core::site::Site;
use perennial_core::site::service::RequestBody;

use crate::front::Front;
use crate::{Renewal, Serve};

struct Visitors;

impl OnStores for Visitors {
    const WORKS_QUEUE: bool = true;

    async fn run<S: Stores>(
        self,
        engine: Arc<Engine<S>>,
        secrets: SecretSource,
    ) -> Result<(), FunctionError> {
        let stream = engine.limits().stream_body_bytes.is_some();
        let drafts = secrets.live(|secrets| Ok(Drafts::new(secrets)))?;
        let serve = Serve::new(engine.clone(), Renewal::Before).with_drafts(drafts);
        let front = Arc::new(Front::new(engine, serve, !stream));
        lambda::run(stream, move |mut request, body| {
            let front = front.clone();
            async move { front.answer(&mut request, || RequestBody::from(lambda::bytes(body))).await }
        })
        .await
    }
}

/// Answers a site's visitors until the process ends.
///
/// # Errors
/// The settings or the site have mistakes, or Lambda's runtime API ended.
pub async fn run(site: Site) -> Result<(), FunctionError> {
    perennial_core::run::function::run(site, Visitors).await
}
