//! The pages of a route in the order of their warmth.

use rusqlite::{Connection, params};

use crate::key::page_key::PageKey;
use crate::ports::pages::warmth::{COLD, Warm, Warmest, place, wanted_in_hour};
use crate::record::page_record::{Record, Stored};
use crate::stores::embedded::pages::row::{COLUMNS, PageRow};

/// Stores the hour of a commit for a visitor.
pub(super) fn note_warmth(tx: &Connection, build: &str, page: &str, record: &Record) -> rusqlite::Result<()> {
    if record.stored == Stored::Deleted {
        let sql = "DELETE FROM warmth WHERE build = ?1 AND page = ?2";
        return tx.prepare_cached(sql)?.execute([build, page]).map(drop);
    }
    let Some(key) = PageKey::from_stored(page) else { return Ok(()) };
    let hour = wanted_in_hour(record);
    let known = if hour.is_some() { "DO UPDATE SET place = ?4 WHERE place <> ?4" } else { "DO NOTHING" };
    let sql = format!("INSERT INTO warmth VALUES (?1, ?2, ?3, ?4) ON CONFLICT {known}");
    let row = params![build, page, key.route(), place(hour.unwrap_or(COLD), page)];
    tx.prepare_cached(&sql)?.execute(row).map(drop)
}

/// Selects the warmest pages of a route behind a place. CROSS JOIN makes SQLite go through the places in their order, and look
/// each page up by its key.
pub(super) fn warmest_sql() -> String {
    let columns = COLUMNS.split(',').map(|column| format!("pages.{}", column.trim()));
    let columns = columns.collect::<Vec<_>>().join(", ");
    format!(
        "SELECT {columns}, pages.page AS page, place FROM warmth CROSS JOIN pages USING (build, page)
         WHERE warmth.build = ?1 AND route = ?2 AND (?3 IS NULL OR place < ?3)
         ORDER BY place DESC LIMIT ?4"
    )
}

pub(super) fn warmest(
    c: &Connection,
    build: &str,
    route: &str,
    after: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Warmest> {
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = c.prepare_cached(&warmest_sql())?;
    let rows = statement.query_map(params![build, route, after, most], |row| {
        Ok((row.get("page")?, row.get("place")?, PageRow::read(row)?))
    })?;
    let pages = rows.map(|row| {
        let (page, place, row): (String, String, PageRow) = row?;
        let snapshot = match PageKey::from_stored(&page) {
            Some(key) => row.snapshot(c, &key)?,
            None => row.alone(None),
        };
        Ok(Warm { place, page, snapshot })
    });
    let pages: Vec<_> = pages.collect::<rusqlite::Result<_>>()?;
    let next = pages.last().filter(|_| pages.len() == limit).map(|last| last.place.clone());
    Ok(Warmest { pages, next })
}
