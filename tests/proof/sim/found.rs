//! What seeds have found, or are too rare to find, each as a story of its own: which calls are held up where, and what
//! must come of that.

use std::sync::Arc;

use tokio::task::yield_now;

use crate::gate::{NodeId, Op, Sim, Verdict};
use crate::history::{Seen, UnderWay};
use crate::publishers::{Order, publish};
use crate::run::Run;
use crate::upstream::{Kind, Mood, PATHS, Version};
use crate::visitors::{Wish, visit};
use crate::world::World;

/// A run in which a test says what happens.
struct Story {
    run: Run,
    /// Calls that are not let through.
    held: Vec<(NodeId, Op)>,
}

/// Runs a story on so many processes, and then looks whether anything is broken.
fn tell(nodes: usize, story: impl AsyncFnOnce(&mut Story)) {
    perennial::parts::base::blocking::run_on_one_thread();
    let runtime = tokio::runtime::Builder::new_current_thread().event_interval(u32::MAX).build();
    let sim = Sim::new(World::new(0, None, true));
    runtime.expect("a runtime without threads").block_on(async {
        let mut run = Run::new(&sim);
        sim.lock().store.keeps_inline = false;
        run.plan.calm();
        run.plan.memory_bytes = 50 << 20;
        run.plan.paths = (0..PATHS.len()).collect();
        (0..nodes).for_each(|_| run.start());
        let mut told = Story { run, held: Vec::new() };
        story(&mut told).await;
        told.held.clear();
        told.run.settle().await;
    });
    let mut world = sim.lock();
    let log = world.log.take().unwrap_or_default();
    assert!(world.broken.is_none(), "{:?}\n{}", world.broken, log.join("\n"));
}

impl Story {
    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.run.sim.lock()
    }

    /// The upstream has this of a path from now on.
    fn change(&self, path: &str, period_s: Option<u32>, tags: &[&'static str]) {
        let mut world = self.world();
        world.number();
        let version = Version { kind: Kind::Page, period_s, tags: tags.to_vec(), ends_after: None };
        world.upstream.versions.push(version);
        let number = world.upstream.versions.len() - 1;
        world.upstream.current.insert(Arc::from(path), number);
    }

    /// What it has of a path ends so many seconds after it was fetched.
    fn ends_after_s(&self, path: &str, seconds: u64) {
        let mut world = self.world();
        let newest = world.newest_version(path);
        world.upstream.versions[newest].ends_after = Some(std::time::Duration::from_secs(seconds));
    }

    fn comes(&mut self, node: usize, path: &str) {
        let actor = self.world().number();
        let visit = visit(self.run.sim.clone(), self.run.nodes[node].clone(), actor, Wish::of(path));
        self.run.spawn(actor, visit);
    }

    fn publishes(&mut self, node: usize, order: Order) {
        let actor = self.world().number();
        let node = self.run.nodes[node].clone();
        self.world().history.under_way.insert(actor, UnderWay { node: node.id, what: "a story".into() });
        let publish = publish(self.run.sim.clone(), node, actor, order);
        self.run.spawn(actor, publish);
    }

    /// Lets everything go on that is not held. Jobs stay where they are, and so does time.
    async fn goes_on(&mut self) {
        loop {
            yield_now().await;
            yield_now().await;
            let mut world = self.world();
            let waiting = world.waiting();
            let held = |number: &usize| {
                let parked = &world.parked[number];
                self.held.contains(&(parked.node, parked.op))
            };
            let Some(next) = waiting.into_iter().find(|number| !held(number)) else { return };
            world.open(next, Verdict::Go);
        }
    }

    /// Gives one held call another end.
    fn fails(&self, node: NodeId, op: Op, verdict: Verdict) {
        let mut world = self.world();
        let number = world.parked.iter().find(|(_, p)| p.node == node && p.op == op).map(|(n, _)| *n);
        world.open(number.expect("a call at the gate"), verdict);
    }

    async fn visits(&mut self, node: usize, path: &str) -> Seen {
        self.comes(node, path);
        self.goes_on().await;
        self.world().history.last.take().expect("an answer")
    }

    fn pass(&self, ms: u64) {
        let mut world = self.world();
        let to = world.now + ms;
        world.pass(to);
    }
}

#[test]
fn an_answer_is_stale_in_all_its_fields_when_the_clock_is_set_back_meanwhile() {
    tell(1, async |story| {
        story.change("/blog/a", Some(5), &[]);
        story.visits(0, "/blog/a").await;
        story.pass(6_000);
        story.held = vec![(0, Op::Read)];
        story.comes(0, "/blog/a");
        story.goes_on().await;
        story.world().nodes[0].clock_error_ms = -3_000;
        story.world().history.clocks_differ = true;
        story.held.clear();
        story.goes_on().await;
        assert_eq!(story.world().history.last.take().expect("an answer").label, "STALE");
    });
}

#[test]
fn a_render_that_finds_nothing_new_puts_bodies_again_that_were_removed_meanwhile() {
    tell(2, async |story| {
        story.change("/blog/a", None, &[]);
        story.visits(0, "/blog/a").await;
        story.pass(10);
        // The deletion has its ticket, and is held before its tombstone.
        story.held = vec![(0, Op::Commit), (1, Op::Fetch)];
        story.publishes(0, Order::delete("/blog/a"));
        story.goes_on().await;
        // A render with a newer one starts from what is stored.
        story.publishes(1, Order::now("/blog/a"));
        story.goes_on().await;
        story.held = vec![(1, Op::Fetch)];
        story.goes_on().await;
        story.held.clear();
        story.goes_on().await;
        let seen = story.visits(0, "/blog/a").await;
        assert_eq!(seen.label, "HIT", "{seen:?}");
    });
}

#[test]
fn bodies_that_a_deletion_takes_from_a_render_that_has_put_them_are_put_again() {
    tell(2, async |story| {
        story.change("/event", None, &[]);
        story.ends_after_s("/event", 2);
        story.visits(0, "/event").await;
        // It has expired. The deletion has its ticket, and is held until that has expired as well.
        story.pass(3_000);
        story.held = vec![(0, Op::Prepare), (1, Op::Commit)];
        story.publishes(0, Order::delete("/event"));
        story.goes_on().await;
        story.pass(4_000);
        // The same content again: its bodies are put where the old ones were.
        story.comes(1, "/event");
        story.goes_on().await;
        story.held = vec![(1, Op::Commit)];
        story.goes_on().await;
        story.held.clear();
        story.goes_on().await;
        let seen = story.visits(0, "/event").await;
        assert_eq!(seen.label, "HIT", "{seen:?}");
    });
}

#[test]
fn a_deletion_leaves_the_bodies_of_a_page_that_was_rendered_again_by_a_clock_that_is_behind() {
    tell(2, async |story| {
        story.change("/blog/a", None, &[]);
        story.visits(0, "/blog/a").await;
        story.pass(10);
        story.world().nodes[1].clock_error_ms = -5_000;
        story.world().history.clocks_differ = true;
        story.held = vec![(0, Op::Commit)];
        story.publishes(0, Order::delete("/blog/a"));
        story.goes_on().await;
        // Its tombstone is there, and what it removes is not gone yet.
        story.held = vec![(0, Op::Read), (0, Op::RemoveBody)];
        story.goes_on().await;
        // The same content again: its bodies are put where the old ones are, and seem to be older than the deletion.
        story.visits(1, "/blog/a").await;
        story.held.clear();
        story.goes_on().await;
        let seen = story.visits(0, "/blog/a").await;
        assert_eq!(seen.label, "HIT", "{seen:?}");
    });
}

#[test]
fn a_page_in_memory_alone_hears_of_an_invalidation_of_its_own_tags() {
    tell(1, async |story| {
        story.change("/blog/a", None, &["blue"]);
        story.held = vec![(0, Op::Commit)];
        story.comes(0, "/blog/a");
        story.goes_on().await;
        story.fails(0, Op::Commit, Verdict::Refuse);
        story.held.clear();
        story.goes_on().await;
        assert_eq!(story.visits(0, "/blog/a").await.label, "HIT", "what could not be stored is shown");
        story.publishes(0, Order::stale_tag("blue"));
        story.goes_on().await;
        assert_eq!(story.visits(0, "/blog/a").await.label, "MISS", "it is rendered again");
    });
}

#[test]
fn a_page_in_memory_alone_is_better_than_an_error() {
    tell(1, async |story| {
        story.change("/strict/a", Some(2), &[]);
        story.held = vec![(0, Op::PutBody)];
        story.comes(0, "/strict/a");
        story.goes_on().await;
        story.fails(0, Op::PutBody, Verdict::Refuse);
        story.held.clear();
        story.goes_on().await;
        // Too old to be shown without a try; but neither the store nor the upstream can be asked.
        story.pass(60_000);
        story.world().upstream.moods.insert("/strict/a".into(), Mood::Fails);
        story.held = vec![(0, Op::Read), (0, Op::Begin)];
        story.comes(0, "/strict/a");
        for op in [Op::Read, Op::Begin, Op::Read] {
            story.goes_on().await;
            story.fails(0, op, Verdict::Refuse);
        }
        story.goes_on().await;
        let seen = story.world().history.last.take().expect("an answer");
        assert_eq!((seen.status, seen.label.as_str()), (200, "STALE"), "{seen:?}");
    });
}

/// A page that is rendered while the store can neither be read nor written is as new as every invalidation that its
/// process has heard of. Otherwise the store, once it can be read again, would seem to have the newer page.
#[test]
fn a_page_in_memory_alone_is_newer_than_the_invalidations_that_its_process_has_heard_of() {
    tell(1, async |story| {
        story.change("/strict/a", Some(2), &["blue"]);
        story.visits(0, "/strict/a").await;
        story.publishes(0, Order::stale_tag("blue"));
        story.goes_on().await;
        assert_eq!(story.visits(0, "/strict/a").await.label, "STALE", "its process has heard of it");
        story.change("/strict/a", Some(600), &["blue"]);
        story.pass(60_000);
        story.held = vec![(0, Op::Read), (0, Op::Begin)];
        story.comes(0, "/strict/a");
        for op in [Op::Read, Op::Begin, Op::Read] {
            story.goes_on().await;
            story.fails(0, op, Verdict::Refuse);
        }
        story.goes_on().await;
        let new = story.world().history.last.take().expect("an answer");
        assert_eq!((new.status, new.label.as_str()), (200, "REVALIDATED"), "{new:?}");
        assert_eq!(new.fresh_s, 1, "it may have been invalidated: {new:?}");
        story.held.clear();
        // The first visitor after a while has the store tried again, without waiting for that.
        story.pass(3_000);
        assert_eq!(story.visits(0, "/strict/a").await.version, new.version);
        let seen = story.visits(0, "/strict/a").await;
        assert_eq!((seen.label.as_str(), seen.version), ("HIT", new.version), "nobody goes back: {seen:?}");
    });
}

/// The same where the store can be read, and knows of an invalidation of which this process has not heard.
#[test]
fn a_page_in_memory_alone_is_newer_than_the_invalidations_that_the_store_knew_of_before_its_render() {
    tell(2, async |story| {
        story.change("/strict/a", Some(2), &["blue"]);
        story.visits(0, "/strict/a").await;
        story.change("/strict/a", Some(600), &["blue"]);
        story.pass(60_000);
        story.held = vec![(0, Op::Begin)];
        story.comes(0, "/strict/a");
        story.goes_on().await;
        story.publishes(1, Order::stale_tag("blue"));
        story.goes_on().await;
        story.fails(0, Op::Begin, Verdict::Refuse);
        story.goes_on().await;
        let new = story.world().history.last.take().expect("an answer");
        assert_eq!((new.status, new.label.as_str()), (200, "REVALIDATED"), "{new:?}");
        let seen = story.visits(0, "/strict/a").await;
        assert_eq!((seen.label.as_str(), seen.version), ("HIT", new.version), "nobody goes back: {seen:?}");
    });
}

#[test]
fn a_visitor_of_a_page_that_has_expired_again_does_not_share_the_render_before() {
    tell(2, async |story| {
        story.change("/event", None, &[]);
        story.ends_after_s("/event", 2);
        story.visits(0, "/event").await;
        story.change("/event", None, &[]);
        story.ends_after_s("/event", 2);
        story.pass(3_000);
        // It is shown, and its render still has to tell the queue what to remove.
        story.held = vec![(0, Op::Send)];
        story.comes(0, "/event");
        story.goes_on().await;
        story.pass(3_000);
        story.held.push((1, Op::Send));
        story.visits(1, "/event").await;
        story.pass(3_000);
        story.comes(0, "/event");
        story.goes_on().await;
        story.held.clear();
        story.goes_on().await;
    });
}
