//! Regenerate as a function of AWS Lambda, fed by an SQS queue.

use std::sync::Arc;

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use perennial::Site;
use perennial::parts::engine::Engine;
use perennial::parts::ports::stores::Stores;
use perennial::parts::run::function::{FunctionError, OnStores, SecretSource};

use crate::Regenerate;

struct Queue;

impl OnStores for Queue {
    async fn run<S: Stores>(self, engine: Arc<Engine<S>>, _: SecretSource) -> Result<(), FunctionError> {
        let regenerate = Arc::new(Regenerate::new(engine));
        lambda_runtime::run(service_fn(move |event: LambdaEvent<SqsEvent>| {
            let regenerate = regenerate.clone();
            async move { Ok::<_, Error>(regenerate.handle(&event.payload).await) }
        }))
        .await
    }
}

/// Works the queue of a site until the process ends.
///
/// # Errors
/// Settings that cannot be used, a site that contradicts itself, or the end of Lambda's runtime API.
pub async fn run(site: Site) -> Result<(), FunctionError> {
    perennial::parts::run::function::run(site, Queue).await
}
