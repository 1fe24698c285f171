//! B9. A store that is damaged, emptied or cannot be written.

use serde_json::json;
use tests::answer::revalidate_target;
use tests::until::{until, until_true};
use tests::{Ask, Asks as _, Gate, Reply};
use tokio::io::AsyncReadExt as _;

use crate::{Host, success, until_new};

/// B9.141: what is in memory is served though its file is gone.
#[tokio::test]
async fn a_removed_file_is_served_from_memory() {
    let h = Host::new().await;
    h.up.on("/never", json!({ "pad_bytes": 100_000 }));
    let site = h.launch.start().await;
    let page = site.get("/never").await.expect(200, "MISS");
    assert_eq!(site.get("/never").await.expect(200, "HIT").body, page.body);
    let files = h.body_files();
    assert!(!files.is_empty(), "no body files in the store");
    for file in files {
        std::fs::remove_file(file).expect("removed");
    }
    assert_eq!(site.get("/never").await.expect(200, "HIT").body, page.body);
}

/// Section 8: a damaged entry is missing, is logged once, and heals.
#[tokio::test]
async fn damaged_bodies_heal() {
    let h = Host::new().await.env("PERENNIAL_MEMORY_CACHE_BYTES", "0");
    h.up.otherwise(|_| json!({ "revalidate": false, "pad_bytes": 100_000 }).into());
    let site = h.launch.start().await;
    let loud =
        || site.log.lines().iter().filter(|line| line.contains("WARN") || line.contains("ERROR")).count();
    site.get("/never").await.expect(200, "MISS");
    let said_at_the_start = loud();
    type Damage = fn(&std::path::Path);
    let damages: [(&str, Damage); 4] = [
        ("removed", |file| std::fs::remove_file(file).expect("removed")),
        ("emptied", |file| std::fs::write(file, "").expect("written")),
        ("cut", |file| {
            let bytes = std::fs::read(file).expect("read");
            std::fs::write(file, &bytes[..bytes.len() / 2]).expect("written");
        }),
        ("garbled", |file| {
            let bytes = std::fs::read(file).expect("read").into_iter().map(|b| b ^ 0x55).collect::<Vec<_>>();
            std::fs::write(file, bytes).expect("written");
        }),
    ];
    for (name, damage) in damages {
        let path = format!("/blog/{name}");
        let before = h.body_files();
        let page = site.get(&path).await.expect(200, "MISS");
        let files: Vec<_> = h.body_files().into_iter().filter(|file| !before.contains(file)).collect();
        assert!(!files.is_empty(), "no body files of {path}");
        for file in files {
            damage(&file);
        }
        let healed = site.get(&path).await;
        assert_eq!(healed.status, 200, "{name}: {healed}");
        assert_ne!(healed.id(), page.id(), "{name}");
        assert_eq!(site.get(&path).await.expect(200, "HIT").body, healed.body, "{name}");
        assert_eq!(site.data(&path).await.expect(200, "HIT").id(), healed.id(), "{name}");
        assert_eq!(h.up.count(&path), 2, "{name}");
    }
    let said = loud() - said_at_the_start;
    assert!(
        (1..=damages.len()).contains(&said),
        "{said} lines about {} damages:\n{}",
        damages.len(),
        site.log.text()
    );
}

/// Section 8, for a page that is passed on as it is read: what is cut short is missing; what is found to be damaged only
/// when some of it has been sent never looks like a whole answer, and has healed before the visitor can come again.
#[tokio::test]
async fn damaged_bodies_heal_also_while_they_are_sent() {
    let h =
        Host::new().await.env("PERENNIAL_MEMORY_CACHE_BYTES", "0").env("PERENNIAL_STREAM_BODY_BYTES", "1000");
    h.up.otherwise(|_| json!({ "revalidate": false, "pad_bytes": 300_000 }).into());
    let site = h.launch.start().await;
    let flip = |bytes: &mut Vec<u8>, at: usize| bytes[at] ^= 0x55;
    type Damage<'a> = Box<dyn Fn(&mut Vec<u8>) + 'a>;
    let damages: [(&str, bool, Damage<'_>); 6] = [
        ("emptied", false, Box::new(Vec::clear)),
        ("cut", false, Box::new(|bytes| bytes.truncate(bytes.len() / 2))),
        ("longer", false, Box::new(|bytes| bytes.push(b'x'))),
        ("first", true, Box::new(|bytes| flip(bytes, 0))),
        ("middle", true, Box::new(|bytes| flip(bytes, bytes.len() / 2))),
        ("last", true, Box::new(|bytes| flip(bytes, bytes.len() - 1))),
    ];
    for (name, breaks, damage) in damages {
        for coding in ["br", "identity"] {
            let path = format!("/blog/{name}-{coding}");
            let before = h.body_files();
            let page = site.get(&path).await.expect(200, "MISS");
            let files: Vec<_> = h.body_files().into_iter().filter(|file| !before.contains(file)).collect();
            for file in &files {
                let mut bytes = std::fs::read(file).expect("read");
                damage(&mut bytes);
                std::fs::write(file, bytes).expect("written");
            }
            let ask = Ask::get(&path).header("accept-encoding", coding);
            let met = site.client().try_ask(ask.clone()).await;
            assert_eq!(met.is_err(), breaks, "{path}: {met:?}");
            let healed = site.ask(ask).await.expect(200, "HIT");
            assert_ne!(healed.etag(), page.etag(), "{path}");
            assert_eq!(h.up.count(&path), 2, "{path}");
        }
    }
    assert_eq!(
        site.log.count("is damaged") + site.log.count("an answer breaks off"),
        6,
        "{}",
        site.log.text()
    );
}

/// B11: however many visitors a large page has, and however slow they are, little of it is in memory.
#[tokio::test]
async fn large_pages_take_little_memory() {
    const BYTES: usize = 8 << 20;
    const VISITORS: usize = 40;
    let h = Host::new().await.env("PERENNIAL_MEMORY_CACHE_BYTES", "1000000");
    h.up.on("/never", json!({ "pad_bytes": BYTES }));
    h.launch.start().await.get("/never").await.expect(200, "MISS");
    // One that has not rendered it.
    let site = h.launch.start().await;
    let before = site.memory_bytes();
    let mut visitors = Vec::new();
    for n in 0..VISITORS {
        let coding = ["br", "identity"][n % 2];
        let request = format!(
            "GET /never HTTP/1.1\r\nhost: x\r\naccept-encoding: {coding}\r\nconnection: close\r\n\r\n"
        );
        visitors.push(site.client().leave(&request).await);
    }
    // Each has the beginning, and reads no more for now.
    for visitor in &mut visitors {
        let mut begin = [0; 4096];
        visitor.read_exact(&mut begin).await.expect("the beginning of an answer");
        assert!(begin.starts_with(b"HTTP/1.1 200"));
    }
    let taken = site.memory_bytes() - before;
    for mut visitor in visitors {
        let mut rest = Vec::new();
        visitor.read_to_end(&mut rest).await.expect("the rest");
        assert!(rest.len() > BYTES / 2, "{} bytes", rest.len());
    }
    println!("{VISITORS} visitors of {} MB: {} MB more in memory", BYTES >> 20, taken >> 20);
    assert!(taken < (VISITORS * BYTES / 8) as u64, "{taken} bytes");
}

/// B2.31: a listed page whose files are gone is rendered again; it does not become a 404.
#[tokio::test]
async fn a_listed_page_without_files_is_rendered_again() {
    let h = Host::new().await;
    h.up.list("/nofb/{slug}", json!([{ "slug": "in" }]));
    h.up.on("/nofb/in", json!({ "revalidate": 600, "pad_bytes": 100_000 }));
    h.launch.run(&["build"]).await.success();
    for file in h.body_files() {
        std::fs::remove_file(file).expect("removed");
    }
    let site = h.launch.start().await;
    let page = site.get("/nofb/in").await;
    assert!(page.status == 200 && page.is_page(), "{page}");
    site.get("/nofb/in").await.expect(200, "HIT");
    site.get("/nofb/out").await.expect(404, "");
}

/// Rule 4.2 and section 8: a page whose files are gone shows nothing, so nothing holds its render back: neither a renewal
/// that failed before, nor a first render that did.
#[tokio::test]
async fn a_page_without_files_is_not_backed_off() {
    const PATH: &str = "/blog/a";
    let h = Host::new().await.env("PERENNIAL_MEMORY_CACHE_BYTES", "0");
    let site = h.launch.start().await;
    h.up.on(PATH, json!({ "revalidate": 1 }));
    site.get(PATH).await.expect(200, "MISS");
    h.up.on(PATH, Reply::status(429).retry_after("600"));
    until("a visit to the old page", async || (site.get(PATH).await.label() == "STALE").then_some(())).await;
    site.log.wait_for(&["render failed", PATH]).await;
    for file in h.body_files() {
        std::fs::remove_file(file).expect("removed");
    }
    site.get(PATH).await.expect(500, "").nostore();
    h.up.on(PATH, json!({ "revalidate": 600 }));
    let page = site.get(PATH).await.expect(200, "MISS");
    assert_eq!(site.get(PATH).await.expect(200, "HIT").id(), page.id());
}

/// B9.138: what cannot be stored is served all the same, and the process stays well.
#[tokio::test]
async fn a_full_disk_is_no_outage() {
    let h = Host::new().await;
    // 512 blocks: the database fits, a large body does not.
    let site = h.launch.clone().limited("-f 512").start().await;
    let stored = site.get("/never").await.expect(200, "MISS");
    h.up.on("/blog/big", json!({ "revalidate": false, "pad_bytes": 2_000_000 }));
    let first = site.get("/blog/big").await;
    assert_eq!(first.status, 200, "{first}");
    assert!(first.text().ends_with("</html>"));
    let second = site.get("/blog/big").await;
    assert_eq!(second.status, 200, "{second}");
    until_true("the failed write in the log", || site.log.count("/blog/big") >= 1).await;
    assert_ne!(site.revalidate("/blog/big").await.status, 401);
    assert_eq!(site.get("/never").await.expect(200, "HIT").id(), stored.id());
    site.get("/blog/small").await.expect(200, "MISS");
    site.stop().await.success();
    let site = h.launch.start().await;
    assert_eq!(site.get("/blog/big").await.status, 200);
    assert_eq!(site.get("/never").await.expect(200, "HIT").id(), stored.id());
}

/// Section 8: a page that cannot be stored is shown to all who wait for it, also at another process than the one that
/// renders it.
#[tokio::test]
async fn what_cannot_be_stored_is_shown_by_every_process() {
    const PATH: &str = "/blog/big";
    let h = Host::new().await;
    let launch = h.launch.clone().limited("-f 512");
    let [a, b] = [launch.start().await, launch.start().await];
    // Whatever is beside the pages in their databases is there.
    a.get("/never").await.expect(200, "MISS");
    let gate = Gate::new();
    h.up.on(PATH, Reply::from(json!({ "revalidate": false, "pad_bytes": 2_000_000 })).behind(&gate));
    let (one, other) = (a.client(), b.client());
    let one = tokio::spawn(async move { one.get(PATH).await });
    h.up.wait_for_calls(PATH, 1).await;
    let other = tokio::spawn(async move { other.get(PATH).await });
    // It has looked, and waits.
    b.get("/never").await.expect(200, "HIT");
    gate.open();
    for answer in [one, other] {
        answer.await.expect("joined").expect(200, "MISS");
    }
    for site in [&a, &b] {
        site.get(PATH).await.expect(200, "HIT");
    }
}

/// Invariant 2 where nothing can be stored: what began before a publisher's call is not fresh after it, although it is
/// kept in memory.
#[tokio::test]
async fn what_cannot_be_stored_is_no_newer_than_its_render() {
    const PATH: &str = "/blog/big";
    let h = Host::new().await;
    let site = h.launch.clone().limited("-f 512").start().await;
    let mark = format!("{}&mode=stale", revalidate_target(PATH));
    h.up.on(PATH, json!({ "revalidate": false, "value": "old" }));
    site.get(PATH).await.expect(200, "MISS");

    let gate = Gate::new();
    let between = json!({ "revalidate": false, "value": "between", "pad_bytes": 2_000_000 });
    h.up.on(PATH, Reply::from(between).behind(&gate));
    success(&site.get(&mark).await);
    site.get(PATH).await.expect(200, "STALE");
    h.up.wait_for_calls(PATH, 2).await;

    h.up.on(PATH, json!({ "revalidate": false, "value": "new" }));
    success(&site.get(&mark).await);
    site.get(PATH).await.expect(200, "STALE");
    gate.open();
    until_true("the failed write in the log", || site.log.count("cannot be stored") >= 1).await;
    let newer = until("another page", async || {
        let answer = site.get(PATH).await;
        (answer.value() != "old").then_some(answer)
    });
    assert_eq!(newer.await.value(), "new");
}

/// Section 8: a store that cannot be read any more: memory, then renders without storing.
#[tokio::test]
async fn a_vanished_store_is_no_outage() {
    let h = Host::new().await;
    let site = h.launch.start().await;
    let page = site.get("/never").await.expect(200, "MISS");
    site.get("/never").await.expect(200, "HIT");
    for entry in std::fs::read_dir(h.store.path()).expect("a store").flatten() {
        let path = entry.path();
        if path.is_dir() { std::fs::remove_dir_all(path) } else { overwrite(&path) }.expect("damaged");
    }
    let answer = site.get("/never").await;
    assert_eq!(answer.status, 200, "{answer}");
    assert!(answer.is_page());
    let fresh = site.get("/blog/new").await;
    assert_eq!(fresh.status, 200, "{fresh}");
    assert!(!page.id().is_empty());
}

/// In place and without cutting it: a file that is mapped into a process's memory takes the process with it when it is
/// cut, which no program can help.
fn overwrite(path: &std::path::Path) -> std::io::Result<()> {
    let bytes = path.metadata()?.len();
    let text = "no database".bytes().cycle().take(usize::try_from(bytes).expect("small")).collect::<Vec<_>>();
    std::io::Write::write_all(&mut std::fs::File::options().write(true).open(path)?, &text)
}

/// Section 8: a database that is no database is set aside, and the site works.
#[tokio::test]
async fn a_damaged_database_is_no_outage() {
    let h = Host::new().await;
    let site = h.launch.start().await;
    site.get("/never").await.expect(200, "MISS");
    site.stop().await.success();
    for entry in
        std::fs::read_dir(h.store.path()).expect("a store").flatten().filter(|entry| entry.path().is_file())
    {
        std::fs::write(entry.path(), "no database".repeat(1000)).expect("damaged");
    }
    let site = h.launch.start().await;
    let page = site.get("/never").await.expect(200, "MISS");
    assert_eq!(site.get("/never").await.expect(200, "HIT").id(), page.id());
    success(&site.revalidate("/never").await);
    site.get("/never").await.expect(200, "HIT");
    site.log.wait_for(&["ERROR", "damaged"]).await;
}

/// Section 8: an emptied store is a new one.
#[tokio::test]
async fn an_emptied_store_is_a_new_one() {
    let h = Host::new().await;
    let site = h.launch.start().await;
    let old = site.get("/never").await.expect(200, "MISS");
    site.stop().await.success();
    for entry in std::fs::read_dir(h.store.path()).expect("a store").flatten() {
        let path = entry.path();
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
            .expect("removed");
    }
    let site = h.launch.start().await;
    let new = site.get("/never").await.expect(200, "MISS");
    assert_ne!(new.id(), old.id());
    success(&site.revalidate("/never").await);
    until_new(&site, "/never", &new.id()).await;
}

/// Section 5: a journal that cannot be written fails and delays no publish; that it cannot is logged.
#[tokio::test]
async fn a_publish_needs_no_journal() {
    let h = Host::new().await;
    std::fs::create_dir(h.store.path().join("publishes.db")).expect("a new folder");
    h.up.on("/never", Reply::value("old"));
    let site = h.launch.env("PERENNIAL_REVALIDATE_SECRETS", "test-secret").start().await;
    site.get("/never").await.expect(200, "MISS");
    h.up.on("/never", Reply::value("new"));
    success(&site.get(&revalidate_target("/never")).await);
    assert_eq!(site.get("/never").await.expect(200, "HIT").value(), "new");
    site.log.wait_for(&["the journal of publishes cannot be written", "publishes.db"]).await;
    site.get("/api/revalidate/log?secret=test-secret").await.expect(503, "");
}
