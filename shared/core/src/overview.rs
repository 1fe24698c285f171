//! The state of stored pages, for the publishing page and the command `pages`: state and reason, renders under way, last
//! failure.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::base::clock::Millis;
use crate::build::listed;
use crate::freshness::{State, Why, fresh_until, state};
use crate::key::encode::{decode_path, encode_into};
use crate::ports::error::StoreError;
use crate::ports::pages::Pages;
use crate::ports::pages::snapshot::Snapshot;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::site::ReadySite;
use crate::site::route::Resolved;

/// Pages in one read of the store.
const BATCH: usize = 500;

/// Pages that one search reads. A search that stops there returns [`SearchResult::next`].
const SEARCHED_MAX: usize = 2_000;

/// The stored state of one page, judged at one time.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The key's text.
    pub key: String,
    /// Decoded path with the declared query; the key's text if this build has no such page.
    pub path: String,
    /// The page's address with the base path and the query; `None` if this build has no such page.
    pub href: Option<String>,
    /// Id of its route; empty if this build has no such page.
    pub route: String,
    /// `fresh`, `stale`, or `missing`; `live` under development, where nothing is stored.
    pub state: &'static str,
    /// Why the page is stale: `old`, `invalidated`, `from the future` (a clock was ahead) or `unchecked` (its epochs could not be
    /// read).
    pub why: Option<&'static str>,
    /// The store's snapshot that was judged.
    pub snapshot: Snapshot,
}

impl Overview {
    /// Judges the snapshot of the page with this key at `now`.
    pub fn new(site: &ReadySite, key: String, snapshot: Snapshot, now: Millis) -> Self {
        let page = site.page_of_key(&key);
        let query = key.split_once('?').map_or_else(String::new, |(_, query)| format!("?{query}"));
        let missing_when_expired = page.as_ref().is_some_and(|p| p.route.options.missing_when_expired);
        let judged = snapshot.record.as_ref().map(|r| state(r, snapshot.epochs, now, missing_when_expired));
        let (state, why) = match judged {
            None | Some(State::Missing) => ("missing", None),
            Some(State::Fresh { .. }) => ("fresh", None),
            Some(State::Stale { why: Why::Old, .. }) => ("stale", Some("old")),
            Some(State::Stale { why: Why::Invalidated, .. }) => ("stale", Some("invalidated")),
            Some(State::Stale { why: Why::FromTheFuture, .. }) => ("stale", Some("from the future")),
            Some(State::Stale { why: Why::Unchecked, .. }) => ("stale", Some("unchecked")),
        };
        Self {
            path: page.as_ref().map_or_else(|| key.clone(), |p| p.decoded_path() + &query),
            href: page.as_ref().map(|p| href(site, p) + &query),
            route: page.as_ref().map_or_else(String::new, |p| p.route.id().to_owned()),
            key,
            state,
            why,
            snapshot,
        }
    }

    fn live(site: &ReadySite, page: &Resolved) -> Self {
        Self {
            key: page.key.as_str().to_owned(),
            path: page.decoded_path(),
            href: Some(href(site, page)),
            route: page.route.id().to_owned(),
            state: "live",
            why: None,
            snapshot: Snapshot::default(),
        }
    }

    /// The page as JSON. Members that end in `_ms` are milliseconds since the Unix epoch. The JSON stays the same until the page
    /// changes. A lease that has ended at `now` is left out.
    pub fn to_json(&self, now: Millis) -> Value {
        let record = self.snapshot.record.as_deref();
        let slot = &self.snapshot.slot;
        json!({
            "path": self.path,
            "href": self.href,
            "key": self.key,
            "route": self.route,
            "state": self.state,
            "why": self.why,
            "kind": record.map(|r| r.stored.name()),
            "generation": self.snapshot.generation,
            "reason": record.map(|r| r.reason.as_str()),
            "started_at_ms": record.map(|r| r.started_at.0),
            "fresh_until_ms": record.and_then(fresh_until).map(|at| at.0),
            "invalidated_by": self.why.filter(|why| *why == "invalidated").map(|_| self.snapshot.epochs.newest),
            "tags": record.map(|r| &r.tags),
            "listed": self.snapshot.listed,
            "leased_until_ms": slot.leased_until(now).map(|at| at.0),
            "last_error": slot.failure.as_ref().map(|f| json!({
                "message": f.message, "count": f.count, "at_ms": f.at.0, "retry_at_ms": f.retry_at.0,
            })),
        })
    }

    /// Whether the page is in this state: [`Overview::state`], `failing` or `rendering`.
    pub fn is(&self, state: &str, now: Millis) -> bool {
        match state {
            "failing" => self.snapshot.slot.failure.is_some(),
            "rendering" => self.snapshot.slot.leased_until(now).is_some(),
            state => self.state == state,
        }
    }
}

/// The page's address for visitors, with the base path and the trailing slash that the site asks for.
fn href(site: &ReadySite, page: &Resolved) -> String {
    let base = site.base_path();
    let path = if base.is_empty() { page.key.path() } else { page.key.path().trim_end_matches('/') };
    let slash = if site.trailing_slash() && !path.ends_with('/') { "/" } else { "" };
    format!("{base}{path}{slash}")
}

/// A search for pages.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// The start of their paths, decoded or percent-encoded, without the base path; empty for all.
    pub prefix: String,
    /// See [`Overview::is`]; empty for all.
    pub state: String,
    /// The search starts after this key.
    pub after: Option<String>,
    /// The largest number of pages in the result.
    pub limit: usize,
}

/// The result of a [`Search`].
#[derive(Clone, Debug, Default)]
pub struct SearchResult {
    /// Pages, in the order of their keys.
    pub pages: Vec<Overview>,
    /// [`Search::after`] for the next search; `None` at the end. A search may return `next` without any page, because it reads
    /// a bounded number of pages.
    pub next: Option<String>,
}

/// Searches the stored pages, in the order of their keys. Reads only pages of routes that the prefix allows, 2,000 or a few
/// more at most. In `dev` the store is empty: the search covers the pages that the site lists.
///
/// # Errors
/// The store cannot be read; under development, a route cannot list its pages.
pub(crate) async fn search<S: Stores>(
    process: &Process<S>,
    search: &Search,
) -> Result<SearchResult, StoreError> {
    let (decoded, encoded) = prefixes(&search.prefix);
    let Some(range) = key_range(&process.site, &decoded) else { return Ok(SearchResult::default()) };
    let is_wanted = |page: &Overview, now| {
        let path = page.href.as_deref().map(|href| &href[process.site.base_path().len()..]);
        let has_prefix = path.unwrap_or_default().starts_with(&encoded) || search.prefix.is_empty();
        has_prefix && (search.state.is_empty() || page.is(&search.state, now))
    };
    if process.dev {
        return search_listing(process, search, is_wanted).await;
    }
    // One page more than the limit shows whether there is a next page. The batch doubles while few pages match.
    let mut batch = search.limit + 1;
    let (mut result, mut after, mut searched) = (SearchResult::default(), search.after.clone(), 0);
    loop {
        let pages = process.stores.pages().list(&range, after.as_deref(), batch).await?;
        let (now, is_last) = (process.clock.now(), pages.len() < batch);
        searched += pages.len();
        for (key, snapshot) in pages {
            let page = Overview::new(&process.site, key.clone(), snapshot, now);
            if is_wanted(&page, now) {
                if result.pages.len() == search.limit {
                    result.next = after;
                    return Ok(result);
                }
                result.pages.push(page);
            }
            after = Some(key);
        }
        if is_last || searched >= SEARCHED_MAX {
            result.next = after.filter(|_| !is_last);
            return Ok(result);
        }
        batch = (batch * 2).min(BATCH);
    }
}

async fn search_listing<S: Stores>(
    process: &Process<S>,
    search: &Search,
    is_wanted: impl Fn(&Overview, Millis) -> bool,
) -> Result<SearchResult, StoreError> {
    let listed = listed(process).await.map_err(|failures| StoreError::refused(failures.join("; ")))?;
    let now = process.clock.now();
    let mut pages: Vec<_> = listed.iter().map(|page| Overview::live(&process.site, page)).collect();
    pages.sort_by(|a, b| a.key.cmp(&b.key));
    pages.retain(|page| search.after.as_ref().is_none_or(|after| page.key > *after) && is_wanted(page, now));
    let more = pages.len() > search.limit;
    pages.truncate(search.limit);
    let next = pages.last().filter(|_| more).map(|page| page.key.clone());
    Ok(SearchResult { pages, next })
}

/// The common prefix of the keys of all pages whose paths may start with these segments; `None` if no route has such pages.
fn key_range(site: &ReadySite, path: &[Cow<'_, str>]) -> Option<String> {
    let stored = site.routes().iter().filter(|route| !route.is_dynamic());
    let ranges = stored.filter_map(|route| route.pattern.key_prefix(path));
    let common = |a: String, b: String| {
        let shared = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a);
        shared.collect()
    };
    ranges.reduce(common).map(|range| if path.is_empty() { String::new() } else { range })
}

/// The decoded segments of the start of a path, and its canonical encoding.
fn prefixes(prefix: &str) -> (Vec<Cow<'_, str>>, String) {
    // Text that cannot be decoded, for example because an escape is cut off, is taken literally.
    let decoded = decode_path(prefix).unwrap_or_else(|_| {
        prefix.strip_prefix('/').unwrap_or(prefix).split('/').map(Cow::Borrowed).collect()
    });
    let mut encoded = String::new();
    for segment in &decoded {
        encoded.push('/');
        encode_into(&mut encoded, segment);
    }
    (decoded, encoded)
}
