//! From a granted ticket to a committed page: the only writer of pages.

pub(crate) mod bodies;
pub(crate) mod burial;
pub(crate) mod entry;
pub(crate) mod leases;
pub(crate) mod many_tags;
pub mod outcome;
pub(crate) mod quota;
pub mod refresh;
pub mod renders;
pub(crate) mod unsaved;
pub(crate) mod validate;
