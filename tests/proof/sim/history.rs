//! What has happened, as far as the checks need it. The product knows nothing of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use perennial::Context;
use perennial::parts::base::clock::Millis;
use perennial::parts::key::page_key::PageKey;
use perennial::parts::key::tags::{page_tags, user_tag};
use perennial::parts::ports::pages::grant::Committed;
use perennial::parts::record::page_record::{Record, Ticket};

use crate::clock::START_MS;
use crate::gate::{ActorId, NodeId};
use crate::mistake::Mistake;
use crate::plan::LEASE;
use crate::site::query_text;
use crate::store::Place;
use crate::upstream::{Mood, Version};
use crate::world::World;

/// One render. Moments are numbers of the world, which only grow.
#[derive(Clone, Debug)]
pub(crate) struct Render {
    pub(crate) node: NodeId,
    pub(crate) build: Arc<str>,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) ticket: Ticket,
    /// When it began, in true milliseconds.
    pub(crate) began_ms: u64,
    /// The generation that was shown then.
    pub(crate) based_on: Ticket,
    /// When it read the upstream, and what it found.
    pub(crate) fetched: Option<(usize, usize)>,
    /// Its data are no longer being fetched.
    pub(crate) ended: bool,
    /// The page, once the store was asked to show it.
    pub(crate) committed: Option<Place>,
}

/// A grant of the right to render.
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    pub(crate) ticket: Ticket,
    pub(crate) node: NodeId,
    pub(crate) urgent: bool,
    /// When it was granted, and the end of its lease, in true milliseconds.
    pub(crate) granted_ms: u64,
    pub(crate) until_ms: u64,
}

/// A visitor's request under way.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) node: NodeId,
    pub(crate) build: Arc<str>,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) place: Place,
    pub(crate) data: bool,
    pub(crate) head: bool,
    pub(crate) conditional: bool,
    /// When it came: the moment, and in true milliseconds.
    pub(crate) began: usize,
    pub(crate) began_ms: u64,
    /// Whether there was something to show when it came, on a route that always shows what there is.
    pub(crate) servable: bool,
    /// Whether a call on its behalf has failed.
    pub(crate) faulted: bool,
    /// Whether it could not be told what was done to tags.
    pub(crate) unchecked: bool,
    /// How long its calls have waited at the gate, in true milliseconds.
    pub(crate) waited_ms: u64,
}

/// What a publisher's call is to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// Rendered before it is answered.
    Shown,
    /// Marked.
    Stale,
    /// Gone.
    Deleted,
}

/// A publisher's call.
#[derive(Clone, Debug)]
pub(crate) struct Invalidation {
    pub(crate) aim: Aim,
    pub(crate) build: Arc<str>,
    /// The page, if it names one.
    pub(crate) path: Option<String>,
    /// As the store knows them.
    pub(crate) tag: String,
    pub(crate) began: usize,
    /// When its success was told.
    pub(crate) acknowledged: Option<usize>,
}

/// Whatever else than a visit is under way.
#[derive(Clone, Debug)]
pub(crate) struct UnderWay {
    pub(crate) node: NodeId,
    pub(crate) what: String,
}

/// What the last visitor was answered.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) label: String,
    /// How long shared caches may take it for fresh.
    pub(crate) fresh_s: u64,
    pub(crate) version: Option<usize>,
    pub(crate) fetched: Option<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) renders: Vec<Render>,
    pub(crate) grants: BTreeMap<Place, Vec<Granted>>,
    pub(crate) visits: BTreeMap<ActorId, Visit>,
    pub(crate) under_way: BTreeMap<ActorId, UnderWay>,
    pub(crate) last: Option<Seen>,
    /// Entity tags of answers that visitors have kept, by path.
    pub(crate) etags: BTreeMap<String, String>,
    pub(crate) invalidations: Vec<Invalidation>,
    /// When there was last nothing to show of a page.
    pub(crate) bare: BTreeMap<Place, usize>,
    /// The newest generation that visitors were shown, and when each was first seen.
    pub(crate) seen: BTreeMap<Place, Vec<(usize, Ticket)>>,
    /// Clocks have been wrong: leases may end at any time.
    pub(crate) clocks_differ: bool,
    /// Nothing goes wrong any more.
    pub(crate) settled: bool,
    /// How long a visitor waits for stores.
    pub(crate) patience_ms: u64,
    /// A page's record was replaced by an older one.
    pub(crate) newest: BTreeMap<Place, Ticket>,
}

/// The number of the render in a page's tags.
pub(crate) fn render_of<'a>(tags: impl IntoIterator<Item = &'a str>) -> Option<usize> {
    tags.into_iter().find_map(|tag| tag.strip_prefix('r')?.parse().ok())
}

/// The tags by which a page of this version can be invalidated, as the store knows them.
pub(crate) fn tags_of(page: &PageKey, version: &Version) -> Vec<String> {
    let own = version.tags.iter().map(|tag| user_tag(tag));
    page_tags(page).into_iter().chain(own).collect()
}

impl World {
    /// A render begins: the number by which it is known.
    pub(crate) fn render_begins(&mut self, node: NodeId, cx: &Context) -> usize {
        let number = self.history.renders.len();
        let build: Arc<str> = cx.build().into();
        let mut render = Render {
            node,
            build,
            path: cx.path().to_owned(),
            query: query_text(cx.queries()),
            ticket: cx.generation(),
            began_ms: self.now,
            based_on: 0,
            fetched: None,
            ended: false,
            committed: None,
        };
        self.say(|| format!("n{node} r{number} begins: {} {} ({})", cx.path(), cx.generation(), cx.reason()));
        let place = self.place_of(&render);
        render.based_on = place.and_then(|place| self.history.newest.get(&place).copied()).unwrap_or(0);
        self.one_at_a_time(&render);
        self.history.renders.push(render);
        number
    }

    /// A render asks the upstream.
    pub(crate) fn fetch(&mut self, render: usize) -> (usize, Version, Mood, bool) {
        let path = self.history.renders[render].path.clone();
        let version = self.newest_version(&path);
        let moment = self.number();
        self.history.renders[render].fetched = Some((moment, version));
        let mood = self.upstream.moods.get(&*path).copied().unwrap_or_default();
        (version, self.upstream.versions[version].clone(), mood, self.upstream.large)
    }

    pub(crate) fn granted(
        &mut self,
        node: NodeId,
        place: &Place,
        ticket: Ticket,
        urgent: bool,
        from: Millis,
    ) {
        let until_ms = lease_end_ms(from);
        let granted = Granted { ticket, node, urgent, granted_ms: self.now, until_ms };
        self.history.grants.entry(place.clone()).or_default().push(granted);
    }

    pub(crate) fn renewed(&mut self, place: &Place, ticket: Ticket, from: Millis) {
        let until_ms = lease_end_ms(from);
        let grants = self.history.grants.entry(place.clone()).or_default();
        for granted in grants.iter_mut().filter(|granted| granted.ticket == ticket) {
            granted.until_ms = until_ms;
        }
    }

    pub(crate) fn released(&mut self, place: &Place, ticket: Ticket) {
        let now = self.now;
        let grants = self.history.grants.entry(place.clone()).or_default();
        for granted in grants.iter_mut().filter(|granted| granted.ticket == ticket) {
            granted.until_ms = now;
        }
    }

    pub(crate) fn before_commit(&mut self, record: &mut Record) {
        if self.has(Mistake::StoresTheVisitor) && !self.history.visits.is_empty() {
            record.headers.insert("x-seen-by".into(), vec![crate::visitors::MARK.into()]);
        }
    }

    pub(crate) fn committed(&mut self, node: NodeId, place: &Place, record: &Record, committed: &Committed) {
        let shown = matches!(committed, Committed::Stored { .. });
        self.say(|| {
            let outcome = if shown { "is shown" } else { "is superseded" };
            let Record { generation, epoch, stored, tags, .. } = record;
            format!(
                "n{node}  {} {generation} {outcome}: {} of epoch {epoch} {tags:?}",
                place.1.path(),
                stored.name()
            )
        });
        if !shown {
            return;
        }
        self.tally.commits += 1;
        self.released(place, record.generation);
        let moment = self.number();
        if !self.store.is_shown(place, record) {
            self.history.bare.insert(place.clone(), moment);
        }
        self.check_committed(node, place, record);
    }

    /// Something was, in every build.
    pub(crate) fn deleted(&mut self) {
        let moment = self.number();
        let bare: Vec<_> = self.store.bare().cloned().collect();
        self.history.bare.extend(bare.into_iter().map(|place| (place, moment)));
    }

    pub(crate) fn published(&mut self, node: NodeId, shown: &[(Place, Record)]) {
        self.say(|| format!("n{node} has built {} pages", shown.len()));
        for (place, record) in shown {
            self.released(place, record.generation);
            self.check_committed(node, place, record);
        }
    }
}

/// The end of a lease from an instant on, in true milliseconds if the clocks are right.
fn lease_end_ms(from: Millis) -> u64 {
    from.plus(LEASE).0.saturating_sub(START_MS)
}
