//! One table, and the few kinds of calls that are made to it.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Config;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::primitives::Blob;
pub(crate) use aws_sdk_dynamodb::types::ReturnValue;
use aws_sdk_dynamodb::types::{KeysAndAttributes, ReturnValuesOnConditionCheckFailure, Select};
use aws_smithy_types::retry::RetryConfig;

use crate::stores::aws::errors::{Cause, Failure};
use crate::stores::aws::item::{AttributeValue, Item};

/// An attribute of bytes.
pub(crate) fn blob(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

/// How often a call is made before it has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempts {
    /// As often as the SDK is told: another attempt finds another connection.
    Several,
    /// Once, because the caller repeats it.
    One,
}

/// One table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    client: Client,
    name: Arc<str>,
}

/// One call, and what it asks for. Absent fields are left to DynamoDB.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    table: Table,
    operation: Operation,
    /// The key, or the item that is put; none of a query.
    item: Item,
    asked: Asked,
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Get,
    Put,
    Update,
    Delete,
    Query,
}

#[derive(Clone, Debug, Default)]
struct Asked {
    update: Option<String>,
    condition: Option<String>,
    names: Option<HashMap<String, String>>,
    values: Option<Item>,
    return_values: Option<ReturnValue>,
    on_refusal: Option<ReturnValuesOnConditionCheckFailure>,
    index: Option<String>,
    select: Option<Select>,
    limit: Option<i32>,
    consistent: Option<bool>,
    forward: Option<bool>,
    start: Option<Item>,
}

/// Carries out a write. Each kind has its own types for the same conditions, answers and errors.
macro_rules! written {
    ($write:expr, $asked:ident, $error:ident) => {{
        let call = $write
            .set_condition_expression($asked.condition)
            .set_expression_attribute_names($asked.names)
            .set_expression_attribute_values($asked.values)
            .set_return_values($asked.return_values)
            .set_return_values_on_condition_check_failure($asked.on_refusal);
        match call.send().await {
            Ok(answer) => Ok(Answer { attributes: answer.attributes, ..Answer::default() }),
            Err(error) => Err(match error.as_service_error() {
                Some($error::ConditionalCheckFailedException(refusal)) => {
                    Failure::Refused(refusal.item.clone())
                }
                _ => Failure::of(error),
            }),
        }
    }};
}

/// What DynamoDB answers to a [`Request`].
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Of a read of one item, if it is there.
    pub(crate) item: Option<Item>,
    /// Of an update or a put: what was asked for with [`Request::return_values`].
    pub(crate) attributes: Option<Item>,
    /// Of a query.
    pub(crate) items: Vec<Item>,
    /// Of a query.
    pub(crate) count: usize,
    /// Of a query that has not come to its end: where to go on.
    pub(crate) last_evaluated_key: Option<Item>,
}

impl Table {
    pub(crate) fn new(client: Client, name: &str) -> Self {
        Self { client, name: name.into() }
    }

    fn request(&self, operation: Operation, item: Item) -> Request {
        Request { table: self.clone(), operation, item, asked: Asked::default() }
    }

    pub(crate) fn get_item(&self, key: Item) -> Request {
        self.request(Operation::Get, key)
    }

    pub(crate) fn update_item(&self, key: Item) -> Request {
        self.request(Operation::Update, key)
    }

    pub(crate) fn put_item(&self, item: Item) -> Request {
        self.request(Operation::Put, item)
    }

    pub(crate) fn delete_item(&self, key: Item) -> Request {
        self.request(Operation::Delete, key)
    }

    /// Of an index, by the condition on its key.
    pub(crate) fn query(&self, index: &str, condition: &str) -> Request {
        self.request(Operation::Query, Item::new()).with(|asked| {
            asked.index = Some(index.to_owned());
            asked.condition = Some(condition.to_owned());
        })
    }

    /// Of the table itself, by the condition on its key. Strongly consistent.
    pub(crate) fn query_items(&self, condition: &str) -> Request {
        self.request(Operation::Query, Item::new()).with(|asked| {
            asked.condition = Some(condition.to_owned());
            asked.consistent = Some(true);
        })
    }

    /// Reads items, each strongly consistent and once: what was found, in any order, and the keys that were not looked
    /// for.
    pub(crate) async fn get_some(
        &self,
        keys: Vec<Item>,
        attempts: Attempts,
    ) -> Result<(Vec<Item>, Vec<Item>), Failure> {
        let wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
        let wanted = wanted.map_err(|e| Failure::NotSent(Cause::of(e)))?;
        let call = self.client.batch_get_item().request_items(&*self.name, wanted);
        let answer = match attempts {
            Attempts::Several => Box::pin(call.send()).await,
            Attempts::One => {
                let once = Config::builder().retry_config(RetryConfig::disabled());
                Box::pin(call.customize().config_override(once).send()).await
            }
        };
        let answer = answer.map_err(Failure::of)?;
        let found = answer.responses.into_iter().flatten().flat_map(|(_, items)| items);
        let left = answer.unprocessed_keys.into_iter().flatten().flat_map(|(_, left)| left.keys);
        Ok((found.collect(), left.collect()))
    }
}

impl Request {
    fn with(mut self, set: impl FnOnce(&mut Asked)) -> Self {
        set(&mut self.asked);
        self
    }

    pub(crate) fn update_expression(self, text: impl Into<String>) -> Self {
        self.with(|asked| asked.update = Some(text.into()))
    }

    pub(crate) fn condition_expression(self, text: impl Into<String>) -> Self {
        self.with(|asked| asked.condition = Some(text.into()))
    }

    pub(crate) fn expression_attribute_names(self, name: &str, attribute: &str) -> Self {
        self.with(|asked| {
            asked.names.get_or_insert_default().extend([(name.to_owned(), attribute.to_owned())])
        })
    }

    pub(crate) fn expression_attribute_values(self, name: &str, value: AttributeValue) -> Self {
        self.with(|asked| asked.values.get_or_insert_default().extend([(name.to_owned(), value)]))
    }

    /// Has a write tell what was there, or is now.
    pub(crate) fn return_values(self, which: ReturnValue) -> Self {
        self.with(|asked| asked.return_values = Some(which))
    }

    /// Has a refusal tell the item that was in the way: [`Failure::Refused`].
    pub(crate) fn return_refusing_item(self) -> Self {
        self.with(|asked| asked.on_refusal = Some(ReturnValuesOnConditionCheckFailure::AllOld))
    }

    /// Has a query count alone.
    pub(crate) fn only_count(self) -> Self {
        self.with(|asked| asked.select = Some(Select::Count))
    }

    pub(crate) fn limit(self, items: usize) -> Self {
        self.with(|asked| asked.limit = Some(i32::try_from(items).unwrap_or(i32::MAX)))
    }

    /// Has a query begin at its end.
    pub(crate) fn backwards(self) -> Self {
        self.with(|asked| asked.forward = Some(false))
    }

    /// Has a single item read as it is now.
    pub(crate) fn consistent(self) -> Self {
        self.with(|asked| asked.consistent = Some(true))
    }

    pub(crate) fn set_exclusive_start_key(self, key: Option<Item>) -> Self {
        self.with(|asked| asked.start = key)
    }

    pub(crate) async fn send(self) -> Result<Answer, Failure> {
        match self.operation {
            Operation::Get => Box::pin(self.get()).await,
            Operation::Put => Box::pin(self.put()).await,
            Operation::Update => Box::pin(self.update()).await,
            Operation::Delete => Box::pin(self.delete()).await,
            Operation::Query => Box::pin(self.query()).await,
        }
    }

    async fn get(self) -> Result<Answer, Failure> {
        let Self { table: Table { client, name }, item, asked, .. } = self;
        let call = client.get_item().table_name(&*name).set_key(Some(item));
        let answer = call.set_consistent_read(asked.consistent).send().await;
        let answer = answer.map_err(Failure::of)?;
        Ok(Answer { item: answer.item, ..Answer::default() })
    }

    async fn put(self) -> Result<Answer, Failure> {
        let Self { table: Table { client, name }, item, asked, .. } = self;
        written!(client.put_item().table_name(&*name).set_item(Some(item)), asked, PutItemError)
    }

    async fn update(self) -> Result<Answer, Failure> {
        let Self { table: Table { client, name }, item, asked, .. } = self;
        written!(
            client.update_item().table_name(&*name).set_key(Some(item)).set_update_expression(asked.update),
            asked,
            UpdateItemError
        )
    }

    async fn delete(self) -> Result<Answer, Failure> {
        let Self { table: Table { client, name }, item, asked, .. } = self;
        written!(client.delete_item().table_name(&*name).set_key(Some(item)), asked, DeleteItemError)
    }

    async fn query(self) -> Result<Answer, Failure> {
        let Self { table: Table { client, name }, asked, .. } = self;
        let call = client
            .query()
            .table_name(&*name)
            .set_index_name(asked.index)
            .set_key_condition_expression(asked.condition)
            .set_expression_attribute_names(asked.names)
            .set_expression_attribute_values(asked.values)
            .set_select(asked.select)
            .set_limit(asked.limit)
            .set_consistent_read(asked.consistent)
            .set_scan_index_forward(asked.forward)
            .set_exclusive_start_key(asked.start);
        let answer = call.send().await.map_err(Failure::of)?;
        Ok(Answer {
            items: answer.items.unwrap_or_default(),
            count: usize::try_from(answer.count).unwrap_or_default(),
            last_evaluated_key: answer.last_evaluated_key,
            ..Answer::default()
        })
    }
}
