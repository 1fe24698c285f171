//! The bodies of a render: put before its record is, kept beside it if they are small, removed when nothing shows them.

use crate::process::Process;
use std::sync::Arc;
use std::time::Duration;

use crate::ports::bodies::Bodies;
use crate::ports::error::StoreError;
use crate::ports::job::Task;
use crate::ports::pages::snapshot::Inline;
use crate::ports::queue::Queue;
use crate::ports::stores::Stores;
use crate::record::content::Content;
use crate::record::page_record::{Record, Stored};
use crate::render::pool::RenderOutput;
use crate::site::route::Resolved;

/// A replaced body is kept this long: a reader may still hold the record that names it.
const REPLACED_BODY_GRACE: Duration = Duration::from_secs(60);

pub(crate) async fn put_bodies<S: Stores>(
    process: &Process<S>,
    page: &Resolved,
    draft: &mut RenderOutput,
) -> Result<(), StoreError> {
    if let (
        Stored::Page { html: h, data: d } | Stored::NotFound { html: h, data: d },
        Some(html),
        Some(data),
    ) = (&mut draft.record.stored, &draft.html, &draft.data)
    {
        (*h, *d) = (html.body().clone(), data.body().clone());
        for content in [html, data] {
            let (name, bytes) = (&content.body().sha256, content.stored().clone());
            process.stores.bodies().put(&page.key, name, bytes, process.clock.now()).await?;
        }
    }
    Ok(())
}

/// Another commit, or a deletion, came between a render's start and its own commit, and may have had the bodies
/// removed that the render has put, or found in place.
pub(crate) async fn put_again<S: Stores>(process: &Process<S>, page: &Resolved, draft: &RenderOutput) {
    let bodies = draft.record.stored.bodies().zip([&draft.html, &draft.data]);
    for (body, content) in bodies.filter_map(|(body, content)| Some((body, content.as_ref()?))) {
        // Compressed otherwise, it has another name: then its next reader has it rendered again.
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
            tracing::warn!(page = %page.key.path(), sha256 = body.sha256, "a body may be missing; then the page is rendered again: {error}");
        }
    }
}

/// The bodies that are small enough to be kept beside the record.
pub(crate) fn inline<S: Stores>(process: &Process<S>, draft: &RenderOutput) -> Inline {
    let limit = process.limits.inline_body_bytes;
    let small = |content: &Arc<Content>| {
        let bytes = content.stored();
        (bytes.len() <= limit).then(|| bytes.clone())
    };
    let kept = |content: &Option<Arc<Content>>| content.as_ref().and_then(small);
    match draft.record.stored {
        Stored::Page { .. } | Stored::NotFound { .. } => {
            Inline { html: kept(&draft.html), data: kept(&draft.data) }
        }
        Stored::Redirect { .. } | Stored::Deleted => Inline::default(),
    }
}

/// Has the bodies removed that a record names, but for those that another one still shows.
pub(crate) async fn remove_later<S: Stores>(
    process: &Process<S>,
    page: &Resolved,
    unused: &Record,
    shown: Option<&Record>,
) {
    for body in unused.stored.bodies() {
        if shown.is_some_and(|r| r.stored.names(&body.sha256)) {
            continue;
        }
        let task = Task::RemoveBody { sha256: body.sha256.clone(), replaced_at: process.clock.now() };
        if let Err(error) = process.stores.queue().send(&process.job(page, task), REPLACED_BODY_GRACE).await {
            tracing::warn!(page = %page.key.path(), sha256 = body.sha256, "an unused body will not be removed: {error}");
        }
    }
}
