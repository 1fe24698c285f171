//! Bodies in S3: `<build>/<page hash>/<sha256>`.
//!
//! An object holds a body's stored bytes, in brotli. The object has no `content-encoding`: a download gets exactly the bytes
//! whose hash is the object's name.

use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::operation::head_object::HeadObjectError;
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

use crate::base::clock::{Millis, SystemClock, within};
use crate::key::encode::hex;
use crate::key::page_key::PageKey;
use crate::ports::bodies::{Bodies, Chunks, Opened};
use crate::ports::error::StoreError;
use crate::stores::aws::account::{BODY_TIMEOUT, Lazily};
use crate::stores::aws::errors::{Cause, Failure, read_error, write_error};
use crate::stores::aws::retries::ATTEMPTS;

/// The name of the metadata that holds when the body was last put, in milliseconds since the Unix epoch.
const WANTED_AT: &str = "wanted-at";

/// The most by which a brotli stream is longer than its content.
const CODING_BYTES_MAX: usize = 1 << 10;

/// The [`Bodies`] of an AWS account.
#[derive(Clone)]
pub struct S3Bodies {
    client: Lazily<Client>,
    bucket: String,
    build: Arc<str>,
    bytes_max: usize,
}

impl S3Bodies {
    /// The bodies of `build` in a bucket. Objects that are larger than bodies of `max_body_bytes` can be are not this library's.
    pub(crate) fn new(client: Lazily<Client>, bucket: &str, build: &Arc<str>, max_body_bytes: usize) -> Self {
        let bytes_max = max_body_bytes + CODING_BYTES_MAX;
        Self { client, bucket: bucket.to_owned(), build: build.clone(), bytes_max }
    }

    pub(crate) fn bucket(&self) -> &str {
        &self.bucket
    }

    fn key(&self, page: &PageKey, sha256: &str) -> String {
        format!("{}/{}/{sha256}", self.build, page.hash())
    }

    fn object(&self, verb: &str, key: &str) -> String {
        format!("{verb} the body {key} in bucket {}", self.bucket)
    }

    /// Begins to read an object; `None` if it does not exist.
    async fn object_at(&self, key: &str) -> Result<Option<GetObjectOutput>, StoreError> {
        match Box::pin(self.client.get_object().bucket(&self.bucket).key(key).send()).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => Ok(None),
            Err(error) => Err(self.unread(key, &Failure::of(error))),
        }
    }

    fn unread(&self, key: &str, failure: &Failure) -> StoreError {
        read_error("s3:GetObject", self.object("read", key), failure)
    }

    /// The bytes of an object; `None` if its name is not their hash, or if it is too large.
    async fn checked(
        &self,
        key: &str,
        name: &str,
        object: GetObjectOutput,
    ) -> Result<Option<Bytes>, Failure> {
        let length = object.content_length.and_then(|length| usize::try_from(length).ok());
        let Some(length) = length.filter(|length| *length <= self.bytes_max) else {
            tracing::warn!(key, "a body is longer than PERENNIAL_MAX_BODY_BYTES and counts as missing");
            return Ok(None);
        };
        let (mut bytes, mut hash, mut body) = (BytesMut::with_capacity(length), Sha256::new(), object.body);
        while let Some(chunk) = next(&mut body).await? {
            hash.update(&chunk);
            bytes.extend_from_slice(&chunk);
        }
        if hex(&hash.finalize()) == name {
            return Ok(Some(bytes.freeze()));
        }
        tracing::warn!(key, "a body is damaged and counts as missing");
        Ok(None)
    }

    /// When a body was last put; `None` if it does not exist.
    async fn wanted_at(&self, key: &str) -> Result<Option<Millis>, StoreError> {
        match Box::pin(self.client.head_object().bucket(&self.bucket).key(key).send()).await {
            Ok(head) => {
                let noted = head.metadata.as_ref().and_then(|metadata| metadata.get(WANTED_AT)?.parse().ok());
                // An object without this metadata is not this library's.
                Ok(Some(Millis(noted.unwrap_or(0))))
            }
            Err(error) if error.as_service_error().is_some_and(HeadObjectError::is_not_found) => Ok(None),
            Err(error) => Err(read_error("s3:GetObject", self.object("look at", key), &Failure::of(error))),
        }
    }
}

/// The next bytes of an object; `None` after the last ones.
async fn next(body: &mut ByteStream) -> Result<Option<Bytes>, Failure> {
    body.try_next().await.map_err(|e| Failure::Lost(Cause::of(e)))
}

/// An object that is read while it arrives.
pub struct ObjectChunks {
    body: ByteStream,
    /// The end of an error's sentence "cannot …".
    what: String,
}

impl Chunks for ObjectChunks {
    /// Each chunk may take as long as a whole object, counted while the caller waits for the chunk.
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let chunk = within(&SystemClock, BODY_TIMEOUT, next(&mut self.body)).await;
        let chunk = chunk.unwrap_or_else(|| Err(Failure::late()));
        chunk.map_err(|e| read_error("s3:GetObject", &self.what, &e))
    }
}

impl Bodies for S3Bodies {
    type Chunks = ObjectChunks;

    fn of_build(&self, build: &Arc<str>) -> Self {
        Self { build: build.clone(), ..self.clone() }
    }

    /// Writes the object each time: to look for it first, or to change only its metadata, would take a further call.
    async fn put(&self, page: &PageKey, sha256: &str, bytes: Bytes, now: Millis) -> Result<(), StoreError> {
        let key = self.key(page, sha256);
        let put = self.client.put_object().bucket(&self.bucket).key(&key).body(bytes.into());
        let put = put.content_type("application/octet-stream").cache_control("max-age=31536000, immutable");
        let put = Box::pin(put.metadata(WANTED_AT, now.0.to_string()).send()).await;
        put.map(drop).map_err(|e| write_error("s3:PutObject", self.object("write", &key), &Failure::of(e)))
    }

    async fn get(&self, page: &PageKey, sha256: &str) -> Result<Option<Bytes>, StoreError> {
        let key = self.key(page, sha256);
        let mut attempt = 1;
        loop {
            let Some(object) = self.object_at(&key).await? else { return Ok(None) };
            let read = within(&SystemClock, BODY_TIMEOUT, self.checked(&key, sha256, object)).await;
            match read.unwrap_or_else(|| Err(Failure::late())) {
                // The SDK repeats calls without an answer, but not one whose answer breaks off.
                Err(_) if attempt < ATTEMPTS => attempt += 1,
                read => return read.map_err(|e| self.unread(&key, &e)),
            }
        }
    }

    async fn open(&self, page: &PageKey, sha256: &str) -> Result<Option<Opened<ObjectChunks>>, StoreError> {
        let key = self.key(page, sha256);
        let Some(object) = self.object_at(&key).await? else { return Ok(None) };
        let chunks = ObjectChunks { what: self.object("read", &key), body: object.body };
        let bytes = object.content_length.and_then(|length| u64::try_from(length).ok());
        Ok(bytes.map(|bytes| Opened { bytes, chunks }))
    }

    /// A put between the look and the removal loses its body, and the next reader of the body has the page rendered again. That
    /// happens only if a page returns, in this very moment, to a content that it had before.
    async fn remove(&self, page: &PageKey, sha256: &str, unused_since: Millis) -> Result<(), StoreError> {
        let key = self.key(page, sha256);
        if self.wanted_at(&key).await?.is_none_or(|wanted_at| wanted_at > unused_since) {
            return Ok(());
        }
        let delete = self.client.delete_object().bucket(&self.bucket).key(&key);
        let removed = Box::pin(delete.send()).await;
        removed
            .map(drop)
            .map_err(|e| write_error("s3:DeleteObject", self.object("remove", &key), &Failure::of(e)))
    }
}
