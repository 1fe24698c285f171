//! The invariants, each where it can be seen: as a render begins, as it is committed, and while nothing moves.

use perennial::parts::key::page_key::PageKey;
use perennial::parts::record::page_record::{Record, Stored, Ticket};

use crate::gate::NodeId;
use crate::history::{Render, render_of};
use crate::plan::{MAX_NODES, MAX_RENDERS, MAX_STORED_NOT_FOUND};
use crate::store::Place;
use crate::upstream::Kind;
use crate::visitors::MARK;
use crate::world::World;

impl World {
    /// 4: a render begins while another of its page runs.
    pub(crate) fn one_at_a_time(&mut self, new: &Render) {
        let running = |render: &&Render| {
            !render.ended && render.path == new.path && render.query == new.query && render.build == new.build
        };
        let alive = |render: &&Render| !self.nodes[render.node].dead && !self.nodes[render.node].stopping;
        let here = self.history.renders.iter().filter(|r| !r.ended && r.node == new.node).count();
        if here >= 2 * MAX_RENDERS {
            return self.breaks(11, format!("n{} runs {} renders at once", new.node, here + 1));
        }
        if self.history.clocks_differ {
            return;
        }
        let others: Vec<_> = self.history.renders.iter().filter(running).filter(alive).cloned().collect();
        for other in others {
            let Some(place) = self.place_of(new) else { return };
            let grants = self.history.grants.get(&place).map_or(&[][..], |grants| grants);
            let of = |render: &Render| {
                grants.iter().rev().find(|g| g.ticket == render.ticket && g.node == render.node)
            };
            // Who cannot write to the store renders for themselves.
            let (Some(held), Some(mine)) = (of(&other), of(new)) else { continue };
            if self.history.newest.get(&place).is_some_and(|newest| mine.ticket <= *newest) {
                continue;
            }
            if held.ticket == mine.ticket {
                return self
                    .breaks(4, format!("two renders of {} have the ticket {}", place.1.path(), mine.ticket));
            }
            let (old, late) = if held.ticket < mine.ticket { (held, mine) } else { (mine, held) };
            let pre_empted =
                grants.iter().any(|g| g.urgent && g.ticket > old.ticket && g.ticket <= late.ticket);
            if !pre_empted && old.until_ms > late.granted_ms {
                let what = format!(
                    "{} is rendered under {} and {}, which was granted at {} ms, before {} ms",
                    place.1.path(),
                    old.ticket,
                    late.ticket,
                    late.granted_ms,
                    old.until_ms
                );
                return self.breaks(4, what);
            }
        }
    }

    /// The page of a render, as the store has it.
    pub(crate) fn place_of(&self, render: &Render) -> Option<Place> {
        let of_render = |page: &PageKey| {
            let query = page.as_str().split_once('?').map_or("", |(_, query)| query);
            page.path() == render.path && query == render.query
        };
        let mut known = self.history.grants.keys();
        known.find(|(build, page)| (*build == render.build || &**build == "all") && of_render(page)).cloned()
    }

    /// What is stored was given by a render, whole, of that build, and nothing else is in it.
    pub(crate) fn check_committed(&mut self, node: NodeId, place: &Place, record: &Record) {
        let newest = self.history.newest.get(place).copied().unwrap_or(0);
        if record.generation <= newest {
            let what =
                format!("{}: generation {} is shown after {newest}", place.1.path(), record.generation);
            return self.breaks(1, what);
        }
        self.history.newest.insert(place.clone(), record.generation);
        if record.headers.values().flatten().any(|value| value.contains(MARK)) {
            return self.breaks(9, format!("{} keeps what a visitor sent", place.1.path()));
        }
        if record.stored == Stored::Deleted {
            return;
        }
        let render = render_of(record.tags.iter().map(String::as_str));
        let fetched = render.and_then(|r| self.history.renders.get(r)?.fetched);
        let (Some(render), Some((_, version))) = (render, fetched) else {
            return self.breaks(3, format!("{} is shown, which no render has given", place.1.path()));
        };
        self.history.renders[render].committed = Some(place.clone());
        let build = self.nodes[node].build.clone();
        if self.history.renders[render].build != build {
            return self.breaks(10, format!("{} of build {build} is r{render} of another", place.1.path()));
        }
        let kind = match record.stored {
            Stored::Page { .. } => Kind::Page,
            Stored::NotFound { .. } => Kind::NotFound,
            _ => Kind::Redirect,
        };
        if self.upstream.versions[version].kind != kind {
            return self.breaks(
                3,
                format!("{} is a {} but v{version} is not", place.1.path(), record.stored.name()),
            );
        }
        self.has_bodies(place, record, newest, render);
        self.bounded();
    }

    /// 5: bodies are there before their record is. But one that was there may be damaged, or removed if another commit
    /// comes between: then it is put again at once.
    fn has_bodies(&mut self, place: &Place, record: &Record, newest: Ticket, render: usize) {
        let moment = self.number();
        let alone = newest == self.history.renders[render].based_on
            && !self.history.clocks_differ
            && !self.history.bare.contains_key(place);
        for body in record.stored.bodies() {
            let there = self.store.get_body(place, &body.sha256);
            let whole = there.is_some_and(|bytes| bytes.len() as u64 == body.stored_bytes);
            if !whole && alone {
                return self.breaks(5, format!("{} is shown before its body is there", place.1.path()));
            } else if !whole {
                self.history.bare.insert(place.clone(), moment);
            }
        }
    }

    /// 3: a render that failed leaves what there is.
    pub(crate) fn failed(&mut self, place: &Place, was_servable: bool) {
        if was_servable && !self.store.is_servable(place) {
            self.breaks(3, format!("nothing is left of {} after a failure", place.1.path()));
        }
    }

    /// 11: made-up paths cannot fill the store.
    fn bounded(&mut self) {
        let of_blog = self.store.rows.iter().filter(|((_, page), _)| page.route() == "/blog/{slug}");
        let mut by_build = std::collections::BTreeMap::<_, usize>::new();
        for ((build, _), row) in of_blog {
            let gone = row.record.as_ref().is_some_and(|r| {
                matches!(r.stored, Stored::NotFound { .. }) && r.reason == perennial::Reason::First
            });
            *by_build.entry(build.clone()).or_default() += usize::from(gone);
        }
        // Those that are counted at the same time may all find room.
        let most = MAX_STORED_NOT_FOUND + MAX_NODES * MAX_RENDERS;
        if let Some((build, count)) = by_build.into_iter().find(|(_, count)| *count > most) {
            self.breaks(11, format!("{count} pages of {build} are stored that do not exist"));
        }
    }

    /// 12: while nothing moves, a visitor for whom there is something to show has a call of its own under way.
    pub(crate) fn nobody_waits(&mut self) {
        let waits = self.history.visits.iter().find(|(actor, visit)| {
            let still = self.history.bare.get(&visit.place).is_none_or(|deleted| *deleted < visit.began);
            visit.servable
                && still
                && !visit.faulted
                && !self.nodes[visit.node].dead
                && !self.is_calling(**actor)
        });
        if let Some((actor, visit)) = waits {
            let what =
                format!("visitor #{actor} of {} waits although there is something to show", visit.path);
            self.breaks(12, what);
        }
    }
}
