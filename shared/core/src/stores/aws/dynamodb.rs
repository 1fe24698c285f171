//! A DynamoDB table, and the few kinds of calls that the stores make to it.

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

/// An attribute that holds bytes.
pub(crate) fn blob(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

/// The number of attempts of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempts {
    /// As many as the SDK is configured for.
    Several,
    /// One, because the caller repeats the call.
    One,
}

/// A table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    client: Client,
    name: Arc<str>,
}

/// A call, with its parameters. DynamoDB's defaults apply to absent ones.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    table: Table,
    operation: Operation,
    /// The key, or the item to put; empty for a query.
    item: Item,
    parameters: Parameters,
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
struct Parameters {
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

/// Sends a write. The SDK has other types for each kind of write, with the same conditions, answers and errors.
macro_rules! written {
    ($write:expr, $parameters:ident, $error:ident) => {{
        let call = $write
            .set_condition_expression($parameters.condition)
            .set_expression_attribute_names($parameters.names)
            .set_expression_attribute_values($parameters.values)
            .set_return_values($parameters.return_values)
            .set_return_values_on_condition_check_failure($parameters.on_refusal);
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

/// DynamoDB's answer to a [`Request`].
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// The item of a read; `None` if it does not exist.
    pub(crate) item: Option<Item>,
    /// The attributes that [`Request::return_values`] of a write has asked for.
    pub(crate) attributes: Option<Item>,
    /// The items that a query has found.
    pub(crate) items: Vec<Item>,
    /// The number of items that a query has found.
    pub(crate) count: usize,
    /// The start of the next query; `None` at the end.
    pub(crate) last_evaluated_key: Option<Item>,
}

impl Table {
    pub(crate) fn new(client: Client, name: &str) -> Self {
        Self { client, name: name.into() }
    }

    fn request(&self, operation: Operation, item: Item) -> Request {
        Request { table: self.clone(), operation, item, parameters: Parameters::default() }
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

    /// A query of an index, with a condition on the key.
    pub(crate) fn query(&self, index: &str, condition: &str) -> Request {
        self.request(Operation::Query, Item::new()).with(|parameters| {
            parameters.index = Some(index.to_owned());
            parameters.condition = Some(condition.to_owned());
        })
    }

    /// A strongly consistent query of the table itself, with a condition on the key.
    pub(crate) fn query_items(&self, condition: &str) -> Request {
        self.request(Operation::Query, Item::new()).with(|parameters| {
            parameters.condition = Some(condition.to_owned());
            parameters.consistent = Some(true);
        })
    }

    /// Reads items in one strongly consistent call: the items that were found, in any order, and the keys that DynamoDB left
    /// unread.
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
    fn with(mut self, set: impl FnOnce(&mut Parameters)) -> Self {
        set(&mut self.parameters);
        self
    }

    pub(crate) fn update_expression(self, text: impl Into<String>) -> Self {
        self.with(|parameters| parameters.update = Some(text.into()))
    }

    pub(crate) fn condition_expression(self, text: impl Into<String>) -> Self {
        self.with(|parameters| parameters.condition = Some(text.into()))
    }

    pub(crate) fn expression_attribute_names(self, name: &str, attribute: &str) -> Self {
        self.with(|parameters| {
            parameters.names.get_or_insert_default().extend([(name.to_owned(), attribute.to_owned())])
        })
    }

    pub(crate) fn expression_attribute_values(self, name: &str, value: AttributeValue) -> Self {
        self.with(|parameters| parameters.values.get_or_insert_default().extend([(name.to_owned(), value)]))
    }

    /// Makes a write return the item before or after it.
    pub(crate) fn return_values(self, which: ReturnValue) -> Self {
        self.with(|parameters| parameters.return_values = Some(which))
    }

    /// Makes a refused write return the item that refused its condition: [`Failure::Refused`].
    pub(crate) fn return_refusing_item(self) -> Self {
        self.with(|parameters| parameters.on_refusal = Some(ReturnValuesOnConditionCheckFailure::AllOld))
    }

    /// Makes a query count items instead of returning them.
    pub(crate) fn only_count(self) -> Self {
        self.with(|parameters| parameters.select = Some(Select::Count))
    }

    pub(crate) fn limit(self, items: usize) -> Self {
        self.with(|parameters| parameters.limit = Some(i32::try_from(items).unwrap_or(i32::MAX)))
    }

    /// Makes a query go backwards.
    pub(crate) fn backwards(self) -> Self {
        self.with(|parameters| parameters.forward = Some(false))
    }

    /// Makes the read of an item strongly consistent.
    pub(crate) fn consistent(self) -> Self {
        self.with(|parameters| parameters.consistent = Some(true))
    }

    pub(crate) fn set_exclusive_start_key(self, key: Option<Item>) -> Self {
        self.with(|parameters| parameters.start = key)
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
        let Self { table: Table { client, name }, item, parameters, .. } = self;
        let call = client.get_item().table_name(&*name).set_key(Some(item));
        let answer = call.set_consistent_read(parameters.consistent).send().await;
        let answer = answer.map_err(Failure::of)?;
        Ok(Answer { item: answer.item, ..Answer::default() })
    }

    async fn put(self) -> Result<Answer, Failure> {
        let Self { table: Table { client, name }, item, parameters, .. } = self;
        written!(client.put_item().table_name(&*name).set_item(Some(item)), parameters, PutItemError)
    }

    async fn update(self) -> Result<Answer, Failure> {
        let Self { table: Table { client, name }, item, parameters, .. } = self;
        written!(
            client
                .update_item()
                .table_name(&*name)
                .set_key(Some(item))
                .set_update_expression(parameters.update),
            parameters,
            UpdateItemError
        )
    }

    async fn delete(self) -> Result<Answer, Failure> {
        let Self { table: Table { client, name }, item, parameters, .. } = self;
        written!(client.delete_item().table_name(&*name).set_key(Some(item)), parameters, DeleteItemError)
    }

    async fn query(self) -> Result<Answer, Failure> {
        let Self { table: Table { client, name }, parameters, .. } = self;
        let call = client
            .query()
            .table_name(&*name)
            .set_index_name(parameters.index)
            .set_key_condition_expression(parameters.condition)
            .set_expression_attribute_names(parameters.names)
            .set_expression_attribute_values(parameters.values)
            .set_select(parameters.select)
            .set_limit(parameters.limit)
            .set_consistent_read(parameters.consistent)
            .set_scan_index_forward(parameters.forward)
            .set_exclusive_start_key(parameters.start);
        let answer = call.send().await.map_err(Failure::of)?;
        Ok(Answer {
            items: answer.items.unwrap_or_default(),
            count: usize::try_from(answer.count).unwrap_or_default(),
            last_evaluated_key: answer.last_evaluated_key,
            ..Answer::default()
        })
    }
}
