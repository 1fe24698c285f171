//! Urgencies of lease requests.

use crate::record::page_record::Epoch;

/// The urgency of a lease request: which leases and back-offs refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// For a visitor of a stale page, or for the queue. Leases and back-offs refuse the request.
    Ordinary,
    /// For a visitor who can be shown nothing: the page has no record, or is deleted or expired, or its body is lost. Leases
    /// refuse the request, back-offs do not.
    Missing,
    /// For a publisher's call, which needs a render that begins at this epoch or later. Only the lease of another such call
    /// refuses the request, because that call's render may answer both.
    Demand(Epoch),
    /// For a deletion, a build or a second look. Nothing refuses the request.
    Overriding,
}

impl Urgency {
    /// The epoch to store in [`Slot::demanded`](crate::ports::pages::slot::Slot::demanded); 0 unless the request is a
    /// publisher's.
    pub fn demanded(self) -> Epoch {
        match self {
            Urgency::Demand(epoch) => epoch,
            Urgency::Ordinary | Urgency::Missing | Urgency::Overriding => 0,
        }
    }
}
