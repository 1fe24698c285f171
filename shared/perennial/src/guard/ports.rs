//! Each port, guarded.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Effect::{Reads, Writes};
use super::{Guarded, OfBodies, OfEdge, OfJobs, OfPages, OfPublishes, Port};
use crate::bodies::{Bodies, Opened};
use crate::clock::Millis;
use crate::edge::{Edge, Purged};
use crate::freshness::Epochs;
use crate::jobs::{Job, Jobs};
use crate::key::PageKey;
use crate::pages::{
    Ask, Begun, Committed, Failed, FailureNote, Grant, Inline, Pages, Snapshot, Stamp, Wanted, Warmest,
};
use crate::publishes::{Fate, Kept, Mark, Publish, Publishes};
use crate::record::{Epoch, Record, Ticket};
use crate::store::{StoreError, Stores};

impl<S: Stores> Stores for Guarded<S> {
    type Pages = Port<S, OfPages>;
    type Bodies = Port<S, OfBodies>;
    type Jobs = Port<S, OfJobs>;
    type Edge = Port<S, OfEdge>;
    type Publishes = Port<S, OfPublishes>;

    fn pages(&self) -> &Self::Pages {
        &self.pages
    }

    fn bodies(&self) -> &Self::Bodies {
        &self.bodies
    }

    fn jobs(&self) -> &Self::Jobs {
        &self.jobs
    }

    fn edge(&self) -> &Self::Edge {
        &self.edge
    }

    fn publishes(&self) -> &Self::Publishes {
        &self.publishes
    }

    fn build(&self) -> &Arc<str> {
        self.stores.build()
    }
}

impl<S: Stores> Pages for Port<S, OfPages> {
    fn version(&self) -> Option<u64> {
        self.stores.pages().version()
    }

    async fn read(&self, page: &PageKey, wanted: Wanted<'_>) -> Result<Snapshot, StoreError> {
        self.guard.call(Reads, self.stores.pages().read(page, wanted)).await
    }

    async fn epochs(&self, tags: &[String]) -> Result<Epochs, StoreError> {
        self.guard.call(Reads, self.stores.pages().epochs(tags)).await
    }

    async fn begin(&self, page: &PageKey, ask: Ask) -> Result<Begun, StoreError> {
        self.guard.call(Writes, self.stores.pages().begin(page, ask)).await
    }

    async fn resume(
        &self,
        page: &PageKey,
        ticket: Ticket,
        lease: Duration,
        now: Millis,
    ) -> Result<Option<Ticket>, StoreError> {
        self.guard.call(Writes, self.stores.pages().resume(page, ticket, lease, now)).await
    }

    async fn prepare(&self, page: &PageKey, ticket: Ticket) -> Result<Grant, StoreError> {
        self.guard.call(Reads, self.stores.pages().prepare(page, ticket)).await
    }

    async fn renew(
        &self,
        page: &PageKey,
        ticket: Ticket,
        lease: Duration,
        now: Millis,
    ) -> Result<bool, StoreError> {
        self.guard.call(Writes, self.stores.pages().renew(page, ticket, lease, now)).await
    }

    async fn commit(
        &self,
        page: &PageKey,
        record: &Record,
        inline: &Inline,
    ) -> Result<Committed, StoreError> {
        self.guard.call(Writes, Pages::commit(self.stores.pages(), page, record, inline)).await
    }

    async fn fail(
        &self,
        page: &PageKey,
        ticket: Ticket,
        failed: Failed,
    ) -> Result<Option<FailureNote>, StoreError> {
        self.guard.call(Writes, self.stores.pages().fail(page, ticket, failed)).await
    }

    async fn release(&self, page: &PageKey, ticket: Ticket) -> Result<(), StoreError> {
        self.guard.call(Writes, self.stores.pages().release(page, ticket)).await
    }

    async fn invalidate(&self, tags: &[String], how: Stamp) -> Result<Epoch, StoreError> {
        self.guard.call(Writes, self.stores.pages().invalidate(tags, how)).await
    }

    async fn epoch(&self) -> Result<Epoch, StoreError> {
        self.guard.call(Reads, self.stores.pages().epoch()).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Snapshot)>, StoreError> {
        self.guard.call(Reads, self.stores.pages().list(prefix, after, limit)).await
    }

    async fn warmest(&self, route: &str, after: Option<&str>, limit: usize) -> Result<Warmest, StoreError> {
        self.guard.call(Reads, self.stores.pages().warmest(route, after, limit)).await
    }

    async fn count_not_found(&self, route: &str, most: usize) -> Result<usize, StoreError> {
        self.guard.call(Reads, self.stores.pages().count_not_found(route, most)).await
    }

    async fn count_stored(&self, route: &str, most: usize) -> Result<usize, StoreError> {
        self.guard.call(Reads, self.stores.pages().count_stored(route, most)).await
    }

    async fn publish(
        &self,
        records: &[(PageKey, Record, Inline)],
        listed: &[PageKey],
    ) -> Result<(), StoreError> {
        self.guard.call(Writes, Pages::publish(self.stores.pages(), records, listed)).await
    }
}

impl<S: Stores> Bodies for Port<S, OfBodies> {
    type Chunks = <S::Bodies as Bodies>::Chunks;

    async fn put(&self, page: &PageKey, sha256: &str, bytes: Bytes, now: Millis) -> Result<(), StoreError> {
        self.guard.call(Writes, self.stores.bodies().put(page, sha256, bytes, now)).await
    }

    async fn get(&self, page: &PageKey, sha256: &str) -> Result<Option<Bytes>, StoreError> {
        self.guard.call(Reads, self.stores.bodies().get(page, sha256)).await
    }

    async fn open(&self, page: &PageKey, sha256: &str) -> Result<Option<Opened<Self::Chunks>>, StoreError> {
        self.guard.call(Reads, self.stores.bodies().open(page, sha256)).await
    }

    async fn remove(&self, page: &PageKey, sha256: &str, unused_since: Millis) -> Result<(), StoreError> {
        self.guard.call(Writes, self.stores.bodies().remove(page, sha256, unused_since)).await
    }
}

impl<S: Stores> Jobs for Port<S, OfJobs> {
    async fn send(&self, job: &Job, delay: Duration) -> Result<(), StoreError> {
        self.guard.call(Writes, self.stores.jobs().send(job, delay)).await
    }
}

impl<S: Stores> Edge for Port<S, OfEdge> {
    async fn purge(&self, tags: &[String]) -> Result<Purged, StoreError> {
        self.guard.call(Writes, self.stores.edge().purge(tags)).await
    }

    fn tag_header(&self) -> Option<&'static str> {
        self.stores.edge().tag_header()
    }

    fn items_max(&self) -> usize {
        self.stores.edge().items_max()
    }

    fn window(&self) -> Duration {
        self.stores.edge().window()
    }
}

impl<S: Stores> Publishes for Port<S, OfPublishes> {
    async fn put(&self, publish: &Publish) -> Result<(), StoreError> {
        self.guard.call(Writes, self.stores.publishes().put(publish)).await
    }

    async fn get(&self, id: &str) -> Result<Option<Kept>, StoreError> {
        self.guard.call(Reads, self.stores.publishes().get(id)).await
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<Publish>, StoreError> {
        self.guard.call(Reads, self.stores.publishes().list(after, limit)).await
    }

    async fn mark(&self, id: &str, mark: &Mark, kept_until: Millis) -> Result<(), StoreError> {
        self.guard.call(Writes, self.stores.publishes().mark(id, mark, kept_until)).await
    }

    async fn settle(&self, id: &str, fate: Fate, kept_until: Millis) -> Result<Fate, StoreError> {
        self.guard.call(Writes, self.stores.publishes().settle(id, fate, kept_until)).await
    }

    async fn carried_out(&self, delivery: &str, now: Millis) -> Result<Option<String>, StoreError> {
        self.guard.call(Reads, self.stores.publishes().carried_out(delivery, now)).await
    }

    async fn note_carried_out(&self, delivery: &str, id: &str, now: Millis) -> Result<(), StoreError> {
        self.guard.call(Writes, self.stores.publishes().note_carried_out(delivery, id, now)).await
    }
}
