//! What publishers' calls leave to the queue: walks over the pages of an invalidation, removals of what was deleted, and
//! second looks.

use std::time::Duration;

use crate::key::tags::route_tag;
use crate::ports::error::StoreError;
use crate::ports::job::{Job, Removal, SecondLook, Task, Walk};
use crate::ports::pages::Pages;
use crate::ports::queue::Queue;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::publish::outcome::is_marked;
use crate::record::page_record::Epoch;
use crate::site::route::Resolved;

/// Pages that an invalidation itself looks at, to say how many the queue renews.
pub(crate) const LOOKED_AT_FIRST: usize = 100;

/// The longest delay of a job.
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(900);

/// Looks at the first pages, and has the queue go over all. Tells how many are marked, and whether there are more.
pub(crate) async fn start_walk<S: Stores>(
    process: &Process<S>,
    epoch: Epoch,
    tags: &[String],
    publish: &str,
) -> Result<(usize, bool), StoreError> {
    let first = process.stores.pages().list("", None, LOOKED_AT_FIRST).await?;
    let more = first.len() == LOOKED_AT_FIRST;
    let marked = first.iter().filter(|(_, snapshot)| is_marked(snapshot, epoch)).count();
    if marked == 0 && !more {
        return Ok((0, false));
    }
    let now = process.now();
    let kept_until = now.plus(process.limits.publishes_kept);
    let publish = if publish.is_empty() { epoch.to_string() } else { publish.to_owned() };
    let walk = Walk { publish, kept_until, epoch, began_at: now, ..Walk::default() };
    send_walk(process, on_its_route(process, walk, tags), Duration::ZERO).await?;
    Ok((marked, more))
}

/// One route's own tag: the others' pages need not be looked at.
fn on_its_route<S: Stores>(process: &Process<S>, walk: Walk, tags: &[String]) -> Walk {
    let only = match tags {
        [tag] => process.site.routes().iter().find(|route| route_tag(route.id()) == *tag),
        _ => None,
    };
    Walk { route: only.map(|route| route.id().to_owned()), ..walk }
}

pub(crate) async fn send_walk<S: Stores>(
    process: &Process<S>,
    walk: Walk,
    delay: Duration,
) -> Result<(), StoreError> {
    let job = Job { v: 1, build: process.build().to_string(), key: String::new(), task: Task::Walk(walk) };
    process.stores.queue().send(&job, delay.min(DELAY_MAX)).await
}

/// The same for the pages of tags that were invalidated: a walk of its own, once the first one has had that time.
pub(crate) async fn send_tags_again<S: Stores>(
    process: &Process<S>,
    tags: &[String],
    epoch: u64,
    after_s: u32,
) {
    let after = Duration::from_secs(after_s.into()).min(DELAY_MAX);
    let due = process.now().plus(after);
    let walk = Walk {
        epoch,
        began_at: due,
        waits_until: Some(due),
        again: Some(SecondLook { tags: tags.to_vec(), due }),
        ..Walk::default()
    };
    if let Err(error) = send_walk(process, on_its_route(process, walk, tags), after).await {
        tracing::error!(epoch, "the queue refused to look at the pages of tags again: {error}");
    }
}

/// Has a page rendered once more after a while.
pub(crate) async fn send_again<S: Stores>(process: &Process<S>, page: &Resolved, after_s: u32) {
    let after = Duration::from_secs(after_s.into()).min(DELAY_MAX);
    let task = Task::Again { due: process.now().plus(after) };
    if let Err(error) = process.stores.queue().send(&process.job(page, task), after).await {
        tracing::error!(page = page.key.path(), "the queue refused to look at the page again: {error}");
    }
}

/// Tells the queue. Gives how many of the first pages that the store lists are gone, and whether there are more.
pub(crate) async fn start_removal<S: Stores>(
    process: &Process<S>,
    epoch: Epoch,
    tags: &[String],
    publish: &str,
) -> Result<(usize, bool), StoreError> {
    let first = process.stores.pages().list("", None, LOOKED_AT_FIRST).await;
    let now = process.now();
    let publish = if publish.is_empty() { epoch.to_string() } else { publish.to_owned() };
    let kept_until = now.plus(process.limits.publishes_kept);
    // One route's own tag: the others' pages need not be looked at.
    let only = match tags {
        [tag] => process.site.routes().iter().find(|route| route_tag(route.id()) == *tag),
        _ => None,
    };
    let prefix = only.map(|route| route.id().to_owned()).unwrap_or_default();
    let removal = Removal { publish, kept_until, epoch, prefix, began_at: now, ..Removal::default() };
    send_removal(process, process.build(), removal, Duration::ZERO).await?;
    Ok(match first {
        Ok(first) => {
            let gone = first.iter().filter(|(_, snapshot)| is_marked(snapshot, epoch)).count();
            (gone, first.len() == LOOKED_AT_FIRST)
        }
        Err(error) => {
            tracing::warn!("how many pages a deletion concerns cannot be told: {error}");
            (0, true)
        }
    })
}

pub(crate) async fn send_removal<S: Stores>(
    process: &Process<S>,
    build: &str,
    removal: Removal,
    delay: Duration,
) -> Result<(), StoreError> {
    let job = Job { v: 1, build: build.to_owned(), key: String::new(), task: Task::Remove(removal) };
    process.stores.queue().send(&job, delay.min(DELAY_MAX)).await
}
