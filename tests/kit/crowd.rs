//! Visitors who check every answer while a publisher changes what they see, through processes that come and go.
//!
//! Each visitor goes from one door to the next and from HTML to data, and holds every answer against what it has seen
//! and against what the publisher was told: status 200; all of one render (invariant 5); nothing older than what this
//! visitor saw before, through whatever door (invariant 1); nothing older than a call that was acknowledged before the
//! visitor asked (invariant 6).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinHandle;

use crate::answer::{Answer, Ask, PERSON, data_target, revalidate_target};
use crate::client::Client;
use crate::conformance::pad;
use crate::until::{pass, until};
use crate::upstream::{Reply, Upstream};

/// Larger than what is kept beside a record: every page has files or objects of its own.
const PAD_BYTES: usize = 20_000;

/// A page that changes. What it shows is a number, which only grows.
struct Watched {
    path: &'static str,
    /// What the upstream gives now.
    content: AtomicU64,
    /// What a publisher was told to be shown.
    acknowledged: AtomicU64,
    /// Whether a publisher tells of changes; if not, it grows old after a second.
    on_demand: bool,
    /// What each render showed.
    renders: Mutex<HashMap<String, String>>,
}

/// Pages that a publisher tells of, and those that grow old after a second.
const TOLD: [&str; 2] = ["/never", "/tagged/t"];
const AGING: [&str; 6] = ["/blog/s", "/blog/t", "/blog/u", "/blog/v", "/blog/w", "/blog/x"];

/// How much the crowd asks for.
pub struct Load {
    /// Visitors, each of whom asks and then rests for `pace`.
    pub visitors: usize,
    /// A publisher rests four times as long.
    pub pace: Duration,
    /// Pages that grow old, at most 6; two others are told of.
    pub aging: usize,
    /// How long the upstream takes for a page that has grown old.
    pub renewal: Duration,
}

/// How much was asked and seen.
#[derive(Debug, Default)]
pub struct Totals {
    /// Answers to visitors; all of them 200, whole, and not older than promised.
    pub answers: AtomicUsize,
    /// Publishers' calls that were acknowledged.
    pub acknowledged: AtomicUsize,
    /// Publishers' calls that failed while something was broken.
    pub refused: AtomicUsize,
    /// Connections that broke because their process was killed.
    pub broken: AtomicUsize,
    /// The longest any visitor has waited for an answer while nothing was broken, in milliseconds.
    pub longest_ms: AtomicU64,
}

struct Shared {
    pages: Vec<Watched>,
    doors: Mutex<Vec<Option<Client>>>,
    build: String,
    /// Something is broken just now that may keep a publisher's call from being carried out.
    trouble: AtomicBool,
    /// Processes are killed just now that somebody may be inside of.
    killing: AtomicBool,
    /// The store cannot be read just now: each process shows what it remembers, or what it renders.
    blind: AtomicBool,
    stop: AtomicBool,
    totals: Totals,
}

/// Under way until [`Crowd::leave`].
pub struct Crowd {
    shared: Arc<Shared>,
    people: Vec<JoinHandle<()>>,
}

impl Shared {
    fn doors(&self) -> MutexGuard<'_, Vec<Option<Client>>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open door after so many turns.
    fn door(&self, turn: usize) -> Option<(usize, Client)> {
        let doors = self.doors();
        let open: Vec<_> = doors.iter().enumerate().filter_map(|(i, door)| Some((i, (*door)?))).collect();
        open.get(turn % open.len().max(1)).copied()
    }

    fn is_open(&self, door: usize, client: Client) -> bool {
        self.doors().get(door).is_some_and(|open| open.is_some_and(|c| c.addr == client.addr))
    }
}

impl Watched {
    fn next(&self) -> u64 {
        self.content.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Checks one answer, and tells what it shows.
    #[track_caller]
    fn shown(&self, answer: &Answer, at_least: u64, door: usize) -> u64 {
        let path = self.path;
        assert_eq!(answer.status, 200, "{path} at {door}: {answer}");
        let (id, value) = (answer.id(), answer.value());
        if answer.is_page() {
            let text = answer.text();
            assert!(text.ends_with(&format!("{}</html>", pad(&id, PAD_BYTES))), "torn: {path}: {answer}");
        }
        let mut renders = self.renders.lock().unwrap_or_else(PoisonError::into_inner);
        let first = renders.entry(id).or_insert_with(|| value.clone());
        assert_eq!(*first, value, "HTML and data of one render differ: {path}: {answer}");
        let shown = value.parse().expect("a number");
        assert!(
            shown >= at_least,
            "{path} at {door}: {shown} after {at_least} was acknowledged or seen: {answer}"
        );
        shown
    }
}

impl Crowd {
    /// Lets visitors and one publisher in through these doors.
    pub async fn enter(up: &Upstream, build: &str, doors: Vec<Client>, load: Load) -> Self {
        let Load { visitors, pace, aging, renewal } = load;
        let page = |path, on_demand| Watched {
            path,
            content: AtomicU64::new(1),
            acknowledged: AtomicU64::new(0),
            on_demand,
            renders: Mutex::default(),
        };
        let aging = AGING[..aging].iter().map(|path| page(path, false));
        let pages = TOLD.iter().map(|path| page(path, true)).chain(aging).collect();
        let shared = Arc::new(Shared {
            pages,
            doors: Mutex::new(doors.into_iter().map(Some).collect()),
            build: build.to_owned(),
            trouble: AtomicBool::new(false),
            killing: AtomicBool::new(false),
            blind: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            totals: Totals::default(),
        });
        for index in 0..shared.pages.len() {
            let of = shared.clone();
            up.script(shared.pages[index].path, move |call| {
                let page = &of.pages[index];
                let period = if page.on_demand { json!(false) } else { json!(1) };
                let value = format!("{}", page.content.load(Ordering::SeqCst));
                let shown = json!({ "value": value, "revalidate": period, "pad_bytes": PAD_BYTES });
                let is_renewal = call.reason == "stale";
                Reply::from(shown).after(if is_renewal { renewal } else { Duration::ZERO })
            });
        }
        let (_, first) = shared.door(0).expect("an open door");
        for page in &shared.pages {
            let made = crate::Asks::revalidate(&first, page.path).await;
            assert_eq!(made.status, 200, "{made}");
            page.shown(&crate::Asks::get(&first, page.path).await, 1, 0);
        }
        let mut people: Vec<_> =
            (0..visitors).map(|number| tokio::spawn(visit(shared.clone(), number, pace))).collect();
        people.push(tokio::spawn(publish(shared.clone(), pace * 4)));
        Self { shared, people }
    }

    /// Nobody goes through this door from now on. Who is inside may find the connection broken.
    pub fn close(&self, door: usize) {
        self.shared.doors()[door] = None;
    }

    /// The door leads to this process from now on.
    pub fn open(&self, door: usize, client: Client) {
        self.shared.doors()[door] = Some(client);
    }

    /// While something is broken, a publisher's call may fail.
    pub fn in_trouble(&self, yes: bool) {
        self.shared.trouble.store(yes, Ordering::SeqCst);
    }

    /// While processes are killed behind a door that stays open, who is inside may get an error from whatever stands
    /// before them.
    pub fn killing(&self, yes: bool) {
        self.shared.killing.store(yes, Ordering::SeqCst);
    }

    /// While the store cannot be read, processes cannot agree on what is newest.
    pub fn blind(&self, yes: bool) {
        self.shared.blind.store(yes, Ordering::SeqCst);
    }

    /// What was asked and seen so far.
    pub fn totals(&self) -> &Totals {
        &self.shared.totals
    }

    /// Waits until there were `more` answers since.
    ///
    /// # Panics
    /// If that takes too long, or if somebody saw something wrong.
    pub async fn watch(&self, more: usize) {
        let until_there_are = self.totals().answers.load(Ordering::SeqCst) + more;
        until("more answers", async || {
            assert!(self.people.iter().all(|p| !p.is_finished()), "somebody saw something wrong");
            (self.totals().answers.load(Ordering::SeqCst) >= until_there_are).then_some(())
        })
        .await;
    }

    /// Waits until content that is changed now is shown through all open doors, and tells how long that is after
    /// `since`. A call that fails is made again, as publishers do.
    pub async fn recover(&self, since: Instant) -> Duration {
        let new: Vec<_> = self.shared.pages.iter().map(Watched::next).collect();
        for (page, value) in self.shared.pages.iter().zip(&new) {
            if page.on_demand {
                until(&format!("a call for {} to be carried out", page.path), async || {
                    let turn = usize::try_from(*value).unwrap_or_default();
                    call(&self.shared, page, *value, turn).await.then_some(())
                })
                .await;
            }
        }
        for (page, value) in self.shared.pages.iter().zip(new) {
            let doors = self.shared.doors().clone();
            for (door, client) in doors.into_iter().enumerate().filter_map(|(i, d)| Some((i, d?))) {
                until(&format!("new content of {} at {door}", page.path), async || {
                    let answer = crate::Asks::get(&client, page.path).await;
                    let at_least = page.acknowledged.load(Ordering::SeqCst).min(value);
                    (page.shown(&answer, at_least, door) >= value).then_some(())
                })
                .await;
            }
        }
        since.elapsed()
    }

    /// Ends all visits. What the last call promised is shown.
    ///
    /// # Panics
    /// If anybody saw something wrong.
    pub async fn leave(self) -> Totals {
        self.shared.stop.store(true, Ordering::SeqCst);
        for person in self.people {
            person.await.expect("somebody saw something wrong");
        }
        let shared = Arc::try_unwrap(self.shared);
        shared.map_or_else(|shared| shared.totals.snapshot(), |shared| shared.totals)
    }
}

impl Totals {
    fn snapshot(&self) -> Self {
        let copy = |n: &AtomicUsize| AtomicUsize::new(n.load(Ordering::SeqCst));
        Self {
            answers: copy(&self.answers),
            acknowledged: copy(&self.acknowledged),
            refused: copy(&self.refused),
            broken: copy(&self.broken),
            longest_ms: AtomicU64::new(self.longest_ms.load(Ordering::SeqCst)),
        }
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let n = |n: &AtomicUsize| n.load(Ordering::SeqCst);
        write!(
            f,
            "{} answers, the slowest after {} ms; {} revalidations acknowledged, {} refused, {} connections broken; \
             lost 0, torn 0, older than seen 0, other than 200 0",
            n(&self.answers),
            self.longest_ms.load(Ordering::SeqCst),
            n(&self.acknowledged),
            n(&self.refused),
            n(&self.broken)
        )
    }
}

async fn visit(shared: Arc<Shared>, number: usize, pace: Duration) {
    let mut seen = vec![0; shared.pages.len()];
    for turn in number.. {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        pass(pace).await;
        // Each door, form and page in every combination.
        let Some((door, client)) = shared.door(turn) else { continue };
        let at = turn / 2 % shared.pages.len();
        let page = &shared.pages[at];
        let at_least = page.acknowledged.load(Ordering::SeqCst).max(seen[at]);
        let target =
            if turn / 7 % 2 == 0 { page.path.to_owned() } else { data_target(&shared.build, page.path) };
        let asked = Instant::now();
        let blind = shared.blind.load(Ordering::SeqCst);
        match client.try_ask(Ask::get(target).agent(PERSON)).await {
            Ok(answer) if answer.status == BAD_GATEWAY => broken(&shared, door, client, &answer.to_string()),
            Ok(answer) => {
                let blind = blind || shared.blind.load(Ordering::SeqCst);
                let shown = page.shown(&answer, if blind { 0 } else { at_least }, door);
                seen[at] = if blind { seen[at] } else { shown };
                if shared.is_open(door, client) && !shared.trouble.load(Ordering::SeqCst) {
                    let took = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
                    shared.totals.longest_ms.fetch_max(took, Ordering::SeqCst);
                }
                shared.totals.answers.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => broken(&shared, door, client, &error.to_string()),
        }
    }
}

/// What stands before functions answers for one that was killed. No process of ours does.
const BAD_GATEWAY: u16 = 502;

/// A connection breaks only where its process was killed.
fn broken(shared: &Shared, door: usize, client: Client, error: &str) {
    let killed = shared.killing.load(Ordering::SeqCst) || !shared.is_open(door, client);
    assert!(killed, "{door} is open, and does not answer: {error}");
    shared.totals.broken.fetch_add(1, Ordering::SeqCst);
}

async fn publish(shared: Arc<Shared>, pace: Duration) {
    for turn in 0.. {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        pass(pace).await;
        let (told, aging) = shared.pages.split_at(TOLD.len());
        aging[turn % aging.len()].next();
        let page = &told[turn % told.len()];
        let value = page.next();
        call(&shared, page, value, turn).await;
    }
}

/// Tells of a change; whether that was acknowledged.
async fn call(shared: &Shared, page: &Watched, value: u64, turn: usize) -> bool {
    let Some((door, client)) = shared.door(turn) else { return false };
    let trouble = shared.trouble.load(Ordering::SeqCst);
    match client.try_ask(Ask::get(revalidate_target(page.path))).await {
        Ok(answer) if answer.status == 200 => {
            assert_eq!(answer.json()["revalidated"], json!(true), "{answer}");
            page.acknowledged.fetch_max(value, Ordering::SeqCst);
            shared.totals.acknowledged.fetch_add(1, Ordering::SeqCst);
            return true;
        }
        Ok(answer) if answer.status == BAD_GATEWAY => broken(shared, door, client, &answer.to_string()),
        Ok(answer) => {
            let trouble = trouble || shared.trouble.load(Ordering::SeqCst);
            assert!(trouble, "refused, and nothing is broken: {answer}");
            shared.totals.refused.fetch_add(1, Ordering::SeqCst);
        }
        Err(error) => broken(shared, door, client, &error.to_string()),
    }
    false
}
