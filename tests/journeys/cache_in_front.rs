//! A shared cache in front of a world, as a content delivery network is one: RFC 9111 as far as answers of this project
//! go, `stale-while-revalidate` (RFC 5861), and orders to forget by tag.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use perennial::parts::base::manual_clock::ManualClock;
use perennial::parts::ports::edge::{Edge, Purged, cache_tag};
use perennial::parts::ports::error::StoreError;
use perennial::parts::ports::stores::{Ports, Stores};
use perennial::{Clock as _, Millis};
use tests::{Answer, Ask};
use tokio::sync::OwnedMutexGuard;

/// What it keeps, which orders it got, and whether it takes any.
#[derive(Clone)]
pub(crate) struct SharedCache(Arc<State>);

struct State {
    clock: ManualClock,
    kept: Mutex<HashMap<String, Kept>>,
    orders: Mutex<Vec<Vec<String>>>,
    refuses: Mutex<bool>,
    door: Arc<tokio::sync::Mutex<()>>,
}

struct Kept {
    answer: Answer,
    at: Millis,
    fresh_s: u64,
    stale_s: u64,
    tags: Vec<String>,
}

/// What it does with a request.
pub(crate) enum Found {
    /// The visitor gets this.
    Fresh(Answer),
    /// The visitor gets this, and the origin is asked behind their back.
    Stale(Answer),
    /// The visitor waits for the origin.
    Nothing,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SharedCache {
    pub(crate) fn new(clock: &ManualClock) -> Self {
        Self(Arc::new(State {
            clock: clock.clone(),
            kept: Mutex::default(),
            orders: Mutex::default(),
            refuses: Mutex::default(),
            door: Arc::default(),
        }))
    }

    /// As the template's cache policy has it: the path, the declared query parameter, and the draft's cookie.
    pub(crate) fn find(&self, ask: &Ask) -> Found {
        let now = self.0.clock.now();
        match lock(&self.0.kept).get(&key(ask)) {
            Some(kept) if now < kept.at => Found::Nothing,
            Some(kept) if now.since(kept.at).as_secs() < kept.fresh_s => Found::Fresh(kept.answer.clone()),
            Some(kept) if now.since(kept.at).as_secs() < kept.fresh_s + kept.stale_s => {
                Found::Stale(kept.answer.clone())
            }
            _ => Found::Nothing,
        }
    }

    /// Keeps an answer, if it may be kept.
    pub(crate) fn keep(&self, ask: &Ask, answer: &Answer) {
        let Some(fresh_s) = answer.s_maxage() else { return };
        let tags = answer.headers.get("cache-tag").expect("a shared answer has tags");
        let tags = tags.to_str().expect("text").split(',').map(str::to_owned).collect::<Vec<_>>();
        assert!(tags.len() <= 50 && tags.iter().all(|tag| !tag.is_empty() && tag.len() <= 256), "{tags:?}");
        let kept = Kept {
            answer: answer.clone(),
            at: self.0.clock.now(),
            fresh_s,
            stale_s: answer.directive("stale-while-revalidate").and_then(|s| s.parse().ok()).unwrap_or(0),
            tags,
        };
        lock(&self.0.kept).insert(key(ask), kept);
    }

    /// The orders so far, each with its tags.
    pub(crate) fn orders(&self) -> Vec<Vec<String>> {
        lock(&self.0.orders).clone()
    }

    /// Lets no order through until what is given is dropped.
    pub(crate) async fn hold(&self) -> OwnedMutexGuard<()> {
        self.0.door.clone().lock_owned().await
    }

    /// From now on it takes no order, or takes them again.
    pub(crate) fn refuse(&self, refuses: bool) {
        *lock(&self.0.refuses) = refuses;
    }
}

fn key(ask: &Ask) -> String {
    let cookie = ask.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("cookie"));
    format!("{} {:?}", ask.target, cookie.map(|(_, value)| value))
}

impl Edge for SharedCache {
    fn tag_header(&self) -> Option<&'static str> {
        Some("cache-tag")
    }

    fn items_max(&self) -> usize {
        20
    }

    async fn purge(&self, tags: &[String]) -> Result<Purged, StoreError> {
        let _open = self.0.door.lock().await;
        if *lock(&self.0.refuses) {
            return Err(StoreError::refused("too many orders"));
        }
        let spelt: Vec<_> = tags.iter().map(|tag| cache_tag(tag).into_owned()).collect();
        lock(&self.0.kept).retain(|_, kept| !kept.tags.iter().any(|tag| spelt.contains(tag)));
        lock(&self.0.orders).push(spelt);
        Ok(Purged::Accepted)
    }
}

/// Stores behind a shared cache.
pub(crate) type Behind<S> = Ports<
    <S as Stores>::Pages,
    <S as Stores>::Bodies,
    <S as Stores>::Queue,
    SharedCache,
    <S as Stores>::Journal,
>;
