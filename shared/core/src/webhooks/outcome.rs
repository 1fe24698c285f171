//! What one rule makes of a payload. Pure.

use crate::webhooks::changes::Changes;
use crate::webhooks::mismatch::Mismatch;

/// The pages that a rule names for a payload, or why the rule does not count.
#[derive(Debug)]
pub struct RuleOutcome<'a> {
    /// The rule's name.
    pub rule: &'a str,
    /// The pages that change, or why the rule does not count.
    pub result: Result<Changes, Mismatch>,
    /// For a rule that goes through a list: each element's place as a JSON pointer, and why the rule does not count for
    /// that element.
    pub elements: Vec<(String, Option<Mismatch>)>,
}
