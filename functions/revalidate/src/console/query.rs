//! The query of the publishing page's list, and the list.

use http::request::Parts;
use perennial_core::base::clock::Millis;
use perennial_core::base::text::read;
use perennial_core::engine::Engine;
use perennial_core::overview::{Search, SearchResult};
use perennial_core::ports::stores::Stores;
use perennial_core::record::page_record::Epoch;
use serde_json::{Value, json};

/// The largest `limit`: pages in one answer.
const LISTED_MAX: usize = 100;

/// The default of `limit`.
const LISTED_DEFAULT: usize = 50;

/// Publishes whose progress one listener may follow.
const FOLLOWED_MAX: usize = 4;

/// The query of the list or of its events.
#[derive(Clone, Debug, Default)]
pub struct PagesQuery {
    /// The pages to list.
    pub search: Search,
    /// Epochs of the publishes whose progress the events tell.
    pub calls: Vec<Epoch>,
}

impl PagesQuery {
    /// Parses the parameters `prefix`, `state`, `after` and `limit`, and `call` for events.
    ///
    /// # Errors
    /// A message for the caller: a parameter is unknown, malformed or out of range.
    pub fn read(request: &Parts) -> Result<Self, String> {
        let mut query =
            Self { search: Search { limit: LISTED_DEFAULT, ..Search::default() }, calls: Vec::new() };
        let search = &mut query.search;
        for (name, value) in form_urlencoded::parse(request.uri.query().unwrap_or("").as_bytes()) {
            match &*name {
                "secret" => {}
                "prefix" => search.prefix = value.into_owned(),
                "state" => search.state = value.into_owned(),
                "after" => search.after = Some(value.into_owned()).filter(|after| !after.is_empty()),
                "limit" => search.limit = read("limit", &value)?,
                "call" => query.calls.push(read("call", &value)?),
                other => return Err(format!("`{}` is no parameter of this address", other.escape_debug())),
            }
        }
        if !["", "fresh", "stale", "missing", "failing", "rendering"].contains(&&*search.state) {
            return Err(format!(
                "state is `{}`: give fresh, stale, missing, failing or rendering",
                search.state.escape_debug()
            ));
        }
        if search.limit == 0 || search.limit > LISTED_MAX {
            return Err(format!("limit is {}: give 1 to {LISTED_MAX}", search.limit));
        }
        if query.calls.len() > FOLLOWED_MAX {
            return Err(format!("{} calls to follow, {FOLLOWED_MAX} at most", query.calls.len()));
        }
        Ok(query)
    }
}

/// The JSON of the list: the pages, and the build, time and routes that the publishing page shows.
pub(crate) fn listing<S: Stores>(engine: &Engine<S>, result: &SearchResult, now: Millis) -> Value {
    let stored = engine.site().routes().iter().filter(|route| !route.is_dynamic());
    json!({
        "build": &**engine.build(),
        "dev": engine.is_dev(),
        "now_ms": now.0,
        "routes": stored.map(|route| route.id()).collect::<Vec<_>>(),
        "pages": result.pages.iter().map(|page| page.to_json(now)).collect::<Vec<_>>(),
        "next": result.next,
    })
}
