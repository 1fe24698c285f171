//! What is stored about a page: versions 1 and 2, and the reader of both.
//!
//! Stored as JSON with a leading version number. A reader meets text of a version it does not know, or damaged
//! text, with [`BadRecord`]; the page then counts as missing and is rendered again.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::record::headers;
use crate::record::headers::Headers;
use crate::record::reason::Reason;

/// Number of a render: handed out when it starts, the page's generation once it is committed. Only grows.
pub type Ticket = u64;

/// The site-wide logical clock: advanced by every invalidation.
pub type Epoch = u64;

/// Where a body is and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyRef {
    /// SHA-256 of the stored bytes, hexadecimal: the body's name within its page.
    pub sha256: String,
    /// How the stored bytes are coded.
    pub coding: Coding,
    /// Length of the stored bytes.
    pub stored_bytes: u64,
    /// Length once decoded.
    pub bytes: u64,
    /// The first 128 bits of the decoded content's SHA-256, hexadecimal: what entity tags are made of.
    pub etag: String,
}

impl BodyRef {
    /// Memory that its content takes once every coding has been asked for.
    pub fn weight(&self) -> u64 {
        let gzip = self.stored_bytes.saturating_add(self.stored_bytes / 4);
        match self.coding {
            Coding::Identity => self.bytes,
            _ => self.bytes.saturating_add(self.stored_bytes).saturating_add(gzip),
        }
    }

    /// The coding that is sent when this one was negotiated.
    pub fn sent_as(&self, negotiated: Coding) -> Coding {
        if self.coding == Coding::Identity { Coding::Identity } else { negotiated }
    }

    /// Length in a coding that is stored, or none.
    pub fn bytes_in(&self, coding: Coding) -> u64 {
        if coding == self.coding { self.stored_bytes } else { self.bytes }
    }

    /// The entity tag of a coding, quotes included (RFC 9110 section 8.8.3): one per coding.
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
    /// As it is.
    Identity,
    /// Brotli (RFC 7932).
    Br,
    /// Gzip (RFC 1952). Sent, never stored.
    Gzip,
}

impl Coding {
    /// The name used in `Content-Encoding`.
    pub fn as_str(self) -> &'static str {
        match self {
            Coding::Identity => "identity",
            Coding::Br => "br",
            Coding::Gzip => "gzip",
        }
    }
}

/// The two forms of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The document.
    Html,
    /// The data JSON.
    Data,
}

/// What the render gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Stored {
    /// A page: HTML and data JSON, made from one value by one render.
    Page {
        /// The HTML.
        html: BodyRef,
        /// The data JSON.
        data: BodyRef,
    },
    /// The site's 404 page as it was rendered for this path.
    NotFound {
        /// The HTML.
        html: BodyRef,
        /// The data JSON.
        data: BodyRef,
    },
    /// The page is elsewhere.
    Redirect {
        /// Where, without the base path.
        destination: String,
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Whether the base path goes before an internal destination.
        base_path: bool,
    },
    /// Deleted: visible as missing, and keeps older renders from bringing the page back.
    Deleted,
}

impl Stored {
    /// The bodies it refers to.
    pub fn bodies(&self) -> impl Iterator<Item = &BodyRef> {
        [Form::Html, Form::Data].into_iter().filter_map(|form| self.body(form))
    }

    /// Whether it refers to the body of that name.
    pub fn names(&self, sha256: &str) -> bool {
        self.bodies().any(|body| body.sha256 == sha256)
    }

    /// The body of a form; none for redirects and deleted pages.
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

/// What is stored about a page under one build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The ticket of the render that is shown.
    pub generation: Ticket,
    /// The site's epoch before that render fetched anything.
    pub epoch: Epoch,
    /// When that render started.
    pub started_at: Millis,
    /// The period it gave, in seconds; none: until invalidated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_s: Option<u32>,
    /// The instant it gave from which it is stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
    /// When the content last changed; an unchanged render keeps it.
    pub modified_at: Millis,
    /// Why it was rendered.
    pub reason: Reason,
    /// The names it can be invalidated by, without the implicit ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Response headers the render gave.
    #[serde(default, with = "headers::stored", skip_serializing_if = "Headers::is_empty")]
    pub headers: Headers,
    /// What it gave.
    #[serde(flatten)]
    pub stored: Stored,
}

#[derive(Serialize, Deserialize)]
struct Versioned<'a> {
    v: u32,
    #[serde(flatten)]
    record: Cow<'a, Record>,
}

/// The newest version. A record is written in the oldest one that can say all of it, so that a program that was rolled back
/// can read it.
const VERSION: u32 = 2;

/// A stored record that cannot be read: the page counts as missing.
#[derive(Debug, thiserror::Error)]
pub enum BadRecord {
    /// Written by a newer version of Perennial.
    #[error("the record has version {0}; this program reads versions up to {VERSION}")]
    Version(u64),
    /// Damaged.
    #[error("the record is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
}

impl Record {
    /// The stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Version 1 has one value for each name of a header field.
        let v = if self.headers.values().all(|values| values.len() == 1) { 1 } else { VERSION };
        let versioned = Versioned { v, record: Cow::Borrowed(self) };
        serde_json::to_vec(&versioned).expect("a record has string keys and no failing parts")
    }

    /// Reads any version that was ever written.
    ///
    /// # Errors
    /// [`BadRecord`].
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

    /// Whether answers made of the other record have the same bytes and the same fixed fields.
    pub fn answers_alike(&self, other: &Self) -> bool {
        self.stored == other.stored
            && self.headers == other.headers
            && self.modified_at == other.modified_at
            && self.tags == other.tags
    }

    /// Whether the other record shows the same content: only its freshness differs.
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

    /// As a version before this one wrote it, and as one name with several values is written.
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
    fn damage_and_newer_versions_are_told_apart() {
        let golden = GOLDEN_PAGE.trim_end().as_bytes();
        for end in 0..golden.len() {
            assert!(matches!(Record::from_bytes(&golden[..end]), Err(BadRecord::Damaged(_))));
        }
        let newer = GOLDEN_PAGE.replace("\"v\":1", "\"v\":3");
        assert!(matches!(Record::from_bytes(newer.as_bytes()), Err(BadRecord::Version(3))));
    }
}
