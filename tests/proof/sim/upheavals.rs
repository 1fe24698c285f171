//! What happens to processes: they die, are stopped, are replaced by another build; and what happens to jobs and clocks.

use std::time::Duration;

use tokio::task::yield_now;

use crate::gate::Verdict;
use crate::history::UnderWay;
use crate::run::{BUILDS, Run};

impl Run {
    /// A process dies. Each of its calls may have been carried out.
    pub(crate) async fn crash(&mut self) {
        let node = {
            let mut world = self.sim.lock();
            let at = world.rng.below(self.nodes.len());
            let node = self.nodes.remove(at);
            world.number();
            world.say(|| format!("n{} dies", node.id));
            world.tally.happens("crashes");
            for number in world.waiting() {
                let parked = &world.parked[&number];
                if parked.node == node.id && !parked.answering && world.rng.permille(500) {
                    world.open(number, Verdict::Die);
                }
            }
            node
        };
        yield_now().await;
        self.sim.lock().kill(node.id);
    }

    /// A process is told to stop: it takes no more requests, and ends what it has.
    pub(crate) fn stop(&mut self) {
        let mut world = self.sim.lock();
        let at = world.rng.below(self.nodes.len());
        let node = self.nodes.remove(at);
        let actor = world.number();
        world.say(|| format!("n{} is told to stop", node.id));
        world.tally.happens("stops");
        world.nodes[node.id].stopping = true;
        world.history.under_way.insert(actor, UnderWay { node: node.id, what: "it stops".into() });
        drop(world);
        let sim = self.sim.clone();
        self.spawn(actor, async move {
            node.engine.shut_down(Duration::from_secs(2)).await;
            let mut world = sim.lock();
            world.say(|| format!("n{} has stopped", node.id));
            world.history.under_way.remove(&actor);
            world.kill(node.id);
        });
    }

    /// Processes that start from now on are of another build: a newer one, or an older one again. One is replaced at once.
    pub(crate) fn deploy(&mut self) {
        if self.nodes.len() > 1 {
            self.stop();
        }
        let mut world = self.sim.lock();
        self.build = (*world.rng.pick(&BUILDS)).into();
        world.number();
        world.say(|| format!("{} is deployed", self.build));
        world.tally.happens("deployments");
    }

    /// The site is built, by a process beside the others.
    pub(crate) fn build(&mut self) {
        let node = {
            let mut world = self.sim.lock();
            world.tally.happens("builds");
            world.rng.pick(&self.nodes).clone()
        };
        let actor = self.sim.lock().number();
        let under_way = UnderWay { node: node.id, what: format!("{} is built", node.build) };
        self.sim.lock().history.under_way.insert(actor, under_way);
        let sim = self.sim.clone();
        self.spawn(actor, async move {
            let built = node.engine.build_site(|_| {}).await;
            let mut world = sim.lock();
            world.say(|| format!("n{}: the build has ended: {}", node.id, built.is_ok()));
            world.history.under_way.remove(&actor);
        });
    }

    /// A clock is set, in either direction.
    pub(crate) fn step_clock(&mut self) {
        let mut world = self.sim.lock();
        let node = world.rng.pick(&self.nodes).id;
        let error = world.rng.between(0, 120_000) as i64 - 60_000;
        world.number();
        world.say(|| format!("n{node}: its clock is wrong by {error} ms from now on"));
        world.tally.happens("clock steps");
        world.nodes[node].clock_error_ms = error;
        world.clock_stepped(node);
    }

    /// A stored body is damaged, which counts as gone.
    pub(crate) fn lose_a_body(&mut self) {
        let mut world = self.sim.lock();
        let names: Vec<_> = world.store.bodies.keys().cloned().collect();
        if names.is_empty() {
            return;
        }
        let lost = world.rng.pick(&names).clone();
        let moment = world.number();
        world.say(|| format!("a body of {} is damaged", lost.0.1.path()));
        world.tally.happens("bodies lost");
        world.store.bodies.remove(&lost);
        world.history.bare.insert(lost.0, moment);
    }

    /// A job is lost, or comes twice.
    pub(crate) fn fault_a_job(&mut self) {
        let mut world = self.sim.lock();
        let length = world.queue.len();
        let at = world.rng.below(length);
        let id = world.queue[at].id;
        world.number();
        if world.rng.permille(500) {
            world.queue.remove(at);
            world.promises.jobs_lost = true;
            world.say(|| format!("the message {id} is lost"));
            world.tally.happens("jobs lost");
        } else {
            let (now, mut again) = (world.now, world.queue[at].clone());
            (again.id, again.visible_at) = (world.number(), now);
            world.say(|| format!("the message {id} comes again as {}", again.id));
            world.queue.push_back(again);
            world.tally.happens("jobs repeated");
        }
    }
}
