//! The five ports of a deployment, in one struct.

use std::sync::Arc;

use crate::ports::bodies::Bodies;
use crate::ports::edge::Edge;
use crate::ports::journal::Journal;
use crate::ports::pages::Pages;
use crate::ports::queue::Queue;

/// The five ports of a deployment, with their build and whether they are local.
///
/// A backend is a function that returns this struct. Each port can be exchanged or wrapped alone:
///
/// ```
/// use perennial::parts::ports::edge::NoEdge;
/// use perennial::parts::ports::stores::{Ports, Stores};
///
/// fn without_a_cdn<S: Stores>(stores: S) -> impl Stores {
///     stores.into_ports().map_edge(|_| NoEdge)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Ports<P, B, Q, E, J> {
    /// Records, leases, epochs.
    pub pages: P,
    /// Immutable bytes.
    pub bodies: B,
    /// Jobs to be done.
    pub queue: Q,
    /// The shared cache in front.
    pub edge: E,
    /// The journal of publishes.
    pub journal: J,
    /// The build whose records these ports show.
    pub build: Arc<str>,
    /// Whether the stores are on this machine. A visitor waits for local stores without a limit: to render a stored page
    /// instead would make a slow machine even slower.
    pub are_local: bool,
}

impl<P, B, Q, E, J> Ports<P, B, Q, E, J> {
    /// The same ports with this shared cache in front.
    #[must_use]
    pub fn with_edge<E2: Edge>(self, edge: E2) -> Ports<P, B, Q, E2, J> {
        self.map_edge(|_| edge)
    }

    /// The same ports with another store of pages, made from the present one.
    #[must_use]
    pub fn map_pages<P2>(self, map: impl FnOnce(P) -> P2) -> Ports<P2, B, Q, E, J> {
        let Self { pages, bodies, queue, edge, journal, build, are_local } = self;
        Ports { pages: map(pages), bodies, queue, edge, journal, build, are_local }
    }

    /// The same ports with another store of bodies, made from the present one.
    #[must_use]
    pub fn map_bodies<B2>(self, map: impl FnOnce(B) -> B2) -> Ports<P, B2, Q, E, J> {
        let Self { pages, bodies, queue, edge, journal, build, are_local } = self;
        Ports { pages, bodies: map(bodies), queue, edge, journal, build, are_local }
    }

    /// The same ports with another queue, made from the present one.
    #[must_use]
    pub fn map_queue<Q2>(self, map: impl FnOnce(Q) -> Q2) -> Ports<P, B, Q2, E, J> {
        let Self { pages, bodies, queue, edge, journal, build, are_local } = self;
        Ports { pages, bodies, queue: map(queue), edge, journal, build, are_local }
    }

    /// The same ports with another shared cache in front, made from the present one.
    #[must_use]
    pub fn map_edge<E2>(self, map: impl FnOnce(E) -> E2) -> Ports<P, B, Q, E2, J> {
        let Self { pages, bodies, queue, edge, journal, build, are_local } = self;
        Ports { pages, bodies, queue, edge: map(edge), journal, build, are_local }
    }

    /// The same ports with another journal, made from the present one.
    #[must_use]
    pub fn map_journal<J2>(self, map: impl FnOnce(J) -> J2) -> Ports<P, B, Q, E, J2> {
        let Self { pages, bodies, queue, edge, journal, build, are_local } = self;
        Ports { pages, bodies, queue, edge, journal: map(journal), build, are_local }
    }
}

/// The bound for code that runs on any stores: one type parameter instead of five. [`Ports`] alone implements this trait.
pub trait Stores: sealed::Sealed + Sized + Send + Sync + 'static {
    /// Records, leases, epochs.
    type Pages: Pages;
    /// Immutable bytes.
    type Bodies: Bodies;
    /// Jobs to be done.
    type Queue: Queue;
    /// The shared cache in front.
    type Edge: Edge;
    /// The journal of publishes.
    type Journal: Journal;

    /// Records, leases, epochs.
    fn pages(&self) -> &Self::Pages;
    /// Immutable bytes.
    fn bodies(&self) -> &Self::Bodies;
    /// Jobs to be done.
    fn queue(&self) -> &Self::Queue;
    /// The shared cache in front.
    fn edge(&self) -> &Self::Edge;
    /// The journal of publishes.
    fn journal(&self) -> &Self::Journal;
    /// The build whose records these ports show.
    fn build(&self) -> &Arc<str>;
    /// Whether the stores are on this machine; see [`Ports::are_local`].
    fn are_local(&self) -> bool;
    /// The ports themselves.
    fn into_ports(self) -> PortsOf<Self>;
}

/// The [`Ports`] of some [`Stores`].
pub type PortsOf<S> = Ports<
    <S as Stores>::Pages,
    <S as Stores>::Bodies,
    <S as Stores>::Queue,
    <S as Stores>::Edge,
    <S as Stores>::Journal,
>;

mod sealed {
    pub trait Sealed {}
    impl<P, B, Q, E, J> Sealed for super::Ports<P, B, Q, E, J> {}
}

impl<P: Pages, B: Bodies, Q: Queue, E: Edge, J: Journal> Stores for Ports<P, B, Q, E, J> {
    type Pages = P;
    type Bodies = B;
    type Queue = Q;
    type Edge = E;
    type Journal = J;

    fn pages(&self) -> &P {
        &self.pages
    }

    fn bodies(&self) -> &B {
        &self.bodies
    }

    fn queue(&self) -> &Q {
        &self.queue
    }

    fn edge(&self) -> &E {
        &self.edge
    }

    fn journal(&self) -> &J {
        &self.journal
    }

    fn build(&self) -> &Arc<str> {
        &self.build
    }

    fn are_local(&self) -> bool {
        self.are_local
    }

    fn into_ports(self) -> Self {
        self
    }
}
