//! Canonical identity of a page: route, decoded parameters, declared variant values. Never URL text.
//!
//! Everything here is pure. [`decode_path`] is the only place where percent-decoding happens, once per segment.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::pattern::Pattern;

/// The value of one route parameter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Param {
    /// Of `{name}`: one decoded segment.
    One(String),
    /// Of `{*name}`: the decoded segments, at least one.
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

    /// The parameter of that name.
    pub fn get(&self, name: &str) -> Option<&Param> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Param)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v))
    }

    /// From a JSON object of strings and, for a catch-all, lists of strings: `{"slug":"a"}`.
    ///
    /// # Errors
    /// Says which member is neither.
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
                Param::One(one) => serde_json::Value::from(one.as_str()),
                Param::Rest(rest) => serde_json::Value::from(rest.as_slice()),
            };
            let _ = write!(out, "{name}:{value}");
        }
        out.push('}');
        out
    }
}

/// Canonical text of one page's identity; equal texts are the same page, whatever the URL looked like.
///
/// `{pattern}` then `|value` for each parameter in the pattern's order (a catch-all's segments joined by `/`),
/// then `?name=value&…` for the declared query parameters that were given, by name. Values are percent-encoded
/// except for RFC 3986 unreserved characters, so the text is injective and plain ASCII apart from the pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PageKey {
    text: Arc<str>,
    path: Arc<str>,
}

impl PageKey {
    /// The key of the page of `pattern` with these values; `query` is sorted by name.
    pub(crate) fn new(pattern: &Pattern, params: &Params, query: &[(String, String)]) -> Self {
        let mut text = String::with_capacity(pattern.as_str().len() + 32);
        text.push_str(pattern.as_str());
        for (_, param) in &params.0 {
            text.push('|');
            push_param(&mut text, param);
        }
        for (i, (name, value)) in query.iter().enumerate() {
            text.push(if i == 0 { '?' } else { '&' });
            encode_into(&mut text, name);
            text.push('=');
            encode_into(&mut text, value);
        }
        Self { text: text.into(), path: pattern.path(params).into() }
    }

    /// The key of a stored text, whether or not this build has its route.
    pub(crate) fn from_stored(text: &str) -> Option<Self> {
        let route = text.split(['|', '?']).next()?;
        let pattern = Pattern::parse(route).ok()?;
        let (params, query) = pattern.parse_key(text)?;
        Some(Self::new(&pattern, &params, &query))
    }

    /// The canonical text, as stored.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A shared handle on the canonical text.
    pub fn shared(&self) -> Arc<str> {
        self.text.clone()
    }

    /// Canonical, percent-encoded path without base path: `/blog/caf%C3%A9`. All variants of a page share it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Name of the page in a body store: the first 128 bits of the text's SHA-256, in hexadecimal.
    pub fn hash(&self) -> String {
        hex(&Sha256::digest(self.text.as_bytes())[..16])
    }

    /// The pattern of its route.
    pub fn route(&self) -> &str {
        self.text.split(['|', '?']).next().unwrap_or(&self.text)
    }

    /// The part of the text that all variants of this page share.
    pub fn base_text(&self) -> &str {
        self.text.split('?').next().unwrap_or(&self.text)
    }
}

impl std::fmt::Display for PageKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// First segment of every URL that is Perennial's own.
pub const RESERVED_SEGMENT: &str = "_perennial";

/// Why a path cannot name a page: answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// A `%` without two hexadecimal digits (RFC 3986 section 2.1).
    #[error("a `%` in the path is not followed by two hexadecimal digits")]
    Escape,
    /// The decoded bytes are not UTF-8.
    #[error("the path is not UTF-8")]
    Utf8,
    /// A NUL byte, raw or encoded.
    #[error("the path holds a NUL")]
    Nul,
}

/// Splits a path at `/` and percent-decodes each segment, once. Empty segments are kept.
///
/// # Errors
/// [`BadPath`] for malformed escapes, invalid UTF-8 and NUL.
pub fn decode_path(path: &str) -> Result<Vec<Cow<'_, str>>, BadPath> {
    match path.strip_prefix('/').unwrap_or(path) {
        "" => Ok(Vec::new()),
        rest => rest.split('/').map(decode_segment).collect(),
    }
}

/// A path decoded for people and logs: `/blog/café`. One that cannot be decoded stays as it is.
pub fn readable_path(path: &str) -> String {
    decode_path(path).map_or_else(|_| path.to_owned(), |segments| format!("/{}", segments.join("/")))
}

/// Percent-decodes one segment, once.
///
/// # Errors
/// As [`decode_path`].
pub fn decode_segment(segment: &str) -> Result<Cow<'_, str>, BadPath> {
    if !segment.bytes().any(|b| b == b'%' || b == 0) {
        return Ok(Cow::Borrowed(segment));
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|b| (b as char).to_digit(16)).ok_or(BadPath::Escape);
                (digit()? * 16 + digit()?) as u8
            }
            plain => plain,
        };
        if byte == 0 {
            return Err(BadPath::Nul);
        }
        bytes.push(byte);
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| BadPath::Utf8)
}

/// Percent-encodes everything but RFC 3986 unreserved characters (section 2.3), in upper case.
pub(crate) fn encode_into(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

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

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(pattern: &str, path: &str) -> PageKey {
        let pattern = Pattern::parse(pattern).unwrap();
        let params = pattern.matches(&decode_path(path).unwrap()).unwrap();
        PageKey::new(&pattern, &params, &[])
    }

    #[test]
    fn keys_are_golden() {
        assert_eq!(key("/", "/").as_str(), "/");
        assert_eq!(key("/blog/{slug}", "/blog/a").as_str(), "/blog/{slug}|a");
        assert_eq!(key("/blog/{slug}", "/blog/caf%c3%a9").as_str(), "/blog/{slug}|caf%C3%A9");
        assert_eq!(key("/c/{*all}", "/c/a/b%2Fc").as_str(), "/c/{*all}|a/b%2Fc");
        let pattern = Pattern::parse("/vary/{slug}").unwrap();
        let params = pattern.matches(&decode_path("/vary/x").unwrap()).unwrap();
        let query = [("page".to_owned(), "2".to_owned())];
        assert_eq!(PageKey::new(&pattern, &params, &query).as_str(), "/vary/{slug}|x?page=2");
        assert_eq!(key("/blog/{slug}", "/blog/a").hash(), "a46889e0fbb322eaaf00e809cad082dd");
    }

    #[test]
    fn spelling_does_not_matter_but_content_does() {
        assert_eq!(key("/b/{s}", "/b/%61"), key("/b/{s}", "/b/a"));
        assert_ne!(key("/b/{s}", "/b/a%2Fb"), key("/b/{s}", "/b/a%252Fb"));
        assert_ne!(key("/b/{s}", "/b/e%CC%81"), key("/b/{s}", "/b/%C3%A9"));
        assert_ne!(key("/b/{s}", "/b/a%7Cb"), key("/b/{s}", "/b/a%257Cb"));
    }

    #[test]
    fn a_key_reads_back() {
        for path in ["/c/a/b%2Fc", "/c/%3F/%7C", "/c/...", "/c/%25"] {
            let pattern = Pattern::parse("/c/{*all}").unwrap();
            let params = pattern.matches(&decode_path(path).unwrap()).unwrap();
            let query = vec![("p".to_owned(), "a&b=c".to_owned())];
            let key = PageKey::new(&pattern, &params, &query);
            assert_eq!(pattern.parse_key(key.as_str()), Some((params, query)));
        }
        assert_eq!(Pattern::parse("/b/{s}").unwrap().parse_key("/b/{s}|a|b"), None);
        assert_eq!(Pattern::parse("/b/{s}").unwrap().parse_key("/b/{s}"), None);
    }

    #[test]
    fn malformed_paths_are_refused() {
        assert_eq!(decode_path("/blog/100%"), Err(BadPath::Escape));
        assert_eq!(decode_path("/blog/%E0%A4%A"), Err(BadPath::Escape));
        assert_eq!(decode_path("/blog/%FF"), Err(BadPath::Utf8));
        assert_eq!(decode_path("/blog/a%00"), Err(BadPath::Nul));
        assert_eq!(decode_path("/blog/100%25").unwrap(), ["blog", "100%"]);
    }
}
