//! What is saved of a damaged table of pages.

use rusqlite::{Connection, Row, Transaction, params};

use super::row::signed;
use crate::record::{Record, Stored, Ticket};
use crate::tags::SITE_TAG;

/// Copies the pages that can be read. Whether one of them was invalidated cannot be told for sure, since epochs may be
/// lost: all are stale, shown until they are rendered again. Leases and failures are forgotten.
pub(super) fn save(old: &Connection, new: &Transaction<'_>, above: Ticket) -> rusqlite::Result<usize> {
    new.execute("UPDATE above SET ticket = ?1", [signed(above)])?;
    new.execute("UPDATE epoch SET epoch = ?1", [signed(above)])?;
    new.execute("INSERT OR REPLACE INTO tags VALUES (?1, ?2)", params![SITE_TAG, signed(above)])?;
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
