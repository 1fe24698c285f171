//! Shared caches in front of a site.

#[cfg(feature = "aws")]
pub mod cloudfront;
