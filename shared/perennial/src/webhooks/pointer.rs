//! Fields of a payload, by JSON pointer (RFC 6901), in which `*` means each. Pure.

use serde_json::Value;

/// Where a field is.
#[derive(Clone, Debug)]
pub(super) struct Pointer {
    pub(super) text: String,
    pub(super) tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Name(String),
    /// Each element of a list, or member of an object.
    Each,
}

impl Pointer {
    /// Reads `/a/0/*`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix('/').ok_or_else(|| format!("the field `{text}` must begin with `/`"))?;
        let token = |token: &str| match token {
            "*" => Token::Each,
            name => Token::Name(name.replace("~1", "/").replace("~0", "~")),
        };
        Ok(Self { text: text.to_owned(), tokens: rest.split('/').map(token).collect() })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a value is there that fits; lists at its end are gone through.
    pub(super) fn any(&self, payload: &Value, fits: &mut dyn FnMut(&Value) -> bool) -> bool {
        fn walk(tokens: &[Token], value: &Value, fits: &mut dyn FnMut(&Value) -> bool) -> bool {
            match tokens.split_first() {
                None => match value {
                    Value::Array(all) => fits(value) || all.iter().any(fits),
                    value => fits(value),
                },
                Some((Token::Each, rest)) => children(value).any(|child| walk(rest, child, fits)),
                Some((Token::Name(name), rest)) => {
                    child(value, name).is_some_and(|child| walk(rest, child, fits))
                }
            }
        }
        walk(&self.tokens, payload, fits)
    }
}

pub(super) fn child<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Array(all) => all.get(name.parse::<usize>().ok()?),
        Value::Object(all) => all.get(name),
        _ => None,
    }
}

pub(super) fn children(value: &Value) -> impl Iterator<Item = &Value> {
    let (list, object) = match value {
        Value::Array(all) => (Some(all.iter()), None),
        Value::Object(all) => (None, Some(all.values())),
        _ => (None, None),
    };
    list.into_iter().flatten().chain(object.into_iter().flatten())
}
