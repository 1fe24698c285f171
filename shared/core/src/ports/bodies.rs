//! The port to bodies: immutable bytes, written before a record points at them.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::clock::Millis;
use crate::key::page_key::PageKey;
use crate::ports::error::StoreError;

/// A body that is there, as it comes from the store: nothing of it has been checked.
#[derive(Debug)]
pub struct Opened<C> {
    /// How long the store says that it is.
    pub bytes: u64,
    /// Its bytes.
    pub chunks: C,
}

/// The bytes of an open body, in their order, some tens of kilobytes at a time.
pub trait Chunks: Send + 'static {
    /// The next ones; `None` after the last. Nothing is read ahead of who asks.
    ///
    /// # Errors
    /// The store's. Then there are no more.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, StoreError>> + Send;
}

/// Immutable bytes of one build, named by their page and their SHA-256.
pub trait Bodies: Send + Sync + 'static {
    /// An open body's.
    type Chunks: Chunks;

    /// The same store, as a process of another build sees it.
    #[must_use]
    fn of_build(&self, build: &Arc<str>) -> Self
    where
        Self: Sized;

    /// Stores bytes under their name, whole or not at all; stored already, it notes that they were wanted `now`. Who
    /// knows the name has all the bytes, so they are sent from where they are.
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

    /// Begins to read the bytes of that name, for who wants to pass them on, and to check them on the way; `None` if
    /// they are missing.
    fn open(
        &self,
        page: &PageKey,
        sha256: &str,
    ) -> impl Future<Output = Result<Option<Opened<Self::Chunks>>, StoreError>> + Send;

    /// Removes bytes that nobody has put since `unused_since`.
    fn remove(
        &self,
        page: &PageKey,
        sha256: &str,
        unused_since: Millis,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
