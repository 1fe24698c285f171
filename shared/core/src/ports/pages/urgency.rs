//! What holds a wish to render up.

use crate::record::page_record::Epoch;

/// How pressing a wish to render is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A visitor's, or the queue's: leases and back-offs hold it up.
    Ordinary,
    /// A visitor's who has nothing to be shown, be there a record or not (it is deleted or expired, its body lost):
    /// leases hold it up, back-offs do not.
    Missing,
    /// A publisher's call, to be answered by a render that began at this epoch of the site or later. Only the lease of
    /// another such call holds it up: their render may do for both.
    Demand(Epoch),
    /// A deletion, a build, or a second look: nothing holds it up.
    Overriding,
}

impl Urgency {
    /// The epoch that is kept beside the lease, in the page's slot; 0 if it is no publisher's call.
    pub fn demanded(self) -> Epoch {
        match self {
            Urgency::Demand(epoch) => epoch,
            Urgency::Ordinary | Urgency::Missing | Urgency::Overriding => 0,
        }
    }
}
