//! Why a rule does not count for a payload. Pure.

/// The reason, in the rule's own words. `Display` shows no value of the payload and is safe in logs; `found` shows one,
/// for callers who have the payload anyway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// The condition that does not hold, or the field that is missing.
    pub reason: String,
    /// The payload's value in that place.
    pub found: Option<String>,
    /// If all conditions hold: the paths and tags that the rule could not name, each with a reason.
    pub left_out: Vec<String>,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Mismatch {
    /// A reason without more.
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..Self::default() }
    }
}
