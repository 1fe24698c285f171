//! The leases that renders of this process hold. To give a lease back and to write under it exclude each other: the
//! store forgets a page's first ticket when its lease is given back, and another process may get the same number.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::key::page_key::PageKey;
use crate::record::page_record::Ticket;

type Leases = BTreeMap<(PageKey, Ticket), Arc<HeldLease>>;

/// The leases that renders of this process hold.
#[derive(Default)]
pub(crate) struct HeldLeases {
    leases: Mutex<Leases>,
}

/// One lease that a render of this process holds, or has given back.
#[derive(Default)]
pub(crate) struct HeldLease {
    given_back: tokio::sync::Mutex<bool>,
}

/// The right to write under a lease: the lease cannot be given back until this is dropped.
pub(crate) struct Writing<'a> {
    _guard: tokio::sync::MutexGuard<'a, bool>,
}

impl HeldLease {
    /// The right to write under the lease's ticket. `None` if the lease was given back.
    pub(crate) async fn write(&self) -> Option<Writing<'_>> {
        let given_back = self.given_back.lock().await;
        (!*given_back).then_some(Writing { _guard: given_back })
    }
}

impl HeldLeases {
    fn lock(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn insert(&self, page: &PageKey, ticket: Ticket) -> Arc<HeldLease> {
        let lease = Arc::new(HeldLease::default());
        self.lock().insert((page.clone(), ticket), lease.clone());
        lease
    }

    pub(crate) fn remove(&self, page: &PageKey, ticket: Ticket) {
        self.lock().remove(&(page.clone(), ticket));
    }

    /// Ends the right to write under all leases, and returns them; the caller gives them back to the store. A lease
    /// under which a render is writing at this moment is left out.
    pub(crate) fn give_back(&self) -> Vec<(PageKey, Ticket)> {
        let mut leases = self.lock();
        let end = |_: &(PageKey, Ticket), lease: &mut Arc<HeldLease>| match lease.given_back.try_lock() {
            Ok(mut given_back) => !std::mem::replace(&mut *given_back, true),
            Err(_) => false,
        };
        leases.extract_if(.., end).map(|(page_and_ticket, _)| page_and_ticket).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::suite::pages::kit::page;

    #[tokio::test]
    async fn giving_a_lease_back_and_writing_under_it_exclude_each_other() {
        let leases = HeldLeases::default();
        let (page, other) = (page("a"), page("b"));
        let (idle, busy) = (leases.insert(&page, 1), leases.insert(&other, 1));
        let writing = busy.write().await.unwrap();
        assert_eq!(leases.give_back(), [(page.clone(), 1)]);
        assert!(idle.write().await.is_none());
        drop(writing);
        assert!(busy.write().await.is_some());
        assert_eq!(leases.give_back(), [(other.clone(), 1)]);
        leases.insert(&page, 2);
        leases.remove(&page, 2);
        assert_eq!(leases.give_back(), []);
    }
}
