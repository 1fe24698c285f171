//! The functions' processes, as the machine sees them.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::Deployed;
use crate::until::until;

impl Deployed {
    /// The processes of a function that are there now.
    pub fn processes(&self, function: &str) -> Vec<u32> {
        let marker = format!("CONFORMANCE_LOG={}", self.plan.log_file(function).display());
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").expect("a list of processes").flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            if environment.split(|byte| *byte == 0).any(|line| line == marker.as_bytes()) {
                found.push(pid);
            }
        }
        found
    }

    /// Stops (`STOP`) or goes on with (`CONT`) the clockwork of a function's processes, and tells how many that were.
    pub async fn signal(&self, function: &str, signal: &str) -> usize {
        let pids = self.processes(function);
        for pid in &pids {
            let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).status().await;
            assert!(sent.is_ok_and(|status| status.success()), "cannot send {signal} to {pid}");
        }
        pids.len()
    }

    /// Kills all processes of a function that are there now, as `kill -9` does, waits until they are gone, and tells how
    /// many that were. Under load others may have come in their place by then.
    pub async fn kill(&self, function: &str) -> usize {
        let pids = self.processes(function);
        kill(&pids).await;
        until(&format!("the processes of {function} to be gone"), async || {
            pids.iter().all(|pid| has_ended(*pid)).then_some(())
        })
        .await;
        pids.len()
    }
}

/// Whether a process is over, so that its parent is told when it asks. It loses its environment some time before, and its
/// threads end one by one.
fn has_ended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    // After the name, which may hold anything.
    threads <= 1 && stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// Kills processes at once. Some may have ended by themselves.
async fn kill(pids: &[u32]) {
    shell(&format!("kill -9 {}", list(pids))).await;
}

/// Lets stopped processes go on for so long, and kills them.
pub async fn kill_after(pids: &[u32], time: Duration) {
    let pids = list(pids);
    // By one shell: with a program a signal, a busy machine would decide how long that is.
    shell(&format!("kill -CONT {pids}; sleep {}; kill -9 {pids}", time.as_secs_f64())).await;
}

fn list(pids: &[u32]) -> String {
    pids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}

async fn shell(script: &str) {
    let _ = Command::new("sh").args(["-c", script]).stderr(Stdio::null()).status().await;
}
