//! A page's record: its stored JSON in versions 1 and 2, and the reader of both.
//!
//! The JSON begins with the version number. Text of an unknown version, or damaged text, gives [`BadRecord`]; the page
//! then counts as missing and is rendered again.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::record::headers;
use crate::record::headers::Headers;
use crate::record::reason::Reason;

/// The number of a render of one page, granted before the render starts. Once the render is committed, its ticket is
/// the page's generation. Each grant gets a greater number; 0 is none.
pub type Ticket = u64;

/// The site's logical clock, which every invalidation advances by one.
pub type Epoch = u64;

/// A reference to a stored body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyRef {
    /// SHA-256 of the stored bytes, hexadecimal: the body's name within its page.
    pub sha256: String,
    /// The coding of the stored bytes: identity or brotli.
    pub coding: Coding,
    /// Length of the stored bytes.
    pub stored_bytes: u64,
    /// Length of the decoded content.
    pub bytes: u64,
    /// The first 128 bits of the decoded content's SHA-256, hexadecimal; [`BodyRef::etag`] makes entity tags of it.
    pub etag: String,
}

impl BodyRef {
    /// Bytes of memory that the content takes once it was sent in every coding.
    pub fn weight(&self) -> u64 {
        let gzip = self.stored_bytes.saturating_add(self.stored_bytes / 4);
        match self.coding {
            Coding::Identity => self.bytes,
            _ => self.bytes.saturating_add(self.stored_bytes).saturating_add(gzip),
        }
    }

    /// The coding to send when this one was negotiated: content that is stored uncompressed is sent uncompressed.
    pub fn sent_as(&self, negotiated: Coding) -> Coding {
        if self.coding == Coding::Identity { Coding::Identity } else { negotiated }
    }

    /// Length in the stored coding or in identity; gzip's is not known.
    pub fn bytes_in(&self, coding: Coding) -> u64 {
        if coding == self.coding { self.stored_bytes } else { self.bytes }
    }

    /// The strong entity tag with quotes (RFC 9110 section 8.8.3). Each coding has its own.
    pub fn etag(&self, coding: Coding) -> String {
        match coding {
            Coding::Identity => format!("\"{}\"", self.etag),
            Coding::Br => format!("\"{}-br\"", self.etag),
            Coding::Gzip => format!("\"{}-gz\"", self.etag),
        }
    }
}

/// A content coding (RFC 9110 section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coding {
    /// No coding.
    Identity,
    /// Brotli (RFC 7932).
    Br,
    /// Gzip (RFC 1952): sent, never stored.
    Gzip,
}

impl Coding {
    /// The name in `Content-Encoding`.
    pub fn as_str(self) -> &'static str {
        match self {
            Coding::Identity => "identity",
            Coding::Br => "br",
            Coding::Gzip => "gzip",
        }
    }
}

/// A form of a page: the representation that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The HTML document, or the bytes of a resource.
    Html,
    /// The data JSON: the page's properties, as its script fetches them.
    Data,
}

/// The stored result of a render.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Stored {
    /// A page: HTML and data JSON, made from one value by one render. A resource has one body, which both fields name.
    Page {
        /// The HTML.
        html: BodyRef,
        /// The data JSON.
        data: BodyRef,
    },
    /// The site's 404 page, rendered for this path.
    NotFound {
        /// The HTML.
        html: BodyRef,
        /// The data JSON.
        data: BodyRef,
    },
    /// A redirect.
    Redirect {
        /// A path without the base path, or an absolute URL.
        destination: String,
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Whether an internal destination gets the base path as its prefix.
        base_path: bool,
    },
    /// A tombstone: the page counts as missing, and no older render can bring the page back.
    Deleted,
}

impl Stored {
    /// The bodies that the result refers to, each once.
    pub fn bodies(&self) -> impl Iterator<Item = &BodyRef> {
        let html = self.body(Form::Html);
        let data = self.body(Form::Data).filter(|data| html.is_none_or(|html| html.sha256 != data.sha256));
        html.into_iter().chain(data)
    }

    /// Whether the result refers to the body with this name.
    pub fn names(&self, sha256: &str) -> bool {
        self.bodies().any(|body| body.sha256 == sha256)
    }

    /// The body of a form; `None` for redirects and tombstones.
    pub fn body(&self, form: Form) -> Option<&BodyRef> {
        match (self, form) {
            (Stored::Page { html, .. } | Stored::NotFound { html, .. }, Form::Html) => Some(html),
            (Stored::Page { data, .. } | Stored::NotFound { data, .. }, Form::Data) => Some(data),
            (Stored::Redirect { .. } | Stored::Deleted, _) => None,
        }
    }

    /// `page`, `not-found`, `redirect` or `deleted`.
    pub fn name(&self) -> &'static str {
        match self {
            Stored::Page { .. } => "page",
            Stored::NotFound { .. } => "not-found",
            Stored::Redirect { .. } => "redirect",
            Stored::Deleted => "deleted",
        }
    }
}

/// The stored state of one page in one build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The ticket of the committed render.
    pub generation: Ticket,
    /// The site's epoch, read before the render fetched any data.
    pub epoch: Epoch,
    /// When the render started.
    pub started_at: Millis,
    /// Seconds for which the page is fresh, from the render's start; none: until it is invalidated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_s: Option<u32>,
    /// The instant from which the page is stale, if the render gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
    /// When the content last changed; a render with the same content does not change this.
    pub modified_at: Millis,
    /// Why the page was rendered.
    pub reason: Reason,
    /// The page's own tags, in the spelling of [`stored_tag`](crate::key::tags::stored_tag), without the implicit ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Response header fields that the render gave.
    #[serde(default, with = "headers::stored", skip_serializing_if = "Headers::is_empty")]
    pub headers: Headers,
    /// The render's result.
    #[serde(flatten)]
    pub stored: Stored,
}

#[derive(Serialize, Deserialize)]
struct Versioned<'a> {
    v: u32,
    #[serde(flatten)]
    record: Cow<'a, Record>,
}

/// The newest version. A record is written in the oldest version that can express it, so that a program that was rolled
/// back can still read it.
const VERSION: u32 = 2;

/// A stored record that cannot be read. The page counts as missing.
#[derive(Debug, thiserror::Error)]
pub enum BadRecord {
    /// Written by a newer version of Perennial.
    #[error("the record has version {0}; this program reads versions up to {VERSION}")]
    Version(u64),
    /// No JSON, or JSON without the fields of its version.
    #[error("the record is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
}

impl Record {
    /// The stored JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Version 1 has a single value for each field name.
        let v = if self.headers.values().all(|values| values.len() == 1) { 1 } else { VERSION };
        let versioned = Versioned { v, record: Cow::Borrowed(self) };
        serde_json::to_vec(&versioned).expect("a record has string keys and no failing parts")
    }

    /// Reads a record of any version up to the newest.
    ///
    /// # Errors
    /// [`BadRecord::Version`] for a newer version, [`BadRecord::Damaged`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadRecord> {
        #[derive(Deserialize)]
        struct Head {
            v: u64,
        }
        match serde_json::from_slice::<Head>(bytes)?.v {
            1 | 2 => Ok(serde_json::from_slice::<Versioned<'_>>(bytes)?.record.into_owned()),
            newer => Err(BadRecord::Version(newer)),
        }
    }

    /// Whether answers from both records have the same bodies and the same header fields, apart from freshness.
    pub fn answers_alike(&self, other: &Self) -> bool {
        self.stored == other.stored
            && self.headers == other.headers
            && self.modified_at == other.modified_at
            && self.tags == other.tags
    }

    /// Whether both records have the same decoded content and header fields; freshness, tags and compression may
    /// differ.
    pub fn same_content(&self, other: &Self) -> bool {
        let same_bodies = match (&self.stored, &other.stored) {
            (Stored::Page { html: h1, data: d1 }, Stored::Page { html: h2, data: d2 })
            | (Stored::NotFound { html: h1, data: d1 }, Stored::NotFound { html: h2, data: d2 }) => {
                h1.etag == h2.etag && h1.bytes == h2.bytes && d1.etag == d2.etag && d1.bytes == d2.bytes
            }
            (a, b) => a == b,
        };
        same_bodies && self.headers == other.headers
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn body(name: &str) -> BodyRef {
        BodyRef {
            sha256: name.repeat(64),
            coding: Coding::Br,
            stored_bytes: 10,
            bytes: 30,
            etag: name.repeat(32),
        }
    }

    pub(crate) fn record() -> Record {
        Record {
            generation: 7,
            epoch: 3,
            started_at: Millis(1_000_000),
            period_s: Some(60),
            expires_at: None,
            modified_at: Millis(900_000),
            reason: Reason::OnDemand,
            tags: vec!["posts".into()],
            headers: Headers::new(),
            stored: Stored::Page { html: body("a"), data: body("b") },
        }
    }

    const GOLDEN_PAGE: &str = include_str!("v1_page.json");
    const GOLDEN_HEADERS: &str = include_str!("v1_headers.json");
    const GOLDEN_SEVERAL: &str = include_str!("v2_headers.json");
    const GOLDEN_RESOURCE: &str = include_str!("v1_resource.json");
    const GOLDEN_REDIRECT: &str = include_str!("v1_redirect.json");

    #[test]
    fn version_1_is_golden() {
        assert_eq!(String::from_utf8(record().to_bytes()).unwrap(), GOLDEN_PAGE.trim_end());
        assert_eq!(Record::from_bytes(GOLDEN_PAGE.as_bytes()).unwrap(), record());
        let redirect = Record::from_bytes(GOLDEN_REDIRECT.as_bytes()).unwrap();
        assert_eq!(
            redirect.stored,
            Stored::Redirect { destination: "/never".into(), status: 307, base_path: true }
        );
        assert_eq!(String::from_utf8(redirect.to_bytes()).unwrap(), GOLDEN_REDIRECT.trim_end());
    }

    #[test]
    fn header_fields_are_golden_in_both_versions() {
        let one = Record {
            headers: [("x-a", "1"), ("x-topic", "café")].map(|(n, v)| (n.into(), vec![v.into()])).into(),
            ..record()
        };
        let two = Record { headers: [("link".into(), vec!["<a>".into(), "<b>".into()])].into(), ..record() };
        for (record, golden) in [(one, GOLDEN_HEADERS), (two, GOLDEN_SEVERAL)] {
            assert_eq!(Record::from_bytes(golden.as_bytes()).unwrap(), record);
            assert_eq!(String::from_utf8(record.to_bytes()).unwrap(), golden.trim_end());
        }
    }

    #[test]
    fn a_resource_is_a_page_of_version_1_with_one_body() {
        let resource = Record {
            headers: [("content-type".into(), vec!["image/png".into()])].into(),
            stored: Stored::Page { html: body("a"), data: body("a") },
            ..record()
        };
        assert_eq!(String::from_utf8(resource.to_bytes()).unwrap(), GOLDEN_RESOURCE.trim_end());
        assert_eq!(Record::from_bytes(GOLDEN_RESOURCE.as_bytes()).unwrap(), resource);
        assert_eq!(resource.stored.bodies().count(), 1);
    }

    #[test]
    fn damage_and_newer_versions_give_different_errors() {
        let golden = GOLDEN_PAGE.trim_end().as_bytes();
        for end in 0..golden.len() {
            assert!(matches!(Record::from_bytes(&golden[..end]), Err(BadRecord::Damaged(_))));
        }
        let newer = GOLDEN_PAGE.replace("\"v\":1", "\"v\":3");
        assert!(matches!(Record::from_bytes(newer.as_bytes()), Err(BadRecord::Version(3))));
    }
}
