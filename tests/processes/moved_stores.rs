//! B9. A store that is removed, moved, open to others or locked while processes run on it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::answer::revalidate_target;
use tests::until::{until, until_true};
use tests::{Asks as _, Launch, Reply, Running};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::{Host, success, walk};

/// Checks that each process shows the pages that the other process stores and renews.
async fn meet(h: &Host, [a, b]: [&Running; 2], name: &str) {
    let path = format!("/blog/{name}");
    h.up.on(&path, json!({ "revalidate": false, "value": "first" }));
    until(&format!("{name}: one page at both"), async || {
        let (one, other) = (a.get(&path).await, b.get(&path).await);
        assert!(one.status == 200 && other.status == 200, "{one} {other}");
        (one.id() == other.id()).then_some(())
    })
    .await;
    h.up.on(&path, Reply::value("second"));
    success(&a.get(&revalidate_target(&path)).await);
    until(&format!("{name}: the new page at the other"), async || {
        (b.get(&path).await.value() == "second").then_some(())
    })
    .await;
}

/// Removes the folder. A process may write into the folder meanwhile, and then the removal is tried again.
async fn remove(folder: &Path) {
    until_true("the folder's removal", || std::fs::remove_dir_all(folder).is_ok()).await;
}

#[tokio::test]
async fn processes_whose_store_is_removed_or_moved_meet_again() {
    let root = tempfile::TempDir::new().expect("a temporary directory");
    let mut h = Host::new().await;
    let store = root.path().join("store");
    h.launch = h.launch.env("PERENNIAL_STORE", store.display());
    let [a, b] = [h.launch.start().await, h.launch.start().await];
    meet(&h, [&a, &b], "before").await;
    remove(&store).await;
    meet(&h, [&a, &b], "removed").await;
    std::fs::rename(&store, root.path().join("moved")).expect("moved");
    meet(&h, [&b, &a], "moved").await;
    std::fs::rename(&store, root.path().join("moved-again")).expect("moved");
    let c = h.launch.start().await;
    meet(&h, [&c, &b], "begun").await;
    meet(&h, [&a, &c], "begun-too").await;
    for side in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(store.join(format!("pages.db{side}")));
    }
    meet(&h, [&a, &b], "database").await;
    std::fs::remove_dir_all(store.join("bodies")).expect("removed");
    meet(&h, [&b, &c], "bodies").await;
    for site in [&a, &b] {
        assert!(site.log.count("the store was removed or replaced") > 0, "{}", site.log.text());
    }
}

/// If the folder is removed, the process writes the same secret to the same file again, so that the file always holds
/// a live secret.
#[tokio::test]
async fn a_removed_store_keeps_its_own_secret() {
    let root = tempfile::TempDir::new().expect("a temporary directory");
    let mut h = Host::new().await.env("PERENNIAL_REVALIDATE_SECRETS", "");
    let store = root.path().join("store");
    h.launch = h.launch.env("PERENNIAL_STORE", store.display());
    let site = h.launch.start().await;
    let file = store.join("revalidate-secret");
    let secret = std::fs::read_to_string(&file).expect("a secret");
    remove(&store).await;
    until_true("the secret", || std::fs::read_to_string(&file).is_ok_and(|again| again == secret)).await;
    success(&site.get(&format!("/api/revalidate?path=/never&secret={secret}")).await);
}

fn modes(store: &Path) -> Vec<(std::path::PathBuf, u32)> {
    let mut files = Vec::new();
    walk(store, &mut files);
    let folders: Vec<_> = files.iter().flat_map(|file| file.ancestors().skip(1)).collect();
    let all = folders.into_iter().filter(|folder| folder.starts_with(store)).map(Path::to_owned);
    let mode = |path: &Path| std::fs::metadata(path).expect("a file").permissions().mode() & 0o7777;
    all.chain(files.clone()).map(|path| (path.clone(), mode(&path))).collect()
}

/// Only the owner may read, change or lock the store, whatever the umask is.
#[tokio::test]
async fn a_store_is_its_owners_alone() {
    let root = tempfile::TempDir::new().expect("a temporary directory");
    let h = Host::new().await.env("PERENNIAL_REVALIDATE_SECRETS", "");
    let open = |umask: &str, store: &Path| -> Launch {
        let launch = h.launch.clone().env("PERENNIAL_STORE", store.display());
        launch.wrapped(format!("umask {umask}; exec \"$@\""))
    };
    h.up.otherwise(|_| json!({ "revalidate": false, "pad_bytes": 100_000 }).into());
    let old = root.path().join("old");
    std::fs::create_dir(&old).expect("a folder");
    std::fs::set_permissions(&old, PermissionsExt::from_mode(0o755)).expect("a mode");
    for store in [root.path().join("new"), old] {
        let site = open("000", &store).start().await;
        site.get("/never").await.expect(200, "MISS");
        success(&site.get(&format!("/api/revalidate?path=/never&secret={}", secret_of(&store))).await);
        let found = modes(&store);
        assert!(found.len() > 10, "{found:?}");
        for (path, mode) in found {
            let right = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, right, "{} is {mode:o}", path.display());
        }
    }
    // The owner has given a group access on purpose (mode `2770`).
    let shared = root.path().join("shared");
    std::fs::create_dir(&shared).expect("a folder");
    std::fs::set_permissions(&shared, PermissionsExt::from_mode(0o2770)).expect("a mode");
    let site = open("077", &shared).start().await;
    site.get("/never").await.expect(200, "MISS");
    for (path, mode) in modes(&shared).into_iter().filter(|(path, _)| !path.ends_with("revalidate-secret")) {
        let right = if path.is_dir() { 0o2770 } else { 0o660 };
        assert_eq!(mode, right, "{} is {mode:o}", path.display());
    }
}

fn secret_of(store: &Path) -> String {
    std::fs::read_to_string(store.join("revalidate-secret")).expect("a secret")
}

/// Starts a process that holds the locks of all databases until the test kills that process.
async fn hold_the_locks(store: &Path) -> Child {
    let script = "import sqlite3, sys\n\
        held = [sqlite3.connect(path, isolation_level=None) for path in sys.argv[1:]]\n\
        [one.execute('BEGIN IMMEDIATE') for one in held]\n\
        print('held', flush=True)\n\
        sys.stdin.read()";
    let mut command = Command::new("python3");
    command.args(["-c", script]);
    command.args(["pages.db", "jobs.db", "publishes.db"].map(|name| store.join(name)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("python3");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert_eq!(lines.next_line().await.expect("a line").as_deref(), Some("held"));
    child
}

/// Section 8 of `SEMANTICS.md`: a lock that another process holds delays a render once, and visitors still get the
/// stored pages.
#[tokio::test]
async fn a_held_lock_stops_nobody() {
    let h =
        Host::new().await.env("PERENNIAL_STORE_LOCK_WAIT_MS", "500").env("PERENNIAL_MEMORY_CACHE_BYTES", "0");
    h.up.on("/blog/old", json!({ "revalidate": 1 }));
    let site = h.launch.start().await;
    let page = site.get("/never").await.expect(200, "MISS");
    site.get("/blog/old").await.expect(200, "MISS");
    let held = hold_the_locks(h.store.path()).await;
    let began = Instant::now();
    for n in 0..10 {
        site.get(&format!("/blog/new-{n}")).await.expect(200, "MISS");
        assert_eq!(site.get("/never").await.expect(200, "HIT").id(), page.id());
        assert_eq!(site.get("/blog/old").await.status, 200);
    }
    // If each of a render's three writes waited for five seconds, ten renders would take 150 s.
    let took = began.elapsed();
    println!("ten renders while the locks were held: {took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(site.get(&revalidate_target("/never")).await.status, 500);
    site.log.wait_for(&["PERENNIAL_STORE_LOCK_WAIT_MS"]).await;
    drop(held);
    until("a publish", async || (site.get(&revalidate_target("/never")).await.status == 200).then_some(()))
        .await;
    assert_ne!(site.get("/never").await.expect(200, "HIT").id(), page.id());
}
