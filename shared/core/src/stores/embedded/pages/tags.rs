//! Tags and their epochs.

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use crate::freshness::Epochs;
use crate::ports::pages::snapshot::Stamp;
use crate::record::page_record::Epoch;
use crate::stores::embedded::pages::number::{signed, unsigned};

/// Advances the site's epoch and stamps the tags with it.
pub(super) fn mark(tx: &Transaction<'_>, tags: &[String], how: Stamp) -> rusqlite::Result<Epoch> {
    tx.execute("UPDATE epoch SET epoch = epoch + 1", [])?;
    let epoch = epoch(tx)?;
    let gone = if how == Stamp::Gone { epoch } else { 0 };
    for tag in tags {
        tx.execute(
            "INSERT INTO tags (tag, epoch, gone) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET epoch = max(epoch, ?2), gone = max(gone, ?3)",
            params![tag, signed(epoch), signed(gone)],
        )?;
    }
    Ok(epoch)
}

/// The newest epochs of tags.
pub(super) fn epochs(
    connection: &Connection,
    tags: impl Iterator<Item = String>,
) -> rusqlite::Result<Epochs> {
    let mut statement = connection.prepare_cached("SELECT epoch, gone FROM tags WHERE tag = ?1")?;
    let mut epochs = Epochs::default();
    for tag in tags {
        let of_tag = |row: &Row<'_>| {
            let (newest, gone) = (unsigned(row, 0)?.unwrap_or(0), unsigned(row, 1)?.unwrap_or(0));
            Ok(Epochs { newest, gone, partial: false })
        };
        epochs = epochs.max(statement.query_row([tag], of_tag).optional()?.unwrap_or_default());
    }
    Ok(epochs)
}

/// The site's epoch; 0 before the first invalidation.
pub(super) fn epoch(connection: &Connection) -> rusqlite::Result<Epoch> {
    let epoch = connection.query_row("SELECT epoch FROM epoch", [], |row| unsigned(row, 0))?;
    Ok(epoch.unwrap_or(0))
}
