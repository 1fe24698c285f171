//! Limits on the pages of a route that visitors may add to the store, so that made-up paths cannot fill the store.
//!
//! A count takes time in proportion to the pages, so each count is used for a while. Several processes count
//! independently and may together exceed a limit a little.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::clock::Millis;
use crate::ports::pages::Pages;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::record::page_record::{Record, Stored};
use crate::site::route::Resolved;

/// A count is used for this long.
const COUNT_LIFETIME: Duration = Duration::from_secs(60);

/// Before the next count, this process takes one part in this many of the free places. Other processes take theirs.
const SHARE_DIVISOR: usize = 16;

/// The kind of pages that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Counted {
    /// All stored pages.
    Page,
    /// Stored not-found results.
    NotFound,
}

#[derive(Clone, Copy)]
struct Count {
    /// Pages that may be stored before the next count.
    left: usize,
    is_full: bool,
    until: Millis,
}

/// The latest counts, by route and kind.
#[derive(Default)]
pub(crate) struct Quota(Mutex<HashMap<(String, Counted), Count>>);

impl Quota {
    /// Takes a place under the latest count; `Some(false)` if the limit is reached. `None` asks for a new count.
    fn take(&self, counter: &(String, Counted), now: Millis) -> Option<bool> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get_mut(counter).filter(|count| now < count.until)?;
        if count.is_full {
            return Some(false);
        }
        count.left = count.left.checked_sub(1)?;
        Some(true)
    }

    /// Notes a new count of `stored` pages and takes a place; false if the limit is reached.
    fn take_after_count(&self, counter: (String, Counted), stored: usize, limit: usize, now: Millis) -> bool {
        let free = limit.saturating_sub(stored);
        let count = Count { left: free / SHARE_DIVISOR, is_full: free == 0, until: now.plus(COUNT_LIFETIME) };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(counter, count);
        free > 0
    }

    /// Whether the store may keep a page that a visitor was the first to ask for. The error is the name of the reached
    /// limit.
    pub(crate) async fn has_room<S: Stores>(
        &self,
        process: &Process<S>,
        page: &Resolved,
        record: &Record,
    ) -> Result<(), &'static str> {
        let not_found = matches!(record.stored, Stored::NotFound { .. });
        if not_found
            && !self.may_store(process, page, Counted::NotFound, process.limits.max_stored_not_found).await
        {
            return Err("PERENNIAL_MAX_STORED_NOT_FOUND");
        }
        match page.route.options.max_stored {
            Some(limit) if !self.may_store(process, page, Counted::Page, limit).await => {
                Err("the route's `max_stored`")
            }
            _ => Ok(()),
        }
    }

    async fn may_store<S: Stores>(
        &self,
        process: &Process<S>,
        page: &Resolved,
        kind: Counted,
        limit: usize,
    ) -> bool {
        let counter = (page.route.id().to_owned(), kind);
        let now = process.clock.now();
        if let Some(taken) = self.take(&counter, now) {
            return taken;
        }
        let stored = match kind {
            Counted::Page => process.stores.pages().count_stored(page.route.id(), limit).await,
            Counted::NotFound => process.stores.pages().count_not_found(page.route.id(), limit).await,
        };
        // If the store cannot count, the commit will report the store's error.
        stored.map_or(true, |stored| self.take_after_count(counter, stored, limit, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_used_for_a_while_and_for_a_part_of_the_free_places() {
        let (quota, counter, now) = (Quota::default(), ("/r".to_owned(), Counted::Page), Millis(1_000));
        let expired = now.plus(COUNT_LIFETIME);
        let count = |stored| quota.take_after_count(counter.clone(), stored, 100, now);
        assert_eq!(quota.take(&counter, now), None, "nothing was counted");
        assert!(count(68), "32 places are free, 2 of them without a new count");
        assert_eq!([now, now, now].map(|now| quota.take(&counter, now)), [Some(true), Some(true), None]);
        assert!(count(99));
        assert_eq!(quota.take(&counter, now), None, "the last place needs a new count");
        assert!(!count(100));
        assert_eq!([now, expired].map(|now| quota.take(&counter, now)), [Some(false), None]);
        assert!(!count(101), "the limit was lowered");
        assert_eq!(quota.take(&("/r".to_owned(), Counted::NotFound), now), None, "another counter");
    }
}
