//! What every port to a store shares: its error, and the group of ports a deployment runs on.

#[cfg(feature = "aws")]
use std::time::Duration;

/// A store that fails is reported this often, however many requests meet it.
#[cfg(feature = "aws")]
pub(crate) const COMPLAIN_EVERY: Duration = Duration::from_secs(1);

/// A store that did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was changed: try again, or do without.
    #[error("{0}")]
    Refused(String),
    /// Nothing was changed, because the store is in trouble: it cannot be reached, does not answer, or has too many calls.
    #[error("{0}")]
    Unavailable(String),
    /// The answer is lost; a write may or may not have landed. Repeating the call is always safe.
    #[error("{0} (the write may have landed)")]
    Unsure(String),
}
