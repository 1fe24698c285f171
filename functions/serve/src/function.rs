//! The serve function on AWS Lambda, behind a function URL.

use std::sync::Arc;

use perennial_core::engine::Engine;
use perennial_core::ports::stores::Stores;
use perennial_core::run::function::{FunctionError, OnStores, SecretSource};
use perennial_core::run::lambda;
use perennial_core::run::preview::Drafts;
use perennial_core::site::Site;

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
        let serve = Arc::new(Serve::new(engine, Renewal::Before).with_drafts(drafts));
        lambda::run(stream, move |request, _| {
            let serve = serve.clone();
            async move { serve.handle(&request).await }
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
