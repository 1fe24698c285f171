//! A request's body, read as JSON or as a form. Pure.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use crate::webhooks::json::read_json;

/// The one field of GitHub's forms. The field holds JSON:
/// <https://docs.github.com/en/webhooks/webhook-events-and-payloads>.
const PAYLOAD: &str = "payload";

/// A body that was posted.
#[derive(Debug, PartialEq)]
pub enum Posted {
    /// An empty body, or spaces.
    Nothing,
    /// JSON.
    Json(Value),
    /// A form: the JSON that its one field `payload` holds, or an object with a text for each field, and a list of texts
    /// where a name is there several times.
    Form(Value),
}

impl Posted {
    /// Reads a body. JSON counts whatever its content type is, because `curl -d` calls everything a form.
    ///
    /// # Errors
    /// The body is neither JSON nor a form, and why.
    pub fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, String> {
        let text = body.trim_ascii();
        if text.is_empty() || text == b"\xef\xbb\xbf" {
            return Ok(Self::Nothing);
        }
        match read_json(body) {
            Ok(value) => Ok(Self::Json(value)),
            Err(_) if is_form(headers, text) => form(text).map(Self::Form),
            Err(error) => Err(error),
        }
    }

    /// The value that rules read; an empty body is an object without members.
    pub fn into_value(self) -> Value {
        match self {
            Self::Nothing => Value::Object(Map::new()),
            Self::Json(value) | Self::Form(value) => value,
        }
    }
}

/// Whether a body that is no JSON is a form: by its content type, or by its looks if it has none.
fn is_form(headers: &HeaderMap, text: &[u8]) -> bool {
    let opens_json = text.starts_with(b"{") || text.starts_with(b"[") || text.starts_with(b"\xef\xbb\xbf");
    let is_said = match headers.get(CONTENT_TYPE) {
        Some(value) => {
            let essence = value.as_bytes().split(|b| *b == b';').next().unwrap_or_default();
            essence.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
        }
        None => text.contains(&b'=') && text.iter().all(|b| b.is_ascii_graphic() && *b != b'"'),
    };
    is_said && !opens_json
}

fn form(text: &[u8]) -> Result<Value, String> {
    let fields: Vec<(String, String)> = form_urlencoded::parse(text).into_owned().collect();
    if let [(name, value)] = &fields[..]
        && name == PAYLOAD
        && value.trim_start().starts_with(['{', '[', '\u{feff}'])
    {
        return read_json(value.as_bytes()).map_err(|e| format!("the form's `{PAYLOAD}` is no JSON: {e}"));
    }
    let mut all = Map::new();
    for (name, value) in fields {
        let value = Value::from(value);
        match all.get_mut(&name) {
            None => drop(all.insert(name, value)),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Ok(all.into())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn read(content_type: &'static str, body: &str) -> Result<Posted, String> {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        Posted::read(&headers, body.as_bytes())
    }

    #[test]
    fn a_body_is_json_or_a_form() {
        const FORM: &str = "application/x-www-form-urlencoded";
        const PUSH: &str = "payload=%7B%22ref%22%3A%22a%2Bb%22%2C%22n%22%3A18446744073709551616%7D";
        for (content_type, body, posted) in [
            ("", "", Posted::Nothing),
            ("application/json", " \n", Posted::Nothing),
            (FORM, "", Posted::Nothing),
            ("", "\u{feff}", Posted::Nothing),
            ("", "\u{feff}{\"a\":1}", Posted::Json(json!({"a": 1}))),
            ("text/plain", "[5]", Posted::Json(json!([5]))),
            (FORM, r#"{"path":"/a"}"#, Posted::Json(json!({"path": "/a"}))),
            (FORM, "webhook_id=2", Posted::Form(json!({"webhook_id": "2"}))),
            ("", "webhook_id=2", Posted::Form(json!({"webhook_id": "2"}))),
            (
                "Application/X-WWW-Form-Urlencoded; charset=utf-8",
                "a=b+c%21",
                Posted::Form(json!({"a": "b c!"})),
            ),
            (FORM, "ping", Posted::Form(json!({"ping": ""}))),
            (FORM, "t=a&x=1&t=b&t=c", Posted::Form(json!({"t": ["a", "b", "c"], "x": "1"}))),
            (FORM, PUSH, Posted::Form(json!({"ref": "a+b", "n": "18446744073709551616"}))),
            (FORM, "payload=%7B%7D&x=1", Posted::Form(json!({"payload": "{}", "x": "1"}))),
            (FORM, "payload=test", Posted::Form(json!({"payload": "test"}))),
        ] {
            assert_eq!(read(content_type, body).unwrap(), posted, "{content_type} {body}");
        }
        for (content_type, body, part) in [
            ("", "nothing", "expected"),
            ("", "{", "EOF"),
            (FORM, "{", "EOF"),
            (FORM, "payload=%7B", "the form's `payload` is no JSON: EOF"),
            ("application/json", "webhook_id=2", "expected"),
            ("", "{\"a\": \"b=c\"", "EOF"),
            ("", "{}\0", "trailing"),
        ] {
            let error = read(content_type, body).unwrap_err();
            assert!(error.contains(part), "{content_type} {body}: {error}");
        }
        let utf16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert!(Posted::read(&HeaderMap::new(), &utf16).unwrap_err().contains("UTF-8"));
        assert_eq!(Posted::Nothing.into_value(), json!({}));
    }
}
