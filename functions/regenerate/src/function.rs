//! The regenerate function on AWS Lambda, which an SQS queue invokes.

use std::sync::Arc;

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use perennial_core::engine::Engine;
use perennial_core::ports::stores::Stores;
use perennial_core::run::function::{FunctionError, OnStores, SecretSource};
use perennial_core::site::Site;

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

/// Carries out the jobs of a site's queue until the process ends.
///
/// # Errors
/// The settings or the site have mistakes, or Lambda's runtime API ended.
pub async fn run(site: Site) -> Result<(), FunctionError> {
    perennial_core::run::function::run(site, Queue).await
}
