//! The port to the shared cache in front (a content delivery network).

use std::future::Future;

use crate::store::StoreError;

/// A shared cache that can be told to forget.
pub trait Edge: Send + Sync + 'static {
    /// Accepts that no answer carrying any of these tags may be served from the cache any more. Called after the
    /// new page is committed; returns once the cache has accepted the order, not once it has carried it out.
    fn purge(&self, tags: &[String]) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// No shared cache in front.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEdge;

impl Edge for NoEdge {
    async fn purge(&self, _: &[String]) -> Result<(), StoreError> {
        Ok(())
    }
}
