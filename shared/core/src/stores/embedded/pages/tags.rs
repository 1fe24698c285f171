//! The epochs of tags.

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rusqlite::params;

    use super::*;
    use crate::base::clock::SystemClock;
    use crate::ports::pages::Pages as _;
    use crate::ports::pages::snapshot::Wanted;
    use crate::ports::suite::pages::kit::{self, lease_request_and_record};
    use crate::record::page_record::Record;
    use crate::stores::embedded::pages::SqlitePages;
    use crate::stores::embedded::pages::number::signed;
    use crate::stores::embedded::pages::warmth::warmest_sql;
    use crate::stores::embedded::sqlite::Durable;

    /// The number of pages in the test of scale; 1,000,000 take a minute.
    #[allow(clippy::disallowed_methods, reason = "a setting of this test alone")]
    fn pages_of_scale() -> u64 {
        std::env::var("SCALE_PAGES").ok().and_then(|n| n.parse().ok()).unwrap_or(50_000)
    }

    /// `SCALE_PAGES=1000000 cargo test --release -p perennial --lib for_any_number -- --nocapture` prints the times of a tag's
    /// invalidation, of the next read, and of the walk's first list of pages, beside those with 1,000 pages.
    #[tokio::test]
    #[allow(clippy::print_stdout, reason = "a measurement is printed")]
    #[allow(clippy::disallowed_methods, reason = "it takes less than the clock port's milliseconds")]
    async fn a_tag_costs_the_same_for_any_number_of_pages() {
        use std::time::Instant;
        let (_, record) = lease_request_and_record();
        let bytes = Record { generation: 1, ..record }.to_bytes();
        let mut costs = Vec::new();
        for count in [1_000, pages_of_scale()] {
            let folder = tempfile::tempdir().unwrap();
            let pages = SqlitePages::open(folder.path(), "b".into(), Arc::new(SystemClock));
            let record = bytes.clone();
            let fill = move |tx: &rusqlite::Transaction<'_>| {
                let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)";
                let page = "'/suite/{name}|' || i";
                let sql = format!(
                    "INSERT INTO pages (build, page, record, generation) {numbers} SELECT 'b', {page}, ?2, 1 FROM n"
                );
                tx.execute(&sql, params![signed(count), record])?;
                let sql = format!(
                    "INSERT INTO warmth {numbers} SELECT 'b', {page}, '/suite/{{name}}', printf('%08d#%s', i % 99, {page}) FROM n"
                );
                tx.execute(&sql, [signed(count)])
            };
            pages.db.write(Durable::No, fill).await.unwrap();
            let mut fastest = [std::time::Duration::MAX; 3];
            for _ in 0..20 {
                let began = Instant::now();
                let epoch = pages.invalidate(&["tag:t".into()], Stamp::Stale).await.unwrap();
                let one = kit::page("7");
                let marked = Instant::now();
                let seen = pages.read(&one, Wanted::default()).await.unwrap().epochs.newest;
                let read = Instant::now();
                assert_eq!(seen, epoch, "seen by the next read");
                let warm = pages.warmest("/suite/{name}", None, 100).await.unwrap();
                assert_eq!(warm.pages.len(), 100);
                let took = [marked - began, read - marked, read.elapsed()];
                fastest = std::array::from_fn(|n| fastest[n].min(took[n]));
            }
            println!(
                "{count} pages: a tag {:?}, the next read {:?}, 100 warmest {:?}",
                fastest[0], fastest[1], fastest[2]
            );
            let plan = pages.db.read(|c| {
                let mut plan = c.prepare(&format!("EXPLAIN QUERY PLAN {}", warmest_sql()))?;
                let rows =
                    plan.query_map(params!["b", "/suite/{name}", None::<String>, 100], |row| row.get(3))?;
                rows.collect::<rusqlite::Result<Vec<String>>>()
            });
            costs.push(plan.await.unwrap());
        }
        let plan = costs[0].join("; ");
        assert!(
            !plan.contains("SCAN") && !plan.contains("TEMP B-TREE"),
            "no look goes through all pages: {plan}"
        );
        assert_eq!(costs[0], costs[1]);
    }
}
