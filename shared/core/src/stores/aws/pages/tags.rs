//! Writes the epochs of tags.

use tokio::task::JoinSet;

use crate::ports::error::StoreError;
use crate::ports::pages::snapshot::Stamp;
use crate::record::page_record::Epoch;
use crate::stores::aws::dynamodb::ReturnValue;
use crate::stores::aws::errors::write_error;
use crate::stores::aws::item::{n, s};
use crate::stores::aws::pages::item::{epoch, epoch_key, tag_key};
use crate::stores::aws::pages::table::{PagesTable, WRITES_AT_ONCE};

/// Implements [`Pages::invalidate`](crate::ports::pages::Pages::invalidate).
pub(super) async fn mark(table: &PagesTable, tags: &[String], how: Stamp) -> Result<Epoch, StoreError> {
    let update = table
        .update(epoch_key())
        .update_expression("ADD epoch :one")
        .expression_attribute_values(":one", n(1))
        .return_values(ReturnValue::UpdatedNew);
    let advanced =
        update.send().await.map_err(|e| write_error("dynamodb:UpdateItem", "advance the epoch", &e))?;
    let epoch = epoch(advanced.attributes.as_ref());
    let failed = stamp(table, tags, epoch, how).await;
    let Some((_, first)) = failed.first() else { return Ok(epoch) };
    let names: Vec<_> = failed.iter().map(|(tag, _)| tag.as_str()).collect();
    let message = format!("not invalidated: {}; call again: {first}", names.join(", "));
    Err(StoreError::unsure(message))
}

/// Writes the epoch of every tag that has no newer one. Returns the tags whose writes failed.
async fn stamp(table: &PagesTable, tags: &[String], epoch: Epoch, how: Stamp) -> Vec<(String, StoreError)> {
    let mut failed = Vec::new();
    for some in tags.chunks(WRITES_AT_ONCE) {
        let mut writes = JoinSet::new();
        for tag in some {
            let (table, tag) = (table.clone(), tag.clone());
            writes.spawn(async move {
                let stamped = stamp_tag(&table, &tag, epoch, how).await;
                stamped.err().map(|error| (tag, error))
            });
        }
        failed.extend(writes.join_all().await.into_iter().flatten());
    }
    failed
}

/// Writes each epoch on its own, so that a newer invalidation does not prevent a deletion.
async fn stamp_tag(table: &PagesTable, tag: &str, epoch: Epoch, how: Stamp) -> Result<(), StoreError> {
    let stamp = |name: &str| {
        table
            .update(tag_key(tag))
            .update_expression(format!("SET {name} = :epoch, tag = :tag"))
            .condition_expression(format!("attribute_not_exists({name}) OR {name} < :epoch"))
            .expression_attribute_values(":epoch", n(epoch))
            .expression_attribute_values(":tag", s(tag))
    };
    table.update_if(stamp("epoch")).await?;
    if how == Stamp::Gone {
        table.update_if(stamp("gone")).await?;
    }
    Ok(())
}
