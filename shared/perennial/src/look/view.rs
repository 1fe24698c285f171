//! What a look has found, and what a visitor wants of it.

use std::sync::Arc;

use crate::freshness::State;
use crate::look::body::Body;
use crate::memory::Entry;
use crate::record::page_record::{Coding, Ticket};

/// What a look found.
#[derive(Debug)]
pub struct PageView {
    /// The page with the content of the wanted form; none if it is missing.
    pub entry: Option<Arc<Entry>>,
    /// That content, if it is too large to be loaded: as it comes from the store, in the coding that was wanted.
    pub stream: Option<Body>,
    /// Whether that content cannot be passed on now, because too much is being passed on already.
    pub is_over_budget: bool,
    /// Its state now.
    pub state: State,
    /// The generation that was judged; 0 for none. A missing page may have one: deleted, expired, or damaged.
    pub generation: Ticket,
    /// Whether the page exists for a route that serves listed pages only: it was listed, or generated before.
    pub known: bool,
}

/// What a visitor wants of a body.
#[derive(Clone, Copy, Debug)]
pub struct BodyWanted {
    /// The coding it would be sent in.
    pub coding: Coding,
    /// Whether the visitor has it already.
    pub has: bool,
    /// Whether its length will do: HEAD.
    pub head: bool,
}

impl PageView {
    /// A page that there is nothing to show of.
    pub fn missing(generation: Ticket, known: bool) -> Self {
        Self { entry: None, stream: None, is_over_budget: false, state: State::Missing, generation, known }
    }
}
