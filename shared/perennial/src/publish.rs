//! What a publisher asks for: pages marked, rendered, deleted; the shared cache told; the journal written.

pub mod carriers;
pub mod carry_out;
pub mod path;
pub mod progress;
pub(crate) mod purge;
pub mod schedule;
