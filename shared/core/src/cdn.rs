//! Shared caches in front of a site.

pub mod cloudfront;
