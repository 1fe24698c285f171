//! The contracts of the ports as tests: every implementation passes them.

pub mod bodies;
pub mod journal;
pub mod pages;
pub mod queue;
