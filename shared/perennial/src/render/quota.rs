//! How many pages of a route the store may hold: made-up paths must not fill it.
//!
//! Counting takes as long as there are many, so a count holds for a while. Several processes that count apart may store a
//! few more together than the limit.

use crate::process::Process;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::clock::Millis;
use crate::ports::pages::Pages;
use crate::ports::stores::Stores;
use crate::record::page_record::{Record, Stored};
use crate::site::route::Resolved;

/// A count is made again after this long.
const COUNTED_FOR: Duration = Duration::from_secs(60);

/// The part of what is left that this process takes before it counts again: others take theirs meanwhile.
const SHARE: usize = 16;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Counted {
    /// Whatever is stored.
    Page,
    /// Pages that do not exist.
    NotFound,
}

#[derive(Clone, Copy)]
struct Count {
    /// How many more may be stored before it is counted again; none if it is full.
    left: usize,
    is_full: bool,
    until: Millis,
}

/// The newest counts, by route.
#[derive(Default)]
pub(crate) struct Quota(Mutex<HashMap<(String, Counted), Count>>);

impl Quota {
    /// Takes a place by what was counted last; none if it is to be counted again.
    fn take(&self, of: &(String, Counted), now: Millis) -> Option<bool> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get_mut(of).filter(|count| now < count.until)?;
        if count.is_full {
            return Some(false);
        }
        count.left = count.left.checked_sub(1)?;
        Some(true)
    }

    /// Takes a place after a count of so many.
    fn counted(&self, of: (String, Counted), counted: usize, most: usize, now: Millis) -> bool {
        let free = most.saturating_sub(counted);
        let count = Count { left: free / SHARE, is_full: free == 0, until: now.plus(COUNTED_FOR) };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(of, count);
        free > 0
    }

    /// Whether the store has room for a page that nobody but this visitor had asked for; names the limit if not.
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
            Some(most) if !self.may_store(process, page, Counted::Page, most).await => {
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
        most: usize,
    ) -> bool {
        let of = (page.route.id().to_owned(), kind);
        let now = process.clock.now();
        if let Some(taken) = self.take(&of, now) {
            return taken;
        }
        let counted = match kind {
            Counted::Page => process.stores.pages().count_stored(page.route.id(), most).await,
            Counted::NotFound => process.stores.pages().count_not_found(page.route.id(), most).await,
        };
        // If it cannot be counted, the commit will meet the same store and tell.
        counted.map_or(true, |counted| self.counted(of, counted, most, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_holds_for_a_while_and_for_a_part_of_what_is_left() {
        let (room, of, now) = (Quota::default(), ("/r".to_owned(), Counted::Page), Millis(1_000));
        let later = now.plus(COUNTED_FOR);
        assert_eq!(room.take(&of, now), None, "nothing was counted");
        assert!(room.counted(of.clone(), 68, 100, now), "32 are left, 2 of them without counting");
        assert_eq!([now, now, now].map(|now| room.take(&of, now)), [Some(true), Some(true), None]);
        assert!(room.counted(of.clone(), 99, 100, now));
        assert_eq!(room.take(&of, now), None, "the last place is counted for");
        assert!(!room.counted(of.clone(), 100, 100, now));
        assert_eq!([now, later].map(|now| room.take(&of, now)), [Some(false), None]);
        assert!(!room.counted(of.clone(), 101, 100, now), "more than the limit, after it was lowered");
        assert_eq!(room.take(&("/r".to_owned(), Counted::NotFound), now), None, "another count");
    }
}
