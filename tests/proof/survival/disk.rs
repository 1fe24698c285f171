//! A disk of its own for a store, which gets full or is seen read-only.
//!
//! A file system in memory, mounted where only the processes under test see it: a namespace of theirs, which needs no
//! rights. Where the system allows no such namespaces (or with `SURVIVAL_DISK=limits`), a limit on the size of files
//! that the processes may write stands in for both: every write then fails, with another error.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tests::{Launch, Upstream};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const MOUNT: &str = r#"mount -t tmpfs -o size=96m tmpfs "$1" && mkdir "$1/store" "$1/seen" \
    && mount --bind "$1/store" "$1/seen" && mount -o remount,bind,ro "$1/seen" && echo mounted && exec cat"#;

pub(crate) struct Disk {
    folder: TempDir,
    /// Holds the namespace until it is dropped; none without namespaces.
    holder: Option<Child>,
}

impl Disk {
    pub(crate) async fn new() -> Self {
        let folder = TempDir::new().expect("a temporary directory");
        let holder = match std::env::var("SURVIVAL_DISK").as_deref() {
            Ok("limits") => None,
            _ => mounted(folder.path()).await,
        };
        println!("a disk {}", if holder.is_some() { "of its own" } else { "by limits on files" });
        Self { folder, holder }
    }

    /// How to start processes whose store is on it.
    pub(crate) fn launch(&self, program: &str, up: &Upstream) -> Launch {
        let launch = Launch::new(program, &self.folder.path().join("store"), up);
        match self.pid() {
            Some(_) => launch.wrapped(self.enter()),
            // So that a limit that is set later makes writes fail, and does not end the process.
            None => launch.wrapped("trap '' XFSZ; exec \"$@\""),
        }
    }

    /// The same, for processes that cannot write it.
    pub(crate) fn read_only(&self, launch: Launch) -> Launch {
        match self.pid() {
            Some(_) => launch.env("PERENNIAL_STORE", self.folder.path().join("seen").display()),
            None => launch.limited("-f 0"),
        }
    }

    /// The same, for processes that find it full.
    pub(crate) async fn full(&self, launch: Launch) -> Launch {
        match self.pid() {
            Some(_) => {
                self.fill(&[]).await;
                launch
            }
            None => launch.limited("-f 0"),
        }
    }

    /// A file of the store, from outside.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join("store").join(name);
        match self.pid() {
            Some(pid) => {
                Path::new(&format!("/proc/{pid}/root")).join(path.strip_prefix("/").expect("absolute"))
            }
            None => path,
        }
    }

    /// Leaves no room for these processes.
    pub(crate) async fn fill(&self, processes: &[u32]) {
        if self.holder.is_none() {
            return limit_files(processes, "0").await;
        }
        let full = std::fs::File::create(self.file("../ballast")).and_then(|mut ballast| {
            loop {
                std::io::Write::write_all(&mut ballast, &[0; 4096])?;
            }
        });
        let full: std::io::Error = full.map(|never: std::convert::Infallible| match never {}).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
    }

    /// Gives the room back.
    pub(crate) async fn free(&self, processes: &[u32]) {
        match self.holder {
            Some(_) => std::fs::remove_file(self.file("../ballast")).expect("removed"),
            None => limit_files(processes, "unlimited").await,
        }
    }

    fn pid(&self) -> Option<u32> {
        self.holder.as_ref().map(|holder| holder.id().expect("it runs"))
    }

    fn enter(&self) -> String {
        let pid = self.pid().expect("a namespace");
        format!("exec nsenter --target {pid} --user --mount --preserve-credentials -- \"$@\"")
    }
}

/// Who holds a namespace with the file system in this folder.
async fn mounted(folder: &Path) -> Option<Child> {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh"]).arg(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut holder = command.spawn().ok()?;
    let mut said = BufReader::new(holder.stdout.take().expect("piped")).lines();
    let mounted = said.next_line().await.ok()?.is_some_and(|line| line == "mounted");
    mounted.then_some(holder)
}

async fn limit_files(processes: &[u32], limit: &str) {
    for pid in processes {
        // The soft limit: it can be raised again.
        let limit = format!("--fsize={limit}:");
        let done = Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status().await;
        assert!(done.is_ok_and(|status| status.success()), "prlimit of {pid}");
    }
}
