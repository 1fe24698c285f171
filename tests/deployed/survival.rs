//! The functions under load while they are killed or stand still, their stores fail and their clock steps: invariants
//! 1, 3, 5, 6, 7. What breaks in processes on one machine is in `tests/survival`; here it is several functions on one
//! account.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tests::between::{Between, Call, Fault};
use tests::clock::{CLOCK_FILE, set_wrong_by};
use tests::crowd::Crowd;
use tests::until::{pass, until_true};
use tests::{Aws, Upstream};

use crate::Fixture;

const LEASE: Duration = Duration::from_millis(1000);
const VISITORS: usize = 6;
const PACE: Duration = Duration::from_millis(30);

/// From the end of a fault until what was changed then is shown; on a machine that does much else.
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
                ("AWS_ENDPOINT_URL", &between.url()),
                (CLOCK_FILE, &clock.display().to_string()),
            ],
        )
        .await;
        let crowd = Crowd::enter(&f.up, f.site.stack.build(), vec![f.site.client()], VISITORS, PACE).await;
        crowd.watch(30).await;
        assert!(between.calls().contains(&"BatchGetItem".to_owned()), "the functions go past the faults");
        Self { f, crowd, down, clock, _between: between, _folder: folder }
    }

    /// Some calls of the stores fail until the crowd has seen enough of it.
    async fn fails(&self, names: &[&'static str], blind: bool) -> Duration {
        self.crowd.in_trouble(true);
        self.crowd.blind(blind);
        *self.down.lock().expect("unpoisoned") = names.to_vec();
        self.crowd.watch(40).await;
        self.down.lock().expect("unpoisoned").clear();
        let ended = Instant::now();
        // Who rendered without the store, or asked while it failed, is done.
        self.crowd.watch(2 * VISITORS).await;
        self.crowd.blind(false);
        let recovered = self.crowd.recover(ended).await;
        self.crowd.in_trouble(false);
        recovered
    }

    /// Functions are killed while they work.
    async fn killed(&self, functions: &[&str]) -> Duration {
        self.crowd.killing(true);
        self.f.site.stack.kill(functions).await;
        let killed = Instant::now();
        let recovered = self.crowd.recover(killed).await;
        self.crowd.killing(false);
        recovered
    }

    /// Renewals stand still in the middle, for longer than their leases hold, and then go on.
    async fn stands_still(&self) -> Duration {
        self.f.site.stack.signal("regenerate", "STOP").await;
        let stopped = Instant::now();
        let recovered = self.crowd.recover(stopped).await;
        pass((2 * LEASE).saturating_sub(stopped.elapsed())).await;
        self.f.site.stack.signal("regenerate", "CONT").await;
        self.crowd.watch(30).await;
        recovered
    }

    async fn clock(&self, milliseconds: i64) -> Duration {
        set_wrong_by(&self.clock, milliseconds);
        let recovered = self.crowd.recover(Instant::now()).await;
        self.crowd.watch(30).await;
        recovered
    }
}

fn tell(what: &str, recovered: Duration) {
    println!("{what}: new content shown after {:.2} s", recovered.as_secs_f64());
    assert!(recovered < BOUND, "{what}: only after {recovered:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_survive_what_breaks() {
    let w = World::start().await;
    let busy = || {
        let count = |name| w.f.site.stack.processes(name).len();
        (count("serve") >= 4, count("regenerate") >= 1)
    };
    until_true("several functions at work", || busy() == (true, true)).await;
    let mut kills = 0;
    for _ in 0..crate::given("SURVIVAL_ROUNDS", 1) {
        for functions in [&["regenerate"][..], &["regenerate"], &["serve", "revalidate"]] {
            kills += functions.iter().map(|name| w.f.site.stack.processes(name).len()).sum::<usize>();
            tell(&format!("kill -9 of every {}", functions.join(" and ")), w.killed(functions).await);
        }
        tell("regenerate stands still", w.stands_still().await);
        tell("the table fails", w.fails(TABLE, true).await);
        tell("the bucket fails", w.fails(BUCKET, true).await);
        tell("the queue fails", w.fails(QUEUE, false).await);
        tell("the clock is set back by an hour", w.clock(-3_600_000).await);
        tell("the clock is right again", w.clock(0).await);
    }
    println!("{kills} kills; {}", w.crowd.leave().await);
}
