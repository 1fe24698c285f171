//! Functions and commands on the stores that their settings name.

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
    let site = match &settings.origin {
        Some(origin) => site.origin(origin),
        None => site,
    };
    Ok(site.ready(settings.base_path.as_deref(), settings.trailing_slash)?)
}

/// Puts a site on the stores that its settings name, behind the shared cache that they name, and has something done there.
///
/// # Errors
/// This program was built without those stores, or that cache; and what is done ends with.
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

/// Puts a site on stores of your own, and has something done there. The secrets are those of the settings, or one that is
/// kept in the folder of `PERENNIAL_STORE`.
///
/// # Errors
/// What is done ends with one.
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

/// The account that the settings need, if any. Opens no connection yet.
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

/// An engine as a function needs it.
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
