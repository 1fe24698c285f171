//! Bodies: immutable bytes, by their build, page and name.

use std::sync::Arc;

use bytes::Bytes;
use perennial::Millis;
use perennial::parts::key::page_key::PageKey;
use perennial::parts::ports::bodies::{Bodies, Chunks, Opened};

use crate::{InMemory, Result};

/// A body in the parts that it is sent in.
pub(crate) struct Parts(Bytes);

impl Chunks for Parts {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let part = self.0.split_to(self.0.len().min(64 << 10));
        Ok(Some(part).filter(|part| !part.is_empty()))
    }
}

impl InMemory {
    fn body(&self, page: &PageKey, sha256: &str) -> (Arc<str>, PageKey, String) {
        (self.build.clone(), page.clone(), sha256.to_owned())
    }
}

impl Bodies for InMemory {
    type Chunks = Parts;

    fn of_build(&self, build: &Arc<str>) -> Self {
        Self { build: build.clone(), ..self.clone() }
    }

    async fn put(&self, page: &PageKey, sha256: &str, bytes: Bytes, now: Millis) -> Result<()> {
        self.lock().bodies.insert(self.body(page, sha256), (bytes, now));
        Ok(())
    }

    async fn get(&self, page: &PageKey, sha256: &str) -> Result<Option<Bytes>> {
        Ok(self.lock().bodies.get(&self.body(page, sha256)).map(|(bytes, _)| bytes.clone()))
    }

    async fn open(&self, page: &PageKey, sha256: &str) -> Result<Option<Opened<Parts>>> {
        let bytes = Bodies::get(self, page, sha256).await?;
        Ok(bytes.map(|bytes| Opened { bytes: bytes.len() as u64, chunks: Parts(bytes) }))
    }

    async fn remove(&self, page: &PageKey, sha256: &str, unused_since: Millis) -> Result<()> {
        let name = self.body(page, sha256);
        self.lock().bodies.retain(|body, (_, wanted_at)| *body != name || *wanted_at > unused_since);
        Ok(())
    }
}
