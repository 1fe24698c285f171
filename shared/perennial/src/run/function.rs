//! Functions and commands on the stores that their settings name.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;

use crate::engine::Engine;
use crate::ports::stores::Stores;
use crate::run::secrets::LiveSecrets;
#[cfg(feature = "aws")]
use crate::run::secrets::Reading;
use crate::run::settings::Settings;
use crate::site::{ReadySite, Site};

/// Why a function cannot start, or go on.
pub type FunctionError = Box<dyn Error + Send + Sync>;

/// What is done on a site's stores, whichever they are.
pub trait OnStores {
    /// Whether it also works the queue, where no event source of AWS Lambda delivers what is in it.
    const WORKS_QUEUE: bool = false;

    /// Whether the site is under development; see [`Engine::dev`].
    fn is_dev(&self) -> bool {
        false
    }

    /// Does it: a function answers events until the process ends.
    fn run<S: Stores>(
        self,
        engine: Arc<Engine<S>>,
        secrets: SecretSource,
    ) -> impl Future<Output = Result<(), FunctionError>>;
}

/// Where the secrets of the revalidate endpoint are.
pub enum SecretSource {
    /// In the settings, or in the embedded store.
    #[cfg(feature = "embedded")]
    Here(Box<Settings>),
    /// In the settings, in Secrets Manager or in an SSM parameter.
    #[cfg(feature = "aws")]
    Elsewhere(Box<(Settings, crate::stores::aws::account::Account)>),
}

impl SecretSource {
    /// What is made of the live ones. Those that are kept elsewhere are read when they are first needed.
    ///
    /// # Errors
    /// There are none, or nothing can be made of those that are given; and what to do.
    pub fn live<T>(&self, make: fn(&[String]) -> Result<T, String>) -> Result<LiveSecrets<T>, FunctionError> {
        match self {
            #[cfg(feature = "embedded")]
            Self::Here(settings) => {
                Ok(LiveSecrets::given(crate::stores::embedded::secret::live_secrets(settings)?, make)?)
            }
            #[cfg(feature = "aws")]
            Self::Elsewhere(from) => {
                let (settings, account) = &**from;
                if !settings.revalidate_secrets.is_empty() {
                    return Ok(LiveSecrets::given(settings.revalidate_secrets.clone(), make)?);
                }
                let Some(id) = &settings.revalidate_secrets_from else { return Err(NO_SECRET.into()) };
                let from = Arc::new((id.clone(), account.clone()));
                let read = move || -> Reading {
                    let from = from.clone();
                    Box::pin(async move { crate::stores::aws::secrets::read_secrets(&from.0, &from.1).await })
                };
                Ok(LiveSecrets::kept_elsewhere(Box::new(read), make))
            }
        }
    }
}

#[cfg(feature = "aws")]
const NO_SECRET: &str = "nobody may call the revalidate endpoint yet: set PERENNIAL_REVALIDATE_SECRETS_FROM to the ARN of \
    a Secrets Manager secret or of an SSM parameter, or PERENNIAL_REVALIDATE_SECRETS to one or more secrets, separated by commas";

/// Runs a function on the stores that the environment names.
///
/// # Errors
/// Settings that cannot be used, or a site that contradicts itself; and what the function ends with.
pub async fn run(site: Site, function: impl OnStores) -> Result<(), FunctionError> {
    let settings = Settings::from_env(&[])?;
    let site = ready(site, &settings)?;
    on_stores(Arc::new(site), settings, function).await
}

/// A site as its settings have it.
///
/// # Errors
/// The file of `PERENNIAL_WEBHOOKS` cannot be read, or the site contradicts itself, or it.
pub fn ready(site: Site, settings: &Settings) -> Result<ReadySite, FunctionError> {
    let site = match &settings.webhooks {
        None => site,
        Some(file) => {
            let wrong = |e| format!("PERENNIAL_WEBHOOKS is `{}`, which cannot be read: {e}", file.display());
            site.webhooks(std::fs::read_to_string(file).map_err(wrong)?)
        }
    };
    Ok(site.ready(settings.base_path.as_deref(), settings.trailing_slash)?)
}

/// Puts a site on the stores that its settings name, and has something done there.
///
/// # Errors
/// This program was built without those stores; and what is done ends with.
pub async fn on_stores(
    site: Arc<ReadySite>,
    settings: Settings,
    function: impl OnStores,
) -> Result<(), FunctionError> {
    #[cfg(feature = "aws")]
    if let Some(aws) = &settings.aws {
        return on_aws(site, crate::stores::aws::account::Account::open(aws)?, settings.clone(), function)
            .await;
    }
    #[cfg(not(feature = "aws"))]
    if settings.aws.is_some() {
        return Err("PERENNIAL_TABLE is set, but this program was built without the stores of AWS: build it with `--features aws`".into());
    }
    on_this_machine(site, settings, function).await
}

#[cfg(feature = "aws")]
async fn on_aws(
    site: Arc<ReadySite>,
    account: crate::stores::aws::account::Account,
    settings: Settings,
    function: impl OnStores,
) -> Result<(), FunctionError> {
    let clock = site.clock().clone();
    let stores = crate::stores::aws::stores::open(&account, &settings, &site, clock.clone());
    crate::stores::aws::stores::warm(&account, &stores).await;
    let engine = engine_for(&function, site, stores, &settings);
    function.run(engine, SecretSource::Elsewhere(Box::new((settings, account)))).await
}

#[cfg(feature = "embedded")]
async fn on_this_machine(
    site: Arc<ReadySite>,
    settings: Settings,
    function: impl OnStores,
) -> Result<(), FunctionError> {
    let clock = site.clock().clone();
    let lock_wait = settings.limits.store_lock_wait;
    let stores = crate::stores::embedded::open(&settings.store, &settings.build_id, clock.clone(), lock_wait);
    let engine = engine_for(&function, site, stores, &settings);
    function.run(engine, SecretSource::Here(Box::new(settings))).await
}

/// An engine as a function needs it.
#[cfg(any(feature = "aws", feature = "embedded"))]
fn engine_for<F: OnStores, S: Stores>(
    function: &F,
    site: Arc<ReadySite>,
    stores: S,
    settings: &Settings,
) -> Arc<Engine<S>> {
    let (clock, limits) = (site.clock().clone(), settings.limits.clone());
    let engine = match function.is_dev() {
        true => Engine::dev(site, stores, clock, limits),
        false => Engine::new(site, stores, clock, limits),
    };
    // A function of Lambda is frozen between requests, and an event source takes the jobs; but of a store on this machine
    // nobody else takes any.
    let is_served = settings.is_function && !engine.stores().are_local();
    if F::WORKS_QUEUE && !is_served {
        engine.start_workers(&tokio_util::sync::CancellationToken::new());
    }
    engine
}

#[cfg(not(feature = "embedded"))]
#[allow(clippy::unused_async, reason = "as its other form")]
async fn on_this_machine(_: Arc<ReadySite>, _: Settings, _: impl OnStores) -> Result<(), FunctionError> {
    Err("this program was built without the embedded store: set PERENNIAL_TABLE, PERENNIAL_BUCKET and PERENNIAL_QUEUE_URL".into())
}
