//! Percent-encoding of paths (RFC 3986 section 2.1). Only [`decode_segment`] decodes, and each segment is decoded once:
//! a second decoding would let `%252F` become a slash.

use std::borrow::Cow;
use std::fmt::Write as _;

/// First segment of every URL that Perennial reserves for itself.
pub const RESERVED_SEGMENT: &str = "_perennial";

/// A path that cannot name a page. The answer is 400.
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

/// A path decoded for people and logs: `/blog/café`. A malformed path is returned unchanged.
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
            unescaped => unescaped,
        };
        if byte == 0 {
            return Err(BadPath::Nul);
        }
        bytes.push(byte);
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| BadPath::Utf8)
}

/// Whether a byte needs no encoding in URLs (RFC 3986 section 2.3).
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether a text has unreserved characters alone, and so is spelt alike wherever it stands in a URL.
pub(crate) fn has_one_spelling(text: &str) -> bool {
    text.bytes().all(is_unreserved)
}

/// Percent-encodes everything but unreserved characters (RFC 3986 section 2.3), with upper-case digits.
pub(crate) fn encode_into(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if is_unreserved(byte) {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// Bytes as lower-case hexadecimal text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
