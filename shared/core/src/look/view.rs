//! The result of a lookup, and the visitor's need for a body.

use std::sync::Arc;

use crate::freshness::State;
use crate::look::body::Body;
use crate::memory::Entry;
use crate::record::page_record::{Coding, Ticket};

/// The result of a lookup.
#[derive(Debug)]
pub struct PageView {
    /// The page, with the requested form's content if the visitor needs it and it is not streamed; `None` if it is
    /// missing.
    pub entry: Option<Arc<Entry>>,
    /// The stream of the requested form's body, in the negotiated coding, if the body is too large to be loaded.
    pub stream: Option<Body>,
    /// Whether the body must be streamed and the budget of streams is used up.
    pub is_over_budget: bool,
    /// The page's state now.
    pub state: State,
    /// The stored generation that the state belongs to; 0 for none. A missing page has one if it is deleted, expired or
    /// damaged.
    pub generation: Ticket,
    /// Whether the build listed the page, or it was generated before. A route with `Fallback::NotFound` serves such
    /// pages only.
    pub known: bool,
}

/// A visitor's need for a body.
#[derive(Clone, Copy, Debug)]
pub struct BodyWanted {
    /// The coding in which the body would be sent.
    pub coding: Coding,
    /// Whether `If-None-Match` has the body's entity tag: 304 suffices.
    pub is_not_modified: bool,
    /// Whether the request is HEAD: the body's length suffices.
    pub is_head: bool,
}

impl PageView {
    /// The view of a missing page.
    pub fn missing(generation: Ticket, known: bool) -> Self {
        Self { entry: None, stream: None, is_over_budget: false, state: State::Missing, generation, known }
    }
}
