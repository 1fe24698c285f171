//! The contracts of the ports as tests. Every implementation must pass the suite of its port; each module has one entry, `run`.

pub mod bodies;
pub mod journal;
pub mod pages;
pub mod queue;
