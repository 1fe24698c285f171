//! CloudFront in front of a site, whichever stores the site is on.

#[cfg(feature = "aws")]
pub mod invalidation;
pub mod settings;
