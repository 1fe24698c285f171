//! A publish: what a publisher wishes is carried out, and the journal tells of it. The journal comes second in
//! everything: if it cannot be written, that is logged, and the publish is what it would have been.

use crate::process::Process;
use crate::publish::carriers::uncarried;
use crate::publish::delete::Deletions;
use crate::publish::path::PathCalls;
use crate::publish::progress::end_entry;
use crate::publish::purge::Purger;
use crate::publish::send::{send_again, send_tags_again};
use crate::publish::tags::TagCalls;
use crate::render::refresh::Renderer;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::task::{JoinHandle, JoinSet};

use crate::base::clock::{Millis, within};
use crate::key::encode::hex;
use crate::key::tags::path_tag;
use crate::ports::edge::Purged;
use crate::ports::error::StoreError;
use crate::ports::journal::{Item, Journal, Publish, Renewal, Went};
use crate::ports::stores::Stores;
use crate::publish::carriers::Uncarried;
use crate::publish::outcome::{Invalidation, PublishError, Revalidation, RevalidationResult};
use crate::record::publish_request::{Fingerprint, Mode, PublishRequest, Publisher, RequestedPath};
use crate::site::route::Resolved;

/// An answer waits this long for the journal at most.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(1);

/// What a publish came to.
#[derive(Debug)]
pub struct Published {
    /// Its name in the journal: the number of its invalidation, or a text that begins with a letter.
    pub id: String,
    /// What its tags have marked; none if it has no tags.
    pub marked: Option<Invalidation>,
    /// Each path's result, in the order of the paths.
    pub results: Vec<(String, RevalidationResult)>,
    /// Tags that no page carries.
    pub uncarried: Vec<Uncarried>,
}

impl Published {
    /// What kept it from being done as a whole, if anything did.
    pub fn failure(&self) -> Option<&PublishError> {
        self.results.iter().find_map(|(_, result)| result.as_ref().err())
    }
}

/// A publish that is to be carried out.
pub(crate) struct PublishCall {
    /// Given if it was named before; else it is found when it is known what was marked.
    pub(crate) id: Option<String>,
    pub(crate) who: Publisher,
    pub(crate) at: Millis,
    pub(crate) due: Option<Millis>,
}

/// Carries out what publishers wish.
pub(crate) struct Publishers<S: Stores> {
    pub(crate) process: Arc<Process<S>>,
    pub(crate) paths: Arc<PathCalls<S>>,
    pub(crate) tags: TagCalls<S>,
    pub(crate) deletions: Deletions<S>,
}

impl<S: Stores> Publishers<S> {
    /// Publishers' calls to this process.
    pub(crate) fn new(renderer: &Arc<Renderer<S>>, purger: &Arc<Purger<S>>) -> Arc<Self> {
        let paths = PathCalls::new(renderer, purger);
        let (tags, deletions) = (TagCalls::new(renderer, purger), Deletions::new(renderer, purger));
        Arc::new(Self { process: renderer.process.clone(), paths, tags, deletions })
    }

    /// Carries out a wish, and writes it into the journal.
    ///
    /// # Errors
    /// [`PublishError`]: its tags could not be marked, and nothing else was done. What becomes of its paths is told of each.
    pub(crate) async fn publish(
        self: &Arc<Self>,
        wish: &PublishRequest,
        who: Publisher,
    ) -> Result<Published, PublishError> {
        let publishing = PublishCall { id: None, who, at: self.process.now(), due: None };
        self.carry_out(wish, publishing).await
    }

    pub(crate) async fn carry_out(
        self: &Arc<Self>,
        wish: &PublishRequest,
        publishing: PublishCall,
    ) -> Result<Published, PublishError> {
        let marked = self.mark(wish, publishing.id.as_deref()).await;
        let epoch = marked.as_ref().ok().copied().flatten().map(|marked| marked.epoch);
        let id = publishing.id.clone().or(epoch.map(|epoch| epoch.to_string()));
        let id = id.unwrap_or_else(|| name(publishing.at));
        let entry = self.entry(id.clone(), wish, &publishing);
        let entry = Publish { epoch, ..entry };
        let marked = match marked {
            Ok(marked) => marked,
            Err(undone) => {
                let error = Some(undone.to_string());
                self.journal(None, Publish { went: Went::Failed, error, ..entry }).await;
                return Err(undone);
            }
        };
        if let (Some(marked), Some(after_s), Mode::Now) = (marked, wish.look_again_after_s, wish.mode)
            && (marked.queued > 0 || marked.more)
        {
            send_tags_again(&self.process, &wish.tags, marked.epoch, after_s).await;
        }
        // What takes long is told of before it is done: an entry that stays so is of a process that died.
        let takes_long = wish.mode == Mode::Now && !wish.paths.is_empty();
        let begun = takes_long.then(|| self.write_entry(entry.clone()));
        let published = Published {
            id,
            marked,
            results: self.each(wish).await,
            uncarried: self.uncarried_by(wish, marked).await,
        };
        let visible = self.process.now().since(publishing.due.unwrap_or(publishing.at));
        let results = published.results.iter().map(|(path, result)| {
            let error = result.as_ref().err().map(ToString::to_string);
            Item { path: path.clone(), error }
        });
        let is_renewed =
            wish.mode == Mode::Now && marked.is_some_and(|marked| marked.queued > 0 || marked.more);
        let went = match published.failure() {
            Some(_) => Went::Failed,
            None if is_renewed => Went::Accepted,
            None => Went::Done,
        };
        let is_in_vain = wish.paths.is_empty() && !published.uncarried.is_empty();
        let renewal = (is_in_vain && published.uncarried.len() == wish.tags.len()).then(Renewal::default);
        // A mark shows nothing new, and what nothing belongs to is not seen.
        let is_seen = went == Went::Done && wish.mode != Mode::Stale && !is_in_vain;
        let visible_ms = u64::try_from(visible.as_millis()).ok().filter(|_| is_seen);
        self.journal(begun, Publish { went, renewal, visible_ms, results: results.collect(), ..entry }).await;
        Ok(published)
    }

    pub(crate) fn entry(&self, id: String, wish: &PublishRequest, publishing: &PublishCall) -> Publish {
        let PublishCall { who, at, due, .. } = publishing;
        Publish {
            v: 1,
            id,
            at: *at,
            kept_until: due.unwrap_or(*at).max(*at).plus(self.process.limits.publishes_kept),
            build: self.process.build().to_string(),
            key_id: who.key_id.clone(),
            provider: who.provider.clone(),
            delivery_id: who.delivery_id.clone(),
            mode: wish.mode.as_str().to_owned(),
            paths: wish.paths.iter().map(|wished| wished.path.clone()).collect(),
            tags: wish.tags.clone(),
            epoch: None,
            due: *due,
            went: Went::Begun,
            renewal: None,
            results: Vec::new(),
            error: None,
            visible_ms: None,
        }
    }

    /// Which tags no page carries, where nothing was found that does.
    async fn uncarried_by(&self, wish: &PublishRequest, marked: Option<Invalidation>) -> Vec<Uncarried> {
        let has_found = match (wish.mode, marked) {
            (_, None) => true,
            (Mode::Now | Mode::Delete, Some(marked)) => marked.queued > 0 || marked.more,
            // Nobody has looked yet.
            (Mode::Stale, Some(_)) => false,
        };
        if has_found { Vec::new() } else { uncarried(&self.process, &wish.tags).await }
    }

    /// Marks, or removes, what is meant as a whole: tags always, paths where marking is all that is asked for.
    async fn mark(
        self: &Arc<Self>,
        wish: &PublishRequest,
        id: Option<&str>,
    ) -> Result<Option<Invalidation>, PublishError> {
        let mut tags = wish.tags.clone();
        if wish.mode == Mode::Stale {
            let pages = wish.paths.iter().filter_map(|wished| self.pages_of(wished).into_iter().next());
            tags.extend(pages.map(|page| path_tag(page.key.path())));
        }
        if tags.is_empty() {
            return Ok(None);
        }
        let marked = match wish.mode {
            Mode::Delete => self.deletions.delete_tagged(&tags, id.unwrap_or_default()).await,
            Mode::Now => self.tags.invalidate(&tags, Some(id.unwrap_or_default())).await,
            Mode::Stale => self.tags.invalidate(&tags, None).await,
        };
        marked.map(Some)
    }

    fn pages_of(&self, wished: &RequestedPath) -> Vec<Resolved> {
        wished.keys.iter().filter_map(|key| self.process.site.page_of_key(key)).collect()
    }

    async fn each(self: &Arc<Self>, wish: &PublishRequest) -> Vec<(String, RevalidationResult)> {
        let mut running = JoinSet::new();
        for (index, wished) in wish.paths.iter().enumerate() {
            let (publisher, mode, only_generated) = (self.clone(), wish.mode, wish.only_generated);
            let again = wish.look_again_after_s;
            let (path, pages) = (wished.path.clone(), self.pages_of(wished));
            running.spawn(async move {
                let result = match mode {
                    Mode::Now => publisher.revalidate_first(&pages, only_generated, again).await,
                    Mode::Stale => Ok(Revalidation::Revalidated { edge: Purged::NoCache, kind: None }),
                    Mode::Delete => publisher.delete_all(&pages).await,
                };
                (index, path, result)
            });
        }
        let mut results = running.join_all().await;
        results.sort_by_key(|(index, ..)| *index);
        results.into_iter().map(|(_, path, result)| (path, result)).collect()
    }

    /// The first route that has the page; a route that serves listed pages only leaves the others to less exact ones.
    async fn revalidate_first(
        self: &Arc<Self>,
        pages: &[Resolved],
        only_generated: bool,
        again_after_s: Option<u32>,
    ) -> RevalidationResult {
        let mut result = Err(PublishError::NotListed);
        for page in pages {
            result = self.paths.revalidate_page(page, only_generated).await;
            if let (Ok(Revalidation::Revalidated { .. }), Some(after_s)) = (&result, again_after_s) {
                send_again(&self.process, page, after_s).await;
            }
            if !matches!(result, Err(PublishError::NotListed)) {
                break;
            }
        }
        if let Err(undone) = &result
            && !matches!(undone, PublishError::Kept)
        {
            let path = pages.first().map(|page| page.key.path()).unwrap_or_default();
            tracing::error!(page = path, "not revalidated: {undone}");
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

    /// The id of the publish by which this very delivery was carried out before: one of the same id, or one in which the
    /// same was signed. None for a call that is no delivery, and if the journal cannot tell: then it is carried out again,
    /// which is harmless.
    pub(crate) async fn carried_out(
        &self,
        wish: &PublishRequest,
        who: &Publisher,
        signed: Option<&Fingerprint>,
    ) -> Option<String> {
        if let Some(delivery) = delivery(wish, who)
            && let Some(id) = self.known(&delivery).await
        {
            return Some(id);
        }
        let noted = self.known(&sealed(wish, who, signed?)).await?;
        let (until, id) = noted.split_once(' ')?;
        (self.process.now().0 < until.parse().ok()?).then(|| id.to_owned())
    }

    /// What is noted of a delivery that was carried out.
    async fn known(&self, delivery: &str) -> Option<String> {
        let asking = self.process.stores.journal().carried_out(delivery, self.process.now());
        match within(&*self.process.clock, JOURNAL_PATIENCE, asking).await {
            Some(Ok(known)) => known,
            Some(Err(error)) => {
                tracing::warn!("whether a delivery was carried out before cannot be told: {error}");
                None
            }
            None => None,
        }
    }

    /// Notes that a delivery was carried out, so that it does nothing when it comes again.
    pub(crate) async fn note_carried_out(
        self: &Arc<Self>,
        wish: &PublishRequest,
        who: &Publisher,
        signed: Option<&Fingerprint>,
        id: &str,
    ) {
        let named = delivery(wish, who).map(|delivery| (delivery, id.to_owned()));
        // The journal keeps all its notes for the same time; this one says itself for how long it counts.
        let note = |signed: &Fingerprint| format!("{} {id}", self.process.now().plus(signed.kept).0);
        let sealed = signed.map(|signed| (sealed(wish, who, signed), note(signed)));
        let notes: Vec<_> = named.into_iter().chain(sealed).collect();
        if notes.is_empty() || self.process.dev {
            return;
        }
        let publisher = self.clone();
        let noting = self.process.tasks.spawn(async move {
            for (delivery, note) in notes {
                let noted = publisher
                    .process
                    .stores
                    .journal()
                    .note_carried_out(&delivery, &note, publisher.process.now())
                    .await;
                log_failure(noted);
            }
        });
        let _ = within(&*self.process.clock, JOURNAL_PATIENCE, noting).await;
    }

    /// Writes an entry, after the one of its beginning. It is written beside the answer if it takes long.
    pub(crate) async fn journal(self: &Arc<Self>, begun: Option<JoinHandle<()>>, entry: Publish) {
        let publisher = self.clone();
        let writing = self.process.tasks.spawn(async move {
            if let Some(begun) = begun {
                // Its failure was logged.
                let _ = begun.await;
            }
            let renews = (entry.went == Went::Accepted).then(|| entry.id.clone());
            publisher.put_entry(entry).await;
            if let Some(id) = renews {
                // The queue may have been faster.
                end_entry(&publisher.process, &id).await;
            }
        });
        let _ = within(&*self.process.clock, JOURNAL_PATIENCE, writing).await;
    }

    fn write_entry(self: &Arc<Self>, entry: Publish) -> JoinHandle<()> {
        let publisher = self.clone();
        self.process.tasks.spawn(async move { publisher.put_entry(entry).await })
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
            "the journal of publishes cannot be written; what was published is not touched by that: {error}"
        );
    }
}

/// A name for a publish that has marked nothing as a whole.
pub(crate) fn name(at: Millis) -> String {
    let mut random = [0; 4];
    // Without randomness two publishes of one millisecond share an entry.
    let _ = getrandom::fill(&mut random);
    format!("p{}-{}", at.0, hex(&random))
}

/// What a delivery is known by when it comes again: its own name, whose key it is, and what it asks for, because one
/// delivery may be sent to several addresses that ask for different things.
fn delivery(wish: &PublishRequest, who: &Publisher) -> Option<String> {
    let id = who.delivery_id.as_deref()?;
    let asked = serde_json::to_vec(&(wish, &who.key_id, &who.provider)).expect("a wish has string keys");
    Some(format!("{}#{id}", hex(&Sha256::digest(asked)[..8])))
}

/// What a delivery is known by whatever it calls itself, and by whichever publisher's rules it comes: what was signed with
/// which key, and what it asks for.
fn sealed(wish: &PublishRequest, who: &Publisher, signed: &Fingerprint) -> String {
    let asked = serde_json::to_vec(&(wish, &who.key_id)).expect("a wish has string keys");
    format!("{}#signed#{}", hex(&Sha256::digest(asked)[..8]), signed.digest)
}
