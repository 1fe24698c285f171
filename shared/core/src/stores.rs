//! The stores that Perennial comes with, a folder each.

pub mod aws;
#[cfg(feature = "embedded")]
pub mod embedded;
