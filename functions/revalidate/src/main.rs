//! The revalidate function.

use std::process::ExitCode;
use std::sync::Arc;

use lambda_http::{Error, Request, run, service_fn};
use perennial::embedded::{EmbeddedStores, live_secrets};
use perennial::{Engine, Settings, SystemClock, telemetry};
use revalidate::Revalidate;
use revalidate::auth::Secrets;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::function("revalidate", start()).await
}

async fn start() -> Result<(), Error> {
    let settings = Settings::from_env(&[])?;
    let secrets = Secrets::new(&live_secrets(&settings)?)?;
    let site = Arc::new(site::site().ready(settings.base_path.as_deref(), settings.trailing_slash)?);
    let clock = Arc::new(SystemClock);
    let stores = EmbeddedStores::open(&settings.store, &settings.build_id, clock.clone());
    let engine = Engine::new(site, stores, clock, settings.limits);
    let revalidate = Arc::new(Revalidate::new(engine, secrets));
    run(service_fn(move |request: Request| {
        let revalidate = revalidate.clone();
        async move {
            let (parts, body) = request.into_parts();
            Ok::<_, Error>(revalidate.handle(&parts, &body).await)
        }
    }))
    .await
}
