//! The canonical identity of a page: its route, its decoded parameters and its declared query parameters. Pure.
//!
//! The spelling of a request's URL is no part of a key: all spellings of one path give one key.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::key::encode::{encode_into, hex};
use crate::key::params::{Params, push_param};
use crate::key::pattern::Pattern;

/// The canonical text of one page's identity: equal texts mean the same page.
///
/// The text is `{pattern}`, then `|value` for each parameter in the pattern's order (a catch-all's segments joined by
/// `/`), then `?name=value&…` for the given declared query parameters, sorted by name. Values and names are
/// percent-encoded except for unreserved characters (RFC 3986 section 2.3). Thus two pages never share a text, and
/// the text is ASCII apart from the pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PageKey {
    text: Arc<str>,
    path: Arc<str>,
}

impl PageKey {
    /// The key of a page of the route `pattern`. `query` must be sorted by name.
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

    /// The key with this stored text, even if this build has no such route. `None` for text that is no key.
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

    /// The canonical, percent-encoded path without base path: `/blog/caf%C3%A9`. All variants of a page (its keys with
    /// different query parameters) share one path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path with the declared query parameters that tell the page from its variants: `/list?page=2`. For logs.
    pub fn address(&self) -> String {
        match self.text.split_once('?') {
            Some((_, query)) => format!("{}?{query}", self.path),
            None => self.path.as_ref().to_owned(),
        }
    }

    /// The page's name in a body store: the first 128 bits of the text's SHA-256, in hexadecimal.
    pub fn hash(&self) -> String {
        hex(&Sha256::digest(self.text.as_bytes())[..16])
    }

    /// The pattern of the page's route.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::encode::{BadPath, decode_path};

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
        assert_eq!(PageKey::new(&pattern, &params, &query).address(), "/vary/x?page=2");
        assert_eq!(key("/c/{*all}", "/c/a/b%3Fc").address(), "/c/a/b%3Fc");
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
