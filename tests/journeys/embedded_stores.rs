//! The stores of these journeys: embedded, in a temporary folder.

use std::sync::Arc;

use perennial::Clock;
use perennial::parts::run::settings::Settings;
use perennial::parts::stores::embedded::{self, EmbeddedStores};
use tempfile::TempDir;

pub(crate) type TestStores = EmbeddedStores;

/// Where they are; removed with its last handle.
#[derive(Clone)]
pub(crate) struct Place(Arc<TempDir>);

impl Place {
    pub(crate) async fn new() -> Self {
        Self(Arc::new(TempDir::new().expect("a temporary directory")))
    }

    /// As one process of a build opens them.
    pub(crate) fn open(&self, build: &str, clock: Arc<dyn Clock>) -> TestStores {
        let lock_wait = Settings::default().limits.store_lock_wait;
        embedded::open(self.0.path(), &build.into(), clock, lock_wait)
    }

    /// The names of all bodies in them.
    pub(crate) async fn bodies(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut folders = vec![self.0.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                match entry.path().is_dir() {
                    true => folders.push(entry.path()),
                    false if name.len() >= 64 && name.as_bytes()[..64].iter().all(u8::is_ascii_hexdigit) => {
                        names.push(name)
                    }
                    false => {}
                }
            }
        }
        names
    }
}
