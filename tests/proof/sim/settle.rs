//! The end of a run: nothing goes wrong any more, and everything gets well.

use crate::gate::Verdict;
use crate::history::Seen;
use crate::run::Run;
use crate::upstream::{Kind, Mood, PATHS};
use crate::visitors::{Wish, visit};

/// Within this everybody who waits has been answered.
const ANSWERED_MS: u64 = 120_000;
/// Rounds of visits: longer than the longest back-off.
const ROUNDS: usize = 14;
const ROUND_MS: u64 = 3_000;
/// After so many jobs one by one the queue is empty.
const DRAIN_ROUNDS: usize = 1_000;

impl Run {
    /// 7: all waits end by themselves. Then each page is visited until it is well.
    pub(crate) async fn settle(&mut self) {
        self.plan.calm();
        {
            let mut world = self.sim.lock();
            world.number();
            world.say(|| "from here on nothing goes wrong".into());
            world.history.settled = true;
            world.upstream.moods.values_mut().for_each(|mood| *mood = Mood::Well);
            world.nodes.iter_mut().for_each(|node| node.clock_error_ms = 0);
            (0..world.nodes.len()).for_each(|node| world.clock_stepped(node));
        }
        if self.nodes.is_empty() {
            self.start();
        }
        if !self.finish().await {
            return;
        }
        for node in 0..self.nodes.len() {
            for path in self.plan.paths.clone() {
                if !self.gets_well(node, PATHS[path].0).await {
                    return;
                }
            }
        }
        if self.drain().await {
            self.sim.lock().check_promises();
        }
    }

    /// Works the queue until nothing is left in it, whatever its jobs wait for.
    async fn drain(&mut self) -> bool {
        for _ in 0..DRAIN_ROUNDS {
            if !self.finish().await {
                return false;
            }
            let mut world = self.sim.lock();
            let Some(next) = world.queue.iter().map(|message| message.visible_at).min() else { return true };
            world.pass(next);
        }
        let mut world = self.sim.lock();
        let left = format!("{:?}", world.queue);
        world.breaks(7, format!("the queue does not come to its end: {left}"));
        false
    }

    /// Lets everything go on until nobody waits for an answer. `false` if something is broken.
    async fn finish(&mut self) -> bool {
        let started = self.sim.lock().now;
        loop {
            if !self.rest().await {
                return false;
            }
            let mut world = self.sim.lock();
            let waiting = world.waiting();
            if let Some(first) = waiting.first() {
                world.open(*first, Verdict::Go);
                continue;
            }
            let dead: Vec<_> = world.nodes.iter().map(|node| node.dead).collect();
            let visitor = world.history.visits.values().find(|visit| !dead[visit.node]);
            let visitor = visitor.map(|visit| format!("{visit:?}"));
            let other = world.history.under_way.values().find(|other| !dead[other.node]);
            let Some(who) = visitor.or_else(|| other.map(|other| other.what.clone())) else {
                let now = world.now;
                if world.queue.iter().all(|message| message.visible_at > now) {
                    return true;
                }
                drop(world);
                self.deliver();
                continue;
            };
            if world.now > started + ANSWERED_MS {
                world.breaks(7, format!("still waiting: {who}"));
                return false;
            }
            let next = world.next_due().unwrap_or(world.now + 1_000);
            world.pass(next);
        }
    }

    /// 6 and 7: a page is fresh after a while, and shows what it should.
    async fn gets_well(&mut self, node: usize, path: &str) -> bool {
        let mut last = None;
        for _ in 0..ROUNDS {
            // The first visit may find it stale, or have it rendered.
            for _ in 0..2 {
                let node = self.nodes[node].clone();
                let actor = self.sim.lock().number();
                let visit = visit(self.sim.clone(), node, actor, Wish::of(path));
                self.spawn(actor, visit);
                if !self.finish().await {
                    return false;
                }
            }
            let mut world = self.sim.lock();
            last = world.history.last.take();
            let newest = world.newest_version(path);
            if last.as_ref().is_some_and(|seen| self.is_well(&world, path, seen, newest)) {
                return true;
            }
            let next = world.now + ROUND_MS;
            world.pass(next);
        }
        let mut world = self.sim.lock();
        let owed = world.history.invalidations.iter().any(|told| {
            let shown = last.as_ref().and_then(|seen| seen.fetched).unwrap_or(0);
            told.acknowledged.is_some() && told.path.as_deref() == Some(path) && shown < told.began
        });
        world.breaks(if owed { 6 } else { 7 }, format!("{path} does not get well: {last:?}"));
        false
    }

    fn is_well(&self, world: &crate::world::World, path: &str, seen: &Seen, newest: usize) -> bool {
        let version = &world.upstream.versions[newest];
        let shows_newest = seen.version == Some(newest) || version.period_s.is_none();
        let too_many = version.kind == Kind::NotFound && path.starts_with("/blog/") && seen.label == "MISS";
        // Nobody has built this build: the route has no such page.
        let unlisted = path.starts_with("/listed") && seen.status == 404 && seen.label.is_empty();
        (seen.label == "HIT" && shows_newest) || too_many || unlisted
    }
}
