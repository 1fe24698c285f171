//! Renders every listed page of a site, and publishes them together.

use crate::process::Process;
use crate::render::bodies::{inline, put_bodies};
use crate::render::refresh::Renderer;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::key::page_key::PageKey;
use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::grant::Grant;
use crate::ports::pages::snapshot::Inline;
use crate::ports::stores::Stores;
use crate::record::page_record::{Record, Stored};
use crate::record::reason::Reason;
use crate::render::pool::{RenderError, RenderOutput, RenderRequest};
use crate::site::route::{Fallback, Resolved};

/// What happens while a site is built, for a progress display.
#[derive(Clone, Debug)]
pub enum BuildStep {
    /// So many pages are listed.
    Listed(usize),
    /// One page was rendered, well or not; its decoded path.
    Rendered(String),
}

/// A site that was built.
#[derive(Clone, Debug, Default)]
pub struct Built {
    /// By route, in the site's order.
    pub routes: Vec<BuiltRoute>,
}

/// What was built of one route.
#[derive(Clone, Debug, Default)]
pub struct BuiltRoute {
    /// The route's id.
    pub route: String,
    /// How it treats paths that are not listed; none for routes without parameters.
    pub fallback: Option<Fallback>,
    /// Rendered for every request: nothing was built.
    pub dynamic: bool,
    /// Pages rendered.
    pub pages: usize,
    /// Their HTML, together.
    pub html_bytes: u64,
    /// The slowest render.
    pub slowest: Duration,
    /// The shortest period a page gave, in seconds; none if all stay until invalidated.
    pub period_s: Option<u32>,
}

/// A build that changed nothing, and why.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Every page or listing that failed, with its message.
    #[error("the build failed; what is served stays as it is:\n  {}", .0.join("\n  "))]
    Pages(Vec<String>),
    /// The store failed.
    #[error("the build cannot be stored; what is served stays as it is: {0}")]
    Store(#[from] StoreError),
}

struct Job {
    route: usize,
    page: Resolved,
}

/// Renders every listed page, as many at once as may be rendered, and makes them visible together. Nothing
/// that is served changes before every page has succeeded.
///
/// # Errors
/// [`BuildError`], naming every path that failed.
pub(crate) async fn build_site<S: Stores>(
    renderer: &Arc<Renderer<S>>,
    progress: impl Fn(BuildStep),
) -> Result<Built, BuildError> {
    let (mut built, jobs) = listing(&renderer.process).await?;
    progress(BuildStep::Listed(jobs.len()));
    let mut running = JoinSet::new();
    let listed: Vec<PageKey> = jobs.iter().map(|job| job.page.key.clone()).collect();
    for job in jobs {
        let renderer = renderer.clone();
        running.spawn(async move {
            let drafted = build_page(&renderer, &job.page).await;
            (job, drafted)
        });
    }
    let (mut records, mut failures) = (Vec::new(), Vec::new());
    while let Some(joined) = running.join_next().await {
        let (job, drafted) = match joined {
            Ok(rendered) => rendered,
            Err(panicked) => {
                failures.push(format!("a page's build ended early: {panicked}"));
                continue;
            }
        };
        let path = job.page.decoded_path();
        match drafted {
            Ok((record, inline, html_bytes, took)) => {
                built.routes[job.route].count(&record, html_bytes, took);
                records.push((job.page.key, record, inline));
            }
            Err(failed) => {
                failures.push(format!("{}: {}", path.escape_debug(), failed.message.escape_debug()));
            }
        }
        progress(BuildStep::Rendered(path));
    }
    if !failures.is_empty() {
        failures.sort();
        return Err(BuildError::Pages(failures));
    }
    renderer.process.stores.pages().publish(&records, &listed).await?;
    Ok(built)
}

/// Notes which pages the routes list, without rendering them: for a server whose build was made elsewhere or
/// has been lost.
///
/// # Errors
/// A route cannot list its pages, or the store failed.
pub(crate) async fn list_pages<S: Stores>(process: &Process<S>) -> Result<(), BuildError> {
    let (_, jobs) = listing(process).await?;
    let listed: Vec<_> = jobs.into_iter().map(|job| job.page.key).collect();
    Ok(process.stores.pages().publish(&[], &listed).await?)
}

/// The pages that the routes list, or what went wrong with each route that cannot.
pub(crate) async fn listed<S: Stores>(process: &Process<S>) -> Result<Vec<Resolved>, Vec<String>> {
    match listing(process).await {
        Ok((_, jobs)) => Ok(jobs.into_iter().map(|job| job.page).collect()),
        Err(BuildError::Pages(failures)) => Err(failures),
        Err(BuildError::Store(error)) => Err(vec![error.to_string()]),
    }
}

async fn listing<S: Stores>(process: &Process<S>) -> Result<(Built, Vec<Job>), BuildError> {
    let (mut built, mut jobs, mut failures) = (Built::default(), Vec::new(), Vec::new());
    for (index, route) in process.site.routes().iter().enumerate() {
        let dynamic = route.is_dynamic();
        let fallback = route.pattern.is_dynamic().then_some(route.fallback());
        built.routes.push(BuiltRoute {
            route: route.id().to_owned(),
            fallback,
            dynamic,
            ..BuiltRoute::default()
        });
        if dynamic {
            continue;
        }
        match route.paths().await {
            Ok(pages) if pages.is_empty() && fallback == Some(Fallback::NotFound) => tracing::warn!(
                "route {} serves listed paths only, and lists none: all its paths are 404",
                route.id()
            ),
            Ok(pages) => jobs.extend(pages.into_iter().map(|page| Job { route: index, page })),
            Err(failure) => {
                failures.push(format!("{}: {}", route.id(), failure.message().escape_debug()));
            }
        }
    }
    // A path belongs to the most exact route that lists it or serves it.
    let mut owners: HashMap<String, usize> = HashMap::new();
    jobs.retain(|job| owners.insert(job.page.key.path().to_owned(), job.route).is_none());
    if failures.is_empty() { Ok((built, jobs)) } else { Err(BuildError::Pages(failures)) }
}

async fn build_page<S: Stores>(renderer: &Renderer<S>, page: &Resolved) -> Result<BuiltPage, RenderError> {
    let (bytes, most) = (
        renderer.process.site.base_path().len() + page.key.path().len(),
        renderer.process.limits.max_path_bytes,
    );
    if bytes > most {
        return Err(RenderError::new(format!(
            "no visitor can reach the page: its path has {bytes} bytes, the limit is {most} (PERENNIAL_MAX_PATH_BYTES)"
        )));
    }
    let store = |e: StoreError| RenderError::new(e.to_string());
    let ticket = renderer.override_all(page).await.map_err(store)?;
    let Grant { epoch, .. } =
        renderer.process.stores.pages().prepare(&page.key, ticket).await.map_err(store)?;
    let order =
        RenderRequest { page: page.clone(), reason: Reason::Build, generation: ticket, epoch, draft: false };
    let drafted = renderer.pool.run(order).await.and_then(|draft| match draft.record.stored {
        Stored::Redirect { ref destination, .. } => Err(RenderError::new(format!(
            "a listed page redirects (to {destination}): list the page it leads to instead"
        ))),
        _ => Ok(draft),
    });
    let stored = match drafted {
        Ok(mut draft) => put_built(renderer, page, &mut draft).await.map_err(store),
        Err(failed) => Err(failed),
    };
    if stored.is_err() {
        // Nothing was promised: visitors may render it at once. If this fails the lease ends by itself.
        let _ = renderer.process.stores.pages().release(&page.key, ticket).await;
    }
    stored
}

async fn put_built<S: Stores>(
    renderer: &Renderer<S>,
    page: &Resolved,
    draft: &mut RenderOutput,
) -> Result<BuiltPage, StoreError> {
    // From the render's own start: what it waited for a place says nothing about the page.
    let took = renderer.process.clock.now().since(draft.record.started_at);
    renderer.many_tags.note_many(page, &draft.record).await?;
    put_bodies(&renderer.process, page, draft).await?;
    let html_bytes = draft.html.as_ref().map_or(0, |html| html.body().bytes);
    Ok((draft.record.clone(), inline(&renderer.process, draft), html_bytes, took))
}

/// Its record, the bodies to be kept beside it, the HTML's bytes, and how long it took.
type BuiltPage = (Record, Inline, u64, Duration);

impl BuiltRoute {
    fn count(&mut self, record: &Record, html_bytes: u64, took: Duration) {
        self.pages += 1;
        self.html_bytes += html_bytes;
        self.slowest = self.slowest.max(took);
        self.period_s = match (self.period_s, record.period_s) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}
