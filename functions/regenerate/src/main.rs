//! The regenerate function.

use std::process::ExitCode;
use std::sync::Arc;

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use perennial::embedded::EmbeddedStores;
use perennial::{Engine, Settings, SystemClock, telemetry};
use regenerate::Regenerate;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::function("regenerate", start()).await
}

async fn start() -> Result<(), Error> {
    let settings = Settings::from_env(&[])?;
    let site = Arc::new(site::site().ready(settings.base_path.as_deref(), settings.trailing_slash)?);
    let clock = Arc::new(SystemClock);
    let stores = EmbeddedStores::open(&settings.store, &settings.build_id, clock.clone());
    let regenerate = Arc::new(Regenerate::new(Engine::new(site, stores, clock, settings.limits)));
    run(service_fn(move |event: LambdaEvent<SqsEvent>| {
        let regenerate = regenerate.clone();
        async move { Ok::<_, Error>(regenerate.handle(&event.payload).await) }
    }))
    .await
}
