//! Leases that the renders of this process hold. Giving one back and writing under it exclude each other: a page's first
//! ticket is forgotten when it is given back, and another process may get the same number.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::key::page_key::PageKey;
use crate::record::page_record::Ticket;

type Leases = BTreeMap<(PageKey, Ticket), Arc<HeldLease>>;

/// All of them.
#[derive(Default)]
pub(crate) struct HeldLeases {
    leases: Mutex<Leases>,
}

/// One of them.
#[derive(Default)]
pub(crate) struct HeldLease {
    given_back: tokio::sync::Mutex<bool>,
}

/// The right to write under a lease, which keeps it from being given back.
pub(crate) struct Writing<'a> {
    _hold: tokio::sync::MutexGuard<'a, bool>,
}

impl HeldLease {
    /// `None` once the lease has been given back: nothing may be written under its ticket.
    pub(crate) async fn write(&self) -> Option<Writing<'_>> {
        let given_back = self.given_back.lock().await;
        (!*given_back).then_some(Writing { _hold: given_back })
    }
}

impl HeldLeases {
    fn lock(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn insert(&self, page: &PageKey, ticket: Ticket) -> Arc<HeldLease> {
        let hold = Arc::new(HeldLease::default());
        self.lock().insert((page.clone(), ticket), hold.clone());
        hold
    }

    pub(crate) fn remove(&self, page: &PageKey, ticket: Ticket) {
        self.lock().remove(&(page.clone(), ticket));
    }

    /// Those that are to be given back now, which nobody may write under from here on. One that is being written under is
    /// left to its writer.
    pub(crate) fn give_back(&self) -> Vec<(PageKey, Ticket)> {
        let mut leases = self.lock();
        let given_back = |_: &(PageKey, Ticket), hold: &mut Arc<HeldLease>| match hold.given_back.try_lock() {
            Ok(mut given_back) => !std::mem::replace(&mut *given_back, true),
            Err(_) => false,
        };
        leases.extract_if(.., given_back).map(|(lease, _)| lease).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::suite::pages::page;

    #[tokio::test]
    async fn what_is_given_back_is_not_written_and_what_is_written_is_not_given_back() {
        let held = HeldLeases::default();
        let (page, other) = (page("a"), page("b"));
        let (hold, busy) = (held.insert(&page, 1), held.insert(&other, 1));
        let writing = busy.write().await.unwrap();
        assert_eq!(held.give_back(), [(page.clone(), 1)]);
        assert!(hold.write().await.is_none());
        drop(writing);
        assert!(busy.write().await.is_some());
        assert_eq!(held.give_back(), [(other.clone(), 1)]);
        held.insert(&page, 2);
        held.remove(&page, 2);
        assert_eq!(held.give_back(), []);
    }
}
