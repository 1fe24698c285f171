//! A clock that a test sets while processes run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use perennial::parts::base::clock::Sleep;
use perennial::{Clock, Millis, Site, SystemClock};

/// The variable that names the file that says by how much the clock is wrong; only the conformance site's programs read it.
pub const CLOCK_FILE: &str = "CONFORMANCE_CLOCK_FILE";

/// The machine's clock, wrong by as many milliseconds as a file says.
#[derive(Debug)]
struct WrongClock {
    file: PathBuf,
}

impl Clock for WrongClock {
    fn now(&self) -> Millis {
        let wrong_by = std::fs::read_to_string(&self.file).ok().and_then(|text| text.trim().parse().ok());
        Millis(SystemClock.now().0.saturating_add_signed(wrong_by.unwrap_or(0)))
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        // A step of the clock wakes nobody earlier or later.
        SystemClock.sleep(duration)
    }
}

/// The site by the clock that the environment names, if it does.
pub fn by_given_clock(site: Site) -> Site {
    match std::env::var_os(CLOCK_FILE) {
        Some(file) => site.clock(Arc::new(WrongClock { file: file.into() })),
        None => site,
    }
}

/// Has the clocks of all processes that were given this file step, by so many milliseconds from the machine's.
///
/// # Panics
/// If it cannot be written.
pub fn set_wrong_by(file: &Path, milliseconds: i64) {
    // Renamed into place: nobody reads half a number.
    let part = file.with_extension("part");
    std::fs::write(&part, milliseconds.to_string()).expect("a writable folder");
    std::fs::rename(part, file).expect("a writable folder");
}
