//! Pages: each call is one step, because it holds the lock; `Slot` has the conditions.

use std::sync::Arc;
use std::time::Duration;

use perennial::parts::freshness::Epochs;
use perennial::parts::key::page_key::PageKey;
use perennial::parts::key::tags::{page_tags, user_tag};
use perennial::parts::ports::pages::Pages;
use perennial::parts::ports::pages::grant::{Committed, Failed, Grant};
use perennial::parts::ports::pages::slot::{
    FailureNote, Lease, LeaseDecision, LeaseRequest, Slot, supersedes,
};
use perennial::parts::ports::pages::snapshot::{Inline, Snapshot, Stamp, Wanted};
use perennial::parts::ports::pages::warmth::{Warm, Warmest};
use perennial::parts::record::page_record::{Epoch, Record, Stored, Ticket};
use perennial::{Millis, Reason};

use crate::{InMemory, Result, Shared};

/// What is stored of a page.
#[derive(Clone, Default)]
pub(crate) struct Row {
    record: Option<Arc<Record>>,
    slot: Slot,
    listed: bool,
    /// The hour in which a visitor has wanted the page last.
    wanted_in_hour: u64,
}

impl Row {
    fn generation(&self) -> Ticket {
        self.record.as_ref().map_or(0, |record| record.generation)
    }

    fn lease(&mut self, ticket: Ticket, demanded: Epoch, lasts: Duration, now: Millis) {
        (self.slot.ticket, self.slot.demanded) = (ticket, demanded);
        self.slot.lease = Some(Lease { ticket, from: now, until: now.plus(lasts) });
    }

    fn release(&mut self, ticket: Ticket) {
        self.slot.lease.take_if(|lease| lease.ticket == ticket);
    }

    fn accept(&mut self, record: &Record) -> Committed {
        self.release(record.generation);
        if !supersedes(record.generation, self.generation()) {
            return Committed::Superseded;
        }
        if matches!(record.reason, Reason::First | Reason::Stale) {
            self.wanted_in_hour = record.started_at.0 / 3_600_000;
        }
        self.slot.failure = None;
        Committed::Stored { replaced: self.record.replace(Arc::new(record.clone())) }
    }
}

impl Shared {
    fn newest(&self, tags: impl IntoIterator<Item = String>) -> Epochs {
        let known = tags.into_iter().filter_map(|tag| self.tags.get(&tag).copied());
        known.fold(Epochs::default(), Epochs::max)
    }

    fn snapshot(&self, page: &PageKey, row: &Row) -> Snapshot {
        let tags = row.record.iter().flat_map(|record| record.tags.iter().map(|tag| user_tag(tag)));
        let epochs = self.newest(page_tags(page).into_iter().chain(tags));
        let (record, slot, generation) = (row.record.clone(), row.slot.clone(), row.generation());
        Snapshot { record, generation, slot, epochs, listed: row.listed, ..Snapshot::default() }
    }
}

impl InMemory {
    fn row(&self, page: &PageKey) -> Row {
        self.lock().rows.get(&(self.build.clone(), page.clone())).cloned().unwrap_or_default()
    }

    /// Changes a row in one step, if `change` gives something.
    fn change<T>(&self, page: &PageKey, change: impl FnOnce(&mut Row) -> Option<T>) -> Option<T> {
        let (mut shared, place) = (self.lock(), (self.build.clone(), page.clone()));
        let mut row = shared.rows.get(&place).cloned().unwrap_or_default();
        let changed = change(&mut row)?;
        shared.number();
        shared.rows.insert(place, row);
        Some(changed)
    }

    /// The rows of this build that fit.
    fn rows<T>(&self, pick: impl Fn(&Shared, &PageKey, &Row) -> Option<T>) -> Vec<T> {
        let shared = self.lock();
        let own = shared.rows.iter().filter(|((build, _), _)| *build == self.build);
        own.filter_map(|((_, page), row)| pick(&shared, page, row)).collect()
    }
}

impl Pages for InMemory {
    fn version(&self) -> Option<u64> {
        Some(self.lock().changes)
    }

    fn of_build(&self, build: &Arc<str>) -> Self {
        Self { build: build.clone(), ..self.clone() }
    }

    async fn read(&self, page: &PageKey, _: Wanted<'_>) -> Result<Snapshot> {
        let row = self.row(page);
        Ok(self.lock().snapshot(page, &row))
    }

    async fn epochs(&self, tags: &[String]) -> Result<Epochs> {
        Ok(self.lock().newest(tags.iter().map(|tag| user_tag(tag))))
    }

    async fn begin(&self, page: &PageKey, request: LeaseRequest) -> Result<LeaseDecision> {
        let mut refusal = LeaseDecision::RecordChanged;
        let granted = self.change(page, |row| {
            if let Err(why) = row.slot.may_begin(row.generation(), &request) {
                refusal = why;
                return None;
            }
            let ticket = row.slot.next_ticket(row.generation());
            row.lease(ticket, request.urgency.demanded(), request.lease, request.now);
            Some(ticket)
        });
        Ok(granted.map_or(refusal, LeaseDecision::Granted))
    }

    async fn resume(
        &self,
        page: &PageKey,
        ticket: Ticket,
        lease: Duration,
        now: Millis,
    ) -> Result<Option<Ticket>> {
        Ok(self.change(page, |row| {
            let next = row.slot.next_ticket(row.generation());
            let is_current = row.slot.is_current(ticket, row.generation());
            is_current.then(|| row.lease(next, 0, lease, now)).map(|()| next)
        }))
    }

    async fn prepare(&self, page: &PageKey, ticket: Ticket) -> Result<Grant> {
        let epoch = self.lock().epoch;
        Ok(Grant { ticket, epoch, replaces: self.row(page).record })
    }

    async fn extend(&self, page: &PageKey, ticket: Ticket, lease: Duration, now: Millis) -> Result<bool> {
        let renewed = self.change(page, |row| {
            let (is_current, demanded) = (row.slot.is_current(ticket, row.generation()), row.slot.demanded);
            is_current.then(|| row.lease(ticket, demanded, lease, now))
        });
        Ok(renewed.is_some())
    }

    async fn commit(&self, page: &PageKey, record: &Record, _: &Inline) -> Result<Committed> {
        Ok(self.change(page, |row| Some(row.accept(record))).unwrap_or(Committed::Superseded))
    }

    async fn fail(&self, page: &PageKey, ticket: Ticket, failed: Failed) -> Result<Option<FailureNote>> {
        Ok(self.change(page, |row| {
            let is_current = row.slot.is_current(ticket, row.generation());
            let note = is_current.then(|| row.slot.clone().failed(page.as_str(), ticket, failed))?;
            row.slot.failure = Some(note.clone());
            row.release(ticket);
            Some(note)
        }))
    }

    async fn release(&self, page: &PageKey, ticket: Ticket) -> Result<()> {
        let (mut shared, place) = (self.lock(), (self.build.clone(), page.clone()));
        let Some(row) = shared.rows.get_mut(&place) else { return Ok(()) };
        row.release(ticket);
        if !row.listed && row.slot.is_forgotten(ticket, row.generation()) {
            shared.rows.remove(&place);
        }
        shared.number();
        Ok(())
    }

    async fn invalidate(&self, tags: &[String], how: Stamp) -> Result<Epoch> {
        let mut shared = self.lock();
        (shared.changes, shared.epoch) = (shared.changes + 1, shared.epoch + 1);
        let epoch = shared.epoch;
        let gone = if how == Stamp::Gone { epoch } else { 0 };
        for tag in tags {
            let stamped = shared.tags.entry(tag.clone()).or_default();
            *stamped = stamped.max(Epochs { newest: epoch, gone, partial: false });
        }
        Ok(epoch)
    }

    async fn epoch(&self) -> Result<Epoch> {
        Ok(self.lock().epoch)
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Snapshot)>> {
        let mut listed = self.rows(|shared, page, row| {
            let text = page.as_str();
            let fits = text.starts_with(prefix) && after.is_none_or(|after| text > after);
            fits.then(|| (text.to_owned(), shared.snapshot(page, row)))
        });
        listed.truncate(limit);
        Ok(listed)
    }

    async fn warmest(&self, route: &str, after: Option<&str>, limit: usize) -> Result<Warmest> {
        let mut pages = self.rows(|shared, page, row| {
            let is_shown = row.record.as_ref().is_some_and(|record| record.stored != Stored::Deleted);
            let place = format!("{:08}#{}", row.wanted_in_hour, page.as_str());
            let fits = is_shown && page.route() == route && after.is_none_or(|after| *place < *after);
            let (page, snapshot) = (page.as_str().to_owned(), shared.snapshot(page, row));
            fits.then_some(Warm { place, page, snapshot })
        });
        pages.sort_by(|a, b| b.place.cmp(&a.place));
        pages.truncate(limit);
        let next = pages.last().filter(|_| pages.len() == limit).map(|last| last.place.clone());
        Ok(Warmest { pages, next })
    }

    async fn count_not_found(&self, route: &str, most: usize) -> Result<usize> {
        let found = self.rows(|_, page, row| {
            let stored = row.record.as_ref().filter(|_| page.route() == route)?;
            matches!(stored.stored, Stored::NotFound { .. }).then_some(())
        });
        Ok(found.len().min(most))
    }

    async fn publish(&self, records: &[(PageKey, Record, Inline)], listed: &[PageKey]) -> Result<()> {
        let (mut shared, place) = (self.lock(), |page: &PageKey| (self.build.clone(), page.clone()));
        shared.number();
        for (page, record, _) in records {
            shared.rows.entry(place(page)).or_default().accept(record);
        }
        let own = shared.rows.iter_mut().filter(|((build, _), _)| *build == self.build);
        own.for_each(|(_, row)| row.listed = false);
        for page in listed {
            shared.rows.entry(place(page)).or_default().listed = true;
        }
        Ok(())
    }
}
