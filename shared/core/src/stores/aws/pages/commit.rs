//! Commits a render, one item after the other: the inline bodies, the record, the slot.

use std::sync::Arc;

use bytes::Bytes;

use crate::key::page_key::PageKey;
use crate::ports::error::StoreError;
use crate::ports::pages::snapshot::Inline;
use crate::record::page_record::{Form, Record, Ticket};
use crate::stores::aws::dynamodb::{ReturnValue, blob};
use crate::stores::aws::errors::{Failure, write_error};
use crate::stores::aws::item::{n, s, text};
use crate::stores::aws::pages::item::record as record_of;
use crate::stores::aws::pages::table::{
    LISTED, NEVER_EXPIRES_S, PagesTable, SUPERSEDES, listed_item, write_if,
};
use crate::stores::aws::pages::warmth::update;

/// Writes an inline body, unless that of a newer commit is stored.
pub(super) async fn put_body(
    table: &PagesTable,
    page: &PageKey,
    form: Form,
    record: &Record,
    bytes: Option<&Bytes>,
) -> Result<(), StoreError> {
    let (Some(bytes), Some(body)) = (bytes, record.stored.body(form)) else { return Ok(()) };
    let mut item = table.keys().body(page, form);
    item.insert("generation".into(), n(record.generation));
    item.insert("sha256".into(), s(&*body.sha256));
    item.insert("body".into(), blob(bytes));
    let put = table.table.put_item(item);
    let put =
        put.condition_expression(SUPERSEDES).expression_attribute_values(":generation", n(record.generation));
    write_if(put, "dynamodb:PutItem", "keep a body beside its record").await.map(drop)
}

/// Writes the record, unless a newer one is stored (`None`).
pub(super) async fn put_record(
    table: &PagesTable,
    page: &PageKey,
    record: &Record,
) -> Result<Option<Option<Arc<Record>>>, StoreError> {
    let json = String::from_utf8(record.to_bytes()).expect("JSON is UTF-8");
    let put = update(table.update(table.keys().record(page)), &table.keys(), page, record)
        .condition_expression(SUPERSEDES)
        .expression_attribute_names("#record", "record")
        .expression_attribute_values(":generation", n(record.generation))
        .expression_attribute_values(":record", s(&*json))
        .expression_attribute_values(":page", s(page.as_str()))
        .return_values(ReturnValue::AllOld)
        .return_refusing_item();
    match put.send().await {
        Ok(put) => Ok(Some(put.attributes.as_ref().and_then(record_of))),
        Err(Failure::Refused(item)) => {
            // The stored record is this one: the call was repeated because its first answer was lost.
            let ours = item.is_some_and(|item| text(&item, "record") == Some(&*json));
            Ok(ours.then_some(None))
        }
        Err(error) => Err(write_error("dynamodb:UpdateItem", "write a record", &error)),
    }
}

/// Writes the shown generation into the slot, which ends the leases and forgets the failures of this and of older tickets.
pub(super) async fn note_commit(
    table: &PagesTable,
    page: &PageKey,
    generation: Ticket,
) -> Result<(), StoreError> {
    let update = listed_item(table.update(table.keys().slot(page)), &table.keys(), page)
        .update_expression(format!("{LISTED}, shown = :shown, keep = :never, expires = :never"))
        .condition_expression("attribute_not_exists(shown) OR shown < :shown")
        .expression_attribute_values(":shown", n(generation))
        .expression_attribute_values(":never", n(NEVER_EXPIRES_S));
    table.update_if(update).await.map(drop)
}

/// Removes the inline body of an older record, which every hit would read in vain.
pub(super) async fn remove_body(
    table: &PagesTable,
    page: &PageKey,
    form: Form,
    generation: Ticket,
) -> Result<(), StoreError> {
    let key = table.keys().body(page, form);
    let delete = table.table.delete_item(key);
    let delete = delete
        .condition_expression("generation < :generation")
        .expression_attribute_values(":generation", n(generation));
    write_if(delete, "dynamodb:DeleteItem", "remove a body").await.map(drop)
}

pub(super) async fn tidy_bodies(
    table: &PagesTable,
    page: &PageKey,
    replaced: &Record,
    record: &Record,
    inline: &Inline,
) {
    for (form, kept) in [(Form::Html, &inline.html), (Form::Data, &inline.data)] {
        let (old, new) = (replaced.stored.body(form), record.stored.body(form));
        let gone = kept.is_none() && old.is_some() && old.map(|b| &b.sha256) != new.map(|b| &b.sha256);
        if gone && let Err(error) = remove_body(table, page, form, record.generation).await {
            tracing::warn!(page = %page.address(), "an inline body that is no longer shown cannot be removed: {error}");
        }
    }
}
