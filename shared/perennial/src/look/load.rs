//! What is read of a page's bodies to answer a visitor: nothing, all of one, or the beginning of a large one.

use crate::base::budget::Budget;
use crate::look::view::BodyWanted;
use crate::process::Process;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::log_limits::Line;
use crate::guard::patience;
use crate::look::stream::{BodyStream, streaming_bytes};
use crate::memory::{Entry, is_streamed};
use crate::ports::bodies::Bodies;
use crate::ports::error::StoreError;
use crate::ports::stores::Stores;
use crate::record::content::Content;
use crate::record::page_record::{BodyRef, Form, Record, Stored};
use crate::site::route::Resolved;

/// What a small function reads in a millisecond: 50 Mbit/s. A visitor waits for a large body that much longer.
const BODY_BYTES_PER_MS: u64 = 6_250;

/// A form of a page whose content is sought.
pub(crate) struct ContentQuery<'a> {
    pub(crate) page: &'a Resolved,
    pub(crate) form: Form,
    pub(crate) record: &'a Record,
    /// What is in memory of it.
    pub(crate) kept: Option<&'a Entry>,
    /// The stored bytes, if they came with the record.
    pub(crate) beside: Option<Bytes>,
}

/// What there is of a page's contents.
pub(crate) struct Contents<C> {
    pub(crate) html: Option<Arc<Content>>,
    pub(crate) data: Option<Arc<Content>>,
    /// The content that was sought, if it is not to be loaded.
    pub(crate) passing: Option<BodyStream<C>>,
    /// Whether it could not be passed on, because too much is already.
    pub(crate) is_over_budget: bool,
}

type ChunksOf<S> = <<S as Stores>::Bodies as Bodies>::Chunks;

/// What is in memory, and of the sought form what else is wanted; none if its body is gone.
pub(crate) async fn contents<S: Stores>(
    process: &Process<S>,
    streams: &Arc<Budget>,
    seek: ContentQuery<'_>,
    wants: impl Fn(&BodyRef) -> BodyWanted,
) -> Option<Contents<ChunksOf<S>>> {
    let ContentQuery { page, form, record, kept, beside } = seek;
    let kept = kept.filter(|e| !e.unsaved && e.record.answers_alike(record));
    let (html, data) = kept.map_or((None, None), |e| (e.html.clone(), e.data.clone()));
    let mut found = Contents { html, data, passing: None, is_over_budget: false };
    let slot = if form == Form::Html { &mut found.html } else { &mut found.data };
    let Some(body) = record.stored.body(form).filter(|_| slot.is_none()) else { return Some(found) };
    let BodyWanted { coding, has, head } = wants(body);
    // What is not found comes whole: 304 is for what would be 200.
    if has && matches!(record.stored, Stored::Page { .. }) {
        return Some(found);
    }
    if let Some(bytes) = beside {
        *slot = Some(Arc::new(Content::load(body.clone(), bytes)?));
    } else if is_streamed(&process.limits, body) {
        // What is loaded is loaded for HEAD as well: for the next visitor.
        if head {
            return Some(found);
        }
        let Some(part) = streams.take(streaming_bytes(body, coding), &*process.clock).await else {
            process.log(Line::UsedUp, |left_out| {
                tracing::warn!(page = %page.key.path(), left_out, "a visitor gets 503: as many large bodies are passed on as PERENNIAL_STREAM_MEMORY_BYTES allows");
            });
            found.is_over_budget = true;
            return Some(found);
        };
        let opened = process.stores.bodies().open(&page.key, &body.sha256).await;
        let opened = readable(process, page, opened)?;
        // Cut short, it is as good as gone.
        if opened.bytes != body.stored_bytes {
            return None;
        }
        found.passing =
            Some(BodyStream { body: body.clone(), opened, coding, part, clock: process.clock.clone() });
    } else {
        patience::allow(Duration::from_millis(body.stored_bytes / BODY_BYTES_PER_MS));
        let bytes = process.stores.bodies().get(&page.key, &body.sha256).await;
        let bytes = readable(process, page, bytes)?;
        *slot = Some(Arc::new(Content::load(body.clone(), bytes)?));
    }
    Some(found)
}

fn readable<S: Stores, T>(
    process: &Process<S>,
    page: &Resolved,
    read: Result<Option<T>, StoreError>,
) -> Option<T> {
    read.unwrap_or_else(|error| {
        process.log(Line::BadBody, |left_out| {
            tracing::error!(page = %page.key.path(), left_out, "a stored body cannot be read: {error}");
        });
        None
    })
}
