//! What one listener of the publishing page has been told, and what to tell it next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use perennial::Millis;
use perennial::parts::engine::Engine;
use perennial::parts::overview::SearchResult;
use perennial::parts::ports::error::StoreError;
use perennial::parts::ports::pages::Pages as _;
use perennial::parts::ports::stores::Stores;
use perennial::parts::record::page_record::Epoch;
use serde_json::{Value, json};

use super::{Asked, listing};
use crate::journal::told;

/// A list that nothing was written to is read again after this long: pages come into a state, and go out of it, by
/// growing old.
const REREAD: Duration = Duration::from_secs(5);

/// The pages that one listener looks at, and the calls it follows.
pub struct Watch<S: Stores> {
    engine: Arc<Engine<S>>,
    asked: Asked,
    /// When the store was read last, and its version before that.
    read: Option<(Option<u64>, Millis)>,
    told: BTreeMap<String, Value>,
    next: Option<String>,
    /// Each call, and what was told of it.
    calls: Vec<(Epoch, Option<Value>)>,
    trouble: Option<String>,
}

/// Name and data of one event.
pub type Event = (&'static str, Value);

impl<S: Stores> Watch<S> {
    /// Of somebody who has been told nothing.
    pub fn new(engine: Arc<Engine<S>>, asked: Asked) -> Self {
        let calls = asked.calls.iter().map(|&call| (call, None)).collect();
        Self { engine, asked, read: None, told: BTreeMap::new(), next: None, calls, trouble: None }
    }

    /// What has changed since the last look: `list` with everything at first; then `change` with the pages that have
    /// changed and the keys of those that are `gone` from the list, `progress` of each call, and `trouble` when the
    /// store cannot be read. Costs next to nothing while nobody writes to the store.
    pub async fn look(&mut self) -> Vec<Event> {
        let now = self.engine.now();
        // Noted before reading: what is read may be newer than this version, never older.
        let version = self.engine.stores().pages().version();
        let same = version.is_some() && self.read.is_some_and(|(read, _)| read == version);
        if same && self.read.is_some_and(|(_, at)| at <= now && now.since(at) < REREAD) {
            return Vec::new();
        }
        let mut events = Vec::new();
        match self.read(same, &mut events).await {
            Ok(()) => {
                self.read = Some((version, now));
                self.trouble = None;
            }
            Err(message) if self.trouble.as_ref() == Some(&message) => {}
            Err(message) => {
                events.push(("trouble", json!({ "message": message })));
                self.trouble = Some(message);
            }
        }
        events
    }

    async fn read(&mut self, same: bool, events: &mut Vec<Event>) -> Result<(), String> {
        let found = self.engine.search(&self.asked.search).await.map_err(|e| e.to_string())?;
        events.extend(self.pages(&found));
        for at in (0..self.calls.len()).filter(|_| !same) {
            events.extend(self.call(at).await.map_err(|e| e.to_string())?);
        }
        Ok(())
    }

    fn pages(&mut self, found: &SearchResult) -> Option<Event> {
        let now = self.engine.now();
        let pages: BTreeMap<_, _> =
            found.pages.iter().map(|page| (page.key.clone(), page.to_json(now))).collect();
        let before = std::mem::replace(&mut self.told, pages);
        let next = std::mem::replace(&mut self.next, found.next.clone());
        if self.read.is_none() {
            return Some(("list", listing(&self.engine, found, now)));
        }
        let changed: Vec<_> = self
            .told
            .iter()
            .filter(|(key, page)| before.get(*key) != Some(page))
            .map(|(_, page)| page)
            .collect();
        let gone: Vec<_> = before.keys().filter(|key| !self.told.contains_key(*key)).collect();
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
        let told = told(&id, &progress);
        let is_new = before.as_ref() != Some(&told);
        self.calls[at].1 = Some(told.clone());
        Ok(is_new.then_some(("progress", told)))
    }
}
