//! What the queue delivers: jobs taken, carried out, and given back.

pub(crate) mod poll;
pub(crate) mod removal;
pub mod renew;
pub(crate) mod second_look;
pub mod walk;
pub mod worker;
