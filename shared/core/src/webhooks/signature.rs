//! The parts that publishers' signatures are made of. One [`scheme::Scheme`] is one way to sign; each provider says which
//! schemes its deliveries follow.

pub mod header;
pub mod scheme;
