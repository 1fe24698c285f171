//! Starts a function or a command on the stores and the shared cache that the settings name.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;

#[cfg(feature = "aws")]
use crate::cdn::cloudfront::invalidation::CloudFront;
use crate::engine::Engine;
use crate::ports::edge::{AnyEdge, NoEdge};
use crate::ports::stores::Stores;
use crate::run::secrets::LiveSecrets;
#[cfg(feature = "aws")]
use crate::run::secrets::Reading;
use crate::run::settings::Settings;
use crate::site::{ReadySite, Site};
use crate::stores;
#[cfg(feature = "aws")]
use crate::stores::aws::account::Account;

/// The error of a function that cannot start or go on.
pub type FunctionError = Box<dyn Error + Send + Sync>;

/// A program that runs on any stores: a function of Lambda or a command.
pub trait OnStores {
    /// Whether the program also carries out the queue's jobs, unless an event source of AWS Lambda delivers them.
    const WORKS_QUEUE: bool = false;

    /// Whether the site is under development; see [`Engine::dev`].
    fn is_dev(&self) -> bool {
        false
    }

    /// Runs the program. A function answers events until the process ends.
    fn run<S: Stores>(
        self,
        engine: Arc<Engine<S>>,
        secrets: SecretSource,
    ) -> impl Future<Output = Result<(), FunctionError>>;
}

/// The source of the secrets of the revalidate endpoint.
pub enum SecretSource {
    /// The settings, or the embedded store.
    #[cfg(feature = "embedded")]
    Here(Box<Settings>),
    /// The settings, Secrets Manager, or an SSM parameter.
    #[cfg(feature = "aws")]
    Elsewhere(Box<(Settings, crate::stores::aws::account::Account)>),
}

impl SecretSource {
    /// The live secrets, each time converted by `make`. Secrets outside of the settings and the store are read when they are
    /// first needed.
    ///
    /// # Errors
    /// There is no secret, or `make` refuses the given ones. The message says what to do.
    pub fn live<T>(&self, make: fn(&[String]) -> Result<T, String>) -> Result<LiveSecrets<T>, FunctionError> {
        match self {
            #[cfg(feature = "embedded")]
            Self::Here(settings) => Ok(LiveSecrets::given(
                stores::embedded::secret::live_secrets(
                    &settings.revalidate_secrets,
                    &settings.store,
                    settings.on_lambda,
                )?,
                make,
            )?),
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
                    Box::pin(async move { stores::aws::secrets::read_secrets(&from.0, &from.1).await })
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
/// The settings are invalid, or the site contradicts itself, or the function ends with an error.
pub async fn run(site: Site, function: impl OnStores) -> Result<(), FunctionError> {
    let settings = Settings::from_env(&[])?;
    let site = ready(site, &settings)?;
    on_stores(Arc::new(site), settings, function).await
}

/// The site with the settings that concern it: webhook rules, base path, trailing slashes.
///
/// # Errors
/// The file of `PERENNIAL_WEBHOOKS` cannot be read, or the site contradicts itself or these settings.
pub fn ready(site: Site, settings: &Settings) -> Result<ReadySite, FunctionError> {
    let site = match &settings.webhooks {
        None => site,
        Some(file) => {
            let wrong = |e| format!("PERENNIAL_WEBHOOKS is `{}`, which cannot be read: {e}", file.display());
            site.webhooks(std::fs::read_to_string(file).map_err(wrong)?)
        }
    };
    let site = match &settings.origin {
        Some(origin) => site.origin(origin),
        None => site,
    };
    Ok(site.ready(settings.base_path.as_deref(), settings.trailing_slash)?)
}

/// Runs a function with a site on the stores and the shared cache that the settings name.
///
/// # Errors
/// The program was built without those stores or that cache, or the function ends with an error.
pub async fn on_stores(
    site: Arc<ReadySite>,
    settings: Settings,
    function: impl OnStores,
) -> Result<(), FunctionError> {
    let (account, clock) = (open_account(&settings)?, site.clock().clone());
    let (build, limits) = (&settings.build_id, &settings.limits);
    let edge = match (&settings.cloudfront, &account) {
        #[cfg(feature = "aws")]
        (Some(cloudfront), Some(account)) => {
            AnyEdge::new(CloudFront::new(account.clone(), cloudfront, site.urls(build)))
        }
        _ => AnyEdge::new(NoEdge),
    };
    match (&settings.aws, account) {
        #[cfg(feature = "aws")]
        (Some(aws), Some(account)) => {
            let stores = stores::aws::stores::open(&account, aws, limits, build, clock);
            stores::aws::stores::warm(&account, &stores).await;
            let engine = engine_for(&function, site, stores.with_edge(edge), &settings);
            function.run(engine, SecretSource::Elsewhere(Box::new((settings, account)))).await
        }
        #[cfg(feature = "embedded")]
        _ => {
            let stores = stores::embedded::open(&settings.store, build, clock, limits.store_lock_wait);
            on_own_stores(site, settings, stores.with_edge(edge), function).await
        }
        #[cfg(not(feature = "embedded"))]
        _ => Err("this program was built without the embedded store: set PERENNIAL_TABLE, PERENNIAL_BUCKET and PERENNIAL_QUEUE_URL".into()),
    }
}

/// Runs a function with a site on stores of your own. The secrets are those of the settings, or the one in the folder of
/// `PERENNIAL_STORE`.
///
/// # Errors
/// The function ends with an error.
#[cfg(feature = "embedded")]
pub async fn on_own_stores(
    site: Arc<ReadySite>,
    settings: Settings,
    stores: impl Stores,
    function: impl OnStores,
) -> Result<(), FunctionError> {
    let engine = engine_for(&function, site, stores, &settings);
    function.run(engine, SecretSource::Here(Box::new(settings))).await
}

/// The AWS account that the settings need; `None` if they need none. Opens no connection yet.
#[cfg(feature = "aws")]
fn open_account(settings: &Settings) -> Result<Option<Account>, FunctionError> {
    Ok(settings.account().map(Account::open).transpose()?)
}

/// A program without the feature `aws` has no account.
#[cfg(not(feature = "aws"))]
enum Account {}

#[cfg(not(feature = "aws"))]
fn open_account(settings: &Settings) -> Result<Option<Account>, FunctionError> {
    match (&settings.aws, &settings.cloudfront) {
        (Some(_), _) => Err("PERENNIAL_TABLE is set, but this program was built without the stores of AWS: build it with `--features aws`".into()),
        (None, Some(_)) => Err("PERENNIAL_DISTRIBUTION or PERENNIAL_DISTRIBUTION_FROM is set, but this program was built without CloudFront: build it with `--features aws`, or unset it".into()),
        (None, None) => Ok(None),
    }
}

/// The engine for a function. Starts workers of the queue if the function needs them.
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
    // A function of Lambda needs no workers: an event source delivers the jobs. On a local store no event source does.
    let is_served = settings.is_function && !engine.stores().are_local();
    if F::WORKS_QUEUE && !is_served {
        engine.start_workers(&tokio_util::sync::CancellationToken::new());
    }
    engine
}
