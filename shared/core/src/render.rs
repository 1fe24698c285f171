//! Renders: from a granted lease to a committed page. Only this module and the build write pages.

pub(crate) mod bodies;
pub(crate) mod entry;
pub(crate) mod leases;
pub(crate) mod many_tags;
pub mod outcome;
pub mod pool;
pub(crate) mod quota;
pub mod refresh;
pub(crate) mod tombstone;
pub(crate) mod unsaved;
pub(crate) mod validate;
