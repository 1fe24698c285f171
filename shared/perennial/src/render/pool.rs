//! Runs one render: its place in the queue, its time limit, its panics, and the judgement of what it gave.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::base::blocking::run_blocking;
use crate::base::clock::{Clock, Millis, within};
use crate::base::limits::Limits;
use crate::base::panics::panic_text;
use crate::record::content::Content;
use crate::record::page_record::{Epoch, Record, Stored, Ticket};
use crate::record::reason::Reason;
use crate::render::validate::{Judged, Judgement, Refused, judge};
use crate::site::ReadySite;
use crate::site::page::{Context, Failure};
use crate::site::route::{Documents, Resolved};

/// What a render gave: a record, and the content it refers to.
#[derive(Debug)]
pub(crate) struct RenderOutput {
    pub(crate) record: Record,
    pub(crate) html: Option<Arc<Content>>,
    pub(crate) data: Option<Arc<Content>>,
}

/// A render that changes nothing.
#[derive(Debug)]
pub(crate) struct RenderError {
    pub(crate) message: String,
    pub(crate) retry_after: Option<Duration>,
    /// The page asked for it: nothing to report as an error.
    pub(crate) kept: bool,
}

impl RenderError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry_after: None, kept: false }
    }
}

impl From<Failure> for RenderError {
    fn from(failure: Failure) -> Self {
        Self { message: failure.message, retry_after: failure.retry_after, kept: false }
    }
}

/// One render to be run.
#[derive(Clone, Debug)]
pub(crate) struct RenderRequest {
    pub(crate) page: Resolved,
    pub(crate) reason: Reason,
    pub(crate) generation: Ticket,
    pub(crate) epoch: Epoch,
    pub(crate) draft: bool,
}

/// Longer periods are taken, with a warning: they are mostly milliseconds by mistake.
const YEAR_S: u32 = 31_536_000;

/// Runs renders within the limits of one process.
pub(crate) struct RenderPool {
    site: Arc<ReadySite>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    build: Arc<str>,
    base_path: Arc<str>,
    ordinary: Arc<Semaphore>,
    on_demand: Arc<Semaphore>,
    by_route: HashMap<String, Arc<Semaphore>>,
}

impl RenderPool {
    pub(crate) fn new(site: Arc<ReadySite>, clock: Arc<dyn Clock>, limits: Limits, build: Arc<str>) -> Self {
        let by_route = site.routes().iter().filter_map(|route| {
            let limit = route.options.max_concurrent_renders?;
            Some((route.id().to_owned(), Arc::new(Semaphore::new(limit))))
        });
        let by_route = by_route.collect();
        let [ordinary, on_demand] = [(); 2].map(|()| Arc::new(Semaphore::new(limits.max_concurrent_renders)));
        let base_path = site.base_path().into();
        Self { site, clock, limits, build, base_path, ordinary, on_demand, by_route }
    }

    /// Waits for a place, renders and judges.
    pub(crate) async fn run(&self, order: RenderRequest) -> Result<RenderOutput, RenderError> {
        let _places = self.places(&order).await?;
        let started_at = self.clock.now();
        let judged = self.render(&order).await?;
        self.draft(order, judged, started_at).await
    }

    async fn places(&self, order: &RenderRequest) -> Result<[Option<OwnedSemaphorePermit>; 2], RenderError> {
        let shared = if order.reason == Reason::OnDemand { &self.on_demand } else { &self.ordinary };
        let by_route = self.by_route.get(order.page.route.id());
        let wait = async {
            // The narrower place first: who waits for it must not hold one that other routes could use.
            let route = match by_route {
                Some(places) => places.clone().acquire_owned().await.ok(),
                None => None,
            };
            [route, shared.clone().acquire_owned().await.ok()]
        };
        let waited = within(&*self.clock, self.limits.max_wait, wait).await;
        waited.ok_or_else(|| {
            RenderError::new(format!(
                "no render could start within {:?}: {} are running (PERENNIAL_MAX_CONCURRENT_RENDERS)",
                self.limits.max_wait, self.limits.max_concurrent_renders
            ))
        })
    }

    async fn render(&self, order: &RenderRequest) -> Result<Judged, RenderError> {
        let page = &order.page;
        let limit = page.route.options.render_timeout.unwrap_or(self.limits.render_timeout);
        // A task of its own: its panic is this render's failure, and a time limit cannot be blocked by it.
        let mut task = tokio::spawn(page.route.page.clone().render(self.context(order)));
        let rendered = match within(&*self.clock, limit, &mut task).await {
            Some(Ok(rendered)) => rendered?,
            Some(Err(join)) if join.is_panic() => {
                return Err(RenderError::new(panic_text(&*join.into_panic())));
            }
            Some(Err(_)) => {
                return Err(RenderError::new("the render was cancelled: the process is stopping"));
            }
            None => {
                task.abort();
                return Err(RenderError::new(format!(
                    "the render took longer than {limit:?} (PERENNIAL_RENDER_TIMEOUT_MS, or the route's own)"
                )));
            }
        };
        judge(rendered, &self.limits).map_err(|refused| match refused {
            Refused::Invalid(message) => RenderError::new(message),
            Refused::KeepStale { retry_after } => RenderError {
                message: "the page asked to keep what there is".into(),
                retry_after,
                kept: true,
            },
        })
    }

    fn context(&self, order: &RenderRequest) -> Context {
        Context {
            path: order.page.decoded_path().into(),
            pattern: order.page.route.pattern.shared(),
            params: order.page.params.clone(),
            query: order.page.query.clone(),
            reason: order.reason,
            build: self.build.clone(),
            base_path: self.base_path.clone(),
            generation: order.generation,
            draft: order.draft,
        }
    }

    /// What an editor sees says that nobody else does.
    fn mark_draft(&self, order: &RenderRequest, html: &mut String) -> Result<(), RenderError> {
        if order.draft {
            *html = self
                .site
                .with_draft_banner(&order.page.key, std::mem::take(html))
                .map_err(RenderError::new)?;
        }
        Ok(())
    }

    async fn draft(
        &self,
        order: RenderRequest,
        judged: Judged,
        started_at: Millis,
    ) -> Result<RenderOutput, RenderError> {
        let Judged { content, period_s, expires_at, tags, headers } = judged;
        if let Some(seconds) = period_s.filter(|s| *s > YEAR_S) {
            let path = order.page.decoded_path();
            tracing::warn!(page = %path.escape_debug(), "its period of {seconds} s is more than a year; is it meant?");
        }
        let (stored, html, data) = match content {
            Judgement::Redirect(to) => {
                let stored = Stored::Redirect {
                    destination: to.destination,
                    status: to.status,
                    base_path: to.base_path,
                };
                (stored, None, None)
            }
            Judgement::Page(mut documents) => {
                self.mark_draft(&order, &mut documents.html)?;
                let (html, data) = contents(documents).await?;
                (
                    Stored::Page { html: html.body().clone(), data: data.body().clone() },
                    Some(html),
                    Some(data),
                )
            }
            Judgement::NotFound => {
                let mut html =
                    self.site.not_found_html(&order.page.decoded_path()).map_err(RenderError::new)?;
                self.mark_draft(&order, &mut html)?;
                let (html, data) = contents(Documents { html, data: NOT_FOUND_DATA.to_owned() }).await?;
                (
                    Stored::NotFound { html: html.body().clone(), data: data.body().clone() },
                    Some(html),
                    Some(data),
                )
            }
        };
        let record = Record {
            generation: order.generation,
            epoch: order.epoch,
            started_at,
            period_s,
            expires_at,
            modified_at: started_at,
            reason: order.reason,
            tags,
            headers,
            stored,
        };
        Ok(RenderOutput { record, html, data })
    }
}

/// The data JSON of a page that does not exist.
pub const NOT_FOUND_DATA: &str = "{\"notFound\":true}";

async fn contents(documents: Documents) -> Result<(Arc<Content>, Arc<Content>), RenderError> {
    let make = move || (Arc::new(Content::render(documents.html)), Arc::new(Content::render(documents.data)));
    run_blocking(make).await.map_err(|e| RenderError::new(format!("compressing was interrupted: {e}")))
}
