//! Runs renders: limits how many run at once, ends them at their time limit, catches panics, and validates the result.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::base::blocking::run_blocking;
use crate::base::clock::{Clock, Millis, within};
use crate::base::limits::Limits;
use crate::base::panics::panic_text;
use crate::record::content::Content;
use crate::record::media_type::is_compressible;
use crate::record::page_record::{Epoch, Record, Stored, Ticket};
use crate::record::reason::Reason;
use crate::render::validate::{Rejected, ValidContent, ValidRender, validate};
use crate::site::ReadySite;
use crate::site::page::{Context, Failure};
use crate::site::resource::ReadyBlob;
use crate::site::route::{Documents, Resolved};

/// A valid render: a record, and the content that the record refers to.
#[derive(Debug)]
pub(crate) struct RenderOutput {
    pub(crate) record: Record,
    /// The HTML, or the bytes of a resource.
    pub(crate) html: Option<Arc<Content>>,
    pub(crate) data: Option<Arc<Content>>,
}

/// A render without output: the stored page stays.
#[derive(Debug)]
pub(crate) struct RenderError {
    pub(crate) message: String,
    pub(crate) retry_after: Option<Duration>,
    /// Whether the page asked to keep the stored page: then this is not logged as an error.
    pub(crate) keeps_stored: bool,
}

impl RenderError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry_after: None, keeps_stored: false }
    }
}

impl From<Failure> for RenderError {
    fn from(failure: Failure) -> Self {
        Self { message: failure.message, retry_after: failure.retry_after, keeps_stored: false }
    }
}

/// One render to run.
#[derive(Clone, Debug)]
pub(crate) struct RenderRequest {
    pub(crate) page: Resolved,
    pub(crate) reason: Reason,
    /// The record's generation.
    pub(crate) generation: Ticket,
    /// The site's epoch, read before the render starts.
    pub(crate) epoch: Epoch,
    /// Whether an editor previews the page.
    pub(crate) draft: bool,
}

/// A longer period is accepted with a warning: it is probably milliseconds by mistake.
const YEAR_S: u32 = 31_536_000;

/// Runs renders within the limits of one process. On-demand renders have permits of their own, so that hung pages
/// cannot delay a publisher.
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

    /// Waits for permits, renders the page and validates the result.
    pub(crate) async fn run(&self, request: RenderRequest) -> Result<RenderOutput, RenderError> {
        let _permits = self.acquire_permits(&request).await?;
        let started_at = self.clock.now();
        let valid = self.render(&request).await?;
        self.output(request, valid, started_at).await
    }

    async fn acquire_permits(
        &self,
        request: &RenderRequest,
    ) -> Result<[Option<OwnedSemaphorePermit>; 2], RenderError> {
        let pool = if request.reason == Reason::OnDemand { &self.on_demand } else { &self.ordinary };
        let by_route = self.by_route.get(request.page.route.id());
        let acquire = async {
            // The route's permit comes first: a render that waits for it must not hold a permit of the pool, which
            // other routes could use.
            let route_permit = match by_route {
                Some(semaphore) => semaphore.clone().acquire_owned().await.ok(),
                None => None,
            };
            [route_permit, pool.clone().acquire_owned().await.ok()]
        };
        let permits = within(&*self.clock, self.limits.max_wait, acquire).await;
        permits.ok_or_else(|| {
            RenderError::new(format!(
                "no render could start within {:?}: {} are running (PERENNIAL_MAX_CONCURRENT_RENDERS)",
                self.limits.max_wait, self.limits.max_concurrent_renders
            ))
        })
    }

    async fn render(&self, request: &RenderRequest) -> Result<ValidRender, RenderError> {
        let page = &request.page;
        let limit = page.route.options.render_timeout.unwrap_or(self.limits.render_timeout);
        // The render runs in a task of its own: a panic ends only that task, and the time limit works even if the task
        // blocks.
        let mut task = tokio::spawn(page.route.page.clone().render(self.context(request)));
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
        validate(rendered, &self.limits).map_err(|rejected| match rejected {
            Rejected::Invalid(message) => RenderError::new(message),
            Rejected::KeepStale { retry_after } => RenderError {
                message: "the page asked to keep the stored page".into(),
                retry_after,
                keeps_stored: true,
            },
        })
    }

    fn context(&self, request: &RenderRequest) -> Context {
        Context {
            path: request.page.decoded_path().into(),
            pattern: request.page.route.pattern.shared(),
            params: request.page.params.clone(),
            query: request.page.query.clone(),
            reason: request.reason,
            build: self.build.clone(),
            base_path: self.base_path.clone(),
            origin: self.site.origin().cloned(),
            generation: request.generation,
            draft: request.draft,
        }
    }

    /// Adds the draft banner to an editor's preview.
    fn mark_draft(&self, request: &RenderRequest, html: &mut String) -> Result<(), RenderError> {
        if request.draft {
            *html = self
                .site
                .with_draft_banner(&request.page.key, std::mem::take(html))
                .map_err(RenderError::new)?;
        }
        Ok(())
    }

    /// Compresses a valid result and makes its record.
    async fn output(
        &self,
        request: RenderRequest,
        valid: ValidRender,
        started_at: Millis,
    ) -> Result<RenderOutput, RenderError> {
        let ValidRender { content, period_s, expires_at, tags, headers } = valid;
        if let Some(seconds) = period_s.filter(|s| *s > YEAR_S) {
            let shown = request.page.shown();
            tracing::warn!(page = %shown.escape_debug(), "the page's period of {seconds} s is more than a year; were milliseconds given?");
        }
        let (stored, html, data) = match content {
            ValidContent::Redirect(to) => {
                let stored = Stored::Redirect {
                    destination: to.destination,
                    status: to.status,
                    base_path: to.base_path,
                };
                (stored, None, None)
            }
            ValidContent::Page(mut documents) => {
                self.mark_draft(&request, &mut documents.html)?;
                let (html, data) = compress(documents).await?;
                (
                    Stored::Page { html: html.body().clone(), data: data.body().clone() },
                    Some(html),
                    Some(data),
                )
            }
            ValidContent::Resource(blob) => {
                let content = blob_content(blob).await?;
                // The record has two fields for bodies. Both name the one body of a resource.
                let [html, data] = [content.body().clone(), content.body().clone()];
                (Stored::Page { html, data }, Some(content), None)
            }
            ValidContent::NotFound => {
                let mut html =
                    self.site.not_found_html(&request.page.decoded_path()).map_err(RenderError::new)?;
                self.mark_draft(&request, &mut html)?;
                let (html, data) = compress(Documents { html, data: NOT_FOUND_DATA.to_owned() }).await?;
                (
                    Stored::NotFound { html: html.body().clone(), data: data.body().clone() },
                    Some(html),
                    Some(data),
                )
            }
        };
        let record = Record {
            generation: request.generation,
            epoch: request.epoch,
            started_at,
            period_s,
            expires_at,
            modified_at: started_at,
            reason: request.reason,
            tags,
            headers,
            stored,
        };
        Ok(RenderOutput { record, html, data })
    }
}

/// Hashes the bytes of a resource, and compresses them if that is worth while, on a thread for blocking work.
async fn blob_content(blob: ReadyBlob) -> Result<Arc<Content>, RenderError> {
    let make = move || {
        Arc::new(match is_compressible(&blob.content_type) {
            true => Content::render_bytes(blob.bytes),
            false => Content::render_uncoded(blob.bytes),
        })
    };
    run_blocking(make).await.map_err(|e| RenderError::new(format!("compressing was interrupted: {e}")))
}

/// The data JSON of a page that does not exist.
pub const NOT_FOUND_DATA: &str = "{\"notFound\":true}";

/// Compresses and hashes both forms on a thread for blocking work.
async fn compress(documents: Documents) -> Result<(Arc<Content>, Arc<Content>), RenderError> {
    let make = move || (Arc::new(Content::render(documents.html)), Arc::new(Content::render(documents.data)));
    run_blocking(make).await.map_err(|e| RenderError::new(format!("compressing was interrupted: {e}")))
}
