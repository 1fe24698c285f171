//! The journal of publishes.

use perennial::Millis;
use perennial::parts::ports::journal::{
    DELIVERY_KEPT, Journal, JournalEntry, Publish, RouteProgress, ScheduleDecision,
};

use crate::{InMemory, Result};

impl Journal for InMemory {
    async fn put(&self, publish: &Publish) -> Result<()> {
        self.lock().publishes.insert(publish.id.clone(), publish.clone());
        Ok(())
    }

    async fn get(&self, id: &str) -> Result<Option<JournalEntry>> {
        let (shared, now) = (self.lock(), self.clock.now());
        let publish = shared.publishes.get(id).filter(|publish| publish.kept_until > now).cloned();
        let routes = shared.routes.iter().filter(|((of, _), _)| of == id);
        let routes: Vec<_> = routes.map(|(_, progress)| progress.clone()).collect();
        Ok((publish.is_some() || !routes.is_empty()).then_some(JournalEntry { publish, routes }))
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<Publish>> {
        let (shared, now) = (self.lock(), self.clock.now());
        let kept = shared.publishes.values().filter(|publish| publish.kept_until > now);
        let older = kept.filter(|publish| after.is_none_or(|after| *publish.place() < *after));
        let mut listed: Vec<_> = older.cloned().collect();
        listed.sort_by_key(|publish| std::cmp::Reverse(publish.place()));
        listed.truncate(limit);
        Ok(listed)
    }

    async fn note_progress(&self, id: &str, progress: &RouteProgress, _: Millis) -> Result<()> {
        self.lock().routes.insert((id.to_owned(), progress.route.clone()), progress.clone());
        Ok(())
    }

    async fn settle(&self, id: &str, decision: ScheduleDecision, _: Millis) -> Result<ScheduleDecision> {
        Ok(*self.lock().decisions.entry(id.to_owned()).or_insert(decision))
    }

    async fn carried_out(&self, delivery: &str, now: Millis) -> Result<Option<String>> {
        let shared = self.lock();
        let noted = shared.deliveries.get(delivery).filter(|(_, at)| now < at.plus(DELIVERY_KEPT));
        Ok(noted.map(|(id, _)| id.clone()))
    }

    async fn note_carried_out(&self, delivery: &str, id: &str, now: Millis) -> Result<()> {
        self.lock().deliveries.insert(delivery.to_owned(), (id.to_owned(), now));
        Ok(())
    }
}
