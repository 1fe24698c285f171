//! Decides how a request for a page is answered, from the page's state: the first table in tests/SEMANTICS.md. Pure.

use std::time::Duration;

use perennial_core::freshness::{State, Why};
use perennial_core::site::route::Fallback;

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Answer with the stored page.
    Answer,
    /// Answer with the stored page, and trigger its renewal.
    AnswerAndRenew,
    /// Render the page, then answer.
    Render {
        /// Whether a failed render is answered with the stale page instead of an error.
        stale_on_error: bool,
    },
    /// Answer with the route's shell, whose data request generates the page.
    Shell,
    /// The page does not exist on this route; a less specific route may have it.
    NotHere,
}

/// The input of the decision.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// The page's state.
    pub state: State,
    /// The route's fallback.
    pub fallback: Fallback,
    /// Whether the build listed the page, or it was generated before.
    pub known: bool,
    /// The route's limit on staleness.
    pub max_stale: Option<Duration>,
    /// Whether the route serves a page that is stale beyond that limit if its render fails.
    pub stale_on_error: bool,
    /// Whether the client may get a shell: a person who asks for HTML, not a crawler.
    pub takes_shell: bool,
}

/// Decides how the request is answered.
pub fn decide(c: Circumstances) -> Action {
    match c.state {
        State::Fresh { .. } => Action::Answer,
        // The page is as fresh as this process knows. A renewal would burden a store that already fails.
        State::Stale { why: Why::Unchecked, .. } => Action::Answer,
        State::Stale { since, .. } => match c.max_stale {
            Some(limit) if since > limit => Action::Render { stale_on_error: c.stale_on_error },
            _ => Action::AnswerAndRenew,
        },
        State::Missing => match c.fallback {
            Fallback::NotFound if !c.known => Action::NotHere,
            Fallback::Shell if c.takes_shell && !c.known => Action::Shell,
            _ => Action::Render { stale_on_error: false },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MISSING: Circumstances = Circumstances {
        state: State::Missing,
        fallback: Fallback::Blocking,
        known: false,
        max_stale: None,
        stale_on_error: true,
        takes_shell: true,
    };

    #[test]
    fn a_missing_page_is_generated_as_its_route_says() {
        let with =
            |fallback, known, takes_shell| decide(Circumstances { fallback, known, takes_shell, ..MISSING });
        let render = Action::Render { stale_on_error: false };
        assert_eq!(with(Fallback::Blocking, false, true), render);
        assert_eq!(with(Fallback::Shell, false, true), Action::Shell);
        assert_eq!(with(Fallback::Shell, false, false), render);
        assert_eq!(
            with(Fallback::Shell, true, true),
            render,
            "a listed page is rendered even if its record was lost"
        );
        assert_eq!(with(Fallback::NotFound, false, false), Action::NotHere);
        assert_eq!(with(Fallback::NotFound, true, true), render);
    }

    #[test]
    fn a_stored_page_is_answered_at_once_unless_it_is_too_old() {
        let stale = |seconds| State::Stale { why: Why::Old, since: Duration::from_secs(seconds) };
        let fresh = State::Fresh { until: None };
        assert_eq!(decide(Circumstances { state: fresh, ..MISSING }), Action::Answer);
        let unchecked = State::Stale { why: Why::Unchecked, since: Duration::ZERO };
        assert_eq!(decide(Circumstances { state: unchecked, ..MISSING }), Action::Answer);
        assert_eq!(decide(Circumstances { state: stale(1_000_000), ..MISSING }), Action::AnswerAndRenew);
        let limited = Circumstances { max_stale: Some(Duration::from_secs(60)), ..MISSING };
        assert_eq!(decide(Circumstances { state: stale(60), ..limited }), Action::AnswerAndRenew);
        assert_eq!(
            decide(Circumstances { state: stale(61), ..limited }),
            Action::Render { stale_on_error: true }
        );
        let strict = Circumstances { state: stale(61), stale_on_error: false, ..limited };
        assert_eq!(decide(strict), Action::Render { stale_on_error: false });
    }
}
