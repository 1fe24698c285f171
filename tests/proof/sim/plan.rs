//! What a seed is about: which things go wrong, and how often. A run in which everything goes wrong at once would hide
//! most of what can: each seed leaves many of them out.

use std::time::Duration;

use perennial::parts::base::limits::Limits;
use perennial::parts::run::settings::Settings;
use tests::rng::Rng;

use crate::gate::{Op, Verdict};
use crate::mistake::Mistake;
use crate::upstream::PATHS;

/// Short, so that much happens in little time.
pub(crate) const LEASE: Duration = Duration::from_secs(3);
/// So many processes at once.
pub(crate) const MAX_NODES: usize = 3;
pub(crate) const MAX_RENDERS: usize = 3;
pub(crate) const MAX_STORED_NOT_FOUND: usize = 2;
pub(crate) const MAX_WAITING: usize = 6;
/// No call of a store is under way for longer: its client gives up.
pub(crate) const CALL_MS_MAX: u64 = 8_000;

/// The plan of one seed.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) steps: usize,
    pub(crate) nodes: usize,
    /// Places in [`PATHS`].
    pub(crate) paths: Vec<usize>,
    pub(crate) memory_bytes: u64,
    /// How long a visitor waits for stores: less than a call may take, or more.
    pub(crate) store_wait: Duration,
    /// Visitors ask for what there is not.
    pub(crate) strangers: bool,
    /// In a thousand of calls.
    verdicts: [(Verdict, u32); 6],
    /// In a thousand of processes.
    pub(crate) clock_errors: u32,
    pub(crate) weights: Weights,
}

/// How often things happen, beside one another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weights {
    pub(crate) visit: u32,
    pub(crate) publish: u32,
    pub(crate) change: u32,
    pub(crate) mood: u32,
    pub(crate) leave: u32,
    pub(crate) crash: u32,
    pub(crate) stop: u32,
    pub(crate) deploy: u32,
    pub(crate) build: u32,
    pub(crate) clock_step: u32,
    pub(crate) body_loss: u32,
    pub(crate) job_fault: u32,
}

impl Plan {
    pub(crate) fn of(rng: &mut Rng) -> Self {
        let mut sometimes = |most: u32| match rng.permille(500) {
            true => rng.between(1, most.into()) as u32,
            false => 0,
        };
        let verdicts = [
            (Verdict::Slow, sometimes(300)),
            (Verdict::Refuse, sometimes(60)),
            (Verdict::Vanish, sometimes(60)),
            (Verdict::Lose, sometimes(60)),
            (Verdict::Twice, sometimes(60)),
            (Verdict::Partly, sometimes(250)),
        ];
        let weights = Weights {
            visit: 60,
            publish: sometimes(30),
            change: 10,
            mood: sometimes(10),
            leave: sometimes(5),
            crash: sometimes(8),
            stop: sometimes(5),
            deploy: sometimes(8),
            build: sometimes(4),
            clock_step: sometimes(1) * 2,
            body_loss: sometimes(2),
            job_fault: sometimes(10),
        };
        let count = rng.between(1, 4) as usize;
        let paths = (0..count).map(|_| rng.below(PATHS.len())).collect();
        Self {
            steps: rng.between(100, 400) as usize,
            nodes: rng.between(1, MAX_NODES as u64) as usize,
            paths,
            memory_bytes: *rng.pick(&[0, 6_000, 50 << 20, 50 << 20]),
            store_wait: Duration::from_millis(if rng.permille(250) { 1_000 } else { 3 * CALL_MS_MAX }),
            strangers: rng.permille(200),
            verdicts,
            clock_errors: if rng.permille(150) { 600 } else { 0 },
            weights,
        }
    }

    /// From here on nothing goes wrong any more.
    pub(crate) fn calm(&mut self) {
        self.verdicts = self.verdicts.map(|(verdict, _)| (verdict, 0));
        self.clock_errors = 0;
        self.strangers = false;
    }

    /// What becomes of a call.
    pub(crate) fn verdict(&self, rng: &mut Rng, op: Op, answering: bool) -> Verdict {
        let Some((verdict, _)) = self.verdicts.iter().find(|(_, permille)| rng.permille(*permille)) else {
            return Verdict::Go;
        };
        match (verdict, answering, op) {
            // What has been carried out can only be answered or not.
            (Verdict::Lose | Verdict::Vanish, true, _) => Verdict::Lose,
            (_, true, _) => Verdict::Go,
            (Verdict::Twice, _, Op::Fetch) => Verdict::Slow,
            (Verdict::Partly, _, op) if ![Op::Read, Op::Epochs].contains(&op) => Verdict::Go,
            (verdict, ..) => *verdict,
        }
    }
}

/// The limits of a process.
pub(crate) fn limits(plan: &Plan, mistake: Option<Mistake>) -> Limits {
    let has = |of| mistake == Some(of);
    Limits {
        memory_cache_bytes: if has(Mistake::RemembersWithoutLimit) { 50 << 20 } else { plan.memory_bytes },
        render_timeout: Duration::from_secs(4),
        max_concurrent_renders: if has(Mistake::RendersWithoutLimit) { 100 } else { MAX_RENDERS },
        lease: LEASE,
        max_wait: Duration::from_secs(8),
        max_waiting_visitors: MAX_WAITING,
        max_body_bytes: crate::site::BODY_BYTES_MAX,
        inline_body_bytes: 200,
        max_stored_not_found: MAX_STORED_NOT_FOUND,
        shutdown_grace: Duration::from_secs(2),
        store_wait: plan.store_wait,
        store_pause: Duration::from_secs(if has(Mistake::NeverTriesAgain) { 1_000_000 } else { 2 }),
        ..Settings::default().limits
    }
}
