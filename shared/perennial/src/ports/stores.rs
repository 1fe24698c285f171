//! The group of ports that a deployment runs on.

use std::sync::Arc;

use crate::ports::bodies::Bodies;
use crate::ports::edge::Edge;
use crate::ports::journal::Publishes;
use crate::ports::pages::Pages;
use crate::ports::queue::Jobs;

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
