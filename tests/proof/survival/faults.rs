//! One thing breaks after the other while people visit four processes and content changes: invariants 1, 3, 5, 6, 7.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::answer::revalidate_target;
use tests::until::{pass, until, until_true};
use tests::{Ask, Asks as _, Launch, Upstream};

use crate::disk::Disk;
use crate::fleet::{Fleet, LEASE, PROCESSES};
use crate::{given, success};

/// From the end of a fault until what was changed then is shown by all, on a machine that does much else. What the
/// settings of the processes allow is less: a lease, and a back-off of 1.5 s after one failure.
const BOUND: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_survive_what_breaks() {
    let rounds = given("SURVIVAL_ROUNDS", 2);
    let mut fleet = Fleet::start().await;
    fleet.crowd.watch(100).await;
    let mut kills = 0;
    for round in 0..rounds {
        for turn in 0..3 {
            tell("kill -9 during a render", kill(&mut fleet, round * 3 + turn).await);
            kills += 1;
        }
        tell("a process stands still", stand_still(&mut fleet, round).await);
        tell("the disk is full", full_disk(&mut fleet).await);
        tell("the store is read-only", read_only(&mut fleet).await);
        tell("a damaged page of the database", damage(&mut fleet, Some(b"steady-150")).await);
        tell("a database that is none any more", damage(&mut fleet, None).await);
        tell("the clock is set back by an hour", set_clock(&mut fleet, -3_600_000).await);
        tell("the clock is right again", set_clock(&mut fleet, 0).await);
    }
    fleet.visit_steady().await;
    println!("{kills} kills; {}", fleet.stop().await);
}

/// Section 8: a store that cannot be written serves what it has, also to processes that find it so, and although its
/// last writer has left nothing beside it that readers could share.
#[tokio::test]
async fn a_read_only_store_is_served_after_a_restart() {
    served_after_a_restart(async |disk, launch| disk.read_only(launch)).await;
}

/// The same on a disk that has no room for what readers would share.
#[tokio::test]
async fn a_store_on_a_full_disk_is_served_after_a_restart() {
    served_after_a_restart(async |disk, launch| disk.full(launch).await).await;
}

async fn served_after_a_restart(hinder: impl AsyncFnOnce(&Disk, Launch) -> Launch) {
    let (up, disk) = (Upstream::start().await, Disk::new().await);
    let launch = disk.launch(env!("CARGO_BIN_EXE_conformance-site"), &up);
    up.on("/never", json!({ "revalidate": false, "pad_bytes": 30_000 }));
    up.on("/blog/s", json!({ "revalidate": 1 }));
    up.on("/catch/new", json!({ "revalidate": false }));
    let site = launch.start().await;
    let (page, old) =
        (site.get("/never").await.expect(200, "MISS"), site.get("/blog/s").await.expect(200, "MISS"));
    success(&site.get(&format!("{}&mode=stale", revalidate_target("/catch/new"))).await);
    site.stop().await.success();
    // What `pages` leaves behind is empty, and not part of a copy of the store, as an image has it.
    launch.run(&["pages"]).await.success();
    assert_eq!(std::fs::metadata(disk.file("pages.db-wal")).expect("a log").len(), 0);
    for side in ["pages.db-wal", "pages.db-shm"] {
        std::fs::remove_file(disk.file(side)).expect("removed");
    }
    let launch = hinder(&disk, launch).await;
    let [a, b] = [launch.start().await, launch.start().await];
    for site in [&a, &b, &a] {
        let shown = site.get("/never").await.expect(200, "HIT");
        assert_eq!((shown.id(), &shown.body), (page.id(), &page.body));
        until("it grows old", async || (site.get("/blog/s").await.label() == "STALE").then_some(())).await;
        assert_eq!(site.get("/blog/s").await.id(), old.id());
        assert_eq!(site.revalidate("/never").await.status, 500);
    }
    // What it has not is rendered, and kept in memory, although the page was invalidated once.
    let new = a.get("/catch/new").await.expect(200, "MISS");
    assert_eq!(a.get("/catch/new").await.expect(200, "HIT").id(), new.id());
    assert_eq!(up.count("/catch/new"), 1);
}

fn tell(what: &str, recovered: Duration) {
    println!("{what}: new content shown after {:.2} s", recovered.as_secs_f64());
    assert!(recovered < BOUND, "{what}: only after {recovered:?}");
}

/// A process is killed while it renders for a publisher, and comes back.
async fn kill(fleet: &mut Fleet, round: u64) -> Duration {
    let at = usize::try_from(round).expect("small") % PROCESSES;
    let (client, calls) = (fleet.process(at).client(), fleet.up.count("/tagged/t"));
    let call = tokio::spawn(async move { client.try_ask(Ask::get(revalidate_target("/tagged/t"))).await });
    fleet.up.wait_for_calls("/tagged/t", calls + 1).await;
    // Now, or when its body is written, or its record.
    pass(Duration::from_millis(round * 7 % 30)).await;
    let killed = fleet.kill(at).await;
    let _ = call.await.expect("joined");
    let recovered = fleet.crowd.recover(killed).await;
    fleet.revive(at).await;
    fleet.crowd.watch(100).await;
    recovered
}

/// A process stands still for longer than its leases hold, and then goes on with what it was doing.
async fn stand_still(fleet: &mut Fleet, round: u64) -> Duration {
    let at = usize::try_from(round).expect("small") % PROCESSES;
    let client = fleet.process(at).client();
    // It may stand in the middle of a write, with the store's lock.
    fleet.crowd.in_trouble(true);
    fleet.crowd.close(at);
    fleet.process(at).pause().await;
    let stopped = Instant::now();
    let recovered = fleet.crowd.recover(stopped).await;
    pass((3 * LEASE).saturating_sub(stopped.elapsed())).await;
    fleet.process(at).resume().await;
    // Who waited in it is answered, and what it held is superseded.
    until("an answer", async || (client.get("/never").await.status == 200).then_some(())).await;
    fleet.crowd.open(at, client);
    fleet.crowd.in_trouble(false);
    fleet.crowd.watch(100).await;
    recovered
}

async fn full_disk(fleet: &mut Fleet) -> Duration {
    let refused = fleet.refused();
    fleet.crowd.in_trouble(true);
    fleet.disk.fill(&fleet.pids()).await;
    fleet.crowd.watch(300).await;
    until_true("calls that a full disk refuses", || fleet.refused() > refused).await;
    fleet.visit_steady().await;
    fleet.disk.free(&fleet.pids()).await;
    let recovered = fleet.crowd.recover(Instant::now()).await;
    fleet.crowd.in_trouble(false);
    recovered
}

async fn read_only(fleet: &mut Fleet) -> Duration {
    let refused = fleet.refused();
    fleet.crowd.in_trouble(true);
    fleet.replace(true).await;
    fleet.crowd.watch(300).await;
    until_true("calls that a read-only store refuses", || fleet.refused() > refused).await;
    fleet.visit_steady().await;
    fleet.replace(false).await;
    let recovered = fleet.crowd.recover(Instant::now()).await;
    fleet.crowd.in_trouble(false);
    recovered
}

/// The newest database of pages.
fn newest(fleet: &Fleet) -> u64 {
    (1..).take_while(|n| fleet.disk.file(&format!("pages-{n}.db")).exists()).last().unwrap_or(0)
}

/// Bytes change on the disk while the processes run: the page of the database that holds some text, or all of it.
async fn damage(fleet: &mut Fleet, text: Option<&[u8]>) -> Duration {
    const PAGE: usize = 4096;
    // A publisher's call whose render began before is not acknowledged.
    fleet.crowd.in_trouble(true);
    let (number, healed) = (newest(fleet), fleet.logged("is set aside"));
    let name = if number == 0 { "pages.db".to_owned() } else { format!("pages-{number}.db") };
    // Pages are also in the log of what was written last: 24 bytes before each, and 32 before all.
    for (file, head, before) in [(name.clone(), 0, 0), (format!("{name}-wal"), 32, 24)] {
        let path = fleet.disk.file(&file);
        let bytes = std::fs::read(&path).expect("a file of the database");
        let open = std::fs::File::options().write(true).open(&path).expect("opened");
        let pages = bytes.get(head..).unwrap_or_default().chunks_exact(before + PAGE);
        for (i, page) in pages.enumerate() {
            if text.is_none_or(|text| page.windows(text.len()).any(|part| part == text)) {
                let at = head + i * (before + PAGE) + before;
                std::os::unix::fs::FileExt::write_all_at(&open, &[0xa5; PAGE], at as u64).expect("written");
            }
        }
    }
    let damaged = Instant::now();
    // Whoever meets it heals it, once for all.
    until("the damage to be met", async || {
        for at in 0..PROCESSES {
            let answer = fleet.process(at).get("/catch/steady-150").await;
            assert_eq!((answer.status, answer.value()), (200, "/catch/steady-150".to_owned()), "{answer}");
        }
        (newest(fleet) > number).then_some(())
    })
    .await;
    let recovered = fleet.crowd.recover(damaged).await;
    fleet.crowd.in_trouble(false);
    fleet.visit_steady().await;
    assert_eq!((newest(fleet), fleet.logged("is set aside")), (number + 1, healed + 1), "healed once");
    recovered
}

async fn set_clock(fleet: &mut Fleet, milliseconds: i64) -> Duration {
    let stepped = fleet.set_clock(milliseconds);
    let recovered = fleet.crowd.recover(stepped).await;
    fleet.crowd.watch(100).await;
    recovered
}
