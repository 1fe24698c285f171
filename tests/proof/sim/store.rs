//! What is stored, in memory: every call of a port one step, decided by the product's own conditions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use perennial::Reason;
use perennial::parts::base::clock::Millis;
use perennial::parts::freshness::Epochs;
use perennial::parts::key::page_key::PageKey;
use perennial::parts::key::tags::{page_tags, user_tag};
use perennial::parts::ports::pages::grant::{Committed, Failed, Grant};
use perennial::parts::ports::pages::slot::{
    FailureNote, Lease, LeaseDecision, LeaseRequest, Slot, supersedes,
};
use perennial::parts::ports::pages::snapshot::{Inline, Snapshot, Wanted};
use perennial::parts::ports::pages::warmth::{Warm, Warmest};
use perennial::parts::record::page_record::{Epoch, Form, Record, Stored, Ticket};

use crate::mistake::Mistake;

/// A page of a build.
pub(crate) type Place = (Arc<str>, PageKey);

#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) record: Option<Arc<Record>>,
    inline: Inline,
    pub(crate) slot: Slot,
    pub(crate) listed: bool,
    /// The hour in which a visitor has wanted it.
    warmth: u64,
}

impl Row {
    pub(crate) fn generation(&self) -> Ticket {
        self.record.as_ref().map_or(0, |record| record.generation)
    }

    fn inline_body(&self, form: Option<Form>) -> Option<Bytes> {
        match form? {
            Form::Html => self.inline.html.clone(),
            Form::Data => self.inline.data.clone(),
        }
    }

    fn grant(&mut self, ticket: Ticket, demanded: Epoch, lease: Duration, now: Millis) {
        (self.slot.ticket, self.slot.demanded) = (ticket, demanded);
        self.slot.lease = Some(Lease { ticket, from: now, until: now.plus(lease) });
    }

    fn release(&mut self, ticket: Ticket) {
        if self.slot.is_newest(ticket) {
            self.slot.lease = None;
        }
    }
}

/// A body, and when it was wanted last.
pub(crate) type Body = (Bytes, Millis);

#[derive(Debug, Default)]
pub(crate) struct Store {
    /// Whether it is one that keeps small bodies beside its records.
    pub(crate) keeps_inline: bool,
    /// Whether it knows a record's tags only once it has read it.
    pub(crate) tags_apart: bool,
    /// Whether it can tell that nothing was written.
    pub(crate) has_version: bool,
    pub(crate) rows: BTreeMap<Place, Row>,
    pub(crate) tags: BTreeMap<String, Epochs>,
    pub(crate) epoch: Epoch,
    pub(crate) bodies: BTreeMap<(Place, String), Body>,
    pub(crate) version: u64,
    pub(crate) mistake: Option<Mistake>,
    /// Marks that were acknowledged before they were kept, by [`Mistake::MarksInMemory`].
    pub(crate) unkept: Vec<(String, Epochs)>,
}

impl Store {
    pub(crate) fn has(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    pub(crate) fn place(&self, build: &Arc<str>, page: &PageKey) -> Place {
        let build = if self.has(Mistake::MixesBuilds) { "all".into() } else { build.clone() };
        (build, page.clone())
    }

    fn row(&self, place: &Place) -> Row {
        self.rows.get(place).cloned().unwrap_or_default()
    }

    fn write(&mut self, place: &Place) -> &mut Row {
        self.version += 1;
        self.rows.entry(place.clone()).or_default()
    }

    pub(crate) fn read(
        &self,
        place: &Place,
        page: &PageKey,
        wanted: &[String],
        form: Option<Form>,
    ) -> Snapshot {
        let row = self.row(place);
        let user_tags = row.record.as_ref().map_or(&[][..], |record| &record.tags);
        let (unread, read): (Vec<_>, Vec<_>) =
            user_tags.iter().cloned().partition(|tag| self.tags_apart && !wanted.contains(tag));
        let tags = page_tags(page).into_iter().chain(read.iter().map(|tag| user_tag(tag)));
        let mut epochs = self.newest(&place.0, tags);
        if self.has(Mistake::ForgetsMarks) {
            epochs.newest = epochs.gone;
        }
        let body = row.inline_body(form);
        let generation = row.generation();
        let Row { record, slot, listed, .. } = row;
        Snapshot { record, generation, slot, epochs, unread_tags: unread, body, listed }
    }

    pub(crate) fn epochs(&self, build: &str, tags: &[String]) -> Epochs {
        self.newest(build, tags.iter().map(|tag| user_tag(tag)))
    }

    pub(crate) fn begin(&mut self, place: &Place, request: &LeaseRequest) -> LeaseDecision {
        let row = self.row(place);
        let (generation, mut slot) = (row.generation(), row.slot);
        match self.mistake {
            Some(Mistake::IgnoresLeases) => slot.lease = None,
            Some(Mistake::LeasesNeverEnd) => {
                slot.lease.iter_mut().for_each(|lease| lease.until = Millis(u64::MAX));
            }
            Some(Mistake::BackOffsNeverEnd) => {
                slot.failure.iter_mut().for_each(|failure| failure.retry_at = Millis(u64::MAX));
            }
            _ => {}
        }
        if let Err(refusal) = slot.may_begin(generation, request) {
            return refusal;
        }
        let mut ticket = slot.next_ticket(generation);
        if self.has(Mistake::TicketsStandStill) {
            ticket = slot.ticket.max(1);
        }
        self.write(place).grant(ticket, request.urgency.demanded(), request.lease, request.now);
        LeaseDecision::Granted(ticket)
    }

    pub(crate) fn resume(
        &mut self,
        place: &Place,
        ticket: Ticket,
        lease: Duration,
        now: Millis,
    ) -> Option<Ticket> {
        let row = self.row(place);
        if !row.slot.is_current(ticket, row.generation()) && !self.has(Mistake::ResumesAnyTicket) {
            return None;
        }
        let next = row.slot.next_ticket(row.generation());
        self.write(place).grant(next, 0, lease, now);
        Some(next)
    }

    pub(crate) fn prepare(&self, place: &Place, ticket: Ticket) -> Grant {
        let early = u64::from(self.has(Mistake::PreparesAnEpochAhead));
        Grant { ticket, epoch: self.epoch + early, replaces: self.row(place).record }
    }

    pub(crate) fn extend(&mut self, place: &Place, ticket: Ticket, lease: Duration, now: Millis) -> bool {
        let row = self.row(place);
        let current = row.slot.is_current(ticket, row.generation());
        if current {
            self.write(place).grant(ticket, row.slot.demanded, lease, now);
        }
        current
    }

    pub(crate) fn commit(&mut self, place: &Place, record: &Record, inline: &Inline) -> Committed {
        let ticket = record.generation;
        let (before, any) = (self.row(place), self.has(Mistake::CommitsAnyTicket));
        if !supersedes(ticket, before.generation()) && !any {
            self.write(place).release(ticket);
            return Committed::Superseded;
        }
        if self.has(Mistake::CommitsNothing) && record.reason == Reason::OnDemand {
            return Committed::Stored { replaced: None };
        }
        if record.stored == Stored::Deleted && self.has(Mistake::ForgetsTombstones) {
            self.rows.remove(place);
            return Committed::Stored { replaced: before.record };
        }
        let keeps = self.keeps_inline;
        let row = self.write(place);
        if matches!(record.reason, Reason::First | Reason::Stale) {
            row.warmth = record.started_at.0 / 3_600_000;
        }
        let old = row.record.replace(Arc::new(record.clone()));
        let same = |form| {
            let of = |record: &Record| record.stored.body(form).map(|body| body.sha256.clone());
            old.as_deref().and_then(of) == of(record)
        };
        if keeps {
            let kept = std::mem::take(&mut row.inline);
            row.inline.html = inline.html.clone().or(kept.html.filter(|_| same(Form::Html)));
            row.inline.data = inline.data.clone().or(kept.data.filter(|_| same(Form::Data)));
        }
        row.slot.failure = None;
        row.release(ticket);
        Committed::Stored { replaced: old }
    }

    pub(crate) fn fail(
        &mut self,
        place: &Place,
        page: &PageKey,
        ticket: Ticket,
        failed: Failed,
    ) -> Option<FailureNote> {
        let row = self.row(place);
        if !row.slot.is_current(ticket, row.generation()) {
            return None;
        }
        let note = row.slot.failed(page.as_str(), ticket, failed);
        let erases = self.has(Mistake::FailuresErase);
        let row = self.write(place);
        row.slot.failure = Some(note.clone());
        row.release(ticket);
        if erases {
            row.record = None;
        }
        Some(note)
    }

    pub(crate) fn release(&mut self, place: &Place, ticket: Ticket) {
        let row = self.row(place);
        if !row.listed && row.slot.is_forgotten(ticket, row.generation()) {
            self.version += 1;
            self.rows.remove(place);
        } else {
            self.write(place).release(ticket);
        }
    }

    pub(crate) fn list(
        &self,
        build: &Arc<str>,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<(String, Snapshot)> {
        let build = if self.has(Mistake::MixesBuilds) { "all".into() } else { build.clone() };
        let rows = self.rows.iter().filter(|((of, page), _)| {
            *of == build
                && page.as_str().starts_with(prefix)
                && after.is_none_or(|after| page.as_str() > after)
        });
        let listed = rows.take(limit).map(|(place, _)| {
            let tags = self.rows[place].record.as_ref().map_or(Vec::new(), |r| r.tags.clone());
            (place.1.as_str().to_owned(), self.read(place, &place.1, &tags, None))
        });
        listed.collect()
    }

    pub(crate) fn warmest(
        &self,
        build: &Arc<str>,
        route: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Warmest {
        let build = if self.has(Mistake::MixesBuilds) { "all".into() } else { build.clone() };
        let rows = self.rows.iter().filter(|((of, page), row)| {
            let shown = row.record.as_ref().is_some_and(|record| record.stored != Stored::Deleted);
            *of == build && page.route() == route && shown
        });
        let mut pages: Vec<_> = rows
            .map(|(at, row)| {
                let tags = row.record.as_ref().map_or(Vec::new(), |record| record.tags.clone());
                let page = at.1.as_str().to_owned();
                let place = format!("{:08}#{page}", row.warmth);
                Warm { place, page, snapshot: self.read(at, &at.1, &tags, None) }
            })
            .filter(|warm| after.is_none_or(|after| *warm.place < *after))
            .collect();
        pages.sort_by(|a, b| b.place.cmp(&a.place));
        pages.truncate(limit);
        let next = pages.last().filter(|_| pages.len() == limit).map(|last| last.place.clone());
        Warmest { pages, next }
    }

    pub(crate) fn count_not_found(&self, build: &Arc<str>, route: &str, most: usize) -> usize {
        if self.has(Mistake::CountsNoNotFound) {
            return 0;
        }
        let gone = self.rows.iter().filter(|((of, page), row)| {
            let of_route = page.as_str().strip_prefix(route).is_some_and(|rest| rest.starts_with('|'));
            let gone = row.record.as_ref().is_some_and(|r| matches!(r.stored, Stored::NotFound { .. }));
            of == build && of_route && gone
        });
        gone.take(most).count()
    }

    /// Tells which records are shown now.
    pub(crate) fn publish(
        &mut self,
        build: &Arc<str>,
        records: &[(PageKey, Record, Inline)],
        listed: &[PageKey],
    ) -> Vec<(Place, Record)> {
        let mut shown = Vec::new();
        for (page, record, inline) in records {
            let place = self.place(build, page);
            if supersedes(record.generation, self.row(&place).generation()) {
                self.commit(&place, record, inline);
                shown.push((place, record.clone()));
            }
        }
        let listed: BTreeSet<_> = listed.iter().map(|page| self.place(build, page)).collect();
        for ((of, _), row) in &mut self.rows {
            row.listed &= of != build;
        }
        for place in listed {
            self.write(&place).listed = true;
        }
        shown
    }

    pub(crate) fn put_body(&mut self, place: &Place, sha256: &str, mut bytes: Bytes, now: Millis) {
        if self.has(Mistake::TearsBodies) {
            let torn: Vec<u8> =
                bytes.iter().enumerate().map(|(at, b)| if at < 10 { *b } else { b'?' }).collect();
            bytes = torn.into();
        }
        if !self.has(Mistake::PutsNothing) {
            self.bodies.insert((place.clone(), sha256.to_owned()), (bytes, now));
        }
    }

    pub(crate) fn get_body(&self, place: &Place, sha256: &str) -> Option<Bytes> {
        let name = (place.clone(), sha256.to_owned());
        self.bodies.get(&name).map(|(bytes, _)| bytes.clone())
    }

    pub(crate) fn remove_body(&mut self, place: &Place, sha256: &str, unused_since: Millis) {
        let name = (place.clone(), sha256.to_owned());
        if self.bodies.get(&name).is_some_and(|(_, wanted)| *wanted <= unused_since) {
            self.bodies.remove(&name);
        }
    }

    /// Whether visitors of this page can be shown something without a render.
    pub(crate) fn is_servable(&self, place: &Place) -> bool {
        let Some(record) = self.rows.get(place).and_then(|row| row.record.as_ref()) else { return false };
        let there = |sha256: &String| self.bodies.contains_key(&(place.clone(), sha256.clone()));
        self.is_shown(place, record) && record.stored.bodies().all(|body| there(&body.sha256))
    }
}

/// What a reader asks for, owned.
pub(crate) fn owned(wanted: Wanted<'_>) -> (Vec<String>, Option<Form>) {
    (wanted.tags.to_vec(), wanted.body)
}
