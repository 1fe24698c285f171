//! The revalidate function on AWS Lambda, behind a function URL.

use std::sync::Arc;

use perennial_core::engine::Engine;
use perennial_core::ports::stores::Stores;
use perennial_core::run::function::{FunctionError, OnStores, SecretSource};
use perennial_core::run::lambda;
use perennial_core::site::Site;

use crate::auth::Secrets;
use crate::endpoint::Revalidate;

struct Endpoint;

impl OnStores for Endpoint {
    async fn run<S: Stores>(
        self,
        engine: Arc<Engine<S>>,
        secrets: SecretSource,
    ) -> Result<(), FunctionError> {
        let secrets = secrets.live(Secrets::new)?;
        // Reads the secrets now: an endpoint without a secret must fail its start.
        secrets.get(engine.now()).await?.warn();
        let revalidate = Arc::new(Revalidate::new(engine, secrets));
        lambda::run(false, move |request, body| {
            let revalidate = revalidate.clone();
            async move { revalidate.handle(&request, &body).await }
        })
        .await
    }
}

/// Answers calls to the revalidate endpoint until the process ends.
///
/// # Errors
/// The settings or the site are invalid, the secrets cannot be read, or Lambda's runtime API has failed.
pub async fn run(site: Site) -> Result<(), FunctionError> {
    perennial_core::run::function::run(site, Endpoint).await
}
