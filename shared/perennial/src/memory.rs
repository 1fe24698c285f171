//! The memory cache: an accelerator that is checked against the store on each request.

use crate::record::page_record::Form;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder};

use crate::base::clock::Millis;
use crate::base::limits::Limits;
use crate::freshness::Epochs;
use crate::key::page_key::PageKey;
use crate::ports::pages::snapshot::Snapshot;
use crate::record::content::Content;
use crate::record::page_record::{BodyRef, Record};

/// What is kept is read again from the store after this long even if the store says that nothing changed.
const RECHECK_AFTER: Duration = Duration::from_secs(1);

/// A page takes this much memory besides its content.
const ENTRY_BYTES: u64 = 1024;

/// A page as it was read from the store, with the content that has been loaded.
#[derive(Debug)]
pub struct Entry {
    /// The record.
    pub record: Arc<Record>,
    /// The HTML, once somebody asked for it.
    pub html: Option<Arc<Content>>,
    /// The data JSON, once somebody asked for it.
    pub data: Option<Arc<Content>>,
    /// What else the store said. Its record is this entry's.
    pub snapshot: Snapshot,
    /// The store's version before it was read; none: to be checked before it is used.
    pub version: Option<u64>,
    /// When it was read.
    pub read_at: Millis,
    /// Rendered while the store could not be written: there is nothing to check it against.
    pub unsaved: bool,
}

impl Entry {
    /// Whether it can be used without asking the store.
    pub(crate) fn is_current(&self, version: Option<u64>, now: Millis) -> bool {
        version.is_some()
            && self.version == version
            && now >= self.read_at
            && now.since(self.read_at) < RECHECK_AFTER
    }

    /// The same page, when nobody can tell what was done to its tags since it was read.
    pub(crate) fn unchecked(&self) -> Arc<Self> {
        let epochs = Epochs::UNKNOWN.at_least(self.snapshot.epochs);
        let snapshot = Snapshot { epochs, ..self.snapshot.clone() };
        let (record, html, data) = (self.record.clone(), self.html.clone(), self.data.clone());
        let Self { version, read_at, unsaved, .. } = *self;
        Arc::new(Self { record, html, data, snapshot, version, read_at, unsaved })
    }
}

impl Entry {
    /// The content of a form; none for redirects, whose answer is made of the record alone.
    pub fn content(&self, form: Form) -> Option<&Arc<Content>> {
        match form {
            Form::Html => self.html.as_ref(),
            Form::Data => self.data.as_ref(),
        }
    }

    pub(crate) fn has(&self, form: Form) -> bool {
        self.record.stored.body(form).is_none() || self.content(form).is_some()
    }
}

/// How much of the whole limit one page may take, so that a huge one cannot empty the cache.
const LARGEST_SHARE: u64 = 4;

/// Whether a cache of this size keeps a page with this body, so that its visitors share it.
pub(crate) fn keeps(limit_bytes: u64, body: &BodyRef) -> bool {
    ENTRY_BYTES.saturating_add(body.weight()) <= limit_bytes / LARGEST_SHARE
}

/// Whether a stored body is passed on as it is read: it is large, or it would be once it is decompressed, and too
/// large to be shared in memory by those who ask for it.
pub fn is_streamed(limits: &Limits, body: &BodyRef) -> bool {
    let is_shared = || keeps(limits.memory_cache_bytes, body);
    limits
        .stream_body_bytes
        .is_some_and(|limit| body.stored_bytes > limit || (body.bytes > limit && !is_shared()))
}

pub(crate) struct Memory {
    cache: Option<Cache<Arc<str>, Arc<Entry>, Weight>>,
    limit_bytes: u64,
}

#[derive(Clone)]
struct Weight;

fn weight(entry: &Entry) -> u64 {
    let contents = [&entry.html, &entry.data].into_iter().flatten();
    contents.fold(ENTRY_BYTES, |sum, content| sum.saturating_add(content.weight()))
}

impl Weighter<Arc<str>, Arc<Entry>> for Weight {
    fn weight(&self, _: &Arc<str>, entry: &Arc<Entry>) -> u64 {
        weight(entry)
    }
}

impl Memory {
    /// A cache of at most that many bytes; 0 for none.
    pub(crate) fn new(limit_bytes: u64) -> Self {
        let cache = (limit_bytes > 0).then(|| {
            let items = usize::try_from(limit_bytes / 16_384).unwrap_or(usize::MAX).clamp(16, 1 << 20);
            let options = OptionsBuilder::new()
                .estimated_items_capacity(items)
                .weight_capacity(limit_bytes)
                // Each shard has its own part of the limit: few, so that a page of the largest share fits one.
                .shards(if limit_bytes < 1 << 20 { 1 } else { 4 })
                .build()
                .expect("both capacities are given");
            Cache::with_options(options, Weight, DefaultHashBuilder::default(), DefaultLifecycle::default())
        });
        Self { cache, limit_bytes }
    }

    pub(crate) fn get(&self, page: &PageKey) -> Option<Arc<Entry>> {
        self.cache.as_ref()?.get(page.as_str())
    }

    pub(crate) fn insert(&self, page: &PageKey, entry: Arc<Entry>) {
        if let Some(cache) = &self.cache {
            if weight(&entry) > self.limit_bytes / LARGEST_SHARE {
                cache.remove(page.as_str());
            } else {
                cache.insert(page.shared(), entry);
            }
        }
    }

    pub(crate) fn remove(&self, page: &PageKey) {
        if let Some(cache) = &self.cache {
            cache.remove(page.as_str());
        }
    }

    /// Bytes in use, and their limit.
    pub(crate) fn usage(&self) -> (u64, u64) {
        (self.cache.as_ref().map_or(0, Cache::weight), self.limit_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::suite::pages::page;
    use crate::record::page_record::tests::record;

    fn entry(bytes: usize) -> Arc<Entry> {
        // Random enough not to be compressed away.
        let text: String = (0..bytes).map(|i| char::from(b'!' + ((i * i * 7 + i / 3) % 90) as u8)).collect();
        let record = Arc::new(record());
        let html = Some(Arc::new(Content::render(text)));
        let snapshot = Snapshot::default();
        Arc::new(Entry {
            record,
            html,
            data: None,
            snapshot,
            version: Some(2),
            read_at: Millis(5),
            unsaved: false,
        })
    }

    #[test]
    fn the_limit_holds_and_one_huge_page_does_not_empty_the_cache() {
        let memory = Memory::new(1 << 20);
        for i in 0..200 {
            memory.insert(&page(&format!("small-{i}")), entry(10_000));
            assert!(memory.usage().0 <= 1 << 20);
        }
        let kept =
            |memory: &Memory| (0..200).filter(|i| memory.get(&page(&format!("small-{i}"))).is_some()).count();
        let before = kept(&memory);
        assert!(before > 10, "{before}");
        memory.insert(&page("huge"), entry(1 << 20));
        assert!(memory.get(&page("huge")).is_none());
        assert_eq!(kept(&memory), before);
    }

    #[test]
    fn zero_turns_it_off() {
        let memory = Memory::new(0);
        memory.insert(&page("a"), entry(10));
        assert!(memory.get(&page("a")).is_none());
    }

    #[test]
    fn an_entry_is_used_only_while_the_store_is_unchanged_and_for_a_second() {
        let entry = entry(1);
        assert!(entry.is_current(Some(2), Millis(1_004)));
        assert!(!entry.is_current(Some(4), Millis(6)));
        assert!(!entry.is_current(None, Millis(6)));
        assert!(!entry.is_current(Some(2), Millis(1_005)));
        assert!(!entry.is_current(Some(2), Millis(4)), "the clock was set back");
    }
}
