//! DynamoDB's JSON, for the operations that the pages need
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html>).

use std::collections::HashMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::Method;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::call::{Call, Caller};
use super::errors::Failure;

/// An item, or its key.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// One attribute of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum AttributeValue {
    S(String),
    /// A number, as text.
    N(String),
    #[serde(serialize_with = "as_base64")]
    B(Bytes),
    #[serde(rename = "BOOL")]
    Bool(bool),
    /// Of a type that this library does not write.
    #[serde(skip)]
    Other,
}

fn as_base64<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&BASE64.encode(bytes))
}

impl<'de> Deserialize<'de> for AttributeValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Typed;

        impl<'de> Visitor<'de> for Typed {
            type Value = AttributeValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an attribute: a type and a value")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AttributeValue, A::Error> {
                let kind: &str =
                    map.next_key()?.ok_or_else(|| A::Error::custom("an attribute has a type"))?;
                Ok(match kind {
                    "S" => AttributeValue::S(map.next_value()?),
                    "N" => AttributeValue::N(map.next_value()?),
                    "B" => {
                        let bytes = BASE64.decode(map.next_value::<&str>()?).map_err(A::Error::custom)?;
                        AttributeValue::B(bytes.into())
                    }
                    "BOOL" => AttributeValue::Bool(map.next_value()?),
                    _ => map.next_value::<IgnoredAny>().map(|_| AttributeValue::Other)?,
                })
            }
        }

        from.deserialize_map(Typed)
    }
}

/// One table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    caller: Caller,
    url: String,
    name: String,
}

/// One call, and what it asks for. Absent fields are left to DynamoDB.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    table: Table,
    action: &'static str,
    asked: Asked,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Asked {
    table_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition_expression: Option<String>,
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    expression_attribute_names: HashMap<&'static str, &'static str>,
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    expression_attribute_values: HashMap<&'static str, AttributeValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    return_values: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    return_values_on_condition_check_failure: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_condition_expression: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    select: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consistent_read: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scan_index_forward: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exclusive_start_key: Option<Item>,
}

/// What DynamoDB answers to a [`Request`].
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
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

/// What DynamoDB answers to [`Table::get_some`].
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Found {
    /// Found, by table, in any order.
    responses: HashMap<String, Vec<Item>>,
    /// Not looked for, by table.
    unprocessed_keys: HashMap<String, Unprocessed>,
}

impl Found {
    /// What was found, and the keys that were not looked for.
    pub(crate) fn into_parts(self) -> (Vec<Item>, Vec<Item>) {
        let left = self.unprocessed_keys.into_values().flat_map(|left| left.keys);
        (self.responses.into_values().flatten().collect(), left.collect())
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Unprocessed {
    keys: Vec<Item>,
}

impl Table {
    pub(crate) fn new(caller: Caller, name: String) -> Self {
        Self { url: caller.url("dynamodb", "/"), caller, name }
    }

    fn request(&self, action: &'static str) -> Request {
        let asked = Asked { table_name: self.name.clone(), ..Asked::default() };
        Request { table: self.clone(), action, asked }
    }

    pub(crate) fn get_item(&self, key: Item) -> Request {
        self.request("dynamodb:GetItem").with(|asked| asked.key = Some(key))
    }

    pub(crate) fn update_item(&self, key: Item) -> Request {
        self.request("dynamodb:UpdateItem").with(|asked| asked.key = Some(key))
    }

    pub(crate) fn put_item(&self, item: Item) -> Request {
        self.request("dynamodb:PutItem").with(|asked| asked.item = Some(item))
    }

    pub(crate) fn delete_item(&self, key: Item) -> Request {
        self.request("dynamodb:DeleteItem").with(|asked| asked.key = Some(key))
    }

    /// Of an index, by the condition on its key.
    pub(crate) fn query(&self, index: &'static str, condition: &'static str) -> Request {
        self.request("dynamodb:Query").with(|asked| {
            asked.index_name = Some(index);
            asked.key_condition_expression = Some(condition);
        })
    }

    /// Of the table itself, by the condition on its key. Strongly consistent.
    pub(crate) fn query_items(&self, condition: &'static str) -> Request {
        self.request("dynamodb:Query").with(|asked| {
            asked.key_condition_expression = Some(condition);
            asked.consistent_read = Some(true);
        })
    }

    /// Reads items, each strongly consistent and once.
    pub(crate) async fn get_some(&self, keys: &[Item]) -> Result<Found, Failure> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Wanted<'a> {
            consistent_read: bool,
            keys: &'a [Item],
        }

        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Asked<'a> {
            request_items: HashMap<&'a str, Wanted<'a>>,
        }

        let wanted = Wanted { consistent_read: true, keys };
        let asked = Asked { request_items: HashMap::from([(&*self.name, wanted)]) };
        self.call("dynamodb:BatchGetItem", &asked).await
    }

    async fn call<A: for<'de> Deserialize<'de>>(
        &self,
        action: &'static str,
        asked: &impl Serialize,
    ) -> Result<A, Failure> {
        let body = serde_json::to_vec(asked).map_err(|e| Failure::NotSent(e.to_string()))?;
        let operation = action.trim_start_matches("dynamodb:");
        let target = format!("DynamoDB_20120810.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", &*target)];
        let call =
            Call { action, method: Method::POST, url: &self.url, headers: &headers, body: body.into() };
        let answer = self.caller.call(call).await?;
        serde_json::from_slice(&answer.body).map_err(|e| Failure::Lost(format!("it cannot be read: {e}")))
    }
}

impl Request {
    fn with(mut self, set: impl FnOnce(&mut Asked)) -> Self {
        set(&mut self.asked);
        self
    }

    pub(crate) fn update_expression(self, text: impl Into<String>) -> Self {
        self.with(|asked| asked.update_expression = Some(text.into()))
    }

    pub(crate) fn condition_expression(self, text: impl Into<String>) -> Self {
        self.with(|asked| asked.condition_expression = Some(text.into()))
    }

    pub(crate) fn expression_attribute_names(self, name: &'static str, attribute: &'static str) -> Self {
        self.with(|asked| asked.expression_attribute_names.extend([(name, attribute)]))
    }

    pub(crate) fn expression_attribute_values(self, name: &'static str, value: AttributeValue) -> Self {
        self.with(|asked| asked.expression_attribute_values.extend([(name, value)]))
    }

    /// `ALL_OLD`, `ALL_NEW`, `UPDATED_NEW`.
    pub(crate) fn return_values(self, which: &'static str) -> Self {
        self.with(|asked| asked.return_values = Some(which))
    }

    /// Has a refusal tell the item that was in the way: [`refused_by`].
    pub(crate) fn return_refusing_item(self) -> Self {
        self.with(|asked| asked.return_values_on_condition_check_failure = Some("ALL_OLD"))
    }

    /// Has a query count alone.
    pub(crate) fn only_count(self) -> Self {
        self.with(|asked| asked.select = Some("COUNT"))
    }

    pub(crate) fn limit(self, items: usize) -> Self {
        self.with(|asked| asked.limit = Some(items))
    }

    /// Has a query begin at its end.
    pub(crate) fn backwards(self) -> Self {
        self.with(|asked| asked.scan_index_forward = Some(false))
    }

    /// Has a single item read as it is now.
    pub(crate) fn consistent(self) -> Self {
        self.with(|asked| asked.consistent_read = Some(true))
    }

    pub(crate) fn set_exclusive_start_key(self, key: Option<Item>) -> Self {
        self.with(|asked| asked.exclusive_start_key = key)
    }

    pub(crate) async fn send(self) -> Result<Answer, Failure> {
        self.table.call(self.action, &self.asked).await
    }
}

/// Whether a write was refused because its condition did not hold.
pub(crate) fn is_refusal(failure: &Failure) -> bool {
    failure.code() == Some("ConditionalCheckFailedException")
}

/// The item that was in the way of a refused write, if DynamoDB told it.
pub(crate) fn refused_by(failure: &Failure) -> Option<Item> {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(rename = "Item")]
        item: Item,
    }

    let Failure::Answered { body, .. } = failure else { return None };
    serde_json::from_slice::<Refusal>(body).ok().map(|refusal| refusal.item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_written_as_they_are_read() {
        let json = r#"{"B":"AP8="}{"BOOL":true}{"N":"-1.5"}{"S":"é\"\n"}"#;
        let mut read = serde_json::Deserializer::from_str(json).into_iter::<AttributeValue>();
        let values: Vec<_> = read.by_ref().map(Result::unwrap).collect();
        let bytes = AttributeValue::B(Bytes::from_static(&[0, 255]));
        let (number, text) = (AttributeValue::N("-1.5".into()), AttributeValue::S("é\"\n".into()));
        assert_eq!(values, [bytes, AttributeValue::Bool(true), number, text]);
        let written: String = values.iter().map(|value| serde_json::to_string(value).unwrap()).collect();
        assert_eq!(written, json);
    }

    #[test]
    fn what_others_have_added_to_an_item_is_passed_over() {
        let json = r#"{"a":{"M":{"b":{"L":[{"NULL":true}]}}},"c":{"SS":["d"]},"e":{"S":"f"}}"#;
        let item: Item = serde_json::from_str(json).unwrap();
        assert_eq!(item["a"], AttributeValue::Other);
        assert_eq!(item["e"], AttributeValue::S("f".into()));
        for bad in [r#"{"a":{}}"#, r#"{"a":{"S":1}}"#, r#"{"a":{"B":"*"}}"#, r#"{"a":"b"}"#] {
            assert!(serde_json::from_str::<Item>(bad).is_err(), "{bad}");
        }
    }
}
