//! The functions under load while they are killed or stand still, their stores fail and their clock steps: invariants
//! 1, 3, 5, 6, 7. What breaks in processes on one machine is in `tests/proof/survival`; here it is several functions on one
//! account.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tests::between::{Between, Call, Fault};
use tests::clock::{CLOCK_FILE, set_wrong_by};
use tests::crowd::{Crowd, Load};
use tests::until::{pass, until};
use tests::{Aws, Upstream};

use crate::Fixture;

const LEASE: Duration = Duration::from_millis(1000);
const STORE_PAUSE: Duration = Duration::from_millis(1000);
const VISITORS: usize = 8;
const LOAD: Load = Load {
    visitors: VISITORS,
    pace: Duration::from_millis(30),
    aging: 4,
    // So long that renewals overlap.
    renewal: Duration::from_millis(400),
};

/// Processes that are at work before anything breaks, and after it again.
const LEAST: [(&str, usize); 2] = [("serve", 4), ("regenerate", 2)];

/// From the end of a fault until what was changed then is shown, and as many are at work again; on a machine that does
/// much else.
const BOUND: Duration = Duration::from_secs(30);

/// Calls that fail for now, by their names.
type Down = Arc<Mutex<Vec<&'static str>>>;

const TABLE: &[&str] = &["BatchGetItem", "GetItem", "UpdateItem", "PutItem", "DeleteItem", "Query"];
const BUCKET: &[&str] = &["GET", "PUT"];
const QUEUE: &[&str] = &["SendMessage"];

struct World {
    f: Fixture,
    crowd: Crowd,
    down: Down,
    clock: std::path::PathBuf,
    _between: Between,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let down = Down::default();
        let names = down.clone();
        let plan = move |call: &Call| {
            let is_down = names.lock().expect("unpoisoned").contains(&&*call.name);
            is_down.then_some(Fault::ServerError)
        };
        // Of its own only to learn where the server is: the stack makes its stores there.
        let between = Between::with(&Aws::start().await, plan).await;
        let folder = tempfile::TempDir::new().expect("a temporary directory");
        let clock = folder.path().join("clock");
        set_wrong_by(&clock, 0);
        let f = Fixture::on(
            Upstream::start().await,
            &[
                ("PERENNIAL_LEASE_MS", &LEASE.as_millis().to_string()),
                ("PERENNIAL_STORE_PAUSE_MS", &STORE_PAUSE.as_millis().to_string()),
                // However slow the machine is: a visitor waits for the table.
                ("PERENNIAL_STORE_WAIT_MS", "60000"),
                // However slow the machine is: who tries the store is answered by it.
                ("PERENNIAL_STORE_TRIAL_WAIT_MS", "10000"),
                ("AWS_ENDPOINT_URL", &between.url()),
                (CLOCK_FILE, &clock.display().to_string()),
            ],
        )
        .await;
        f.site.stack.deliver_one_by_one().await;
        let crowd = Crowd::enter(&f.up, f.site.stack.build(), vec![f.site.client()], LOAD).await;
        crowd.watch(30).await;
        assert!(between.calls().contains(&"BatchGetItem".to_owned()), "the functions go past the faults");
        Self { f, crowd, down, clock, _between: between, _folder: folder }
    }

    /// Waits until enough processes of each function are at work, and tells how many of how many are.
    async fn at_work(&self) -> String {
        let site = &self.f.site;
        until("enough processes at work", async || {
            // A job is delivered alone, and is one render; so each that is under way is another process's.
            let busy = [site.serving(), self.f.up.under_way("stale")];
            let is_enough = |counts: &[usize; 2]| counts.iter().zip(LEAST).all(|(n, (_, least))| *n >= least);
            is_enough(&busy).then_some(())?;
            let there = LEAST.map(|(name, _)| site.stack.processes(name).len());
            is_enough(&there).then_some(())?;
            let told = LEAST.iter().zip(busy).zip(there);
            let told =
                told.map(|(((name, _), busy), there)| format!("{} of {there} {name}", busy.min(there)));
            Some(told.collect::<Vec<_>>().join(" and "))
        })
        .await
    }

    async fn recover(&self, hit: Hit, since: Instant) -> Survived {
        let back = async {
            self.at_work().await;
            since.elapsed()
        };
        let (shown, at_work) = tokio::join!(self.crowd.recover(since), back);
        Survived { hit, shown, at_work }
    }

    /// Some calls of the stores fail until the crowd has seen enough of it.
    async fn fails(&self, names: &[&'static str], blind: bool) -> Survived {
        self.crowd.in_trouble(true);
        self.crowd.blind(blind);
        *self.down.lock().expect("unpoisoned") = names.to_vec();
        self.crowd.watch(40).await;
        self.down.lock().expect("unpoisoned").clear();
        let ended = Instant::now();
        // Until here a process may leave the store alone (PERENNIAL_STORE_PAUSE_MS).
        pass(STORE_PAUSE).await;
        // Who rendered without the store, or asked while it failed, is done.
        self.crowd.watch(2 * VISITORS).await;
        let survived = self.recover(vec![], ended).await;
        // Until then, who had nothing to show may show what could not be stored, beside others who show what is.
        self.crowd.blind(false);
        self.crowd.in_trouble(false);
        survived
    }

    /// Functions are killed while they work.
    async fn killed(&self, functions: &[&'static str]) -> Survived {
        self.crowd.killing(true);
        let killed = Instant::now();
        let mut hit = Vec::new();
        for function in functions {
            hit.push((*function, self.f.site.stack.kill(function).await));
        }
        let survived = self.recover(hit, killed).await;
        self.crowd.killing(false);
        survived
    }

    /// Renewals stand still in the middle, for longer than their leases hold, and then go on.
    async fn stands_still(&self) -> Survived {
        let hit = vec![("regenerate", self.f.site.stack.signal("regenerate", "STOP").await)];
        let stopped = Instant::now();
        let shown = self.crowd.recover(stopped).await;
        pass((2 * LEASE).saturating_sub(stopped.elapsed())).await;
        self.f.site.stack.signal("regenerate", "CONT").await;
        let continued = Instant::now();
        self.crowd.watch(30).await;
        self.at_work().await;
        Survived { hit, shown, at_work: continued.elapsed() }
    }

    async fn clock(&self, milliseconds: i64) -> Survived {
        set_wrong_by(&self.clock, milliseconds);
        let survived = self.recover(vec![], Instant::now()).await;
        self.crowd.watch(30).await;
        survived
    }
}

/// Functions, and how many of their processes were killed or stopped.
type Hit = Vec<(&'static str, usize)>;

/// What a fault has done, and how long it was felt.
struct Survived {
    hit: Hit,
    shown: Duration,
    at_work: Duration,
}

/// One fault under full load; how many processes it hit.
async fn survive(w: &World, what: &str, fault: impl Future<Output = Survived>) -> usize {
    let before = w.at_work().await;
    let Survived { hit, shown, at_work } = fault.await;
    let hits: String = hit.iter().map(|(function, count)| format!("{count} {function} hit, ")).collect();
    println!(
        "{what}: {before} at work before, {hits}new content shown after {:.2} s, at work again after {:.2} s",
        shown.as_secs_f64(),
        at_work.as_secs_f64()
    );
    assert!(shown < BOUND && at_work < BOUND, "{what}: only after {shown:?} and {at_work:?}");
    for (function, least) in LEAST {
        assert!(hit.iter().all(|(name, count)| *name != function || *count >= least), "{what}: {hit:?}");
    }
    hit.into_iter().map(|(_, count)| count).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_survive_what_breaks() {
    let w = World::start().await;
    let (mut kills, mut stops) = (0, 0);
    for _ in 0..crate::given("SURVIVAL_ROUNDS", 1) {
        for functions in [&["regenerate"][..], &["regenerate"], &["serve", "revalidate"]] {
            let what = format!("kill -9 of every {}", functions.join(" and "));
            kills += survive(&w, &what, w.killed(functions)).await;
        }
        stops += survive(&w, "regenerate stands still", w.stands_still()).await;
        survive(&w, "the table fails", w.fails(TABLE, true)).await;
        survive(&w, "the bucket fails", w.fails(BUCKET, true)).await;
        survive(&w, "the queue fails", w.fails(QUEUE, false)).await;
        survive(&w, "the clock is set back by an hour", w.clock(-3_600_000)).await;
        survive(&w, "the clock is right again", w.clock(0)).await;
    }
    println!("{kills} kills, {stops} stops; {}", w.crowd.leave().await);
}
