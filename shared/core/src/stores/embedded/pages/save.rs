//! Saves the pages of a damaged database.

use rusqlite::{Connection, Row, Transaction, params};

use crate::key::tags::SITE_TAG;
use crate::ports::error::{StoreError, StoreErrorKind};
use crate::record::page_record::{Record, Stored, Ticket};
use crate::stores::embedded::pages::number::signed;

/// Copies the readable pages into the new database. Epochs may be lost, so that any page may have been invalidated: all are
/// stale, and shown until they are rendered again. Leases and failures are not copied.
pub(super) fn save(old: &Connection, new: &Transaction<'_>, above: Ticket) -> rusqlite::Result<usize> {
    new.execute("UPDATE above SET ticket = ?1", [signed(above)])?;
    new.execute("UPDATE epoch SET epoch = ?1", [signed(above)])?;
    save_deletions(old, new)?;
    new.execute(
        "INSERT INTO tags (tag, epoch) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET epoch = ?2",
        params![SITE_TAG, signed(above)],
    )?;
    let mut saved = 0;
    // Reads from both ends, up to the damage.
    for order in ["", "DESC"] {
        let sql =
            format!("SELECT build, page, record, listed FROM pages ORDER BY build {order}, page {order}");
        let Ok(mut statement) = old.prepare(&sql) else { break };
        let Ok(mut rows) = statement.query([]) else { break };
        let damage = loop {
            match rows.next() {
                Ok(Some(row)) if !copy(row, new, above, &mut saved)? => return Ok(saved),
                Ok(Some(_)) => {}
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        if !damage {
            break;
        }
    }
    Ok(saved)
}

/// Copies the readable deletions, so that no deleted page is shown again.
fn save_deletions(old: &Connection, new: &Transaction<'_>) -> rusqlite::Result<()> {
    let Ok(mut statement) = old.prepare("SELECT tag, gone FROM tags WHERE gone > 0") else { return Ok(()) };
    let Ok(mut rows) = statement.query([]) else { return Ok(()) };
    while let Ok(Some(row)) = rows.next() {
        let (Ok(tag), Ok(gone)) = (row.get::<_, String>(0), row.get::<_, i64>(1)) else { continue };
        new.execute("INSERT OR IGNORE INTO tags (tag, epoch, gone) VALUES (?1, ?2, ?2)", params![tag, gone])?;
    }
    Ok(())
}

/// Copies a row. `false` if it was copied before.
fn copy(row: &Row<'_>, new: &Transaction<'_>, above: Ticket, saved: &mut usize) -> rusqlite::Result<bool> {
    let Ok((build, page)) = row.get(0).and_then(|build: String| Ok((build, row.get::<_, String>(1)?))) else {
        return Ok(true);
    };
    let record: Option<Vec<u8>> = row.get(2).unwrap_or_default();
    let record = record.and_then(|bytes| Record::from_bytes(&bytes).ok());
    // The new generation is above every earlier ticket: otherwise a running render could replace a newer page.
    let record = record.filter(|record| record.generation < above && record.epoch < above);
    let not_found = record.as_ref().is_some_and(|record| matches!(record.stored, Stored::NotFound { .. }));
    let record = record.map(|record| Record { generation: above, ..record }.to_bytes());
    let listed = row.get(3).unwrap_or(false);
    if record.is_none() && !listed {
        return Ok(true);
    }
    let number = if record.is_some() { signed(above) } else { 0 };
    let copied = new.execute(
        "INSERT OR IGNORE INTO pages (build, page, record, generation, ticket, not_found, listed)
         VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6)",
        params![build, page, record, number, not_found, listed],
    )?;
    *saved += copied;
    Ok(copied > 0)
}

/// The error for the commit of a render that began before the damage: its place among other renders is unknown.
pub(super) fn from_before() -> StoreError {
    StoreError::new(
        StoreErrorKind::Damaged,
        "the store was damaged, and replaced, while the page was rendered",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::clock::SystemClock;
    use crate::key::page_key::PageKey;
    use crate::ports::pages::Pages as _;
    use crate::ports::pages::grant::Failed;
    use crate::ports::pages::slot::{LeaseDecision, LeaseRequest};
    use crate::ports::pages::snapshot::{Inline, Stamp, Wanted};
    use crate::ports::pages::urgency::Urgency;
    use crate::ports::suite::pages::kit::{self, lease_request_and_record};
    use crate::stores::embedded::pages::SqlitePages;

    /// A store with many pages of which some are unreadable, and an open process.
    async fn half_lost() -> (tempfile::TempDir, SqlitePages, Vec<PageKey>, Ticket) {
        let folder = tempfile::tempdir().unwrap();
        let open = || SqlitePages::open(folder.path(), "b".into(), Arc::new(SystemClock));
        let pages = open();
        let keys: Vec<_> = (100..400).map(|i| kit::page(&format!("p{i}"))).collect();
        let (request, record) = lease_request_and_record();
        let mut commits = Vec::new();
        for page in &keys {
            let LeaseDecision::Granted(generation) = pages.begin(page, request).await.unwrap() else {
                panic!("refused")
            };
            let epoch = pages.invalidate(&["tag:x".to_owned()], Stamp::Stale).await.unwrap();
            commits.push((page.clone(), Record { generation, epoch, ..record.clone() }, Inline::default()));
        }
        pages.publish(&commits, &keys).await.unwrap();
        let LeaseDecision::Granted(under_way) = pages
            .begin(&keys[0], LeaseRequest { seen: None, urgency: Urgency::Overriding, ..request })
            .await
            .unwrap()
        else {
            panic!("refused")
        };
        // Closing moves the write-ahead log into the file.
        drop(pages);
        let path = folder.path().join("pages.db");
        let mut bytes = std::fs::read(&path).unwrap();
        // Finds a block of the table `pages`, not of `warmth`.
        let holds = |block: &[u8], text: &[u8]| block.windows(text.len()).any(|found| found == text);
        let middle =
            bytes.chunks(4096).rposition(|b| holds(b, b"p250") && !holds(b, b"#/suite")).unwrap() * 4096;
        bytes[middle..middle + 4096].fill(0xa5);
        std::fs::write(&path, bytes).unwrap();
        let pages = open();
        (folder, pages, keys, under_way)
    }

    #[tokio::test]
    async fn of_a_damaged_store_what_can_be_read_is_stale_and_the_rest_missing() {
        let (_folder, pages, keys, _) = half_lost().await;
        let mut saved = 0;
        for page in &keys {
            let snapshot = pages.read(page, Wanted::default()).await.unwrap();
            saved += usize::from(snapshot.record.is_some());
        }
        // The damage splits the table; both sides of it may be saved.
        assert!((1..keys.len()).contains(&saved), "{saved}");
        for page in &keys {
            let snapshot = pages.read(page, Wanted::default()).await.unwrap();
            assert!(snapshot.generation > 300 && snapshot.epochs.newest > 300, "numbers go on: {snapshot:?}");
            if let Some(record) = snapshot.record {
                assert!(record.generation == snapshot.generation && record.epoch < snapshot.epochs.newest);
            }
            assert!(snapshot.listed, "whether it was cannot be told");
        }
        let stranger = kit::page("stranger");
        assert!(
            pages.read(&stranger, Wanted::default()).await.unwrap().listed
                && !pages.knows_listed().await.unwrap()
        );
        pages.publish(&[], &keys).await.unwrap();
        assert!(pages.knows_listed().await.unwrap());
        assert!(pages.read(&keys[0], Wanted::default()).await.unwrap().listed);
        assert!(!pages.read(&stranger, Wanted::default()).await.unwrap().listed);
    }

    #[tokio::test]
    async fn a_render_from_before_the_damage_is_refused_and_later_ones_are_kept() {
        let (_folder, pages, keys, under_way) = half_lost().await;
        for page in &keys {
            pages.read(page, Wanted::default()).await.unwrap();
        }
        let (request, record) = lease_request_and_record();
        let late = Record { generation: under_way, ..record.clone() };
        let none = Inline::default();
        let error = pages.commit(&keys[0], &late, &none).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
        pages.publish(&[(keys[0].clone(), late, none.clone())], &[]).await.unwrap_err();
        assert_eq!(pages.resume(&keys[0], under_way, request.lease, request.now).await.unwrap(), None);
        assert!(!pages.extend(&keys[0], under_way, request.lease, request.now).await.unwrap());
        let stranger = kit::page("stranger");
        for page in [&keys[0], &keys[150], &stranger] {
            let seen = pages.read(page, Wanted::default()).await.unwrap();
            let request = LeaseRequest { seen: Some(seen.generation), ..request };
            let LeaseDecision::Granted(ticket) = pages.begin(page, request).await.unwrap() else {
                panic!("refused")
            };
            let epoch = pages.prepare(page, ticket).await.unwrap().epoch;
            let record = Record { generation: ticket, epoch, ..record.clone() };
            pages.commit(page, &record, &none).await.unwrap();
            let shown = pages.read(page, Wanted::default()).await.unwrap();
            assert_eq!((shown.generation, shown.epochs.newest), (ticket, epoch), "fresh");
        }
    }

    #[tokio::test]
    async fn after_damage_a_page_nobody_knew_is_forgotten_and_not_held_back() {
        let (_folder, pages, keys, _) = half_lost().await;
        for page in &keys {
            pages.read(page, Wanted::default()).await.unwrap();
        }
        let before = pages.list("", None, 1000).await.unwrap().len();
        let (request, _) = lease_request_and_record();
        let request = LeaseRequest { seen: None, urgency: Urgency::Missing, ..request };
        let stranger = kit::page("stranger");
        let LeaseDecision::Granted(ticket) = pages.begin(&stranger, request).await.unwrap() else {
            panic!("refused")
        };
        pages.release(&stranger, ticket).await.unwrap();
        assert_eq!(pages.list("", None, 1000).await.unwrap().len(), before, "random paths fill no store");
        let LeaseDecision::Granted(ticket) = pages.begin(&stranger, request).await.unwrap() else {
            panic!("refused")
        };
        let failed = Failed { message: "no".into(), retry_after: None, now: request.now };
        pages.fail(&stranger, ticket, failed).await.unwrap().unwrap();
        assert!(
            matches!(pages.begin(&stranger, request).await.unwrap(), LeaseDecision::Granted(_)),
            "nothing to show"
        );
    }
}
