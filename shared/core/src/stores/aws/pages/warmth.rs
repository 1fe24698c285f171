//! The pages of a route in the order of their warmth.

use crate::key::page_key::PageKey;
use crate::ports::error::StoreError;
use crate::ports::pages::warmth::{COLD, Warm, Warmest, place, wanted_in_hour};
use crate::record::page_record::{Record, Stored};
use crate::stores::aws::dynamodb::Request;
use crate::stores::aws::errors::read_error;
use crate::stores::aws::item::{Item, name, s, text};
use crate::stores::aws::pages::item::{INDEX, Keys, LIST_PK, LIST_SK};
use crate::stores::aws::pages::list::{Listed, snapshots};
use crate::stores::aws::pages::table::PagesTable;

/// The first character of the places of not-found pages, which come after all others.
const GONE: char = '!';

/// Adds to an update the page's record and its place in the index. A commit that is not for a visitor leaves the hour of the
/// last visitor as it is.
pub(super) fn update(update: Request, keys: &Keys<'_>, page: &PageKey, record: &Record) -> Request {
    const RECORD: &str = "SET generation = :generation, #record = :record, page = :page";
    let place = |hour| s(place(hour, &name(page.as_str())));
    match (&record.stored, wanted_in_hour(record)) {
        (Stored::Deleted, _) => update.update_expression(format!("{RECORD} REMOVE lpk, lsk, warm")),
        (Stored::NotFound { .. }, _) => update
            .update_expression(format!("{RECORD}, lpk = :lpk, lsk = :place"))
            .expression_attribute_values(":lpk", s(keys.gone(page.route())))
            .expression_attribute_values(":place", s(name(page.as_str()))),
        (_, Some(hour)) => update
            .update_expression(format!("{RECORD}, lpk = :lpk, lsk = :place, warm = :place"))
            .expression_attribute_values(":lpk", s(keys.warm(page.route())))
            .expression_attribute_values(":place", place(hour)),
        (_, None) => update
            .update_expression(format!(
                "{RECORD}, lpk = :lpk, lsk = if_not_exists(warm, :place), warm = if_not_exists(warm, :place)"
            ))
            .expression_attribute_values(":lpk", s(keys.warm(page.route())))
            .expression_attribute_values(":place", place(COLD)),
    }
}

pub(super) async fn warmest_pages(
    table: &PagesTable,
    route: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Warmest, StoreError> {
    let (mut keys, gone) = (Vec::new(), after.and_then(|after| after.strip_prefix(GONE)));
    if gone.is_none() {
        keys = keys_before(table, table.keys().warm(route), after, limit).await?;
    }
    let warm = keys.len();
    keys.extend(keys_before(table, table.keys().gone(route), gone, limit - warm).await?);
    let place = |key: &Item, is_warm: bool| {
        let place = text(key, LIST_SK).unwrap_or_default();
        if is_warm { place.to_owned() } else { format!("{GONE}{place}") }
    };
    let last = keys.last().filter(|_| keys.len() == limit);
    let next = last.map(|last| place(last, warm == keys.len()));
    let warm_lpk = table.keys().warm(route);
    let found = snapshots(table, &keys).await?.into_iter();
    let pages = found.map(|Listed { key, page, snapshot }| {
        let place = place(key, text(key, LIST_PK) == Some(&*warm_lpk));
        Warm { place, page, snapshot }
    });
    Ok(Warmest { pages: pages.collect(), next })
}

/// The keys of the index before a place, backwards.
async fn keys_before(
    table: &PagesTable,
    lpk: String,
    before: Option<&str>,
    limit: usize,
) -> Result<Vec<Item>, StoreError> {
    let (mut keys, mut start) = (Vec::new(), None);
    while keys.len() < limit {
        let query = match before {
            Some(before) => table
                .table
                .query(INDEX, "lpk = :lpk AND lsk < :before")
                .expression_attribute_values(":before", s(before)),
            None => table.table.query(INDEX, "lpk = :lpk"),
        };
        let query = query.expression_attribute_values(":lpk", s(&*lpk)).backwards();
        let query = query.limit(limit - keys.len()).set_exclusive_start_key(start);
        let answer = query.send().await.map_err(|e| read_error("dynamodb:Query", "list pages", &e))?;
        keys.extend(answer.items);
        start = answer.last_evaluated_key;
        if start.is_none() {
            break;
        }
    }
    Ok(keys)
}
