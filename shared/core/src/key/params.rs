//! The decoded values of a route's parameters.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::key::encode::encode_into;

/// The value of one route parameter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Param {
    /// The value of `{name}`: one decoded segment.
    One(String),
    /// The value of `{*name}`: one or more decoded segments.
    Rest(Vec<String>),
}

impl From<&str> for Param {
    fn from(value: &str) -> Self {
        Param::One(value.to_owned())
    }
}

impl From<String> for Param {
    fn from(value: String) -> Self {
        Param::One(value)
    }
}

impl From<Vec<String>> for Param {
    fn from(value: Vec<String>) -> Self {
        Param::Rest(value)
    }
}

/// The parameters of one page, in its pattern's order.
///
/// ```
/// use perennial::Params;
///
/// let one = Params::new().with("slug", "first-post");
/// let many = Params::new().with("path", vec!["guides".to_owned(), "start".to_owned()]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Params(pub(crate) Vec<(String, Param)>);

impl Params {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a parameter.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Param>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    /// The parameter with this name.
    pub fn get(&self, name: &str) -> Option<&Param> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Param)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v))
    }

    /// Reads a JSON object whose values are strings, or lists of strings for a catch-all: `{"slug":"a"}`.
    ///
    /// # Errors
    /// A sentence that names the first member with another value.
    pub fn from_json(value: &serde_json::Value) -> Result<Self, String> {
        let members = value.as_object().ok_or_else(|| format!("{value} is not an object of parameters"))?;
        members
            .iter()
            .map(|(name, value)| match Param::deserialize(value) {
                Ok(param) => Ok((name.clone(), param)),
                Err(_) => Err(format!(
                    "parameter `{name}` is {value}: give a string, or a list of strings for a catch-all"
                )),
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The JSON object that [`Params::from_json`] reads, members in the pattern's order.
    pub fn to_json(&self) -> String {
        let mut out = String::from("{");
        for (i, (name, value)) in self.0.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            let name = serde_json::Value::from(name.as_str());
            let value = match value {
                Param::One(segment) => serde_json::Value::from(segment.as_str()),
                Param::Rest(segments) => serde_json::Value::from(segments.as_slice()),
            };
            let _ = write!(out, "{name}:{value}");
        }
        out.push('}');
        out
    }
}

/// Appends a parameter's percent-encoded value, a catch-all's segments joined by `/`.
pub(crate) fn push_param(out: &mut String, param: &Param) {
    match param {
        Param::One(value) => encode_into(out, value),
        Param::Rest(segments) => {
            for (i, segment) in segments.iter().enumerate() {
                if i > 0 {
                    out.push('/');
                }
                encode_into(out, segment);
            }
        }
    }
}
