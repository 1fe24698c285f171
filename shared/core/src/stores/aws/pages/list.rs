//! Lists the pages of a build through the index.

use std::collections::{HashMap, HashSet};

use tokio::task::JoinSet;

use crate::freshness::Epochs;
use crate::key::page_key::PageKey;
use crate::key::tags::{page_tags, user_tag};
use crate::ports::error::StoreError;
use crate::ports::pages::snapshot::Snapshot;
use crate::stores::aws::dynamodb::Request;
use crate::stores::aws::errors::read_error;
use crate::stores::aws::item::{AttributeValue, Item, PK, SK, n, name, number, s, text};
use crate::stores::aws::pages::item::{INDEX, LIST_SK, SHARDS, SlotItem, epochs, record, tag_key};
use crate::stores::aws::pages::table::{LISTED, NEVER_EXPIRES_S, PagesTable, WRITES_AT_ONCE, listed_item};

/// The most keys in one answer of a query. DynamoDB also ends an answer at a megabyte.
const QUERY_KEYS_MAX: usize = 1_000;

/// A sort key before all pages' keys, which begin with a slash. DynamoDB allows no empty key.
const FIRST: &str = "\u{1}";

/// Appended to a prefix, this gives the end of the range of texts with that prefix.
const LAST: char = '\u{10FFFF}';

/// A range of keys of the index.
#[derive(Clone)]
struct Range {
    first: String,
    last: String,
    /// Whether the range begins behind `first`.
    after: bool,
}

/// A page that the index lists.
pub(super) struct Listed<'k> {
    pub(super) key: &'k Item,
    pub(super) page: String,
    pub(super) snapshot: Snapshot,
}

pub(super) async fn list_pages(
    table: &PagesTable,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Snapshot)>, StoreError> {
    let first = if prefix.is_empty() { FIRST.to_owned() } else { name(prefix) };
    let last = format!("{}{LAST}", name(prefix));
    let mut range = match after.map(name).filter(|after| *after >= first) {
        Some(after) => Range { first: after, last, after: true },
        None => Range { first, last, after: false },
    };
    let mut pages = Vec::new();
    // Some keys may be of pages that have been forgotten since, so that one round may not suffice.
    while pages.len() < limit {
        let wanted = limit - pages.len();
        let mut keys = listed_keys(table, &range, wanted).await?;
        let all = keys.len() < wanted;
        keys.truncate(wanted);
        if let Some(last) = keys.last().and_then(|item| text(item, LIST_SK)) {
            (range.first, range.after) = (last.to_owned(), true);
        }
        let found = snapshots(table, &keys).await?;
        let wanted = found.into_iter().filter(|listed| listed.page.starts_with(prefix));
        pages.extend(wanted.map(|listed| (listed.page, listed.snapshot)));
        if all {
            break;
        }
    }
    Ok(pages)
}

/// The keys of slots in a range, in the order of the index: at least `limit`, if the range has that many.
async fn listed_keys(table: &PagesTable, range: &Range, limit: usize) -> Result<Vec<Item>, StoreError> {
    let mut queries = JoinSet::new();
    for shard in 0..SHARDS {
        let (table, range) = (table.clone(), range.clone());
        queries.spawn(async move { shard_keys(&table, shard, &range, limit).await });
    }
    let mut keys = Vec::new();
    for shard in queries.join_all().await {
        keys.extend(shard?);
    }
    keys.sort_by(|a, b| text(a, LIST_SK).cmp(&text(b, LIST_SK)));
    Ok(keys)
}

async fn shard_keys(
    table: &PagesTable,
    shard: u8,
    range: &Range,
    limit: usize,
) -> Result<Vec<Item>, StoreError> {
    let (mut keys, mut start) = (Vec::new(), None);
    loop {
        let query = table
            .table
            .query(INDEX, "lpk = :lpk AND lsk BETWEEN :first AND :last")
            .expression_attribute_values(":lpk", s(table.keys().shard(shard)))
            .expression_attribute_values(":first", s(&*range.first))
            .expression_attribute_values(":last", s(&*range.last))
            .limit(at_most(limit.saturating_add(1)))
            .set_exclusive_start_key(start);
        let answer = query.send().await.map_err(|e| read_error("dynamodb:Query", "list pages", &e))?;
        keys.extend(
            answer
                .items
                .into_iter()
                .filter(|item| !(range.after && text(item, LIST_SK) == Some(&range.first))),
        );
        start = answer.last_evaluated_key;
        if start.is_none() || keys.len() >= limit {
            return Ok(keys);
        }
    }
}

/// The snapshots of listed pages, each with its key in the index.
pub(super) async fn snapshots<'k>(
    table: &PagesTable,
    keys: &'k [Item],
) -> Result<Vec<Listed<'k>>, StoreError> {
    let part = |item: &Item, sk: &str| -> Item {
        HashMap::from([(PK.to_owned(), item[PK].clone()), (SK.to_owned(), s(sk))])
    };
    let all = keys.iter().flat_map(|item| [part(item, "slot"), part(item, "record")]).collect();
    let found = table.reads.get_all(all).await?;
    let mut pages = Vec::with_capacity(keys.len());
    for key in keys {
        let (slot, stored) = (found.get(&part(key, "slot")), found.get(&part(key, "record")));
        // The index lags behind the table: the page may have been forgotten since.
        let Some(page) = slot.or(stored).and_then(|item| text(item, "page")) else { continue };
        let generation = stored.and_then(|item| number(item, "generation")).unwrap_or(0);
        let (record, slot) = (stored.and_then(record), slot.map(SlotItem::read).unwrap_or_default());
        let listed = slot.listed;
        let slot = slot.slot(generation);
        let snapshot = Snapshot { record, generation, slot, listed, ..Snapshot::default() };
        pages.push(Listed { key, page: page.to_owned(), snapshot });
    }
    add_epochs(table, &mut pages).await?;
    Ok(pages)
}

async fn add_epochs(table: &PagesTable, pages: &mut [Listed<'_>]) -> Result<(), StoreError> {
    let tags_of = |page: &Listed<'_>| -> Vec<String> {
        let key = PageKey::from_stored(&page.page);
        let user = page.snapshot.record.iter().flat_map(|r| &r.tags).map(|tag| user_tag(tag));
        key.iter().flat_map(page_tags).chain(user).collect()
    };
    let tags: HashSet<_> = pages.iter().flat_map(tags_of).collect();
    let found = table.reads.get_all(tags.iter().map(|tag| tag_key(tag)).collect()).await?;
    for page in pages {
        let tags = tags_of(page);
        let of_tags = tags.iter().map(|tag| epochs(found.get(&tag_key(tag))));
        page.snapshot.epochs = of_tags.fold(Epochs::default(), Epochs::max);
    }
    Ok(())
}

pub(super) async fn count_gone(table: &PagesTable, route: &str, most: usize) -> Result<usize, StoreError> {
    let gone = table.keys().gone(route);
    let query = || {
        let query = table.table.query(INDEX, "lpk = :lpk");
        query.expression_attribute_values(":lpk", s(&*gone))
    };
    count(query, most).await
}

/// Counts the slots of a route's pages in the index, up to `most`. A page that is being rendered for the first time has a slot,
/// too.
pub(super) async fn count_slots(table: &PagesTable, route: &str, most: usize) -> Result<usize, StoreError> {
    let first = name(&format!("{route}|"));
    let last = format!("{first}{LAST}");
    let mut counts = JoinSet::new();
    for shard in 0..SHARDS {
        let (table, first, last) = (table.clone(), first.clone(), last.clone());
        counts.spawn(async move {
            let query = || {
                let query = table.table.query(INDEX, "lpk = :lpk AND lsk BETWEEN :first AND :last");
                query
                    .expression_attribute_values(":lpk", s(table.keys().shard(shard)))
                    .expression_attribute_values(":first", s(&*first))
                    .expression_attribute_values(":last", s(&*last))
            };
            count(query, most.saturating_add(1)).await
        });
    }
    let counts = counts.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(counts.into_iter().sum::<usize>().saturating_sub(1).min(most))
}

/// Stores which pages the routes list, and removes that note from all other pages.
pub(super) async fn publish_listing(table: &PagesTable, listed: &[PageKey]) -> Result<(), StoreError> {
    let before = list_pages(table, "", None, usize::MAX).await?;
    let before: HashMap<_, _> =
        before.iter().map(|(text, snapshot)| (text.as_str(), snapshot.listed)).collect();
    let now: HashSet<_> = listed.iter().map(PageKey::as_str).collect();
    let gone = before.iter().filter(|(text, was)| **was && !now.contains(*text));
    let gone: Vec<_> = gone.filter_map(|(text, _)| PageKey::from_stored(text)).collect();
    let new = listed.iter().filter(|page| before.get(page.as_str()) != Some(&true));
    let changes: Vec<_> = new.map(|page| (page, true)).chain(gone.iter().map(|page| (page, false))).collect();
    for some in changes.chunks(WRITES_AT_ONCE) {
        let mut writes = JoinSet::new();
        for &(page, is_listed) in some {
            let (table, update) = (table.clone(), table.update(table.keys().slot(page)));
            let update = if is_listed {
                listed_item(update, &table.keys(), page)
                    .expression_attribute_values(":yes", AttributeValue::Bool(true))
                    .expression_attribute_values(":never", n(NEVER_EXPIRES_S))
                    .update_expression(format!("{LISTED}, listed = :yes, keep = :never, expires = :never"))
            } else {
                update.update_expression("REMOVE listed")
            };
            writes.spawn(async move { table.update_if(update).await.map(drop) });
        }
        writes.join_all().await.into_iter().collect::<Result<(), _>>()?;
    }
    Ok(())
}

/// The number of items that a query finds; `most` if there are more.
async fn count(query: impl Fn() -> Request, most: usize) -> Result<usize, StoreError> {
    let (mut count, mut start) = (0, None);
    loop {
        let query = query().only_count().limit(at_most(most - count)).set_exclusive_start_key(start);
        let answer = query.send().await.map_err(|e| read_error("dynamodb:Query", "list pages", &e))?;
        count += answer.count;
        start = answer.last_evaluated_key;
        if start.is_none() || count >= most {
            return Ok(count.min(most));
        }
    }
}

fn at_most(limit: usize) -> usize {
    limit.clamp(1, QUERY_KEYS_MAX)
}
