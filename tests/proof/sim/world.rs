//! All that there is outside of the processes: time, the store, the queue, the upstream, and what has happened.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use perennial::parts::ports::job::Job;
use perennial::parts::ports::queue::Delivery;
use tests::rng::Rng;

use crate::clock::Sleeper;
use crate::gate::{ActorId, NodeId, Parked, Verdict};
use crate::history::History;
use crate::journal::Entries;
use crate::mistake::Mistake;
use crate::promises::Promises;
use crate::store::Store;
use crate::tally::Tally;
use crate::upstream::Upstream;

/// A process, as the world sees it.
#[derive(Debug)]
pub(crate) struct NodeState {
    pub(crate) build: Arc<str>,
    /// Nothing of it goes on.
    pub(crate) dead: bool,
    /// It takes no more requests.
    pub(crate) stopping: bool,
    /// How far its clock is ahead.
    pub(crate) clock_error_ms: i64,
    /// Whether a call of its own has ever failed: then it may have rendered what it could not store.
    pub(crate) faulted: bool,
}

impl NodeState {
    pub(crate) fn new(build: &Arc<str>, clock_error_ms: i64) -> Self {
        Self { build: build.clone(), dead: false, stopping: false, clock_error_ms, faulted: false }
    }
}

/// A message of the queue.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: usize,
    pub(crate) text: String,
    /// The build that sent it.
    pub(crate) build: String,
    /// Not to be delivered before then.
    pub(crate) visible_at: u64,
    pub(crate) deliveries: u32,
}

/// Something that must not be: the number of the invariant, and what happened.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) invariant: u8,
    pub(crate) what: String,
}

pub(crate) struct World {
    /// Milliseconds since the beginning, by the one true clock.
    pub(crate) now: u64,
    pub(crate) rng: Rng,
    pub(crate) nodes: Vec<NodeState>,
    pub(crate) parked: BTreeMap<usize, Parked>,
    pub(crate) sleepers: BTreeMap<(u64, usize), Sleeper>,
    pub(crate) store: Store,
    pub(crate) queue: VecDeque<Message>,
    pub(crate) journal: Entries,
    pub(crate) upstream: Upstream,
    pub(crate) history: History,
    pub(crate) promises: Promises,
    pub(crate) tally: Tally,
    pub(crate) broken: Option<Broken>,
    /// What happened, line by line, if somebody wants to know.
    pub(crate) log: Option<Vec<String>>,
    pub(crate) mistake: Option<Mistake>,
    numbers: usize,
}

impl World {
    pub(crate) fn new(seed: u64, mistake: Option<Mistake>, log: bool) -> Self {
        Self {
            now: 0,
            rng: Rng::new(seed),
            nodes: Vec::new(),
            parked: BTreeMap::new(),
            sleepers: BTreeMap::new(),
            store: Store { mistake, ..Store::default() },
            queue: VecDeque::new(),
            journal: Entries::default(),
            upstream: Upstream::default(),
            history: History::default(),
            promises: Promises::default(),
            tally: Tally::default(),
            broken: None,
            log: log.then(Vec::new),
            mistake,
            numbers: 0,
        }
    }

    /// A number that is greater than every one before it: names, and moments.
    pub(crate) fn number(&mut self) -> usize {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn say(&mut self, what: impl FnOnce() -> String) {
        let (now, number) = (self.now, self.numbers);
        if let Some(log) = &mut self.log {
            log.push(format!("{:>4}.{:03} {number:>5}  {}", now / 1000, now % 1000, what()));
        }
    }

    pub(crate) fn has(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// Notes that an invariant does not hold. The first counts.
    pub(crate) fn breaks(&mut self, invariant: u8, what: String) {
        self.say(|| format!("BROKEN {invariant}: {what}"));
        self.broken.get_or_insert(Broken { invariant, what });
    }

    pub(crate) fn park(&mut self, parked: Parked) {
        if self.nodes[parked.node].dead {
            return;
        }
        let number = self.number();
        self.parked.insert(number, parked);
    }

    /// Opens the gate for one call.
    pub(crate) fn open(&mut self, number: usize, verdict: Verdict) {
        let Some(parked) = self.parked.remove(&number) else { return };
        self.number();
        // Nothing takes no time.
        self.now += 1;
        self.tally.call(parked.op, verdict);
        self.say(|| match verdict {
            Verdict::Go => parked.to_string(),
            verdict => format!("{parked}: {verdict:?}"),
        });
        if let Some(visit) = parked.actor.and_then(|actor| self.history.visits.get_mut(&actor)) {
            visit.unchecked |= verdict == Verdict::Partly;
            visit.waited_ms += self.now - parked.since;
            // What it would need beside that is not asked for.
            visit.faulted |= visit.waited_ms >= self.history.patience_ms;
        }
        if verdict.is_fault() {
            self.nodes[parked.node].faulted = true;
            if let Some(visit) = parked.actor.and_then(|actor| self.history.visits.get_mut(&actor)) {
                visit.faulted = true;
            }
        }
        // Who waits may have gone.
        let _ = parked.open.send(verdict);
    }

    /// Calls at the gate that somebody still waits for.
    pub(crate) fn waiting(&mut self) -> Vec<usize> {
        let (visits, parked) = (&mut self.history.visits, &mut self.parked);
        parked.retain(|_, parked| {
            let waits = !parked.open.is_closed();
            // Its visitor has lost patience, or has gone.
            if !waits && let Some(visit) = parked.actor.and_then(|actor| visits.get_mut(&actor)) {
                visit.faulted = true;
            }
            waits
        });
        self.parked.keys().copied().collect()
    }

    /// The next time for which somebody waits.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.sleepers.keys().next().map(|(due, _)| *due)
    }

    /// Lets time pass, and wakes whose time has come.
    pub(crate) fn pass(&mut self, to: u64) {
        self.now = self.now.max(to);
        while let Some(sleeper) = self.sleepers.first_entry().filter(|s| s.key().0 <= self.now) {
            // It may be gone.
            let _ = sleeper.remove().wake.send(());
        }
    }

    /// Who waits goes by a clock that has stepped: nobody can tell for how long.
    pub(crate) fn clock_stepped(&mut self, node: NodeId) {
        let visits = self.history.visits.values_mut();
        visits.filter(|visit| visit.node == node).for_each(|visit| visit.faulted = true);
    }

    /// Ends a process: nothing that is under way in it goes on.
    pub(crate) fn kill(&mut self, node: NodeId) {
        self.nodes[node].dead = true;
        self.parked.retain(|_, parked| parked.node != node);
        self.sleepers.retain(|_, sleeper| sleeper.node != node);
        if self.has(Mistake::MarksInMemory) {
            self.store.unkept.clear();
        }
    }

    pub(crate) fn send(&mut self, job: &Job, delay: Duration) {
        if !self.takes(job) {
            return;
        }
        let visible_at = self.now + delay.as_millis() as u64;
        let id = self.number();
        self.tally.jobs += 1;
        self.queue.push_back(Message {
            id,
            text: job.to_json(),
            build: job.build.clone(),
            visible_at,
            deliveries: 0,
        });
    }

    /// Delivers a message that is due. Processes of the simulation have theirs delivered instead.
    pub(crate) fn take(&mut self, hidden: Duration) -> Option<Delivery> {
        let (now, until) = (self.now, self.now + hidden.as_millis() as u64);
        let message = self.queue.iter_mut().find(|message| message.visible_at <= now)?;
        (message.visible_at, message.deliveries) = (until, message.deliveries + 1);
        let (text, receipt) = (message.text.clone(), message.id.to_string());
        Some(Delivery { message: text, receipt, deliveries: message.deliveries })
    }

    /// A delivery that was carried out.
    pub(crate) fn finish(&mut self, receipt: &str) {
        self.queue.retain(|message| message.id.to_string() != receipt);
    }

    /// A delivery that failed: its message is visible again after a while.
    pub(crate) fn give_back(&mut self, receipt: &str, delay: Duration) {
        let visible_at = self.now + delay.as_millis() as u64;
        let message = self.queue.iter_mut().find(|message| message.id.to_string() == receipt);
        message.into_iter().for_each(|message| message.visible_at = visible_at);
    }

    /// Whether a visitor's own task has a call at the gate.
    pub(crate) fn is_calling(&self, actor: ActorId) -> bool {
        self.parked.values().any(|parked| parked.actor == Some(actor))
    }
}
