//! Limits the notes of failed first renders.

use rusqlite::{Connection, params};

/// The most failed first renders whose notes are kept. Made-up paths that fail must not fill the store.
pub(super) const FAILED_FIRSTS_MAX: u32 = 10_000;

/// The number of failed first renders after which old notes are removed.
pub(super) const FORGET_EVERY: u32 = 256;

/// Removes the notes of failed first renders, but for the newest `most`. All tickets of such a page have failed, so
/// that no process holds one, and the numbers may start again.
pub(super) fn forget_failed_firsts(tx: &Connection, build: &str, most: u32) -> rusqlite::Result<usize> {
    tx.execute(
        "DELETE FROM pages
         WHERE build = ?1 AND generation = 0 AND listed = 0 AND failures = ticket AND lease_until IS NULL
           AND failed_at <= (
             SELECT failed_at FROM pages WHERE build = ?1 AND generation = 0 AND listed = 0 AND failures = ticket
             ORDER BY failed_at DESC LIMIT 1 OFFSET ?2)",
        params![build, most],
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::clock::{Millis, SystemClock};
    use crate::ports::pages::Pages as _;
    use crate::ports::pages::grant::Failed;
    use crate::ports::pages::slot::{LeaseDecision, LeaseRequest};
    use crate::ports::pages::snapshot::Inline;
    use crate::ports::pages::urgency::Urgency;
    use crate::ports::suite::pages::kit::{self, lease_request_and_record};
    use crate::record::page_record::Record;
    use crate::stores::embedded::pages::SqlitePages;
    use crate::stores::embedded::sqlite::Durable;

    #[tokio::test]
    async fn failed_first_renders_are_forgotten_but_for_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let pages = SqlitePages::open(folder.path(), "b".into(), Arc::new(SystemClock));
        let (request, record) = lease_request_and_record();
        let page = |n: usize| kit::page(&format!("p{n}"));
        let fail = async |n: usize, at: u64| {
            let request =
                LeaseRequest { seen: None, urgency: Urgency::Overriding, now: Millis(at), ..request };
            let LeaseDecision::Granted(ticket) = pages.begin(&page(n), request).await.unwrap() else {
                panic!("refused")
            };
            let failed = Failed { message: "no".into(), retry_after: None, now: Millis(at) };
            pages.fail(&page(n), ticket, failed).await.unwrap().unwrap();
        };
        for n in 0..9 {
            fail(n, 1_000 + n as u64).await;
        }
        // Pages whose notes stay: failed once more, shown, listed, being rendered, and with an older ticket that may be in use.
        fail(0, 2_000).await;
        let shown = Record { generation: 9, ..record };
        pages.commit(&page(1), &shown, &Inline::default()).await.unwrap();
        fail(1, 1_000).await;
        pages.publish(&[], &[page(2)]).await.unwrap();
        let urgent = LeaseRequest { seen: None, urgency: Urgency::Overriding, ..request };
        pages.begin(&page(3), urgent).await.unwrap();
        pages.begin(&page(4), urgent).await.unwrap();
        fail(4, 1_000).await;
        let forget = |tx: &rusqlite::Transaction<'_>| forget_failed_firsts(tx, "b", 3);
        assert_eq!(pages.db.write(Durable::No, forget).await.unwrap(), 2);
        let left = pages.list("", None, 100).await.unwrap();
        let left: Vec<_> = left.iter().map(|(key, _)| &key[key.len() - 1..]).collect();
        assert_eq!(left, ["0", "1", "2", "3", "4", "7", "8"]);
    }
}
