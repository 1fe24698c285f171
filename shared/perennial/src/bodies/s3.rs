//! Bodies in S3: `<build>/<page hash>/<sha256>`.
//!
//! An object holds a body as it is stored, in brotli. It is read by this library alone, so it has no
//! `content-encoding`: whoever else downloads it gets exactly the bytes that its name is the hash of.

use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::operation::head_object::HeadObjectError;
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

use super::Bodies;
use crate::aws::errors::{read_error, write_error};
use crate::clock::Millis;
use crate::key::{PageKey, hex};
use crate::store::StoreError;

/// Metadata: when the body was last put, in milliseconds since the Unix epoch.
const WANTED_AT: &str = "wanted-at";

/// A brotli stream is at most this much longer than what it holds.
const CODING_BYTES_MAX: usize = 1 << 10;

/// The [`Bodies`] of an AWS account.
#[derive(Clone)]
pub struct S3Bodies {
    client: Client,
    bucket: String,
    build: Arc<str>,
    bytes_max: usize,
}

impl S3Bodies {
    /// The bodies of `build` in a bucket. Objects over `max_body_bytes` are nothing that this library has put there.
    pub fn new(client: Client, bucket: String, build: &Arc<str>, max_body_bytes: usize) -> Self {
        Self { client, bucket, build: build.clone(), bytes_max: max_body_bytes + CODING_BYTES_MAX }
    }

    fn key(&self, page: &PageKey, sha256: &str) -> String {
        format!("{}/{}/{sha256}", self.build, page.hash())
    }

    fn object(&self, verb: &str, key: &str) -> String {
        format!("{verb} the body {key} in bucket {}", self.bucket)
    }

    /// Reads an object whole; `None` if it is not what its name says.
    async fn checked(
        &self,
        key: &str,
        name: &str,
        object: GetObjectOutput,
    ) -> Result<Option<Bytes>, StoreError> {
        let length = object.content_length.and_then(|length| usize::try_from(length).ok());
        let Some(length) = length.filter(|length| *length <= self.bytes_max) else {
            tracing::warn!(key, "a body is longer than PERENNIAL_MAX_BODY_BYTES, and taken for missing");
            return Ok(None);
        };
        let (mut bytes, mut hash, mut body) = (BytesMut::with_capacity(length), Sha256::new(), object.body);
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|e| StoreError::Refused(format!("the body {key} broke off: {e}")))?;
            // Here, where it is still in the processor's cache, and not at one go while others wait.
            hash.update(&chunk);
            bytes.extend_from_slice(&chunk);
        }
        if hex(&hash.finalize()) == name {
            return Ok(Some(bytes.freeze()));
        }
        tracing::warn!(key, "a body is damaged, and taken for missing");
        Ok(None)
    }

    /// When a body was last put; `None` if it is not there.
    async fn wanted_at(&self, key: &str) -> Result<Option<Millis>, StoreError> {
        match self.client.head_object().bucket(&self.bucket).key(key).send().await {
            Ok(head) => {
                let noted = head.metadata.as_ref().and_then(|metadata| metadata.get(WANTED_AT)?.parse().ok());
                // What this library has not put, nobody wants.
                Ok(Some(Millis(noted.unwrap_or(0))))
            }
            Err(error) if error.as_service_error().is_some_and(HeadObjectError::is_not_found) => Ok(None),
            Err(error) => Err(read_error("s3:GetObject", self.object("look at", key), &error)),
        }
    }
}

impl Bodies for S3Bodies {
    /// Written anew each time: to look first, or to change the metadata of what is there, would be a call of its own.
    async fn put(&self, page: &PageKey, sha256: &str, bytes: Bytes, now: Millis) -> Result<(), StoreError> {
        let key = self.key(page, sha256);
        let put = self.client.put_object().bucket(&self.bucket).key(&key).body(bytes.into());
        let put = put.metadata(WANTED_AT, now.0.to_string()).cache_control("max-age=31536000, immutable");
        put.send().await.map(drop).map_err(|e| write_error("s3:PutObject", self.object("write", &key), &e))
    }

    async fn get(&self, page: &PageKey, sha256: &str) -> Result<Option<Bytes>, StoreError> {
        let key = self.key(page, sha256);
        match self.client.get_object().bucket(&self.bucket).key(&key).send().await {
            Ok(object) => self.checked(&key, sha256, object).await,
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => Ok(None),
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
        let delete = self.client.delete_object().bucket(&self.bucket).key(&key);
        delete
            .send()
            .await
            .map(drop)
            .map_err(|e| write_error("s3:DeleteObject", self.object("remove", &key), &e))
    }
}
