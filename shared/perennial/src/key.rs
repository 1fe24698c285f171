//! Canonical identity of a page: route, decoded parameters, declared variant values. Never URL text.
//!
//! Everything here is pure. [`decode_path`] is the only place where percent-decoding happens, once per segment.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

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
                Err(_) => Err(format!("parameter `{name}` is {value}: give a string, or a list of strings for a catch-all")),
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
        let mut text = String::with_capacity(pattern.text.len() + 32);
        text.push_str(&pattern.text);
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

/// One segment of a route pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    One(String),
    Rest(String),
}

/// A route's pattern: literal segments, `{name}` for one segment, `{*name}` for all that are left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Arc<str>,
    segments: Vec<Segment>,
}

impl Pattern {
    /// Reads `/blog/{slug}`, `/docs/{*path}`, `/`.
    ///
    /// # Errors
    /// Says what is wrong with the text and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix('/').ok_or_else(|| format!("route pattern `{text}` must begin with `/`"))?;
        let mut segments = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        let parts: Vec<&str> = if rest.is_empty() { Vec::new() } else { rest.split('/').collect() };
        for (i, part) in parts.iter().enumerate() {
            let inner = part.strip_prefix('{').and_then(|p| p.strip_suffix('}'));
            let segment = match inner {
                Some(name) => {
                    let (name, is_rest) = name.strip_prefix('*').map_or((name, false), |n| (n, true));
                    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                        return Err(format!("parameter `{part}` of route `{text}` needs a name of letters, digits and `_`"));
                    }
                    if names.contains(&name) {
                        return Err(format!("route `{text}` names parameter `{name}` twice"));
                    }
                    names.push(name);
                    if is_rest && i + 1 != parts.len() {
                        return Err(format!("catch-all `{part}` must be the last segment of route `{text}`"));
                    }
                    if is_rest { Segment::Rest(name.to_owned()) } else { Segment::One(name.to_owned()) }
                }
                None if part.is_empty() => return Err(format!("route pattern `{text}` has an empty segment")),
                None if *part == "." || *part == ".." || part.contains(['{', '}', '|', '?', '#', '%', '\\']) => {
                    return Err(format!("segment `{part}` of route `{text}`: write literal segments decoded, without {{ }} | ? # % \\"));
                }
                None => Segment::Literal((*part).to_owned()),
            };
            segments.push(segment);
        }
        if matches!(segments.first(), Some(Segment::Literal(s)) if s == RESERVED_SEGMENT) {
            return Err(format!("route `{text}`: `/{RESERVED_SEGMENT}` is kept for Perennial's own URLs"));
        }
        Ok(Self { text: text.into(), segments })
    }

    /// The pattern's text: the route's id.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn shared(&self) -> Arc<str> {
        self.text.clone()
    }

    /// Whether it has parameters.
    pub fn is_dynamic(&self) -> bool {
        self.segments.iter().any(|s| !matches!(s, Segment::Literal(_)))
    }

    /// The parameters of these decoded segments, if they fit.
    pub fn matches(&self, path: &[Cow<'_, str>]) -> Option<Params> {
        let mut params = Vec::new();
        for (i, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::Literal(literal) if path.get(i)? == literal => {}
                Segment::Literal(_) => return None,
                Segment::One(name) => params.push((name.clone(), Param::One(path.get(i)?.clone().into_owned()))),
                Segment::Rest(name) => {
                    let rest = path.get(i..).filter(|rest| !rest.is_empty())?;
                    let rest = rest.iter().map(|s| s.clone().into_owned()).collect();
                    params.push((name.clone(), Param::Rest(rest)));
                    return Some(Params(params));
                }
            }
        }
        (path.len() == self.segments.len()).then_some(Params(params))
    }

    /// Orders routes by how exactly they match: literal before `{name}` before `{*name}`, segment by segment.
    pub(crate) fn specificity(&self) -> Vec<u8> {
        let rank = |s: &Segment| match s {
            Segment::Literal(_) => 0,
            Segment::One(_) => 1,
            Segment::Rest(_) => 2,
        };
        self.segments.iter().map(rank).collect()
    }

    /// Two patterns of one shape match the same paths.
    pub(crate) fn shape(&self) -> Vec<Option<&str>> {
        self.segments
            .iter()
            .map(|s| match s {
                Segment::Literal(literal) => Some(literal.as_str()),
                Segment::One(_) => None,
                Segment::Rest(_) => Some("*/"),
            })
            .collect()
    }

    /// Puts parameters from outside into the pattern's order.
    ///
    /// # Errors
    /// Says which are missing, unknown, empty or of the wrong kind.
    pub fn arrange(&self, given: &Params) -> Result<Params, String> {
        let mut params = Vec::new();
        for segment in &self.segments {
            let (name, rest) = match segment {
                Segment::Literal(_) => continue,
                Segment::One(name) => (name, false),
                Segment::Rest(name) => (name, true),
            };
            let value = match (given.get(name), rest) {
                (Some(Param::One(value)), false) if !value.is_empty() => Param::One(value.clone()),
                (Some(Param::Rest(list)), true) if !list.is_empty() && list.iter().all(|s| !s.is_empty()) => {
                    Param::Rest(list.clone())
                }
                (Some(Param::One(value)), true) if !value.is_empty() && value.split('/').all(|s| !s.is_empty()) => {
                    Param::Rest(value.split('/').map(str::to_owned).collect())
                }
                (Some(_), _) => {
                    let kind = if rest { "a list of non-empty segments" } else { "one non-empty segment" };
                    return Err(format!("parameter `{name}` of route {} must be {kind}", self.text));
                }
                (None, _) => return Err(format!("parameter `{name}` of route {} is missing", self.text)),
            };
            params.push((name.clone(), value));
        }
        match given.iter().find(|(name, _)| !params.iter().any(|(n, _)| n == name)) {
            Some((name, _)) => Err(format!("route {} has no parameter `{name}`", self.text)),
            None => Ok(Params(params)),
        }
    }

    fn path(&self, params: &Params) -> String {
        let mut path = String::new();
        for segment in &self.segments {
            path.push('/');
            match segment {
                Segment::Literal(literal) => encode_into(&mut path, literal),
                Segment::One(name) | Segment::Rest(name) => {
                    if let Some(param) = params.get(name) {
                        push_param(&mut path, param);
                    }
                }
            }
        }
        if path.is_empty() {
            path.push('/');
        }
        path
    }

    /// The values of a key's text that begins with this pattern; the inverse of [`PageKey::new`].
    pub(crate) fn parse_key(&self, text: &str) -> Option<(Params, Vec<(String, String)>)> {
        let tail = text.strip_prefix(&*self.text)?;
        let (values, query) = tail.split_once('?').map_or((tail, None), |(v, q)| (v, Some(q)));
        let mut values = match values.strip_prefix('|') {
            Some(values) => values.split('|').collect::<Vec<_>>(),
            None if values.is_empty() => Vec::new(),
            None => return None,
        }
        .into_iter();
        let mut params = Vec::new();
        for segment in &self.segments {
            let (name, param) = match segment {
                Segment::Literal(_) => continue,
                Segment::One(name) => (name, Param::One(decode_segment(values.next()?).ok()?.into_owned())),
                Segment::Rest(name) => {
                    let segments = values.next()?.split('/');
                    let list = segments.map(|s| decode_segment(s).map(Cow::into_owned)).collect::<Result<_, _>>();
                    (name, Param::Rest(list.ok()?))
                }
            };
            params.push((name.clone(), param));
        }
        if values.next().is_some() {
            return None;
        }
        let mut pairs = Vec::new();
        for pair in query.into_iter().flat_map(|q| q.split('&')) {
            let (name, value) = pair.split_once('=')?;
            pairs.push((decode_segment(name).ok()?.into_owned(), decode_segment(value).ok()?.into_owned()));
        }
        Some((Params(params), pairs))
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

fn decode_segment(segment: &str) -> Result<Cow<'_, str>, BadPath> {
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

fn push_param(out: &mut String, param: &Param) {
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
        for path in ["/c/a/b%2Fc", "/c/%3F/%7C", "/c/..", "/c/%25"] {
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

    #[test]
    fn patterns_say_what_is_wrong() {
        for (text, part) in [
            ("blog", "begin with"),
            ("/a//b", "empty segment"),
            ("/{*a}/b", "last segment"),
            ("/{a}/{a}", "twice"),
            ("/{}", "needs a name"),
            ("/a|b", "decoded"),
            ("/_perennial/x", "kept for"),
        ] {
            assert!(Pattern::parse(text).unwrap_err().contains(part), "{text}");
        }
    }

    #[test]
    fn parameters_from_outside_are_arranged_or_refused() {
        let pattern = Pattern::parse("/a/{x}/{*y}").unwrap();
        let given = Params::new().with("y", vec!["1".to_owned(), "2".to_owned()]).with("x", "v");
        assert_eq!(pattern.arrange(&given).unwrap().to_json(), r#"{"x":"v","y":["1","2"]}"#);
        let given = Params::new().with("x", "v");
        assert!(pattern.arrange(&given).unwrap_err().contains("`y`"));
        assert!(Params::from_json(&serde_json::json!({"slug": 5})).unwrap_err().contains("slug"));
    }
}
