//! The ports: a trait for each thing outside of the process, with its contract, and a test suite that every implementation
//! passes.

pub mod bodies;
pub mod edge;
pub mod error;
pub mod job;
pub mod journal;
pub mod pages;
pub mod queue;
pub mod stores;
#[cfg(any(test, feature = "testing"))]
pub mod suite;
