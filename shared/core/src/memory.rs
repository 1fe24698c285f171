//! The memory cache of one process. The store stays the authority: an entry is used only while the store's version has
//! not changed.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::base::clock::Millis;
use crate::base::limits::Limits;
use crate::freshness::Epochs;
use crate::key::page_key::PageKey;
use crate::ports::pages::snapshot::Snapshot;
use crate::record::content::Content;
use crate::record::page_record::{BodyRef, Form, Record};

/// An entry older than this is read again even if the store's version has not changed.
const RECHECK_AFTER: Duration = Duration::from_secs(1);

/// Memory of an entry besides its content: an estimate.
const ENTRY_BYTES: u64 = 1024;

/// A page as the process has read or rendered it, with the content that was loaded.
#[derive(Debug)]
pub struct Entry {
    /// The record.
    pub record: Arc<Record>,
    /// The HTML, if a request has loaded it.
    pub html: Option<Arc<Content>>,
    /// The data JSON, if a request has loaded it.
    pub data: Option<Arc<Content>>,
    /// The store's answer from which the entry was made, with the same record.
    pub snapshot: Snapshot,
    /// The store's version, read before the page; none: the entry must be checked against the store before use.
    pub version: Option<u64>,
    /// When the page was read.
    pub read_at: Millis,
    /// Whether the page was rendered and could not be stored: the store has no record of it.
    pub unsaved: bool,
}

impl Entry {
    /// Whether the entry may be used without a read of the store.
    pub(crate) fn is_current(&self, version: Option<u64>, now: Millis) -> bool {
        version.is_some()
            && self.version == version
            && now >= self.read_at
            && now.since(self.read_at) < RECHECK_AFTER
    }

    /// The same page with partial epochs: its tags could not be read again.
    pub(crate) fn unchecked(&self) -> Arc<Self> {
        let epochs = Epochs::UNKNOWN.at_least(self.snapshot.epochs);
        let snapshot = Snapshot { epochs, ..self.snapshot.clone() };
        let (record, html, data) = (self.record.clone(), self.html.clone(), self.data.clone());
        let Self { version, read_at, unsaved, .. } = *self;
        Arc::new(Self { record, html, data, snapshot, version, read_at, unsaved })
    }
}

impl Entry {
    /// The loaded content of a form; `None` for redirects, whose answer is made of the record.
    pub fn content(&self, form: Form) -> Option<&Arc<Content>> {
        match form {
            Form::Html => self.html.as_ref(),
            Form::Data => self.data.as_ref(),
        }
    }

    /// Whether this form can be answered from the entry: its content is loaded, or the page has none.
    pub(crate) fn has(&self, form: Form) -> bool {
        self.record.stored.body(form).is_none() || self.content(form).is_some()
    }
}

/// One page may take a quarter of the cache, so that a huge page cannot evict all others.
const ENTRY_SHARE_DIVISOR: u64 = 4;

/// Whether a page with this body fits a cache of this size.
fn is_cacheable(limit_bytes: u64, body: &BodyRef) -> bool {
    ENTRY_BYTES.saturating_add(body.weight()) <= limit_bytes / ENTRY_SHARE_DIVISOR
}

/// Whether a stored body is streamed to visitors instead of being loaded: its stored bytes exceed
/// [`Limits::stream_body_bytes`], or its decoded bytes do and the page does not fit the memory cache.
pub fn is_streamed(limits: &Limits, body: &BodyRef) -> bool {
    let fits_cache = || is_cacheable(limits.memory_cache_bytes, body);
    limits
        .stream_body_bytes
        .is_some_and(|limit| body.stored_bytes > limit || (body.bytes > limit && !fits_cache()))
}

/// The memory cache: entries by page key, within a bound of bytes.
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
    /// A cache of at most this many bytes; with 0, nothing is cached.
    pub(crate) fn new(limit_bytes: u64) -> Self {
        let cache = (limit_bytes > 0).then(|| {
            let items = usize::try_from(limit_bytes / 16_384).unwrap_or(usize::MAX).clamp(16, 1 << 20);
            let options = OptionsBuilder::new()
                .estimated_items_capacity(items)
                .weight_capacity(limit_bytes)
                // Shards divide the limit equally: with four, the largest allowed page just fits one.
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
            if weight(&entry) > self.limit_bytes / ENTRY_SHARE_DIVISOR {
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

    /// Bytes in use, and the limit.
    pub(crate) fn usage(&self) -> (u64, u64) {
        (self.cache.as_ref().map_or(0, Cache::weight), self.limit_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::suite::pages::kit::page;
    use crate::record::page_record::tests::record;

    fn entry(bytes: usize) -> Arc<Entry> {
        // Text that brotli cannot shrink much.
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
        let small_entries =
            |memory: &Memory| (0..200).filter(|i| memory.get(&page(&format!("small-{i}"))).is_some()).count();
        let before = small_entries(&memory);
        assert!(before > 10, "{before}");
        memory.insert(&page("huge"), entry(1 << 20));
        assert!(memory.get(&page("huge")).is_none());
        assert_eq!(small_entries(&memory), before);
    }

    #[test]
    fn a_limit_of_zero_turns_the_cache_off() {
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
