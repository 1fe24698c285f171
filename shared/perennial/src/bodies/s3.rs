//! Bodies in S3: `<build>/<page hash>/<sha256>`.
//!
//! An object holds a body as it is stored, in brotli. It is read by this library alone, so it has no
//! `content-encoding`: whoever else downloads it gets exactly the bytes that its name is the hash of.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use sha2::{Digest, Sha256};

use super::{Bodies, Chunks, Opened};
use crate::aws::errors::{Failure, read_error, write_error};
use crate::aws::{Answer, Arriving, Call, Caller};
use crate::clock::Millis;
use crate::key::{PageKey, hex};
use crate::store::StoreError;

/// Metadata: when the body was last put, in milliseconds since the Unix epoch.
const WANTED_AT: &str = "x-amz-meta-wanted-at";

/// A brotli stream is at most this much longer than what it holds.
const CODING_BYTES_MAX: usize = 1 << 10;

/// The [`Bodies`] of an AWS account.
#[derive(Clone)]
pub struct S3Bodies {
    caller: Caller,
    bucket: String,
    url: String,
    build: Arc<str>,
    bytes_max: usize,
}

impl S3Bodies {
    /// The bodies of `build` in a bucket. Objects over `max_body_bytes` are nothing that this library has put there.
    pub(crate) fn new(caller: Caller, bucket: &str, build: &Arc<str>, max_body_bytes: usize) -> Self {
        Self {
            url: caller.bucket_url(bucket),
            caller,
            bucket: bucket.to_owned(),
            build: build.clone(),
            bytes_max: max_body_bytes + CODING_BYTES_MAX,
        }
    }

    fn key(&self, page: &PageKey, sha256: &str) -> String {
        format!("{}/{}/{sha256}", self.build, page.hash())
    }

    fn object(&self, verb: &str, key: &str) -> String {
        format!("{verb} the body {key} in bucket {}", self.bucket)
    }

    /// Letters, digits, `.`, `-`, `_` and `/` alone: a key is its own path.
    fn object_url(&self, key: &str) -> String {
        format!("{}/{key}", self.url)
    }

    async fn call(
        &self,
        action: &'static str,
        method: Method,
        key: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> Result<Answer, Failure> {
        self.caller.call(Call { action, method, url: &self.object_url(key), headers, body }).await
    }

    /// The bytes of an object; `None` if it is not what its name says.
    fn checked(&self, key: &str, name: &str, object: Answer) -> Option<Bytes> {
        let length = object.header("content-length").and_then(|length| length.parse::<usize>().ok());
        if length.is_none_or(|length| length > self.bytes_max) {
            tracing::warn!(key, "a body is longer than PERENNIAL_MAX_BODY_BYTES, and taken for missing");
            return None;
        }
        if hex(&Sha256::digest(&object.body)) == name {
            return Some(object.body);
        }
        tracing::warn!(key, "a body is damaged, and taken for missing");
        None
    }

    /// When a body was last put; `None` if it is not there.
    async fn wanted_at(&self, key: &str) -> Result<Option<Millis>, StoreError> {
        match self.call("s3:GetObject", Method::HEAD, key, &[], Bytes::new()).await {
            Ok(head) => {
                let noted = head.header(WANTED_AT).and_then(|noted| noted.parse().ok());
                // What this library has not put, nobody wants.
                Ok(Some(Millis(noted.unwrap_or(0))))
            }
            // Without a body, S3 does not say what is missing.
            Err(Failure::Answered { status: 404, .. }) => Ok(None),
            Err(error) => Err(read_error("s3:GetObject", self.object("look at", key), &error)),
        }
    }
}

/// An object that is read as it arrives.
pub struct ObjectChunks {
    arriving: Arriving,
    /// What is done with it, for an error.
    what: String,
}

impl Chunks for ObjectChunks {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        self.arriving.next().await.map_err(|e| read_error("s3:GetObject", &self.what, &e))
    }
}

impl Bodies for S3Bodies {
    type Chunks = ObjectChunks;

    /// Written anew each time: to look first, or to change the metadata of what is there, would be a call of its own.
    async fn put(&self, page: &PageKey, sha256: &str, bytes: Bytes, now: Millis) -> Result<(), StoreError> {
        let key = self.key(page, sha256);
        let headers = [
            ("content-type", "application/octet-stream"),
            ("cache-control", "max-age=31536000, immutable"),
            (WANTED_AT, &now.0.to_string()),
        ];
        let put = self.call("s3:PutObject", Method::PUT, &key, &headers, bytes).await;
        put.map(drop).map_err(|e| write_error("s3:PutObject", self.object("write", &key), &e))
    }

    async fn get(&self, page: &PageKey, sha256: &str) -> Result<Option<Bytes>, StoreError> {
        let key = self.key(page, sha256);
        match self.call("s3:GetObject", Method::GET, &key, &[], Bytes::new()).await {
            Ok(object) => Ok(self.checked(&key, sha256, object)),
            Err(error) if error.code() == Some("NoSuchKey") => Ok(None),
            Err(error) => Err(read_error("s3:GetObject", self.object("read", &key), &error)),
        }
    }

    async fn open(&self, page: &PageKey, sha256: &str) -> Result<Option<Opened<ObjectChunks>>, StoreError> {
        let key = self.key(page, sha256);
        let (url, body) = (self.object_url(&key), Bytes::new());
        let call = Call { action: "s3:GetObject", method: Method::GET, url: &url, headers: &[], body };
        match self.caller.begin(call).await {
            Ok(arriving) => {
                let chunks = ObjectChunks { what: self.object("read", &key), arriving };
                Ok(chunks.arriving.bytes().map(|bytes| Opened { bytes, chunks }))
            }
            Err(error) if error.code() == Some("NoSuchKey") => Ok(None),
            Err(error) => Err(read_error("s3:GetObject", self.object("read", &key), &error)),
        }
    }

    /// A put that comes between the look and the removal loses its body: whoever finds it missing has the page
    /// rendered again. That takes a page that goes back to a content it had a minute ago, in the same instant.
    async fn remove(&self, page: &PageKey, sha256: &str, unused_since: Millis) -> Result<(), StoreError> {
        let key = self.key(page, sha256);
        if self.wanted_at(&key).await?.is_none_or(|wanted_at| wanted_at > unused_since) {
            return Ok(());
        }
        let removed = self.call("s3:DeleteObject", Method::DELETE, &key, &[], Bytes::new()).await;
        removed.map(drop).map_err(|e| write_error("s3:DeleteObject", self.object("remove", &key), &e))
    }
}
