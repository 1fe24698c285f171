//! What is saved of a damaged table of pages.

use rusqlite::{Connection, Row, Transaction, params};

use crate::key::tags::SITE_TAG;
use crate::ports::error::{StoreError, StoreErrorKind};
use crate::record::page_record::{Record, Stored, Ticket};
use crate::stores::embedded::pages::number::signed;

/// Copies the pages that can be read. Whether one of them was invalidated cannot be told for sure, since epochs may be
/// lost: all are stale, shown until they are rendered again. Leases and failures are forgotten.
pub(super) fn save(old: &Connection, new: &Transaction<'_>, above: Ticket) -> rusqlite::Result<usize> {
    new.execute("UPDATE above SET ticket = ?1", [signed(above)])?;
    new.execute("UPDATE epoch SET epoch = ?1", [signed(above)])?;
    save_deletions(old, new)?;
    new.execute(
        "INSERT INTO tags (tag, epoch) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET epoch = ?2",
        params![SITE_TAG, signed(above)],
    )?;
    let mut saved = 0;
    // From both ends, up to the damage.
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

/// What was deleted and can still be read: nothing of it may be shown again.
fn save_deletions(old: &Connection, new: &Transaction<'_>) -> rusqlite::Result<()> {
    let Ok(mut statement) = old.prepare("SELECT tag, gone FROM tags WHERE gone > 0") else { return Ok(()) };
    let Ok(mut rows) = statement.query([]) else { return Ok(()) };
    while let Ok(Some(row)) = rows.next() {
        let (Ok(tag), Ok(gone)) = (row.get::<_, String>(0), row.get::<_, i64>(1)) else { continue };
        new.execute("INSERT OR IGNORE INTO tags (tag, epoch, gone) VALUES (?1, ?2, ?2)", params![tag, gone])?;
    }
    Ok(())
}

/// Whether the row was not there yet.
fn copy(row: &Row<'_>, new: &Transaction<'_>, above: Ticket, saved: &mut usize) -> rusqlite::Result<bool> {
    let Ok((build, page)) = row.get(0).and_then(|build: String| Ok((build, row.get::<_, String>(1)?))) else {
        return Ok(true);
    };
    let record: Option<Vec<u8>> = row.get(2).unwrap_or_default();
    let record = record.and_then(|bytes| Record::from_bytes(&bytes).ok());
    // Under a number that no render of before can have: one that is under way would not know that it is the older.
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

/// What a render gave that began in a store which was damaged since: whether it is the newest cannot be told any more.
pub(super) fn from_before() -> StoreError {
    StoreError::new(
        StoreErrorKind::Damaged,
        "the store was damaged, and begun anew, while the page was rendered",
    )
}
