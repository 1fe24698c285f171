//! The port to bodies: immutable bytes, written before a record points at them.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::clock::Millis;
use crate::key::page_key::PageKey;
use crate::ports::error::StoreError;

/// A stored body that is being read. Its bytes are not checked yet.
#[derive(Debug)]
pub struct Opened<C> {
    /// The length that the store reports.
    pub bytes: u64,
    /// The body's bytes.
    pub chunks: C,
}

/// The bytes of an open body, in order, in chunks of some tens of kilobytes.
pub trait Chunks: Send + 'static {
    /// The next chunk; `None` after the last one. The store reads nothing ahead, so that a slow reader takes no memory.
    ///
    /// # Errors
    /// The store's error. No chunk follows an error.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, StoreError>> + Send;
}

/// Immutable bytes of one build. Their page and their SHA-256 name them.
pub trait Bodies: Send + Sync + 'static {
    /// The chunks of an open body.
    type Chunks: Chunks;

    /// The same store, as a process of another build sees it.
    #[must_use]
    fn of_build(&self, build: &Arc<str>) -> Self
    where
        Self: Sized;

    /// Stores bytes under their name, whole or not at all. If they are stored already, the store only notes that they
    /// were put `now`, for [`Bodies::remove`]. `sha256` must be the hash of `bytes`; the store does not check that.
    fn put(
        &self,
        page: &PageKey,
        sha256: &str,
        bytes: Bytes,
        now: Millis,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The bytes with this name. The store checks their hash. `None` if they are missing or damaged.
    fn get(
        &self,
        page: &PageKey,
        sha256: &str,
    ) -> impl Future<Output = Result<Option<Bytes>, StoreError>> + Send;

    /// Begins to read the bytes with this name; `None` if they are missing. The caller checks the hash while the chunks
    /// pass through.
    fn open(
        &self,
        page: &PageKey,
        sha256: &str,
    ) -> impl Future<Output = Result<Option<Opened<Self::Chunks>>, StoreError>> + Send;

    /// Removes the bytes with this name, unless they were put after `unused_since`.
    fn remove(
        &self,
        page: &PageKey,
        sha256: &str,
        unused_since: Millis,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
