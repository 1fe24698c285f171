//! Carries out the jobs that the queue delivers.

pub(crate) mod poll;
pub(crate) mod removal;
pub mod renew;
pub(crate) mod second_look;
pub mod walk;
pub mod worker;
