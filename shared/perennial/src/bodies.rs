//! The port to bodies: immutable bytes, written before a record points at them.

use std::future::Future;

use bytes::Bytes;

use crate::clock::Millis;
use crate::key::PageKey;
use crate::store::StoreError;

#[cfg(feature = "embedded")]
pub mod files;
#[cfg(feature = "aws")]
pub mod s3;
#[cfg(any(test, feature = "testing"))]
pub mod suite;

/// Immutable bytes of one build, named by their page and their SHA-256.
pub trait Bodies: Send + Sync + 'static {
    /// Stores bytes under their name, whole or not at all; stored already, it notes that they were wanted `now`.
    fn put(
        &self,
        page: &PageKey,
        sha256: &str,
        bytes: Bytes,
        now: Millis,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The bytes of that name, checked against it; `None` if they are missing or damaged.
    fn get(
        &self,
        page: &PageKey,
        sha256: &str,
    ) -> impl Future<Output = Result<Option<Bytes>, StoreError>> + Send;

    /// Removes bytes that nobody has put since `unused_since`.
    fn remove(
        &self,
        page: &PageKey,
        sha256: &str,
        unused_since: Millis,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
