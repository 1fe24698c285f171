//! Foundations that every other module may use and that know nothing of pages: time, limits, budgets, counters, texts.

pub mod blocking;
pub mod budget;
pub mod clock;
pub mod counters;
pub mod limits;
pub mod log_limits;
#[cfg(any(test, feature = "testing"))]
pub mod manual_clock;
pub(crate) mod panics;
pub mod reader;
pub mod rfc3339;
pub mod text;
