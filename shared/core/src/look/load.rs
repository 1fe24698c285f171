//! Reads the body that an answer needs: none, a complete one, or the stream of a large one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::budget::Budget;
use crate::base::log_limits::Line;
use crate::guard::patience;
use crate::look::stream::{BodyStream, streaming_bytes};
use crate::look::view::BodyWanted;
use crate::memory::{Entry, is_streamed};
use crate::ports::bodies::Bodies;
use crate::ports::error::StoreError;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::record::content::Content;
use crate::record::page_record::{BodyRef, Form, Record, Stored};
use crate::site::route::Resolved;

/// The bandwidth of a small Lambda function: 50 Mbit/s. A visitor's bound on store calls grows by a body's transfer
/// time.
const BODY_BYTES_PER_MS: u64 = 6_250;

/// The form of a page whose content an answer needs.
pub(crate) struct ContentQuery<'a> {
    pub(crate) page: &'a Resolved,
    pub(crate) form: Form,
    pub(crate) record: &'a Record,
    /// The page's entry in the memory cache.
    pub(crate) cached: Option<&'a Entry>,
    /// The body's stored bytes, if the store returned them with the record.
    pub(crate) inline_body: Option<Bytes>,
}

/// The available contents of a page.
pub(crate) struct Contents<C> {
    pub(crate) html: Option<Arc<Content>>,
    pub(crate) data: Option<Arc<Content>>,
    /// The requested form's body, if it is streamed.
    pub(crate) stream: Option<BodyStream<C>>,
    /// Whether the body must be streamed and the budget of streams is used up.
    pub(crate) is_over_budget: bool,
}

type ChunksOf<S> = <<S as Stores>::Bodies as Bodies>::Chunks;

/// The contents in memory, and the requested form's content if the visitor needs it. `None` if the body is gone or
/// damaged.
pub(crate) async fn contents<S: Stores>(
    process: &Process<S>,
    stream_budget: &Arc<Budget>,
    query: ContentQuery<'_>,
    wants: impl Fn(&BodyRef) -> BodyWanted,
) -> Option<Contents<ChunksOf<S>>> {
    let ContentQuery { page, form, record, cached, inline_body } = query;
    let cached = cached.filter(|e| !e.unsaved && e.record.answers_alike(record));
    let (html, data) = cached.map_or((None, None), |e| (e.html.clone(), e.data.clone()));
    let mut contents = Contents { html, data, stream: None, is_over_budget: false };
    let slot = if form == Form::Html { &mut contents.html } else { &mut contents.data };
    let Some(body) = record.stored.body(form).filter(|_| slot.is_none()) else { return Some(contents) };
    let BodyWanted { coding, is_not_modified, is_head } = wants(body);
    // A 404 page is always sent: 304 may only replace 200 (RFC 9110 section 13.1.2).
    if is_not_modified && matches!(record.stored, Stored::Page { .. }) {
        return Some(contents);
    }
    if let Some(bytes) = inline_body {
        *slot = Some(Arc::new(Content::load(body.clone(), bytes)?));
    } else if is_streamed(&process.limits, body) {
        // HEAD needs no stream. A body that can be loaded is loaded for HEAD, too, because it helps the next visitor.
        if is_head {
            return Some(contents);
        }
        let Some(part) = stream_budget.take(streaming_bytes(body, coding), &*process.clock).await else {
            process.log(Line::UsedUp, |left_out| {
                tracing::warn!(page = %page.key.address(), left_out, "a visitor gets 503, because PERENNIAL_STREAM_MEMORY_BYTES is used up by streams of large bodies");
            });
            contents.is_over_budget = true;
            return Some(contents);
        };
        let opened = process.stores.bodies().open(&page.key, &body.sha256).await;
        let opened = readable(process, page, opened)?;
        // A truncated body counts as gone.
        if opened.bytes != body.stored_bytes {
            return None;
        }
        contents.stream =
            Some(BodyStream { body: body.clone(), opened, coding, part, clock: process.clock.clone() });
    } else {
        patience::allow(Duration::from_millis(body.stored_bytes / BODY_BYTES_PER_MS));
        let bytes = process.stores.bodies().get(&page.key, &body.sha256).await;
        let bytes = readable(process, page, bytes)?;
        *slot = Some(Arc::new(Content::load(body.clone(), bytes)?));
    }
    Some(contents)
}

/// Logs a failed read of a body, which then counts as gone.
fn readable<S: Stores, T>(
    process: &Process<S>,
    page: &Resolved,
    result: Result<Option<T>, StoreError>,
) -> Option<T> {
    result.unwrap_or_else(|error| {
        process.log(Line::BadBody, |left_out| {
            tracing::error!(page = %page.key.address(), left_out, "a stored body cannot be read: {error}");
        });
        None
    })
}
