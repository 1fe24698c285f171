//! The journal of publishes, in memory. Nothing depends on it, whatever becomes of its calls.

use std::collections::BTreeMap;

use perennial::parts::base::clock::Millis;
use perennial::parts::ports::error::StoreError;
use perennial::parts::ports::journal::{
    DELIVERY_KEPT, Journal, JournalEntry, Publish, RouteProgress, ScheduleDecision,
};

use crate::gate::Op;
use crate::ports::SimPort;
use crate::world::World;

#[derive(Debug, Default)]
pub(crate) struct Entries {
    entries: BTreeMap<String, Publish>,
    routes: BTreeMap<(String, String), RouteProgress>,
    decisions: BTreeMap<String, ScheduleDecision>,
    deliveries: BTreeMap<String, (String, Millis)>,
}

impl Entries {
    fn get(&self, id: &str, now: Millis) -> Option<JournalEntry> {
        let publish = self.entries.get(id).filter(|entry| entry.kept_until > now).cloned();
        let routes = self.routes.iter().filter(|((of, _), _)| of == id);
        let routes: Vec<_> = routes.map(|(_, progress)| progress.clone()).collect();
        (publish.is_some() || !routes.is_empty()).then_some(JournalEntry { publish, routes })
    }

    fn list(&self, after: Option<&str>, limit: usize, now: Millis) -> Vec<Publish> {
        let mut entries: Vec<_> = self.entries.values().filter(|entry| entry.kept_until > now).collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.place()));
        let older = entries.into_iter().filter(|entry| after.is_none_or(|after| *entry.place() < *after));
        older.take(limit).cloned().collect()
    }
}

impl Journal for SimPort {
    async fn put(&self, publish: &Publish) -> Result<(), StoreError> {
        let put = |world: &mut World| {
            world.journal.entries.insert(publish.id.clone(), publish.clone());
        };
        self.link.call(Op::Journal, "", put).await
    }

    async fn get(&self, id: &str) -> Result<Option<JournalEntry>, StoreError> {
        let now = perennial::Clock::now(&self.link);
        self.link.call(Op::Journal, "", |world| world.journal.get(id, now)).await
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<Publish>, StoreError> {
        let now = perennial::Clock::now(&self.link);
        self.link.call(Op::Journal, "", |world| world.journal.list(after, limit, now)).await
    }

    async fn note_progress(&self, id: &str, progress: &RouteProgress, _: Millis) -> Result<(), StoreError> {
        let place = (id.to_owned(), progress.route.clone());
        if progress.ended {
            // Whatever becomes of the note.
            self.link.sim.lock().promises.ended.insert(place.clone());
        }
        let note = |world: &mut World| {
            world.journal.routes.insert(place.clone(), progress.clone());
        };
        self.link.call(Op::Journal, "", note).await
    }

    async fn settle(
        &self,
        id: &str,
        decision: ScheduleDecision,
        _: Millis,
    ) -> Result<ScheduleDecision, StoreError> {
        let settle = |world: &mut World| *world.journal.decisions.entry(id.to_owned()).or_insert(decision);
        self.link.call(Op::Journal, "", settle).await
    }

    async fn carried_out(&self, delivery: &str, now: Millis) -> Result<Option<String>, StoreError> {
        let known = |world: &mut World| {
            let noted = world.journal.deliveries.get(delivery);
            noted.filter(|(_, at)| now < at.plus(DELIVERY_KEPT)).map(|(id, _)| id.clone())
        };
        self.link.call(Op::Journal, "", known).await
    }

    async fn note_carried_out(&self, delivery: &str, id: &str, now: Millis) -> Result<(), StoreError> {
        let note = |world: &mut World| {
            world.journal.deliveries.insert(delivery.to_owned(), (id.to_owned(), now));
        };
        self.link.call(Op::Journal, "", note).await
    }
}
