//! Renders that visits cause: of a missing page while the visitor waits, and of a stale page through the queue.

pub(crate) mod single_flight;
pub(crate) mod trigger;
pub mod wait;
