//! Keys and attributes of the table's items, for every port that uses the table.

use std::collections::HashMap;

pub(crate) use aws_sdk_dynamodb::types::AttributeValue;
use sha2::{Digest, Sha256};

use crate::key::encode::hex;

/// An item, or its key.
pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) const PK: &str = "pk";
pub(crate) const SK: &str = "sk";

/// The longest text in a key, in bytes. DynamoDB takes 1,024 bytes of a sort key and 2,048 of a partition key. Longer texts
/// are cut, and end with a hash.
const LONGEST_NAME_BYTES: usize = 900;

pub(crate) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(crate) fn n(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn hash(text: &str) -> String {
    hex(&Sha256::digest(text)[..16])
}

/// A text for a key: the text itself, or its beginning and its hash.
pub(crate) fn name(text: &str) -> String {
    if text.len() <= LONGEST_NAME_BYTES {
        return text.to_owned();
    }
    let cut = text.floor_char_boundary(LONGEST_NAME_BYTES);
    format!("{}#{}", &text[..cut], hash(text))
}

pub(crate) fn key(pk: String, sk: &str) -> Item {
    HashMap::from([(PK.to_owned(), s(pk)), (SK.to_owned(), s(sk))])
}

pub(crate) fn number(item: &Item, attribute: &str) -> Option<u64> {
    match item.get(attribute)? {
        AttributeValue::N(number) => number.parse().ok(),
        _ => None,
    }
}

pub(crate) fn text<'a>(item: &'a Item, attribute: &str) -> Option<&'a str> {
    match item.get(attribute)? {
        AttributeValue::S(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let long = |end: &str| format!("/{}{end}", "é".repeat(2_000));
        let (a, b) = (name(&long("a")), name(&long("b")));
        assert!(a.len() < 1_024 && a != b && a.starts_with("/é"));
        assert_eq!(name("/short"), "/short");
    }
}
