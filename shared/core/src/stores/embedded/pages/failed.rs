//! What is remembered of pages whose first render failed, and how much of it.

use rusqlite::{Connection, params};

/// Failed first renders that are kept in mind, and how often the others are forgotten: made-up paths that fail must not
/// fill the store.
pub(super) const FAILED_FIRSTS_MAX: u32 = 10_000;
pub(super) const FORGET_EVERY: u32 = 256;

/// Forgets failed first renders but for the newest. All tickets of such a page have failed, so nobody can hold one, and
/// its numbers may start again.
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
