//! The guarded ports: every call goes through the guard of its port.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::clock::Millis;
use crate::freshness::Epochs;
use crate::guard::guarded::Effect::{Reads, Writes};
use crate::guard::guarded::Guarded;
use crate::key::page_key::PageKey;
use crate::ports::bodies::{Bodies, Opened};
use crate::ports::edge::{Edge, Purged};
use crate::ports::error::StoreError;
use crate::ports::job::Job;
use crate::ports::journal::{Journal, JournalEntry, Publish, RouteProgress, ScheduleDecision};
use crate::ports::pages::Pages;
use crate::ports::pages::grant::{Committed, Failed, Grant};
use crate::ports::pages::slot::{FailureNote, LeaseDecision, LeaseRequest};
use crate::ports::pages::snapshot::{Inline, Snapshot, Stamp, Wanted};
use crate::ports::pages::warmth::Warmest;
use crate::ports::queue::{Delivery, Queue};
use crate::record::page_record::{Epoch, Record, Ticket};

impl<P: Pages> Pages for Guarded<P> {
    fn of_build(&self, build: &Arc<str>) -> Self {
        self.with_port(self.port.of_build(build))
    }

    fn version(&self) -> Option<u64> {
        self.port.version()
    }

    async fn read(&self, page: &PageKey, wanted: Wanted<'_>) -> Result<Snapshot, StoreError> {
        self.guard.call(Reads, self.port.read(page, wanted)).await
    }

    async fn epochs(&self, tags: &[String]) -> Result<Epochs, StoreError> {
        self.guard.call(Reads, self.port.epochs(tags)).await
    }

    async fn begin(&self, page: &PageKey, request: LeaseRequest) -> Result<LeaseDecision, StoreError> {
        self.guard.call(Writes, self.port.begin(page, request)).await
    }

    async fn resume(
        &self,
        page: &PageKey,
        ticket: Ticket,
        lease: Duration,
        now: Millis,
    ) -> Result<Option<Ticket>, StoreError> {
        self.guard.call(Writes, self.port.resume(page, ticket, lease, now)).await
    }

    async fn prepare(&self, page: &PageKey, ticket: Ticket) -> Result<Grant, StoreError> {
        self.guard.call(Reads, self.port.prepare(page, ticket)).await
    }

    async fn extend(
        &self,
        page: &PageKey,
        ticket: Ticket,
        lease: Duration,
        now: Millis,
    ) -> Result<bool, StoreError> {
        self.guard.call(Writes, self.port.extend(page, ticket, lease, now)).await
    }

    async fn commit(
        &self,
        page: &PageKey,
        record: &Record,
        inline: &Inline,
    ) -> Result<Committed, StoreError> {
        self.guard.call(Writes, Pages::commit(&*self.port, page, record, inline)).await
    }

    async fn fail(
        &self,
        page: &PageKey,
        ticket: Ticket,
        failed: Failed,
    ) -> Result<Option<FailureNote>, StoreError> {
        self.guard.call(Writes, self.port.fail(page, ticket, failed)).await
    }

    async fn release(&self, page: &PageKey, ticket: Ticket) -> Result<(), StoreError> {
        self.guard.call(Writes, self.port.release(page, ticket)).await
    }

    async fn invalidate(&self, tags: &[String], how: Stamp) -> Result<Epoch, StoreError> {
        self.guard.call(Writes, self.port.invalidate(tags, how)).await
    }

    async fn epoch(&self) -> Result<Epoch, StoreError> {
        self.guard.call(Reads, self.port.epoch()).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Snapshot)>, StoreError> {
        self.guard.call(Reads, self.port.list(prefix, after, limit)).await
    }

    async fn warmest(&self, route: &str, after: Option<&str>, limit: usize) -> Result<Warmest, StoreError> {
        self.guard.call(Reads, self.port.warmest(route, after, limit)).await
    }

    async fn count_not_found(&self, route: &str, most: usize) -> Result<usize, StoreError> {
        self.guard.call(Reads, self.port.count_not_found(route, most)).await
    }

    async fn count_stored(&self, route: &str, most: usize) -> Result<usize, StoreError> {
        self.guard.call(Reads, self.port.count_stored(route, most)).await
    }

    async fn knows_listed(&self) -> Result<bool, StoreError> {
        self.guard.call(Reads, self.port.knows_listed()).await
    }

    async fn publish(
        &self,
        records: &[(PageKey, Record, Inline)],
        listed: &[PageKey],
    ) -> Result<(), StoreError> {
        self.guard.call(Writes, Pages::publish(&*self.port, records, listed)).await
    }
}

impl<B: Bodies> Bodies for Guarded<B> {
    type Chunks = B::Chunks;

    fn of_build(&self, build: &Arc<str>) -> Self {
        self.with_port(self.port.of_build(build))
    }

    async fn put(&self, page: &PageKey, sha256: &str, bytes: Bytes, now: Millis) -> Result<(), StoreError> {
        self.guard.call(Writes, self.port.put(page, sha256, bytes, now)).await
    }

    async fn get(&self, page: &PageKey, sha256: &str) -> Result<Option<Bytes>, StoreError> {
        self.guard.call(Reads, self.port.get(page, sha256)).await
    }

    async fn open(&self, page: &PageKey, sha256: &str) -> Result<Option<Opened<Self::Chunks>>, StoreError> {
        self.guard.call(Reads, self.port.open(page, sha256)).await
    }

    async fn remove(&self, page: &PageKey, sha256: &str, unused_since: Millis) -> Result<(), StoreError> {
        self.guard.call(Writes, self.port.remove(page, sha256, unused_since)).await
    }
}

impl<Q: Queue> Queue for Guarded<Q> {
    async fn send(&self, job: &Job, delay: Duration) -> Result<(), StoreError> {
        self.guard.call(Writes, self.port.send(job, delay)).await
    }

    async fn take(&self, hidden: Duration, wait: Duration) -> Result<Option<Delivery>, StoreError> {
        self.guard.call(Writes, self.port.take(hidden, wait)).await
    }

    async fn keep(&self, delivery: &Delivery, hidden: Duration) -> Result<(), StoreError> {
        self.guard.call(Writes, self.port.keep(delivery, hidden)).await
    }

    async fn finish(&self, delivery: Delivery) -> Result<(), StoreError> {
        self.guard.call(Writes, self.port.finish(delivery)).await
    }

    fn sets_aside(&self) -> bool {
        self.port.sets_aside()
    }

    async fn give_back(&self, receipt: &str, delay: Duration) -> Result<(), StoreError> {
        self.guard.call(Writes, self.port.give_back(receipt, delay)).await
    }
}

impl<E: Edge> Edge for Guarded<E> {
    async fn purge(&self, tags: &[String]) -> Result<Purged, StoreError> {
        self.guard.call(Writes, self.port.purge(tags)).await
    }

    fn tag_header(&self) -> Option<&'static str> {
        self.port.tag_header()
    }

    fn items_max(&self) -> usize {
        self.port.items_max()
    }

    fn window(&self) -> Duration {
        self.port.window()
    }

    fn exists(&self) -> bool {
        self.port.exists()
    }
}

impl<J: Journal> Journal for Guarded<J> {
    async fn put(&self, publish: &Publish) -> Result<(), StoreError> {
        self.guard.call(Writes, self.port.put(publish)).await
    }

    async fn get(&self, id: &str) -> Result<Option<JournalEntry>, StoreError> {
        self.guard.call(Reads, self.port.get(id)).await
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<Publish>, StoreError> {
        self.guard.call(Reads, self.port.list(after, limit)).await
    }

    async fn note_progress(
        &self,
        id: &str,
        progress: &RouteProgress,
        kept_until: Millis,
    ) -> Result<(), StoreError> {
        self.guard.call(Writes, self.port.note_progress(id, progress, kept_until)).await
    }

    async fn settle(
        &self,
        id: &str,
        decision: ScheduleDecision,
        kept_until: Millis,
    ) -> Result<ScheduleDecision, StoreError> {
        self.guard.call(Writes, self.port.settle(id, decision, kept_until)).await
    }

    async fn carried_out(&self, delivery: &str, now: Millis) -> Result<Option<String>, StoreError> {
        self.guard.call(Reads, self.port.carried_out(delivery, now)).await
    }

    async fn note_carried_out(&self, delivery: &str, id: &str, now: Millis) -> Result<(), StoreError> {
        self.guard.call(Writes, self.port.note_carried_out(delivery, id, now)).await
    }
}
