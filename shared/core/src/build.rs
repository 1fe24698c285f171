//! Builds a site: renders every listed page, and makes them visible together.

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
use crate::process::Process;
use crate::record::page_record::{Record, Stored};
use crate::record::reason::Reason;
use crate::render::bodies::{inline, put_bodies};
use crate::render::pool::{RenderError, RenderOutput, RenderRequest};
use crate::render::refresh::Renderer;
use crate::site::route::{Fallback, Resolved};

/// Steps of a build, for a progress display.
#[derive(Clone, Debug)]
pub enum BuildStep {
    /// All routes have listed their pages. Holds the number of pages.
    Listed(usize),
    /// One page was rendered, with success or not. Holds its decoded path.
    Rendered(String),
}

/// The result of a build.
#[derive(Clone, Debug, Default)]
pub struct Built {
    /// One entry for each route, in the order of the site.
    pub routes: Vec<BuiltRoute>,
}

/// The pages of one route in a build.
#[derive(Clone, Debug, Default)]
pub struct BuiltRoute {
    /// The route's id.
    pub route: String,
    /// How the route treats paths that are not listed; `None` for a route without parameters.
    pub fallback: Option<Fallback>,
    /// Whether its pages are rendered for every request: then nothing was built.
    pub dynamic: bool,
    /// Pages rendered.
    pub pages: usize,
    /// Bytes of HTML of all its pages.
    pub html_bytes: u64,
    /// Duration of the slowest render.
    pub slowest: Duration,
    /// The shortest revalidation period of its pages, in seconds; `None` if all stay fresh until invalidated.
    pub period_s: Option<u32>,
}

/// Why a build failed. A failed build changes nothing that visitors get.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Pages or listings failed: one message each.
    #[error("the build failed; what is served stays as it is:\n  {}", .0.join("\n  "))]
    Pages(Vec<String>),
    /// The store failed.
    #[error("the build cannot be stored; what is served stays as it is: {0}")]
    Store(#[from] StoreError),
}

/// A listed page.
struct ListedPage {
    /// Index of the route in [`Built::routes`].
    route: usize,
    page: Resolved,
}

/// Renders every listed page, within the limit of concurrent renders, and makes them visible together. Visitors get no new
/// page before every page has succeeded.
///
/// # Errors
/// [`BuildError`], which names every path that failed.
pub(crate) async fn build_site<S: Stores>(
    renderer: &Arc<Renderer<S>>,
    progress: impl Fn(BuildStep),
) -> Result<Built, BuildError> {
    let (mut built, pages) = listing(&renderer.process).await?;
    progress(BuildStep::Listed(pages.len()));
    let mut running = JoinSet::new();
    let listed: Vec<PageKey> = pages.iter().map(|listed_page| listed_page.page.key.clone()).collect();
    for listed_page in pages {
        let renderer = renderer.clone();
        running.spawn(async move {
            let built_page = build_page(&renderer, &listed_page.page).await;
            (listed_page, built_page)
        });
    }
    let (mut records, mut failures) = (Vec::new(), Vec::new());
    while let Some(joined) = running.join_next().await {
        let (listed_page, built_page) = match joined {
            Ok(rendered) => rendered,
            Err(panicked) => {
                failures.push(format!("a page's build ended early: {panicked}"));
                continue;
            }
        };
        let path = listed_page.page.decoded_path();
        match built_page {
            Ok((record, inline, html_bytes, duration)) => {
                built.routes[listed_page.route].count(&record, html_bytes, duration);
                records.push((listed_page.page.key, record, inline));
            }
            Err(failed) => {
                failures.push(format!("{}: {}", path.escape_debug(), failed.message.escape_debug()));
            }
        }
        progress(BuildStep::Rendered(path));
    }
    if !failures.is_empty() {
        // Otherwise the next visitors of these pages would wait until the leases end.
        for (key, record, _) in &records {
            let _ = renderer.process.stores.pages().release(key, record.generation).await;
        }
        failures.sort();
        return Err(BuildError::Pages(failures));
    }
    renderer.process.stores.pages().publish(&records, &listed).await?;
    Ok(built)
}

/// Stores which pages the routes list, without rendering them: for a server whose store holds nothing of its build.
///
/// # Errors
/// A route cannot list its pages, or the store failed.
pub(crate) async fn list_pages<S: Stores>(process: &Process<S>) -> Result<(), BuildError> {
    let (_, pages) = listing(process).await?;
    let listed: Vec<_> = pages.into_iter().map(|listed_page| listed_page.page.key).collect();
    Ok(process.stores.pages().publish(&[], &listed).await?)
}

/// The pages that the routes list, or one message for each route that cannot.
pub(crate) async fn listed<S: Stores>(process: &Process<S>) -> Result<Vec<Resolved>, Vec<String>> {
    match listing(process).await {
        Ok((_, pages)) => Ok(pages.into_iter().map(|listed_page| listed_page.page).collect()),
        Err(BuildError::Pages(failures)) => Err(failures),
        Err(BuildError::Store(error)) => Err(vec![error.to_string()]),
    }
}

async fn listing<S: Stores>(process: &Process<S>) -> Result<(Built, Vec<ListedPage>), BuildError> {
    let (mut built, mut pages, mut failures) = (Built::default(), Vec::new(), Vec::new());
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
            Ok(paths) if paths.is_empty() && fallback == Some(Fallback::NotFound) => tracing::warn!(
                "route {} serves listed paths only, and lists none: all its paths are 404",
                route.id()
            ),
            Ok(paths) => pages.extend(paths.into_iter().map(|page| ListedPage { route: index, page })),
            Err(failure) => {
                failures.push(format!("{}: {}", route.id(), failure.message().escape_debug()));
            }
        }
    }
    // The site's routes stand in order of exactness: a path belongs to the first route that lists it.
    let mut owners: HashMap<String, usize> = HashMap::new();
    pages.retain(|listed_page| {
        owners.insert(listed_page.page.key.path().to_owned(), listed_page.route).is_none()
    });
    if failures.is_empty() { Ok((built, pages)) } else { Err(BuildError::Pages(failures)) }
}

async fn build_page<S: Stores>(renderer: &Renderer<S>, page: &Resolved) -> Result<BuiltPage, RenderError> {
    let (path_bytes, path_bytes_max) = (
        renderer.process.site.base_path().len() + page.key.path().len(),
        renderer.process.limits.max_path_bytes,
    );
    if path_bytes > path_bytes_max {
        return Err(RenderError::new(format!(
            "no visitor can reach the page: its path has {path_bytes} bytes, the limit is {path_bytes_max} (PERENNIAL_MAX_PATH_BYTES)"
        )));
    }
    let store_failed = |e: StoreError| RenderError::new(e.to_string());
    let ticket = renderer.override_all(page).await.map_err(store_failed)?;
    let Grant { epoch, .. } =
        renderer.process.stores.pages().prepare(&page.key, ticket).await.map_err(store_failed)?;
    let request =
        RenderRequest { page: page.clone(), reason: Reason::Build, generation: ticket, epoch, draft: false };
    let rendered = renderer.pool.run(request).await.and_then(|output| match output.record.stored {
        Stored::Redirect { ref destination, .. } => Err(RenderError::new(format!(
            "a listed page redirects (to {destination}): list the page it leads to instead"
        ))),
        _ => Ok(output),
    });
    let stored = match rendered {
        Ok(mut output) => put_built(renderer, page, &mut output).await.map_err(store_failed),
        Err(failed) => Err(failed),
    };
    if stored.is_err() {
        // Releases the lease, so that visitors can render the page at once. If that fails, the lease expires.
        let _ = renderer.process.stores.pages().release(&page.key, ticket).await;
    }
    stored
}

async fn put_built<S: Stores>(
    renderer: &Renderer<S>,
    page: &Resolved,
    output: &mut RenderOutput,
) -> Result<BuiltPage, StoreError> {
    // From the start of the render itself, without the wait for a render slot.
    let duration = renderer.process.clock.now().since(output.record.started_at);
    renderer.many_tags.note_many(page, &output.record).await?;
    put_bodies(&renderer.process, page, output).await?;
    let html_bytes = output.html.as_ref().map_or(0, |html| html.body().bytes);
    Ok((output.record.clone(), inline(&renderer.process, output), html_bytes, duration))
}

/// The record, the bodies to store with it, the number of HTML bytes, and the duration of the render.
type BuiltPage = (Record, Inline, u64, Duration);

impl BuiltRoute {
    fn count(&mut self, record: &Record, html_bytes: u64, duration: Duration) {
        self.pages += 1;
        self.html_bytes += html_bytes;
        self.slowest = self.slowest.max(duration);
        self.period_s = match (self.period_s, record.period_s) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}
