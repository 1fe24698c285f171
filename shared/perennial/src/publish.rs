//! What a publisher asks for: pages marked, rendered, deleted; the shared cache told; the journal written.

pub mod carriers;
pub mod carry_out;
pub(crate) mod delete;
pub mod outcome;
pub mod path;
pub mod progress;
pub(crate) mod purge;
pub(crate) mod renew;
pub mod schedule;
pub mod send;
pub(crate) mod tags;
