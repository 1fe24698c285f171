//! Carries out publish requests and writes each into the journal. A publish never depends on the journal: a failed write is
//! logged, and the result stays the same.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::task::{JoinHandle, JoinSet};

use crate::base::clock::{Millis, within};
use crate::key::encode::hex;
use crate::key::tags::path_tag;
use crate::ports::edge::Purged;
use crate::ports::error::StoreError;
use crate::ports::journal::{Journal, PathResult, Publish, PublishStatus, RenewalProgress};
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::publish::carriers::{Uncarried, uncarried};
use crate::publish::delete::Deletions;
use crate::publish::outcome::{Invalidation, PublishError, Revalidation, RevalidationResult};
use crate::publish::path::PathCalls;
use crate::publish::progress::end_entry;
use crate::publish::purge::Purger;
use crate::publish::send::{send_second_look, send_second_look_at_tags};
use crate::publish::tags::TagCalls;
use crate::record::publish_request::{Fingerprint, Mode, PublishRequest, Publisher, RequestedPath};
use crate::render::refresh::Renderer;
use crate::site::route::Resolved;

/// The longest that an answer waits for the journal.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(1);

/// The result of a publish request.
#[derive(Debug)]
pub struct Published {
    /// Its id in the journal: the epoch of its invalidation in digits, or a text that begins with a letter.
    pub id: String,
    /// The invalidation of its tags, and of its paths in mode `stale`; `None` if nothing was marked as a whole.
    pub marked: Option<Invalidation>,
    /// One result for each path, in the order of the request.
    pub results: Vec<(String, RevalidationResult)>,
    /// Tags of the request that no page carries.
    pub uncarried: Vec<Uncarried>,
}

impl Published {
    /// The first path that failed.
    pub fn failure(&self) -> Option<&PublishError> {
        self.results.iter().find_map(|(_, result)| result.as_ref().err())
    }
}

/// Origin and time of a publish request.
pub(crate) struct PublishCall {
    /// The id of a scheduled publish; `None` for one that gets its id here.
    pub(crate) id: Option<String>,
    pub(crate) publisher: Publisher,
    /// When the call arrived.
    pub(crate) arrived_at: Millis,
    /// The time that a scheduled publish waited for.
    pub(crate) due: Option<Millis>,
}

/// Carries out publish requests.
pub(crate) struct Publishers<S: Stores> {
    pub(crate) process: Arc<Process<S>>,
    pub(crate) paths: Arc<PathCalls<S>>,
    pub(crate) tags: TagCalls<S>,
    pub(crate) deletions: Deletions<S>,
}

impl<S: Stores> Publishers<S> {
    /// Takes the requests that reach this process.
    pub(crate) fn new(renderer: &Arc<Renderer<S>>, purger: &Arc<Purger<S>>) -> Arc<Self> {
        let paths = PathCalls::new(renderer, purger);
        let (tags, deletions) = (TagCalls::new(renderer, purger), Deletions::new(renderer, purger));
        Arc::new(Self { process: renderer.process.clone(), paths, tags, deletions })
    }

    /// Carries out a publish request now, and writes it into the journal.
    ///
    /// # Errors
    /// [`PublishError`]: the tags could not be marked, and nothing else was done. A path that fails is an error of that
    /// path alone, in [`Published::results`].
    pub(crate) async fn publish(
        self: &Arc<Self>,
        request: &PublishRequest,
        publisher: Publisher,
    ) -> Result<Published, PublishError> {
        let call = PublishCall { id: None, publisher, arrived_at: self.process.now(), due: None };
        self.carry_out(request, call).await
    }

    pub(crate) async fn carry_out(
        self: &Arc<Self>,
        request: &PublishRequest,
        call: PublishCall,
    ) -> Result<Published, PublishError> {
        let marked = self.mark(request, call.id.as_deref()).await;
        let epoch = marked.as_ref().ok().copied().flatten().map(|marked| marked.epoch);
        let id = call.id.clone().or(epoch.map(|epoch| epoch.to_string()));
        let id = id.unwrap_or_else(|| new_publish_id(call.arrived_at));
        let entry = self.entry(id.clone(), request, &call);
        let entry = Publish { epoch, ..entry };
        let marked = match marked {
            Ok(marked) => marked,
            Err(failure) => {
                let error = Some(failure.to_string());
                self.journal(None, Publish { status: PublishStatus::Failed, error, ..entry }).await;
                return Err(failure);
            }
        };
        if let (Some(marked), Some(after_s), Mode::Now) = (marked, request.look_again_after_s, request.mode)
            && (marked.queued > 0 || marked.more)
        {
            send_second_look_at_tags(&self.process, &request.tags, marked.epoch, after_s).await;
        }
        // Renders take long, so their entry is written first as `begun`. An entry that stays `begun` tells of a process that
        // died.
        let renders_now = request.mode == Mode::Now && !request.paths.is_empty();
        let begun_entry = renders_now.then(|| self.write_entry(entry.clone()));
        let published = Published {
            id,
            marked,
            results: self.publish_paths(request).await,
            uncarried: self.uncarried_of(request, marked).await,
        };
        let since_due = self.process.now().since(call.due.unwrap_or(call.arrived_at));
        let results = published.results.iter().map(|(path, result)| {
            let error = result.as_ref().err().map(ToString::to_string);
            PathResult { path: path.clone(), error }
        });
        let queue_renews =
            request.mode == Mode::Now && marked.is_some_and(|marked| marked.queued > 0 || marked.more);
        let status = match published.failure() {
            Some(_) => PublishStatus::Failed,
            None if queue_renews => PublishStatus::Accepted,
            None => PublishStatus::Done,
        };
        let concerns_no_page = request.paths.is_empty() && !published.uncarried.is_empty();
        let renewal = (concerns_no_page && published.uncarried.len() == request.tags.len())
            .then(RenewalProgress::default);
        // Visitors see nothing new after a mark alone, nor where no page carries the tags.
        let is_visible = status == PublishStatus::Done && request.mode != Mode::Stale && !concerns_no_page;
        let visible_ms = u64::try_from(since_due.as_millis()).ok().filter(|_| is_visible);
        self.journal(
            begun_entry,
            Publish { status, renewal, visible_ms, results: results.collect(), ..entry },
        )
        .await;
        Ok(published)
    }

    pub(crate) fn entry(&self, id: String, request: &PublishRequest, call: &PublishCall) -> Publish {
        let PublishCall { publisher, arrived_at, due, .. } = call;
        Publish {
            v: 1,
            id,
            at: *arrived_at,
            kept_until: due.unwrap_or(*arrived_at).max(*arrived_at).plus(self.process.limits.publishes_kept),
            build: self.process.build().to_string(),
            key_id: publisher.key_id.clone(),
            provider: publisher.provider.clone(),
            delivery_id: publisher.delivery_id.clone(),
            mode: request.mode.as_str().to_owned(),
            paths: request.paths.iter().map(|requested| requested.path.clone()).collect(),
            tags: request.tags.clone(),
            epoch: None,
            due: *due,
            status: PublishStatus::Begun,
            renewal: None,
            results: Vec::new(),
            error: None,
            visible_ms: None,
        }
    }

    /// The tags of the request that no page carries. Reads pages only where the marking itself has met none.
    async fn uncarried_of(&self, request: &PublishRequest, marked: Option<Invalidation>) -> Vec<Uncarried> {
        let carries_page = match (request.mode, marked) {
            (_, None) => true,
            (Mode::Now | Mode::Delete, Some(marked)) => marked.queued > 0 || marked.more,
            // Marking as stale reads no pages.
            (Mode::Stale, Some(_)) => false,
        };
        if carries_page { Vec::new() } else { uncarried(&self.process, &request.tags).await }
    }

    /// Marks or deletes in one invalidation: all tags, and in mode `stale` all paths. `None` if there is neither.
    async fn mark(
        self: &Arc<Self>,
        request: &PublishRequest,
        id: Option<&str>,
    ) -> Result<Option<Invalidation>, PublishError> {
        let mut tags = request.tags.clone();
        if request.mode == Mode::Stale {
            let pages =
                request.paths.iter().filter_map(|requested| self.pages_of(requested).into_iter().next());
            tags.extend(pages.map(|page| path_tag(page.key.path())));
        }
        if tags.is_empty() {
            return Ok(None);
        }
        let marked = match request.mode {
            Mode::Delete => self.deletions.delete_tagged(&tags, id.unwrap_or_default()).await,
            Mode::Now => self.tags.invalidate(&tags, Some(id.unwrap_or_default())).await,
            Mode::Stale => self.tags.invalidate(&tags, None).await,
        };
        marked.map(Some)
    }

    fn pages_of(&self, requested: &RequestedPath) -> Vec<Resolved> {
        requested.keys.iter().filter_map(|key| self.process.site.page_of_key(key)).collect()
    }

    async fn publish_paths(self: &Arc<Self>, request: &PublishRequest) -> Vec<(String, RevalidationResult)> {
        let mut running = JoinSet::new();
        for (index, requested) in request.paths.iter().enumerate() {
            let (publishers, mode, only_generated) = (self.clone(), request.mode, request.only_generated);
            let look_again_after_s = request.look_again_after_s;
            let (path, pages) = (requested.path.clone(), self.pages_of(requested));
            running.spawn(async move {
                let result = match mode {
                    Mode::Now => {
                        publishers.revalidate_first(&pages, only_generated, look_again_after_s).await
                    }
                    Mode::Stale => Ok(Revalidation::Revalidated { edge: Purged::NoCache, kind: None }),
                    Mode::Delete => publishers.delete_all(&pages).await,
                };
                (index, path, result)
            });
        }
        let mut results = running.join_all().await;
        results.sort_by_key(|(index, ..)| *index);
        results.into_iter().map(|(_, path, result)| (path, result)).collect()
    }

    /// Revalidates the page on its most exact route. A route that serves listed pages only passes other paths on to the next
    /// route.
    async fn revalidate_first(
        self: &Arc<Self>,
        pages: &[Resolved],
        only_generated: bool,
        look_again_after_s: Option<u32>,
    ) -> RevalidationResult {
        let mut result = Err(PublishError::NotListed);
        for page in pages {
            result = self.paths.revalidate_page(page, only_generated).await;
            if let (Ok(Revalidation::Revalidated { .. }), Some(after_s)) = (&result, look_again_after_s) {
                send_second_look(&self.process, page, after_s).await;
            }
            if !matches!(result, Err(PublishError::NotListed)) {
                break;
            }
        }
        if let Err(error) = &result
            && !matches!(error, PublishError::KeptStale)
        {
            let path = pages.first().map(|page| page.key.path()).unwrap_or_default();
            tracing::error!(page = path, "not revalidated: {error}");
        }
        result
    }

    async fn delete_all(self: &Arc<Self>, pages: &[Resolved]) -> RevalidationResult {
        let mut purged = Purged::NoCache;
        for page in pages {
            purged = self.deletions.delete(page).await?;
        }
        Ok(Revalidation::Revalidated { edge: purged, kind: None })
    }

    /// The id of the publish that carried out the same delivery before. Two deliveries are the same if they have the same
    /// id, or the same signed bytes. `None` for a call that is no delivery, and if the journal cannot be read: the request
    /// is then carried out twice, which is harmless.
    pub(crate) async fn carried_out(
        &self,
        request: &PublishRequest,
        publisher: &Publisher,
        signed: Option<&Fingerprint>,
    ) -> Option<String> {
        if let Some(key) = delivery_key(request, publisher)
            && let Some(id) = self.noted(&key).await
        {
            return Some(id);
        }
        let note = self.noted(&signature_key(request, publisher, signed?)).await?;
        let (until, id) = note.split_once(' ')?;
        (self.process.now().0 < until.parse().ok()?).then(|| id.to_owned())
    }

    /// The journal's note on a delivery that was carried out; `None` if the journal fails, which is logged, or is slow.
    async fn noted(&self, key: &str) -> Option<String> {
        let reading = self.process.stores.journal().carried_out(key, self.process.now());
        match within(&*self.process.clock, JOURNAL_PATIENCE, reading).await {
            Some(Ok(note)) => note,
            Some(Err(error)) => {
                tracing::warn!(
                    "cannot read whether a delivery was carried out before; it is carried out: {error}"
                );
                None
            }
            None => None,
        }
    }

    /// Notes that a delivery was carried out: a repetition then does nothing.
    pub(crate) async fn note_carried_out(
        self: &Arc<Self>,
        request: &PublishRequest,
        publisher: &Publisher,
        signed: Option<&Fingerprint>,
        id: &str,
    ) {
        let by_id = delivery_key(request, publisher).map(|key| (key, id.to_owned()));
        // The journal keeps all notes equally long, so the note of a signature holds its own end.
        let note = |signed: &Fingerprint| format!("{} {id}", self.process.now().plus(signed.kept).0);
        let by_signature = signed.map(|signed| (signature_key(request, publisher, signed), note(signed)));
        let notes: Vec<_> = by_id.into_iter().chain(by_signature).collect();
        if notes.is_empty() || self.process.dev {
            return;
        }
        let publishers = self.clone();
        let noting = self.process.tasks.spawn(async move {
            for (key, note) in notes {
                let noted = publishers
                    .process
                    .stores
                    .journal()
                    .note_carried_out(&key, &note, publishers.process.now())
                    .await;
                log_failure(noted);
            }
        });
        let _ = within(&*self.process.clock, JOURNAL_PATIENCE, noting).await;
    }

    /// Writes an entry, after its `begun` entry. The write goes on in the background after [`JOURNAL_PATIENCE`].
    pub(crate) async fn journal(self: &Arc<Self>, begun_entry: Option<JoinHandle<()>>, entry: Publish) {
        let publishers = self.clone();
        let writing = self.process.tasks.spawn(async move {
            if let Some(begun_entry) = begun_entry {
                // A failure was logged there.
                let _ = begun_entry.await;
            }
            let renews = (entry.status == PublishStatus::Accepted).then(|| entry.id.clone());
            publishers.put_entry(entry).await;
            if let Some(id) = renews {
                // The queue may have ended the renewal before this entry was written.
                end_entry(&publishers.process, &id).await;
            }
        });
        let _ = within(&*self.process.clock, JOURNAL_PATIENCE, writing).await;
    }

    fn write_entry(self: &Arc<Self>, entry: Publish) -> JoinHandle<()> {
        let publishers = self.clone();
        self.process.tasks.spawn(async move { publishers.put_entry(entry).await })
    }

    async fn put_entry(&self, entry: Publish) {
        if !self.process.dev {
            log_failure(self.process.stores.journal().put(&entry.cut()).await);
        }
    }
}

fn log_failure(written: Result<(), StoreError>) {
    if let Err(error) = written {
        tracing::error!(
            "the journal of publishes cannot be written; the publish itself is not affected: {error}"
        );
    }
}

/// A new journal id for a publish without an epoch: `p`, the time in milliseconds, `-`, eight random hexadecimal digits.
pub(crate) fn new_publish_id(at: Millis) -> String {
    let mut random = [0; 4];
    // Without randomness two publishes of one millisecond share an entry.
    let _ = getrandom::fill(&mut random);
    format!("p{}-{}", at.0, hex(&random))
}

/// Identifies a delivery by its id, secret, provider and request. The request is part of the key because a provider may send
/// one delivery to several addresses that ask for different things.
fn delivery_key(request: &PublishRequest, publisher: &Publisher) -> Option<String> {
    let id = publisher.delivery_id.as_deref()?;
    let request_json = serde_json::to_vec(&(request, &publisher.key_id, &publisher.provider))
        .expect("a request has string keys");
    Some(format!("{}#{id}", hex(&Sha256::digest(request_json)[..8])))
}

/// Identifies a delivery by its signed bytes, its secret and its request, whatever its id and its provider: an attacker
/// can change the id of a delivery, because some signatures do not cover it.
fn signature_key(request: &PublishRequest, publisher: &Publisher, signed: &Fingerprint) -> String {
    let request_json = serde_json::to_vec(&(request, &publisher.key_id)).expect("a request has string keys");
    format!("{}#signed#{}", hex(&Sha256::digest(request_json)[..8]), signed.digest)
}
