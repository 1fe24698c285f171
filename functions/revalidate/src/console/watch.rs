//! The changes that one listener of the publishing page has to be sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use perennial_core::base::clock::Millis;
use perennial_core::engine::Engine;
use perennial_core::overview::SearchResult;
use perennial_core::ports::error::StoreError;
use perennial_core::ports::pages::Pages as _;
use perennial_core::ports::stores::Stores;
use perennial_core::record::page_record::Epoch;
use serde_json::{Value, json};

use crate::console::query::{PagesQuery, listing};
use crate::journal::progress_json;

/// How often the list is read again although nothing was written: pages change their state by age alone.
const REREAD: Duration = Duration::from_secs(5);

/// One listener: its list of pages, and the publishes it follows.
pub struct Watch<S: Stores> {
    engine: Arc<Engine<S>>,
    query: PagesQuery,
    /// The store's version before the last read, and the time of that read.
    last_read: Option<(Option<u64>, Millis)>,
    /// The pages as last sent, by key.
    sent: BTreeMap<String, Value>,
    next: Option<String>,
    /// Each publish, and its progress as last sent.
    calls: Vec<(Epoch, Option<Value>)>,
    /// The error as last sent.
    sent_error: Option<String>,
}

/// Name and data of one event.
pub type Event = (&'static str, Value);

impl<S: Stores> Watch<S> {
    /// A listener that has been sent nothing.
    pub fn new(engine: Arc<Engine<S>>, query: PagesQuery) -> Self {
        let calls = query.calls.iter().map(|&call| (call, None)).collect();
        Self { engine, query, last_read: None, sent: BTreeMap::new(), next: None, calls, sent_error: None }
    }

    /// The events since the last call: first `list` with all pages; then `change` with changed pages and the keys of those
    /// that are `gone` from the list; `progress` of each publish; `trouble` when the store cannot be read. A call reads only
    /// the store's version while nothing is written.
    pub async fn look(&mut self) -> Vec<Event> {
        let now = self.engine.now();
        // The version is read first: the pages may then be newer than it, never older.
        let version = self.engine.stores().pages().version();
        let is_same = version.is_some() && self.last_read.is_some_and(|(read, _)| read == version);
        if is_same && self.last_read.is_some_and(|(_, at)| at <= now && now.since(at) < REREAD) {
            return Vec::new();
        }
        let mut events = Vec::new();
        match self.read(is_same, &mut events).await {
            Ok(()) => {
                self.last_read = Some((version, now));
                self.sent_error = None;
            }
            Err(message) if self.sent_error.as_ref() == Some(&message) => {}
            Err(message) => {
                events.push(("trouble", json!({ "message": message })));
                self.sent_error = Some(message);
            }
        }
        events
    }

    async fn read(&mut self, is_same: bool, events: &mut Vec<Event>) -> Result<(), String> {
        let result = self.engine.search(&self.query.search).await.map_err(|e| e.to_string())?;
        events.extend(self.pages(&result));
        for at in (0..self.calls.len()).filter(|_| !is_same) {
            events.extend(self.call(at).await.map_err(|e| e.to_string())?);
        }
        Ok(())
    }

    fn pages(&mut self, result: &SearchResult) -> Option<Event> {
        let now = self.engine.now();
        let pages: BTreeMap<_, _> =
            result.pages.iter().map(|page| (page.key.clone(), page.to_json(now))).collect();
        let before = std::mem::replace(&mut self.sent, pages);
        let next = std::mem::replace(&mut self.next, result.next.clone());
        if self.last_read.is_none() {
            return Some(("list", listing(&self.engine, result, now)));
        }
        let changed: Vec<_> = self
            .sent
            .iter()
            .filter(|(key, page)| before.get(*key) != Some(page))
            .map(|(_, page)| page)
            .collect();
        let gone: Vec<_> = before.keys().filter(|key| !self.sent.contains_key(*key)).collect();
        let change = json!({ "now_ms": now.0, "pages": changed, "gone": gone, "next": self.next });
        (!changed.is_empty() || !gone.is_empty() || next != self.next).then_some(("change", change))
    }

    async fn call(&mut self, at: usize) -> Result<Option<Event>, StoreError> {
        let (id, before) = &self.calls[at];
        if before.as_ref().is_some_and(|before| before["ended"] == true) {
            return Ok(None);
        }
        let id = id.to_string();
        let Some(progress) = self.engine.progress(&id).await? else { return Ok(None) };
        let json = progress_json(&id, &progress);
        let is_new = before.as_ref() != Some(&json);
        self.calls[at].1 = Some(json.clone());
        Ok(is_new.then_some(("progress", json)))
    }
}
