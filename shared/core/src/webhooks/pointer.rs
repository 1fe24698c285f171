//! JSON pointers (RFC 6901) to fields of a payload, in which `*` means each element or member. Pure.

use serde_json::Value;

/// The prefix of a pointer into the whole payload, in a rule whose other pointers begin at an element of a list.
const WHOLE: char = '$';

/// A pointer to a field.
#[derive(Clone, Debug)]
pub(super) struct Pointer {
    pub(super) text: String,
    pub(super) tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Whether the pointer begins at the whole payload.
    Whole,
    Name(String),
    /// Each element of a list, or member of an object.
    Each,
}

/// The values into which pointers point: the payload, and an element of a list in it. Without such a list both are the payload.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) whole: &'a Value,
    pub(super) element: &'a Value,
}

impl Pointer {
    /// Reads a pointer like `/a/0/*` or `$/a`. The empty pointer means the whole value.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (start, rest) = match text.strip_prefix(WHOLE) {
            Some(rest) => (Some(Token::Whole), rest),
            None => (None, text),
        };
        let token = |token: &str| match token {
            "*" => Token::Each,
            name => Token::Name(name.replace("~1", "/").replace("~0", "~")),
        };
        let tokens = match rest.strip_prefix('/') {
            Some(rest) => start.into_iter().chain(rest.split('/').map(token)).collect(),
            None if rest.is_empty() => start.into_iter().collect(),
            None => return Err(format!("the field `{text}` must begin with `/`")),
        };
        Ok(Self { text: text.to_owned(), tokens })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pointer finds the same value for each element of the rule's list.
    pub(super) fn is_of_whole(&self) -> bool {
        self.tokens.first() == Some(&Token::Whole)
    }

    /// Whether the pointer finds a fitting value. If it finds a list, an element of the list must fit.
    pub(super) fn any(&self, scope: Scope<'_>, fits: &mut dyn FnMut(&Value) -> bool) -> bool {
        fn walk(
            tokens: &[Token],
            whole: &Value,
            value: &Value,
            fits: &mut dyn FnMut(&Value) -> bool,
        ) -> bool {
            match tokens.split_first() {
                None => match value {
                    Value::Array(all) => fits(value) || all.iter().any(fits),
                    value => fits(value),
                },
                Some((Token::Whole, rest)) => walk(rest, whole, whole, fits),
                Some((Token::Each, rest)) => children(value).any(|child| walk(rest, whole, child, fits)),
                Some((Token::Name(name), rest)) => {
                    child(value, name).is_some_and(|child| walk(rest, whole, child, fits))
                }
            }
        }
        walk(&self.tokens, scope.whole, scope.element, fits)
    }

    /// The elements of the lists that the pointer finds, in the payload's order, each with its own pointer. An object in the place
    /// of a list counts as a list with this element: senders of batches send single events in this way.
    pub(super) fn elements<'a>(&self, payload: &'a Value) -> Vec<(String, &'a Value)> {
        fn walk<'a>(tokens: &[Token], value: &'a Value, at: &str, found: &mut Vec<(String, &'a Value)>) {
            match (tokens.split_first(), value) {
                (None, Value::Array(all)) => {
                    found.extend(all.iter().enumerate().map(|(i, element)| (format!("{at}/{i}"), element)));
                }
                (None, Value::Object(_)) => found.push((at.to_owned(), value)),
                (None, _) => {}
                (Some((Token::Whole, rest)), _) => walk(rest, value, at, found),
                (Some((Token::Name(name), rest)), _) => {
                    if let Some(child) = child(value, name) {
                        walk(rest, child, &format!("{at}/{}", escaped(name)), found);
                    }
                }
                (Some((Token::Each, rest)), Value::Object(all)) => {
                    for (name, child) in all {
                        walk(rest, child, &format!("{at}/{}", escaped(name)), found);
                    }
                }
                (Some((Token::Each, rest)), _) => {
                    for (i, child) in children(value).enumerate() {
                        walk(rest, child, &format!("{at}/{i}"), found);
                    }
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.tokens, payload, "", &mut found);
        found
    }
}

/// A name, escaped for a pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_found_element_by_element() {
        let payload = json!({"a": [{"b/c": [1, 2]}, {"b/c": "x"}, 5, {"b/c": {"d": [3]}}], "n": null});
        let found = |pointer: &str| -> Vec<String> {
            let all = Pointer::parse(pointer).unwrap().elements(&payload);
            all.into_iter().map(|(at, value)| format!("{at} {value}")).collect()
        };
        assert_eq!(
            found("/a/*/b~1c"),
            ["/a/0/b~1c/0 1", "/a/0/b~1c/1 2", r#"/a/3/b~1c {"d":[3]}"#],
            "an object alone is a list of one"
        );
        assert_eq!(found("/a").len(), 4);
        assert_eq!(found("").len(), 1);
        for none in ["/n", "/z", "/a/2", "/a/9", "/a/1/b~1c"] {
            assert!(found(none).is_empty(), "{none}");
        }
        assert_eq!(Pointer::parse("").unwrap().elements(&json!(["x"]))[0].0, "/0");
    }
}
