//! Jobs that publish requests send to the queue: walks over the pages of an invalidation, removals of deleted pages, and
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

/// Pages that a call reads itself, to answer how many the queue will renew or remove.
pub(crate) const FIRST_PAGES_MAX: usize = 100;

/// The longest delay of a message in SQS, 15 minutes
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>); every queue keeps to it.
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(900);

/// Sends the walk that renews the pages of an invalidation. Returns how many of the first [`FIRST_PAGES_MAX`] pages are
/// marked, and whether the store lists more. Sends nothing if no page is marked and there are no more.
pub(crate) async fn start_walk<S: Stores>(
    process: &Process<S>,
    epoch: Epoch,
    tags: &[String],
    publish: &str,
) -> Result<(usize, bool), StoreError> {
    let first_pages = process.stores.pages().list("", None, FIRST_PAGES_MAX).await?;
    let more = first_pages.len() == FIRST_PAGES_MAX;
    let marked = first_pages.iter().filter(|(_, snapshot)| is_marked(snapshot, epoch)).count();
    if marked == 0 && !more {
        return Ok((0, false));
    }
    let now = process.now();
    let kept_until = now.plus(process.limits.publishes_kept);
    let (publish, route) = (journal_name(publish, epoch), only_route(process, tags));
    let walk = Walk { publish, kept_until, epoch, route, began_at: now, ..Walk::default() };
    send_walk(process, walk, Duration::ZERO).await?;
    Ok((marked, more))
}

/// The route that the only tag is the own tag of, by its id: pages of other routes do not carry it.
fn only_route<S: Stores>(process: &Process<S>, tags: &[String]) -> Option<String> {
    let [tag] = tags else { return None };
    let route = process.site.routes().iter().find(|route| route_tag(route.id()) == *tag)?;
    Some(route.id().to_owned())
}

/// The name in the journal, or the invalidation's number if the publish has none.
fn journal_name(publish: &str, epoch: Epoch) -> String {
    if publish.is_empty() { epoch.to_string() } else { publish.to_owned() }
}

pub(crate) async fn send_walk<S: Stores>(
    process: &Process<S>,
    walk: Walk,
    delay: Duration,
) -> Result<(), StoreError> {
    let job = Job { v: 1, build: process.build().to_string(), key: String::new(), task: Task::Walk(walk) };
    process.stores.queue().send(&job, delay.min(DELAY_MAX)).await
}

/// Sends a second look at the pages of these tags: a walk of its own, `after_s` seconds from now. A refusal of the queue is
/// logged.
pub(crate) async fn send_second_look_at_tags<S: Stores>(
    process: &Process<S>,
    tags: &[String],
    epoch: u64,
    after_s: u32,
) {
    let after = Duration::from_secs(after_s.into()).min(DELAY_MAX);
    let due = process.now().plus(after);
    let walk = Walk {
        epoch,
        route: only_route(process, tags),
        began_at: due,
        waits_until: Some(due),
        second_look: Some(SecondLook { tags: tags.to_vec(), due }),
        ..Walk::default()
    };
    if let Err(error) = send_walk(process, walk, after).await {
        tracing::error!(epoch, "the queue did not take the second look at the pages of tags: {error}");
    }
}

/// Sends a second look at one page: a render `after_s` seconds from now. A refusal of the queue is logged.
pub(crate) async fn send_second_look<S: Stores>(process: &Process<S>, page: &Resolved, after_s: u32) {
    let after = Duration::from_secs(after_s.into()).min(DELAY_MAX);
    let task = Task::SecondLook { due: process.now().plus(after) };
    if let Err(error) = process.stores.queue().send(&process.job(page, task), after).await {
        tracing::error!(
            page = page.key.address(),
            "the queue did not take the second look at the page: {error}"
        );
    }
}

/// Sends the removal of deleted pages. Returns how many of the first [`FIRST_PAGES_MAX`] pages are gone, and whether the store
/// lists more; `(0, true)` if the store cannot be read, which is logged.
pub(crate) async fn start_removal<S: Stores>(
    process: &Process<S>,
    epoch: Epoch,
    tags: &[String],
    publish: &str,
) -> Result<(usize, bool), StoreError> {
    let first_pages = process.stores.pages().list("", None, FIRST_PAGES_MAX).await;
    let now = process.now();
    let (publish, prefix) = (journal_name(publish, epoch), only_route(process, tags).unwrap_or_default());
    let kept_until = now.plus(process.limits.publishes_kept);
    let removal = Removal { publish, kept_until, epoch, prefix, began_at: now, ..Removal::default() };
    send_removal(process, process.build(), removal, Duration::ZERO).await?;
    Ok(match first_pages {
        Ok(first_pages) => {
            let gone = first_pages.iter().filter(|(_, snapshot)| is_marked(snapshot, epoch)).count();
            (gone, first_pages.len() == FIRST_PAGES_MAX)
        }
        Err(error) => {
            tracing::warn!("cannot count the pages of a deletion: {error}");
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
