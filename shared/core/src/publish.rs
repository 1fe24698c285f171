//! On-demand revalidation: publish requests mark, render or delete pages, purge the shared cache, and leave an entry in the
//! journal.

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
