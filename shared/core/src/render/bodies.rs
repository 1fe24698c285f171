//! The bodies of a render: stored before its record, copied beside the record if they are small, and removed once no
//! record refers to them.

use std::sync::Arc;
use std::time::Duration;

use crate::ports::bodies::Bodies;
use crate::ports::error::StoreError;
use crate::ports::job::Task;
use crate::ports::pages::snapshot::Inline;
use crate::ports::queue::Queue;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::record::content::Content;
use crate::record::page_record::{Record, Stored};
use crate::render::pool::RenderOutput;
use crate::site::route::Resolved;

/// A replaced body stays stored for this long, because a reader may still hold a record that refers to it.
const REPLACED_BODY_GRACE: Duration = Duration::from_secs(60);

/// Stores the bodies of a render, and notes their references in its record.
pub(crate) async fn put_bodies<S: Stores>(
    process: &Process<S>,
    page: &Resolved,
    output: &mut RenderOutput,
) -> Result<(), StoreError> {
    if let (
        Stored::Page { html: html_ref, data: data_ref } | Stored::NotFound { html: html_ref, data: data_ref },
        Some(html),
    ) = (&mut output.record.stored, &output.html)
    {
        // A resource has one body.
        let data = output.data.as_ref();
        (*html_ref, *data_ref) = (html.body().clone(), data.unwrap_or(html).body().clone());
        for content in [Some(html), data].into_iter().flatten() {
            let (name, bytes) = (&content.body().sha256, content.stored().clone());
            process.stores.bodies().put(&page.key, name, bytes, process.clock.now()).await?;
        }
    }
    Ok(())
}

/// Stores the bodies of a committed render again. Called if another commit or a deletion happened between the render's
/// start and its commit: it may have removed bodies that the render refers to.
pub(crate) async fn put_again<S: Stores>(process: &Process<S>, page: &Resolved, output: &RenderOutput) {
    let bodies = output.record.stored.bodies().zip([&output.html, &output.data]);
    for (body, content) in bodies.filter_map(|(body, content)| Some((body, content.as_ref()?))) {
        // The record keeps an older compression of the same content, under another name. If that body is gone, its next
        // reader has the page rendered again.
        if body.sha256 != content.body().sha256 {
            continue;
        }
        let put = process.stores.bodies().put(
            &page.key,
            &body.sha256,
            content.stored().clone(),
            process.clock.now(),
        );
        if let Err(error) = put.await {
            tracing::warn!(page = %page.key.address(), sha256 = body.sha256, "a body may be missing; then the page is rendered again: {error}");
        }
    }
}

/// Copies of the bodies that are small enough to be stored beside the record.
pub(crate) fn inline<S: Stores>(process: &Process<S>, output: &RenderOutput) -> Inline {
    let limit = process.limits.inline_body_bytes;
    let if_small = |content: &Arc<Content>| {
        let bytes = content.stored();
        (bytes.len() <= limit).then(|| bytes.clone())
    };
    let copy = |content: &Option<Arc<Content>>| content.as_ref().and_then(if_small);
    match output.record.stored {
        Stored::Page { .. } | Stored::NotFound { .. } => {
            Inline { html: copy(&output.html), data: copy(&output.data) }
        }
        Stored::Redirect { .. } | Stored::Deleted => Inline::default(),
    }
}

/// Sends jobs that remove the bodies of `unused` later, except for bodies that `current` also refers to.
pub(crate) async fn schedule_removal<S: Stores>(
    process: &Process<S>,
    page: &Resolved,
    unused: &Record,
    current: Option<&Record>,
) {
    for body in unused.stored.bodies() {
        if current.is_some_and(|r| r.stored.names(&body.sha256)) {
            continue;
        }
        let task = Task::RemoveBody { sha256: body.sha256.clone(), replaced_at: process.clock.now() };
        if let Err(error) = process.stores.queue().send(&process.job(page, task), REPLACED_BODY_GRACE).await {
            tracing::warn!(page = %page.key.address(), sha256 = body.sha256, "an unused body will not be removed: {error}");
        }
    }
}
