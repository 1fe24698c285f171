//! The bytes of one form of a page in each content coding. Brotli runs once per render, gzip once per process. Content
//! that is compressed by itself has no coding.

use std::io::{Read, Write};
use std::sync::{OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::key::encode::hex;
use crate::record::page_record::{BodyRef, Coding};

/// Shorter content is not compressed: the gain would be smaller than the cost.
const COMPRESS_BYTES_MIN: usize = 256;

/// Quality 5 compresses a page in about a millisecond, within a few per cent of the best size.
const BROTLI_QUALITY: i32 = 5;

/// One form (HTML or data) of one generation of a page.
#[derive(Debug)]
pub struct Content {
    body: BodyRef,
    stored: Bytes,
    identity: OnceLock<Bytes>,
    gzip: OnceLock<Bytes>,
    /// The last header fields that were made for each coding.
    heads: [RwLock<Option<(HeadKey, HeaderMap)>>; 3],
}

/// The freshness that an answer's header fields state. Answers with the same content and key have the same header
/// fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadKey {
    /// Whether the page is stale.
    pub stale: bool,
    /// Seconds for which the page will stay fresh, or for which it has been stale; none: fresh until it is invalidated.
    pub seconds: Option<u64>,
    /// Seconds for which a shared cache may serve the page stale while it revalidates (RFC 5861 section 3).
    pub edge_stale_s: u64,
}

impl Content {
    /// Makes content of a render's text: compresses and hashes it. Large content takes milliseconds of CPU.
    pub fn render(text: String) -> Self {
        Self::render_bytes(text.into())
    }

    /// The same for bytes.
    pub fn render_bytes(identity: Bytes) -> Self {
        let compressed = (identity.len() >= COMPRESS_BYTES_MIN).then(|| compress(&identity));
        Self::of(identity, compressed)
    }

    /// Makes content that is stored and sent as it is, because compressing would gain nothing.
    pub fn render_uncoded(bytes: Bytes) -> Self {
        Self::of(bytes, None)
    }

    fn of(identity: Bytes, compressed: Option<Bytes>) -> Self {
        let (coding, stored) = match compressed {
            Some(br) if br.len() < identity.len() => (Coding::Br, br),
            _ => (Coding::Identity, identity.clone()),
        };
        let body = BodyRef {
            sha256: hex(&Sha256::digest(&stored)),
            coding,
            stored_bytes: stored.len() as u64,
            bytes: identity.len() as u64,
            etag: hex(&Sha256::digest(&identity)[..16]),
        };
        Self {
            body,
            stored,
            identity: OnceLock::from(identity),
            gzip: OnceLock::new(),
            heads: Default::default(),
        }
    }

    /// Makes content of stored bytes. `None` if their length or coding contradicts the record.
    pub fn load(body: BodyRef, stored: Bytes) -> Option<Self> {
        let plausible = match body.coding {
            Coding::Identity => body.bytes == body.stored_bytes,
            Coding::Br => true,
            // Gzip is sent, never stored.
            Coding::Gzip => false,
        };
        if !plausible || stored.len() as u64 != body.stored_bytes {
            return None;
        }
        let content = Self {
            body,
            stored,
            identity: OnceLock::new(),
            gzip: OnceLock::new(),
            heads: Default::default(),
        };
        Some(content)
    }

    /// The body's reference, as the record has it.
    pub fn body(&self) -> &BodyRef {
        &self.body
    }

    /// The stored bytes.
    pub fn stored(&self) -> &Bytes {
        &self.stored
    }

    /// The bytes in a coding. The stored coding costs nothing; another one is computed once.
    pub fn coded(&self, coding: Coding) -> Bytes {
        match coding {
            _ if coding == self.body.coding => self.stored.clone(),
            Coding::Identity => self.identity.get_or_init(|| self.decompress()).clone(),
            Coding::Gzip => self.gzip.get_or_init(|| gzip(&self.coded(Coding::Identity))).clone(),
            // Content that brotli does not shrink is sent without coding.
            Coding::Br => self.coded(Coding::Identity),
        }
    }

    /// The header fields of an answer in this coding: those of the last answer if it had the same key, or else made
    /// anew.
    pub fn head(&self, coding: Coding, key: HeadKey, make: impl FnOnce() -> HeaderMap) -> HeaderMap {
        let last = &self.heads[coding as usize];
        if let Some((last_key, head)) = &*last.read().unwrap_or_else(PoisonError::into_inner)
            && *last_key == key
        {
            return head.clone();
        }
        let head = make();
        *last.write().unwrap_or_else(PoisonError::into_inner) = Some((key, head.clone()));
        head
    }

    /// Bytes of memory that the content takes once it was sent in every coding.
    pub fn weight(&self) -> u64 {
        self.body.weight()
    }

    fn decompress(&self) -> Bytes {
        // A damaged record may state any length. Few pages decompress to more than 16 times their stored size.
        let capacity = self.body.bytes.min(16 * self.body.stored_bytes);
        let mut out = Vec::with_capacity(usize::try_from(capacity).unwrap_or(0));
        // An error is not expected: `compress` made the bytes, and the body store checks hashes when it reads.
        if let Err(error) =
            brotli::Decompressor::new(&self.stored[..], 4096).take(self.body.bytes).read_to_end(&mut out)
        {
            tracing::error!(sha256 = self.body.sha256, "a stored body does not decompress: {error}");
        }
        out.into()
    }
}

fn compress(bytes: &[u8]) -> Bytes {
    let params = brotli::enc::BrotliEncoderParams {
        quality: BROTLI_QUALITY,
        lgwin: window_bits(bytes.len()),
        size_hint: bytes.len(),
        ..Default::default()
    };
    let mut out = Vec::with_capacity(bytes.len() / 3);
    let mut input = bytes;
    brotli::BrotliCompress(&mut input, &mut out, &params)
        .expect("memory does not fail to be read or written");
    out.into()
}

/// The largest brotli window: 2^19 bytes, 512 KiB. Each streamed answer that is decompressed takes memory for the
/// window.
pub(crate) const WINDOW_BITS_MAX: i32 = 19;

/// The smallest window that holds the whole content. The encoder takes memory for twice the window, and each thread
/// that has ever rendered keeps that memory.
fn window_bits(bytes: usize) -> i32 {
    (10..WINDOW_BITS_MAX).find(|bits| bytes <= 1 << bits).unwrap_or(WINDOW_BITS_MAX)
}

fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("memory does not fail to be written")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_coding_decodes_to_the_same_bytes() {
        let text = "perennial ".repeat(1000);
        let rendered = Content::render(text.clone());
        assert_eq!(rendered.body().coding, Coding::Br);
        let loaded = Content::load(rendered.body().clone(), rendered.stored().clone()).unwrap();
        assert_eq!(loaded.coded(Coding::Identity), text);
        let mut gunzipped = String::new();
        flate2::read::GzDecoder::new(&loaded.coded(Coding::Gzip)[..]).read_to_string(&mut gunzipped).unwrap();
        assert_eq!(gunzipped, text);
        let tags: std::collections::HashSet<_> =
            [Coding::Identity, Coding::Br, Coding::Gzip].map(|c| loaded.body().etag(c)).into();
        assert_eq!(tags.len(), 3);
    }

    #[test]
    fn content_that_does_not_shrink_is_stored_and_sent_as_it_is() {
        let short = Content::render("short".into());
        assert_eq!(
            (short.body().coding, short.body().sent_as(Coding::Br)),
            (Coding::Identity, Coding::Identity)
        );
        assert_eq!(short.coded(Coding::Br), "short");
    }

    #[test]
    fn uncoded_content_stays_as_it_is_whatever_its_length() {
        let bytes = Bytes::from(vec![b'x'; 10_000]);
        let content = Content::render_uncoded(bytes.clone());
        assert_eq!((content.body().coding, content.stored()), (Coding::Identity, &bytes));
        let loaded = Content::load(content.body().clone(), bytes.clone()).unwrap();
        for coding in [Coding::Identity, Coding::Br, Coding::Gzip] {
            assert_eq!(content.body().sent_as(coding), Coding::Identity);
        }
        assert_eq!(loaded.coded(Coding::Identity), bytes);
    }

    #[test]
    fn bytes_of_another_length_are_not_loaded() {
        let content = Content::render("short".into());
        assert!(Content::load(content.body().clone(), Bytes::from_static(b"shor")).is_none());
        for (coding, bytes) in [(Coding::Identity, 6), (Coding::Gzip, 5)] {
            let body = BodyRef { coding, bytes, ..content.body().clone() };
            assert!(Content::load(body, Bytes::from_static(b"short")).is_none(), "{coding:?}");
        }
    }

    #[test]
    fn a_record_that_lies_about_a_length_takes_no_memory() {
        let text = "perennial ".repeat(100);
        let rendered = Content::render(text.clone());
        let body = BodyRef { bytes: u64::MAX, ..rendered.body().clone() };
        let loaded = Content::load(body, rendered.stored().clone()).unwrap();
        assert_eq!(loaded.coded(Coding::Identity), text);
        assert_eq!(loaded.weight(), u64::MAX);
    }
}
