//! The serve function.

use std::process::ExitCode;
use std::sync::Arc;

use lambda_http::{Error, Request, run, service_fn};
use perennial::embedded::{EmbeddedStores, live_secrets};
use perennial::{Engine, Settings, SystemClock, telemetry};
use serve::{Renewal, Serve};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::function("serve", start()).await
}

async fn start() -> Result<(), Error> {
    let settings = Settings::from_env(&[])?;
    let secrets = live_secrets(&settings)?;
    let site = Arc::new(site::site().ready(settings.base_path.as_deref(), settings.trailing_slash)?);
    let clock = Arc::new(SystemClock);
    let stores = EmbeddedStores::open(&settings.store, &settings.build_id, clock.clone());
    let engine = Engine::new(site, stores, clock, settings.limits);
    // Nobody else works the embedded queue; this process is not frozen between requests where that store is used.
    engine.start_workers(&tokio_util::sync::CancellationToken::new());
    let serve = Arc::new(Serve::new(engine, Renewal::Before).with_drafts(&secrets));
    run(service_fn(move |request: Request| {
        let serve = serve.clone();
        async move { Ok::<_, Error>(serve.handle(&request.into_parts().0).await) }
    }))
    .await
}
