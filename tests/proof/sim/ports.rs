//! The ports of a process: each call goes through the gate, and is then carried out by the [`Store`](crate::store).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use perennial::parts::base::clock::Millis;
use perennial::parts::freshness::Epochs;
use perennial::parts::key::page_key::PageKey;
use perennial::parts::ports::bodies::{Bodies, Chunks, Opened};
use perennial::parts::ports::edge::{Edge, Purged};
use perennial::parts::ports::error::StoreError;
use perennial::parts::ports::job::Job;
use perennial::parts::ports::pages::Pages;
use perennial::parts::ports::pages::grant::{Committed, Failed, Grant};
use perennial::parts::ports::pages::slot::{FailureNote, LeaseDecision, LeaseRequest};
use perennial::parts::ports::pages::snapshot::{Inline, Snapshot, Stamp, Wanted};
use perennial::parts::ports::pages::urgency::Urgency;
use perennial::parts::ports::pages::warmth::Warmest;
use perennial::parts::ports::queue::{Delivery, Queue};
use perennial::parts::ports::stores::Ports;
use perennial::parts::record::page_record::{Epoch, Record, Ticket};

use crate::gate::{Link, Op};
use crate::mistake::Mistake;
use crate::store::owned;
use crate::world::World;

/// All ports of one process: each of them is the same.
pub(crate) type SimStores = Ports<SimPort, SimPort, SimPort, SimPort, SimPort>;

/// The stores as a process of a build sees them.
pub(crate) fn stores(link: &Link, build: &Arc<str>) -> SimStores {
    let port = || SimPort { link: link.clone(), build: build.clone() };
    Ports {
        pages: port(),
        bodies: port(),
        queue: port(),
        edge: port(),
        journal: port(),
        build: build.clone(),
        are_local: false,
    }
}

/// Any port of one process.
#[derive(Clone)]
pub(crate) struct SimPort {
    pub(crate) link: Link,
    pub(crate) build: Arc<str>,
}

impl SimPort {
    fn believes_what_is_left_out(&self) -> bool {
        self.link.sim.lock().has(Mistake::BelievesWhatIsLeftOut)
    }
}

impl Pages for SimPort {
    fn version(&self) -> Option<u64> {
        let store = &self.link.sim.lock().store;
        store.has_version.then_some(store.version)
    }

    fn of_build(&self, build: &Arc<str>) -> Self {
        Self { build: build.clone(), ..self.clone() }
    }

    async fn read(&self, page: &PageKey, wanted: Wanted<'_>) -> Result<Snapshot, StoreError> {
        let (tags, form) = owned(wanted);
        let read = |world: &mut World| {
            let place = world.store.place(&self.build, page);
            world.store.read(&place, page, &tags, form)
        };
        let believed = self.believes_what_is_left_out();
        let beside = |snapshot: &mut Snapshot| {
            snapshot.epochs = if believed { Epochs::default() } else { Epochs::UNKNOWN };
            snapshot.body = None;
            // Without a record, a store that cannot read the slot has nothing to say.
            if snapshot.record.is_some() {
                (snapshot.slot, snapshot.listed) = Default::default();
            }
        };
        self.link.call_partly(Op::Read, page.shared(), read, beside).await
    }

    async fn epochs(&self, tags: &[String]) -> Result<Epochs, StoreError> {
        let read = |world: &mut World| world.store.epochs(&self.build, tags);
        let believed = self.believes_what_is_left_out();
        let left_out =
            |epochs: &mut Epochs| *epochs = if believed { Epochs::default() } else { Epochs::UNKNOWN };
        self.link.call_partly(Op::Epochs, tags.join(","), read, left_out).await
    }

    async fn begin(&self, page: &PageKey, request: LeaseRequest) -> Result<LeaseDecision, StoreError> {
        let begin = |world: &mut World| {
            let place = world.store.place(&self.build, page);
            let begun = world.store.begin(&place, &request);
            if let LeaseDecision::Granted(ticket) = begun {
                world.granted(
                    self.link.node,
                    &place,
                    ticket,
                    request.urgency != Urgency::Ordinary,
                    request.now,
                );
            }
            (begun, world.store.has(Mistake::VisitorsWait))
        };
        loop {
            let (begun, waits) = self.link.call(Op::Begin, page.shared(), begin).await?;
            match begun {
                LeaseDecision::Busy(_) if waits => {
                    self.link.wait(Duration::from_millis(100)).await;
                }
                begun => return Ok(begun),
            }
        }
    }

    async fn resume(
        &self,
        page: &PageKey,
        ticket: Ticket,
        lease: Duration,
        now: Millis,
    ) -> Result<Option<Ticket>, StoreError> {
        let resume = |world: &mut World| {
            let place = world.store.place(&self.build, page);
            let resumed = world.store.resume(&place, ticket, lease, now);
            if let Some(resumed) = resumed {
                world.granted(self.link.node, &place, resumed, false, now);
            }
            resumed
        };
        self.link.call(Op::Resume, page.shared(), resume).await
    }

    async fn prepare(&self, page: &PageKey, ticket: Ticket) -> Result<Grant, StoreError> {
        let prepare = |world: &mut World| {
            let place = world.store.place(&self.build, page);
            world.store.prepare(&place, ticket)
        };
        self.link.call(Op::Prepare, page.shared(), prepare).await
    }

    async fn extend(
        &self,
        page: &PageKey,
        ticket: Ticket,
        lease: Duration,
        now: Millis,
    ) -> Result<bool, StoreError> {
        let renew = |world: &mut World| {
            let place = world.store.place(&self.build, page);
            let renewed = world.store.extend(&place, ticket, lease, now);
            if renewed {
                world.renewed(&place, ticket, now);
            }
            renewed
        };
        self.link.call(Op::Renew, page.shared(), renew).await
    }

    async fn commit(
        &self,
        page: &PageKey,
        record: &Record,
        inline: &Inline,
    ) -> Result<Committed, StoreError> {
        let commit = |world: &mut World| {
            let place = world.store.place(&self.build, page);
            let mut record = record.clone();
            world.before_commit(&mut record);
            let committed = world.store.commit(&place, &record, inline);
            world.committed(self.link.node, &place, &record, &committed);
            committed
        };
        self.link.call(Op::Commit, page.shared(), commit).await
    }

    async fn fail(
        &self,
        page: &PageKey,
        ticket: Ticket,
        failed: Failed,
    ) -> Result<Option<FailureNote>, StoreError> {
        let fail = |world: &mut World| {
            let place = world.store.place(&self.build, page);
            let before = world.store.is_servable(&place);
            let noted = world.store.fail(&place, page, ticket, failed.clone());
            world.released(&place, ticket);
            world.failed(&place, before);
            noted
        };
        self.link.call(Op::Fail, page.shared(), fail).await
    }

    async fn release(&self, page: &PageKey, ticket: Ticket) -> Result<(), StoreError> {
        let release = |world: &mut World| {
            let place = world.store.place(&self.build, page);
            world.store.release(&place, ticket);
            world.released(&place, ticket);
        };
        self.link.call(Op::Release, page.shared(), release).await
    }

    /// In steps, each of which may fail: the epoch, then every tag.
    async fn invalidate(&self, tags: &[String], how: Stamp) -> Result<Epoch, StoreError> {
        let about = tags.join(",");
        let epoch = self.link.call(Op::Invalidate, about, |world| world.store.advance()).await?;
        for tag in tags {
            let stamp = |world: &mut World| {
                world.store.stamp(&self.build, tag, epoch, how);
                if how == Stamp::Gone {
                    world.deleted();
                }
            };
            self.link.call(Op::Invalidate, tag.as_str(), stamp).await?;
        }
        Ok(epoch)
    }

    async fn epoch(&self) -> Result<Epoch, StoreError> {
        self.link.call(Op::Read, "epoch", |world| world.store.epoch).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Snapshot)>, StoreError> {
        let list = |world: &mut World| world.store.list(&self.build, prefix, after, limit);
        self.link.call(Op::List, prefix, list).await
    }

    async fn warmest(&self, route: &str, after: Option<&str>, limit: usize) -> Result<Warmest, StoreError> {
        let warmest = |world: &mut World| world.store.warmest(&self.build, route, after, limit);
        self.link.call(Op::List, route, warmest).await
    }

    async fn count_not_found(&self, route: &str, most: usize) -> Result<usize, StoreError> {
        let count = |world: &mut World| world.store.count_not_found(&self.build, route, most);
        self.link.call(Op::CountNotFound, route, count).await
    }

    async fn publish(
        &self,
        records: &[(PageKey, Record, Inline)],
        listed: &[PageKey],
    ) -> Result<(), StoreError> {
        let publish = |world: &mut World| {
            let shown = world.store.publish(&self.build, records, listed);
            world.published(self.link.node, &shown);
        };
        self.link.call(Op::Publish, &*self.build, publish).await
    }
}

/// A body in parts that are as small as the port has them.
pub(crate) struct Parts(Bytes);

impl Chunks for Parts {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let part = self.0.split_to(self.0.len().min(1 << 20));
        Ok(Some(part).filter(|part| !part.is_empty()))
    }
}

impl Bodies for SimPort {
    type Chunks = Parts;

    fn of_build(&self, build: &Arc<str>) -> Self {
        Self { build: build.clone(), ..self.clone() }
    }

    async fn put(&self, page: &PageKey, sha256: &str, bytes: Bytes, now: Millis) -> Result<(), StoreError> {
        let put = |world: &mut World| {
            let place = world.store.place(&self.build, page);
            world.store.put_body(&place, sha256, bytes.clone(), now);
        };
        self.link.call(Op::PutBody, page.shared(), put).await
    }

    async fn get(&self, page: &PageKey, sha256: &str) -> Result<Option<Bytes>, StoreError> {
        let get = |world: &mut World| {
            let place = world.store.place(&self.build, page);
            world.store.get_body(&place, sha256)
        };
        self.link.call(Op::GetBody, page.shared(), get).await
    }

    async fn open(&self, page: &PageKey, sha256: &str) -> Result<Option<Opened<Parts>>, StoreError> {
        let bytes = self.get(page, sha256).await?;
        Ok(bytes.map(|bytes| Opened { bytes: bytes.len() as u64, chunks: Parts(bytes) }))
    }

    async fn remove(&self, page: &PageKey, sha256: &str, unused_since: Millis) -> Result<(), StoreError> {
        let remove = |world: &mut World| {
            let place = world.store.place(&self.build, page);
            world.store.remove_body(&place, sha256, unused_since);
        };
        self.link.call(Op::RemoveBody, page.shared(), remove).await
    }
}

impl Queue for SimPort {
    async fn send(&self, job: &Job, delay: Duration) -> Result<(), StoreError> {
        self.link.call(Op::Send, job.key.as_str(), |world| world.send(job, delay)).await
    }

    async fn take(&self, hidden: Duration, wait: Duration) -> Result<Option<Delivery>, StoreError> {
        let until = self.link.sim.lock().now + wait.as_millis() as u64;
        loop {
            let taken = self.link.call(Op::Take, "", |world| (world.take(hidden), world.now)).await?;
            match taken {
                (None, now) if now < until => tokio::task::yield_now().await,
                (taken, _) => return Ok(taken),
            }
        }
    }

    async fn keep(&self, delivery: &Delivery, hidden: Duration) -> Result<(), StoreError> {
        self.link.call(Op::Take, "", |world| world.give_back(&delivery.receipt, hidden)).await
    }

    async fn finish(&self, delivery: Delivery) -> Result<(), StoreError> {
        self.link.call(Op::Take, "", |world| world.finish(&delivery.receipt)).await
    }

    async fn give_back(&self, receipt: &str, delay: Duration) -> Result<(), StoreError> {
        self.link.call(Op::GiveBack, receipt, |world| world.give_back(receipt, delay)).await
    }
}

impl Edge for SimPort {
    async fn purge(&self, tags: &[String]) -> Result<Purged, StoreError> {
        let order = |world: &mut World| {
            world.ordered(tags);
            Purged::Accepted
        };
        self.link.call(Op::Purge, tags.join(","), order).await
    }

    fn tag_header(&self) -> Option<&'static str> {
        Some("cache-tag")
    }

    fn items_max(&self) -> usize {
        2
    }
}
