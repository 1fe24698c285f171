//! Fills a template with the fields of a payload. Pure.

use serde_json::Value;

use crate::webhooks::changes::REASONS_MAX;
use crate::webhooks::pointer::{Scope, Token, child, children};
use crate::webhooks::reference;
use crate::webhooks::template::piece::{Field, Kind, Piece};

/// The most steps through one payload for one rule. A payload that needs more names too many values.
pub(in crate::webhooks) const STEPS_MAX: usize = 200_000;

/// The texts that a template makes of a payload.
#[derive(Debug, Default)]
pub(in crate::webhooks) struct Filled {
    /// Texts, in the order of the payload.
    pub(in crate::webhooks) texts: Vec<String>,
    /// Why other texts were left out.
    pub(in crate::webhooks) left_out: Vec<String>,
    /// A field that the template needs, and that the payload or an element of a list lacks.
    pub(in crate::webhooks) missing: Option<String>,
    /// Whether the payload has more texts than the caller wants: then `texts` is incomplete.
    pub(in crate::webhooks) too_many: bool,
}

/// The state of filling a template.
pub(super) struct Filling<'a> {
    pieces: &'a [Piece],
    /// The template as written, for messages.
    text: &'a str,
    is_of_tag: bool,
    scope: Scope<'a>,
    most: usize,
    steps: &'a mut usize,
    /// The chosen element of each list, at this point.
    taken: Vec<(&'a [Token], &'a Value)>,
    parts: Vec<String>,
    filled: Filled,
}

impl<'a> Filling<'a> {
    /// The texts of all pieces, for every combination of elements of the lists: `most` texts at most. `steps` is the rest
    /// of [`STEPS_MAX`], and is counted down.
    pub(super) fn fill(
        (pieces, text, is_of_tag): (&'a [Piece], &'a str, bool),
        scope: Scope<'a>,
        most: usize,
        steps: &'a mut usize,
    ) -> Filled {
        let (taken, parts, filled) = (Vec::new(), Vec::new(), Filled::default());
        let mut filling = Self { pieces, text, is_of_tag, scope, most, steps, taken, parts, filled };
        filling.from(0);
        filling.filled
    }

    /// Whether one field is the whole path, so that the home page is a possible result.
    fn may_be_home(&self) -> bool {
        matches!(self.pieces, [Piece::Literal(slash), Piece::Field(_)] if slash == "/")
    }

    /// Fills this piece and all later ones.
    fn from(&mut self, piece: usize) {
        match self.pieces.get(piece) {
            None if self.filled.texts.len() == self.most => self.filled.too_many = true,
            None => self.filled.texts.push(self.parts.concat()),
            Some(Piece::Literal(text)) if self.is_of_tag => self.with(text.clone(), piece),
            Some(Piece::Literal(text)) => self.with(reference::path(text), piece),
            Some(Piece::Field(field)) => self.walk(field, 0, self.scope.element, piece),
        }
    }

    fn with(&mut self, part: String, piece: usize) {
        self.parts.push(part);
        self.from(piece + 1);
        self.parts.pop();
    }

    /// Counts a step. Whether too many steps were made.
    fn step(&mut self) -> bool {
        match self.steps.checked_sub(1) {
            Some(left) => *self.steps = left,
            None => self.filled.too_many = true,
        }
        self.filled.too_many
    }

    fn walk(&mut self, field: &'a Field, at: usize, value: &'a Value, piece: usize) {
        if self.step() {
            return;
        }
        let tokens = &field.pointer.tokens;
        match (tokens.get(at), value) {
            (Some(Token::Whole), _) => self.walk(field, at + 1, self.scope.whole, piece),
            (Some(Token::Each), _) => {
                let list = &tokens[..=at];
                if let Some((_, taken)) = self.taken.iter().find(|(taken, _)| *taken == list) {
                    return self.walk(field, at + 1, taken, piece);
                }
                let is_last = at + 1 == tokens.len();
                if (!value.is_array() && !value.is_object())
                    || (is_last && has_none(children(value), |child| is_text(child) || child.is_array()))
                {
                    return self.lacks(field);
                }
                for child in children(value) {
                    self.taken.push((list, child));
                    self.walk(field, at + 1, child, piece);
                    self.taken.pop();
                }
            }
            (Some(Token::Name(name)), value) => match child(value, name) {
                Some(child) => self.walk(field, at + 1, child, piece),
                None => self.lacks(field),
            },
            (None, Value::Array(all)) if has_none(all.iter(), is_text) => self.lacks(field),
            (None, Value::Array(all)) => {
                // Elements that are no texts are passed over.
                for child in all.iter().filter(|child| is_text(child)) {
                    self.text(field, child, piece);
                }
            }
            (None, value) if tokens.last() == Some(&Token::Each) && !is_text(value) => {}
            (None, value) => self.text(field, value, piece),
        }
    }

    fn text(&mut self, field: &'a Field, value: &Value, piece: usize) {
        if self.step() {
            return;
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(is) => is.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return self.lacks(field),
        };
        match field.part(&text) {
            Ok(Some(part)) if part.is_empty() && field.kind == Kind::Path && !self.may_be_home() => {
                self.leaves_out("a path is empty");
            }
            Ok(Some(part)) => self.with(part, piece),
            Ok(None) => {}
            Err(why) => self.leaves_out(&why),
        }
    }

    fn leaves_out(&mut self, why: &str) {
        if self.filled.left_out.len() < REASONS_MAX {
            self.filled.left_out.push(format!("`{}`: {why}", self.text));
        }
    }

    fn lacks(&mut self, field: &'a Field) {
        if !field.is_optional {
            self.filled.missing.get_or_insert_with(|| field.pointer.text.clone());
        }
    }
}

/// Whether a value is used as a text in paths and tags.
fn is_text(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_))
}

/// Whether a list has elements, and none of them fits. An empty list lacks nothing: the sender says that there is nothing
/// to name.
fn has_none<'a>(elements: impl Iterator<Item = &'a Value>, fits: impl Fn(&Value) -> bool) -> bool {
    let mut elements = elements.peekable();
    elements.peek().is_some() && !elements.any(fits)
}
