//! Conditions of a rule: the members of `when`. Pure.

use std::fmt::Write as _;

use http::HeaderName;
use serde_json::Value;

use crate::webhooks::mismatch::Mismatch;
use crate::webhooks::payload::Payload;
use crate::webhooks::pointer::{Pointer, Scope};
use crate::webhooks::providers;

/// The beginning of the name of a condition on a header field.
const HEADER: &str = "header ";

/// Values of one condition.
const VALUES_MAX: usize = 100;

/// A value in a message is cut after this many characters.
const SHOWN_CHARS_MAX: usize = 60;

/// One member of a rule's `when`.
#[derive(Debug)]
pub(super) struct Condition {
    subject: Subject,
    wanted: Wanted,
}

/// The value that is compared.
#[derive(Debug)]
enum Subject {
    Provider,
    Header(HeaderName),
    Field(Pointer),
}

/// The values that it is compared with.
#[derive(Debug)]
enum Wanted {
    OneOf(Vec<Value>),
    NoneOf(Vec<Value>),
    Exists(bool),
    /// A text with this beginning and this end.
    Like(String, String),
}

impl Condition {
    /// Reads a member of `when`.
    ///
    /// # Errors
    /// The mistake in it.
    pub(super) fn parse(name: &str, wanted: &Value) -> Result<Self, String> {
        let wanted = Wanted::parse(wanted)?;
        let subject = if name == "provider" {
            wanted.names_providers()?;
            Subject::Provider
        } else if let Some(field) = name.strip_prefix(HEADER) {
            let field = field.trim().parse().map_err(|_| "it names no field of a request".to_owned())?;
            Subject::Header(field)
        } else if name.is_empty() || name.starts_with(['/', '$']) {
            Subject::Field(Pointer::parse(name)?)
        } else {
            return Err("give `provider`, `header NAME`, or a field of the payload like `/sys/id`".into());
        };
        Ok(Self { subject, wanted })
    }

    /// The order of checks: lower ranks first.
    pub(super) fn rank(&self) -> u8 {
        match self.subject {
            Subject::Provider => 0,
            Subject::Header(_) => 1,
            Subject::Field(_) => 2,
        }
    }

    /// Whether the condition is checked for each element of the rule's list, and not once for the whole payload.
    pub(super) fn is_of_element(&self) -> bool {
        matches!(&self.subject, Subject::Field(pointer) if !pointer.is_of_whole())
    }

    /// Checks the condition. A rule that deletes must not depend on a header field that the signature does not cover:
    /// an attacker may have written such a field.
    ///
    /// # Errors
    /// The condition does not hold, and why.
    pub(super) fn check(
        &self,
        payload: &Payload<'_>,
        scope: Scope<'_>,
        deletes: bool,
    ) -> Result<(), Mismatch> {
        let (holds, found) = match &self.subject {
            Subject::Provider => {
                let provider = Value::from(payload.provider.name);
                (self.wanted.allows(&provider), Some(provider))
            }
            Subject::Header(name) => {
                let is_covered = payload
                    .signed_fields
                    .is_none_or(|fields| fields.iter().any(|field| *name == field.as_str()));
                if deletes && !is_covered {
                    let reason = format!("it deletes, and the signature does not cover the field {name}");
                    return Err(Mismatch::new(reason));
                }
                let mut values = payload.headers.get_all(name).iter();
                let value = values.next().and_then(|value| value.to_str().ok()).map(Value::from);
                let value = value.filter(|_| values.next().is_none());
                (self.wanted.holds(value.as_ref()), value)
            }
            Subject::Field(pointer) => {
                let mut first = None;
                let is_there = pointer.any(scope, &mut |value| {
                    if first.is_none() && !value.is_null() {
                        first = Some(value.clone());
                    }
                    !value.is_null() && self.wanted.is_decided_by(value)
                });
                (self.wanted.outcome(is_there, first.is_some()), first)
            }
        };
        if holds {
            Ok(())
        } else {
            let found = found.map_or_else(|| "nothing".to_owned(), |value| shown(&value));
            Err(Mismatch { found: Some(found), ..Mismatch::new(self.to_string()) })
        }
    }
}

/// The condition in words, for logs.
impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.subject {
            Subject::Provider => f.write_str("provider"),
            Subject::Header(name) => write!(f, "header {name}"),
            Subject::Field(pointer) => write!(f, "`{}`", pointer.as_str()),
        }?;
        match &self.wanted {
            Wanted::OneOf(values) => write!(f, " must be {}", list(values)),
            Wanted::NoneOf(values) => write!(f, " must be there, and not {}", list(values)),
            Wanted::Like(before, after) => write!(f, " must be like {before}*{after}"),
            Wanted::Exists(true) => f.write_str(" must be there"),
            Wanted::Exists(false) => f.write_str(" must not be there"),
        }
    }
}

fn list(values: &[Value]) -> String {
    let mut out = String::new();
    for (i, value) in values.iter().enumerate() {
        let _ = write!(out, "{}{}", if i == 0 { "" } else { " or " }, shown(value));
    }
    out
}

/// A value as messages show it: short, in one line.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl Wanted {
    fn parse(wanted: &Value) -> Result<Self, String> {
        let advice = || {
            "give a value, a list of values, {\"not\": …}, {\"like\": \"a*b\"} or {\"exists\": true}"
                .to_owned()
        };
        match wanted {
            Value::Object(members) => match members.iter().next() {
                Some((name, Value::Bool(is))) if name == "exists" && members.len() == 1 => {
                    Ok(Self::Exists(*is))
                }
                Some((name, values)) if name == "not" && members.len() == 1 => {
                    values_of(values).map(Self::NoneOf)
                }
                Some((name, Value::String(text))) if name == "like" && members.len() == 1 => {
                    match text.split_once('*') {
                        Some((before, after)) if !after.contains('*') => {
                            Ok(Self::Like(before.to_owned(), after.to_owned()))
                        }
                        _ => Err(format!("`{text}` must hold one `*`, which is any text")),
                    }
                }
                _ => Err(advice()),
            },
            values => values_of(values).map(Self::OneOf),
        }
    }

    fn names_providers(&self) -> Result<(), String> {
        let names: Vec<_> = providers::all().map(|provider| provider.name).collect();
        match self {
            Self::OneOf(values) | Self::NoneOf(values)
                if values.iter().all(|value| names.iter().any(|name| value == name)) =>
            {
                Ok(())
            }
            _ => Err(format!("the providers are {}", names.join(", "))),
        }
    }

    fn allows(&self, value: &Value) -> bool {
        self.holds(Some(value))
    }

    /// For a value that exists once or not at all.
    fn holds(&self, value: Option<&Value>) -> bool {
        self.outcome(value.is_some_and(|value| self.is_decided_by(value)), value.is_some())
    }

    /// Whether this one value decides the condition.
    fn is_decided_by(&self, value: &Value) -> bool {
        match self {
            Self::OneOf(values) | Self::NoneOf(values) => values.contains(value),
            Self::Exists(_) => true,
            Self::Like(before, after) => value.as_str().is_some_and(|text| {
                text.len() >= before.len() + after.len() && text.starts_with(before) && text.ends_with(after)
            }),
        }
    }

    /// Whether the condition holds: `decided` tells that a deciding value exists, `any` that any value exists.
    fn outcome(&self, decided: bool, any: bool) -> bool {
        match self {
            Self::OneOf(_) | Self::Like(..) => decided,
            Self::NoneOf(_) => any && !decided,
            Self::Exists(wanted) => decided == *wanted,
        }
    }
}

fn values_of(values: &Value) -> Result<Vec<Value>, String> {
    let values = match values {
        Value::Array(values) => values.clone(),
        value => vec![value.clone()],
    };
    let is_plain = |value: &Value| matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_));
    if values.is_empty() || values.len() > VALUES_MAX || !values.iter().all(is_plain) {
        return Err(format!("give 1 to {VALUES_MAX} texts, numbers, `true` or `false`"));
    }
    Ok(values)
}
