//! What a visit sets going: the render of a missing page while its visitor waits, the renewal of a stale one behind it.

pub(crate) mod single_flight;
pub(crate) mod trigger;
pub mod wait;
