//! What every port to a store shares: its error, and the group of ports a deployment runs on.

#[cfg(feature = "embedded")]
pub(crate) mod folder;

use std::sync::Arc;
#[cfg(feature = "aws")]
use std::time::Duration;

use crate::bodies::Bodies;
use crate::edge::Edge;
use crate::jobs::Jobs;
use crate::pages::Pages;
use crate::publishes::Publishes;

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

/// The ports one deployment runs on.
pub trait Stores: Send + Sync + 'static {
    /// Records, leases, epochs.
    type Pages: Pages;
    /// Immutable bytes.
    type Bodies: Bodies;
    /// Regenerations to be done.
    type Jobs: Jobs;
    /// The shared cache in front.
    type Edge: Edge;
    /// The journal of publishes.
    type Publishes: Publishes;

    /// Records, leases, epochs.
    fn pages(&self) -> &Self::Pages;
    /// Immutable bytes.
    fn bodies(&self) -> &Self::Bodies;
    /// Regenerations to be done.
    fn jobs(&self) -> &Self::Jobs;
    /// The shared cache in front.
    fn edge(&self) -> &Self::Edge;
    /// The journal of publishes.
    fn publishes(&self) -> &Self::Publishes;
    /// The build whose records these ports show.
    fn build(&self) -> &Arc<str>;
    /// Whether the stores are on this machine. Then a visitor waits for as long as they take: a machine that is slow for
    /// a moment would only get slower by rendering what it has stored.
    fn are_local(&self) -> bool {
        false
    }
}
