//! One seed: what happens next, again and again, until enough has happened.

use std::collections::BTreeMap;
use std::sync::Arc;

use perennial::parts::ports::queue::DELIVERIES_MAX;
use tokio::task::{AbortHandle, yield_now};

use crate::gate::{ActorId, Op, Sim, Verdict};
use crate::history::UnderWay;
use crate::mistake::Mistake;
use crate::node::Node;
use crate::plan::{CALL_MS_MAX, Plan};
use crate::publishers::{Order, deliver, publish};
use crate::tally::Tally;
use crate::upstream::PATHS;
use crate::visitors::{Wish, visit};
use crate::world::{Broken, World};

/// How a seed ended.
pub(crate) struct Ended {
    pub(crate) tally: Tally,
    pub(crate) broken: Option<Broken>,
    pub(crate) log: Vec<String>,
}

/// Runs a seed, right or with a mistake.
pub(crate) fn run(seed: u64, mistake: Option<Mistake>, log: bool) -> Ended {
    perennial::parts::base::blocking::run_on_one_thread();
    // All tasks that can run do so before the scheduler does again, without a look at anything in between.
    let runtime = tokio::runtime::Builder::new_current_thread().event_interval(u32::MAX).build();
    let runtime = runtime.expect("a runtime without threads");
    let sim = Sim::new(World::new(seed, mistake, log));
    runtime.block_on(Run::new(&sim).go());
    drop(runtime);
    let mut world = sim.lock();
    world.tally.seeds = 1;
    Ended {
        tally: world.tally.clone(),
        broken: world.broken.clone(),
        log: world.log.take().unwrap_or_default(),
    }
}

/// The builds that there may be.
pub(crate) const BUILDS: [&str; 3] = ["b0", "b1", "b2"];
/// Visitors, publishers and deliveries under way at once.
const UNDER_WAY_MAX: usize = 12;
/// A message that is being worked on is not delivered again before this.
const HIDDEN_MS: u64 = 20_000;
pub(crate) struct Run {
    pub(crate) sim: Sim,
    pub(crate) plan: Plan,
    /// Processes that take requests.
    pub(crate) nodes: Vec<Arc<Node>>,
    pub(crate) build: Arc<str>,
    tasks: BTreeMap<ActorId, AbortHandle>,
}

impl Run {
    /// A run of which nothing has happened yet.
    pub(crate) fn new(sim: &Sim) -> Self {
        let plan = {
            let mut world = sim.lock();
            let plan = Plan::of(&mut world.rng);
            world.store.keeps_inline = world.rng.permille(500);
            world.store.tags_apart = world.rng.permille(500);
            world.store.has_version = world.rng.permille(500);
            world.upstream.large = world.rng.permille(100);
            world.history.clocks_differ = plan.weights.clock_step > 0;
            world.history.patience_ms = plan.store_wait.as_millis() as u64;
            world.say(|| format!("{plan:?}"));
            for (path, _) in PATHS {
                world.change(path);
            }
            plan
        };
        Self { sim: sim.clone(), plan, nodes: Vec::new(), build: BUILDS[0].into(), tasks: BTreeMap::new() }
    }

    async fn go(mut self) {
        for _ in 0..self.plan.nodes {
            self.start();
        }
        for _ in 0..self.plan.steps {
            if !self.step().await {
                return;
            }
        }
        self.settle().await;
    }

    /// Something happens, and all that follows from it by itself. `false` once something is broken.
    async fn step(&mut self) -> bool {
        self.happen().await;
        self.rest().await
    }

    /// Waits until nothing moves. `false` if something is broken.
    pub(crate) async fn rest(&self) -> bool {
        // Twice, because who yields as well runs beside the first.
        yield_now().await;
        yield_now().await;
        let mut world = self.sim.lock();
        world.tally.events += 1;
        world.waiting();
        for node in self.nodes.iter().filter(|node| node.is_struggling()) {
            let visits = world.history.visits.values_mut();
            visits.filter(|visit| visit.node == node.id).for_each(|visit| visit.faulted = true);
        }
        world.nobody_waits();
        for node in &self.nodes {
            let (used, _) = node.engine.memory_usage();
            if used > self.plan.memory_bytes {
                world.breaks(11, format!("n{} keeps {used} bytes in memory", node.id));
            }
        }
        world.broken.is_none()
    }

    async fn happen(&mut self) {
        let (choice, waiting) = {
            let mut world = self.sim.lock();
            let waiting = world.waiting();
            let busy = world.history.under_way.len() + world.history.visits.len() >= UNDER_WAY_MAX;
            let now = world.now;
            let due = world.queue.iter().filter(|message| message.visible_at <= now).count();
            let w = &self.plan.weights;
            let up = u32::from(!self.nodes.is_empty());
            let if_free = |weight: u32| if busy { 0 } else { weight * up };
            let missing = self.plan.nodes.saturating_sub(self.nodes.len()) as u32;
            let weights = [
                60 * waiting.len().min(6) as u32,
                if waiting.is_empty() { 100 } else { 25 },
                if_free(w.visit),
                if_free(w.publish),
                if_free(40 * due.min(3) as u32),
                w.change,
                w.mood,
                w.leave,
                w.crash * up,
                w.stop * up,
                w.deploy,
                w.build * up,
                w.clock_step * up,
                w.body_loss,
                w.job_fault * u32::from(!world.queue.is_empty()),
                40 * missing,
            ];
            (world.rng.weighted(&weights), waiting)
        };
        match choice {
            Some(0) => self.open(&waiting),
            Some(1) => self.pass(),
            Some(2) => self.visit(),
            Some(3) => self.publish(),
            Some(4) => self.deliver(),
            Some(5) => self.change(),
            Some(6) => self.change_mood(),
            Some(7) => self.leave(),
            Some(8) => self.crash().await,
            Some(9) => self.stop(),
            Some(10) => self.deploy(),
            Some(11) => self.build(),
            Some(12) => self.step_clock(),
            Some(13) => self.lose_a_body(),
            Some(14) => self.fault_a_job(),
            _ => self.start(),
        }
    }

    /// A call goes on, well or not.
    fn open(&self, waiting: &[usize]) {
        let mut world = self.sim.lock();
        let number = *world.rng.pick(waiting);
        let (op, answering) = (world.parked[&number].op, world.parked[&number].answering);
        let verdict = self.plan.verdict(&mut world.rng, op, answering);
        world.open(number, verdict);
    }

    /// Time passes, mostly until somebody has waited for it.
    fn pass(&self) {
        let mut world = self.sim.lock();
        let next = world.next_due().unwrap_or(world.now + 1_000);
        let by = match world.rng.below(20) {
            0..10 => next.saturating_sub(world.now),
            10..16 => world.rng.between(1, 200),
            16..19 => world.rng.between(1_000, 4_000),
            _ => world.rng.between(10_000, 40_000),
        };
        let oldest = world.parked.iter().filter(|(_, parked)| parked.op != Op::Fetch);
        let oldest = oldest.min_by_key(|(number, parked)| (parked.since, **number));
        let to = world.now + by;
        match oldest.map(|(number, parked)| (*number, parked.since + CALL_MS_MAX)) {
            Some((number, latest)) if latest <= world.now => world.open(number, Verdict::Go),
            Some((_, latest)) => world.pass(to.min(latest)),
            None => world.pass(to),
        }
    }

    pub(crate) fn spawn(&mut self, actor: ActorId, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.retain(|_, task| !task.is_finished());
        self.tasks.insert(actor, tokio::spawn(task).abort_handle());
    }

    fn some_node(&self) -> Arc<Node> {
        let mut world = self.sim.lock();
        world.rng.pick(&self.nodes).clone()
    }

    fn visit(&mut self) {
        let node = self.some_node();
        let (actor, wish) = {
            let mut world = self.sim.lock();
            let mut wish = Wish::random(&mut world.rng, &self.plan);
            let kept = world.rng.permille(150);
            wish.has = world.history.etags.get(&wish.path).filter(|_| kept).cloned();
            (world.number(), wish)
        };
        self.spawn(actor, visit(self.sim.clone(), node, actor, wish));
    }

    fn publish(&mut self) {
        let node = self.some_node();
        let (actor, order) = {
            let mut world = self.sim.lock();
            let order = Order::random(&mut world.rng, &self.plan);
            // What it is about has mostly changed.
            if let Some(path) = order.path().map(str::to_owned).filter(|_| world.rng.permille(700)) {
                world.change(&path);
            }
            world.tally.happens("publishes");
            let actor = world.number();
            world.history.under_way.insert(actor, UnderWay { node: node.id, what: format!("{order:?}") });
            (actor, order)
        };
        self.spawn(actor, publish(self.sim.clone(), node, actor, order));
    }

    pub(crate) fn deliver(&mut self) {
        let (actor, node, messages) = {
            let mut world = self.sim.lock();
            let now = world.now;
            let mut due: Vec<_> =
                (0..world.queue.len()).filter(|&at| world.queue[at].visible_at <= now).collect();
            let batch = world.rng.between(1, 3) as usize;
            let mut messages = Vec::new();
            while !due.is_empty() && messages.len() < batch {
                let at = due.remove(world.rng.below(due.len()));
                let message = &mut world.queue[at];
                (message.visible_at, message.deliveries) = (now + HIDDEN_MS, message.deliveries + 1);
                messages.push(message.clone());
            }
            let before = world.queue.len();
            world.queue.retain(|message| message.deliveries <= DELIVERIES_MAX);
            world.promises.jobs_lost |= world.queue.len() < before;
            // Mostly to a process of the build that sent the first, if there still is one.
            let its_own = self.nodes.iter().filter(|node| *node.build == *messages[0].build);
            let its_own: Vec<_> = its_own.cloned().collect();
            let own = !its_own.is_empty() && (world.history.settled || world.rng.permille(800));
            let node = world.rng.pick(if own { &its_own } else { &self.nodes }).clone();
            let actor = world.number();
            let what = format!("{messages:?}");
            world.say(|| format!("n{} #{actor} is delivered {what}", node.id));
            world.history.under_way.insert(actor, UnderWay { node: node.id, what });
            (actor, node, messages)
        };
        self.spawn(actor, deliver(self.sim.clone(), node, actor, messages));
    }

    fn change(&self) {
        let mut world = self.sim.lock();
        let path = PATHS[*world.rng.pick(&self.plan.paths)].0;
        world.change(path);
    }

    fn change_mood(&self) {
        let mut world = self.sim.lock();
        let path = PATHS[*world.rng.pick(&self.plan.paths)].0;
        world.change_mood(path);
        world.tally.happens("moods");
    }

    /// Somebody who waits for an answer goes away.
    fn leave(&mut self) {
        let mut world = self.sim.lock();
        let visitors: Vec<_> = world.history.visits.keys().copied().collect();
        if visitors.is_empty() {
            return;
        }
        let actor = *world.rng.pick(&visitors);
        world.history.visits.remove(&actor);
        world.number();
        world.say(|| format!("#{actor} goes away"));
        world.tally.happens("visitors gone");
        drop(world);
        if let Some(task) = self.tasks.remove(&actor) {
            task.abort();
        }
    }

    pub(crate) fn start(&mut self) {
        self.nodes.push(Node::start(&self.sim, &self.build, &self.plan));
    }
}
