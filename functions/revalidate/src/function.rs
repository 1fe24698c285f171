//! Revalidate as a function of AWS Lambda, behind a function URL.

use std::sync::Arc;

use perennial::Site;
use perennial::parts::engine::Engine;
use perennial::parts::ports::stores::Stores;
use perennial::parts::run::function::{FunctionError, OnStores, SecretSource};
use perennial::parts::run::lambda;

use crate::Revalidate;
use crate::auth::Secrets;

struct Publishers;

impl OnStores for Publishers {
    async fn run<S: Stores>(
        self,
        engine: Arc<Engine<S>>,
        secrets: SecretSource,
    ) -> Result<(), FunctionError> {
        let secrets = secrets.live(Secrets::new)?;
        // A door without a lock is found out at the start.
        secrets.get(engine.now()).await?.warn();
        let revalidate = Arc::new(Revalidate::new(engine, secrets));
        lambda::run(false, move |request, body| {
            let revalidate = revalidate.clone();
            async move { revalidate.handle(&request, &body).await }
        })
        .await
    }
}

/// Answers a site's publishers until the process ends.
///
/// # Errors
/// Settings that cannot be used, a site that contradicts itself, or the end of Lambda's runtime API.
pub async fn run(site: Site) -> Result<(), FunctionError> {
    perennial::parts::run::function::run(site, Publishers).await
}
