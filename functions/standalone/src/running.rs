//! A site at work in this process, whoever listens for its visitors: its handlers, the workers of its queue, and what
//! keeps its store complete.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use perennial_core::base::budget::Budget;
use perennial_core::base::clock::Clock;
use perennial_core::build::BuildError;
use perennial_core::engine::Engine;
use perennial_core::ports::pages::Pages as _;
use perennial_core::ports::stores::Stores;
use perennial_core::run::function::SecretSource;
use perennial_core::run::preview::Drafts;
use perennial_core::run::settings::Settings;
use perennial_core::stores::embedded::secret::{keep_secret, live_secrets, secret_file};
use perennial_revalidate::Revalidate;
use perennial_revalidate::auth::Secrets;
use perennial_revalidate::tokens::Tokens;
use perennial_serve::front::Front;
use perennial_serve::{Renewal, Serve};
use tokio_util::sync::CancellationToken;

use crate::events::Listeners;
use crate::handlers::Handlers;

/// The handlers of a site. Streams to listeners end with `stop`. Secrets that were given, and not made here, are judged.
pub(crate) async fn handlers<S: Stores>(
    engine: &Arc<Engine<S>>,
    secrets: &SecretSource,
    own_secret: Option<&str>,
    settings: &Settings,
    stop: &CancellationToken,
) -> Result<Arc<Handlers<S>>> {
    let revalidate_secrets = secrets.live(Secrets::new).map_err(anyhow::Error::from_boxed)?;
    if own_secret.is_none() {
        revalidate_secrets.get(engine.now()).await?.warn();
    }
    let drafts = secrets.live(|secrets| Ok(Drafts::new(secrets))).map_err(anyhow::Error::from_boxed)?;
    let serve = Serve::new(engine.clone(), Renewal::Beside).with_drafts(drafts);
    Ok(Arc::new(Handlers {
        front: Front::new(engine.clone(), serve, false),
        revalidate: Revalidate::new(engine.clone(), revalidate_secrets),
        listeners: Listeners::new(settings.limits.max_listeners, stop.clone()),
        metrics_tokens: Tokens::new(&settings.metrics_tokens),
        unverified: Budget::new(settings.limits.unverified_memory_bytes),
        engine: engine.clone(),
    }))
}

/// Starts what works beside the answers, until `stop`. A site under development needs none of it but its secret.
pub(crate) async fn set_to_work<S: Stores>(
    engine: &Arc<Engine<S>>,
    settings: &Settings,
    own_secret: Option<String>,
    stop: &CancellationToken,
) {
    if !engine.is_dev() {
        list_if_new(engine).await;
        tokio::spawn(until(stop.clone(), list_if_lost(engine.clone())));
        engine.start_workers(stop);
    }
    if let Some(secret) = own_secret {
        let keep = keep_own_secret(engine.clock().clone(), settings.store.clone(), secret);
        tokio::spawn(until(stop.clone(), keep));
    }
}

/// Work that never ends by itself.
async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

/// The secret that the embedded store has made for itself, because the settings give none.
pub(crate) fn own_secret(secrets: &SecretSource) -> std::io::Result<Option<String>> {
    match secrets {
        SecretSource::Here(settings) if settings.revalidate_secrets.is_empty() => {
            let given = live_secrets(&[], &settings.store, settings.on_lambda)?;
            Ok(given.into_iter().next())
        }
        _ => Ok(None),
    }
}

/// A store that holds nothing of this build does not know either which pages its routes list.
async fn list_if_new<S: Stores>(engine: &Arc<Engine<S>>) {
    match engine.stores().pages().list("", None, 1).await {
        Ok(pages) if pages.is_empty() => {
            tracing::warn!(
                build = &**engine.build(),
                "the store holds nothing of this build: pages are rendered when they are first visited (run `build` first)"
            );
            // In the background, and not waited for at the stop: the source of the listing may be slow or down.
            tokio::spawn(list_until_done(engine.clone()));
        }
        Ok(_) => {}
        Err(error) => tracing::error!("the store cannot be read: {error}"),
    }
}

/// The pause between two checks that the store knows the listed pages.
const LISTING_CHECK_PAUSE: Duration = Duration::from_secs(1);

/// A store that goes on without what was damaged does not know which pages the routes list; any server of the build
/// tells it again.
async fn list_if_lost<S: Stores>(engine: Arc<Engine<S>>) {
    loop {
        engine.clock().sleep(LISTING_CHECK_PAUSE).await;
        // A store that cannot be read says so to every visitor.
        if engine.stores().pages().unguarded().knows_listed().await.unwrap_or(true) {
            continue;
        }
        tracing::warn!("the store has lost which pages are listed: the routes are asked again");
        list_until_done(engine.clone()).await;
        tracing::info!("the store knows again which pages are listed");
    }
}

/// The pause after the first failed listing; each further failure doubles the pause.
const LISTING_PAUSE_FIRST: Duration = Duration::from_secs(1);

/// The longest pause between two listings.
const LISTING_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Tells the store which pages the routes list. A route that cannot tell is asked again; until then the store keeps the
/// list that it has.
async fn list_until_done<S: Stores>(engine: Arc<Engine<S>>) {
    let mut pause = LISTING_PAUSE_FIRST;
    loop {
        let error = match engine.list_pages().await {
            Ok(()) => return,
            Err(BuildError::Pages(failures)) => failures.join("; "),
            Err(BuildError::Store(error)) => error.to_string(),
        };
        tracing::warn!(
            "which pages the routes list cannot be told, so routes that serve listed pages only have no others than \
             before; it is tried again in {pause:?}: {error}"
        );
        engine.clock().sleep(pause).await;
        pause = (pause * 2).min(LISTING_PAUSE_MAX);
    }
}

/// The pause between two checks that the store holds this process's secret.
const SECRET_CHECK_PAUSE: Duration = Duration::from_secs(1);

/// A store that was removed under this process gets the secret again that this process knows.
async fn keep_own_secret(clock: Arc<dyn Clock>, store: PathBuf, secret: String) {
    let mut is_kept = true;
    loop {
        clock.sleep(SECRET_CHECK_PAUSE).await;
        let kept = keep_secret(&store, &secret);
        if is_kept && !matches!(kept, Ok(true)) {
            let file = secret_file(&store);
            let why =
                kept.as_ref().err().map_or_else(|| "it holds another one".to_owned(), ToString::to_string);
            tracing::error!(
                "{} is not this process's secret any more: {why}. Restart this process, or call it with the secret that \
                 it started with.",
                file.display()
            );
        }
        is_kept = matches!(kept, Ok(true));
    }
}
