//! The parts that publishers' signatures are made of. One [`scheme::Scheme`] is one way to sign; each provider says which
//! schemes its deliveries follow.

pub mod header;
#[cfg(feature = "signatures")]
pub(crate) mod mac;
pub mod scheme;
