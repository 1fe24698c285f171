//! What Hygraph signs: a JSON object that has the body as a text, the environment and the time. Pure.
//!
//! Hygraph's own package makes it so: <https://github.com/hygraph/hygraph-utils/blob/main/index.js>.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// The object that is signed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    #[serde(rename = "Body")]
    _body: String,
    #[serde(rename = "EnvironmentName")]
    _environment: String,
    #[serde(rename = "TimeStamp")]
    _time: IgnoredAny,
}

/// What is signed before the body.
pub(crate) const BEFORE: &str = "{\"Body\":";

/// What is signed after the body.
pub(crate) fn after(environment: &str, time: &str) -> String {
    format!(",\"EnvironmentName\":{},\"TimeStamp\":{time}}}", quoted(environment))
}

/// The body as it is signed; `None` if it is no text.
pub(crate) fn body(body: &[u8]) -> Option<String> {
    std::str::from_utf8(body).ok().map(quoted)
}

/// A text as JSON. What HTML gives a meaning is escaped twice: Hygraph signs a body in which it is escaped once.
fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.replace('&', r"\\u0026").replace('<', r"\\u003c").replace('>', r"\\u003e")
}

/// Whether a body is what Hygraph signs, and so no payload of a publisher who signs bodies alone.
pub(crate) fn is_signed_text(body: &[u8]) -> bool {
    serde_json::from_slice::<Signed>(body).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts that `@hygraph/utils` makes.
    #[test]
    fn a_body_is_signed_as_a_text() {
        for (raw, json) in [
            ("{\"a\":1}", r#""{\"a\":1}""#),
            ("\u{e9}\n\t\u{1}\u{7f}\u{2028}", "\"\u{e9}\\n\\t\\u0001\u{7f}\u{2028}\""),
            (r#""\u0026""#, r#""\"\\u0026\"""#),
            ("<&>", r#""\\u003c\\u0026\\u003e""#),
        ] {
            assert_eq!(body(raw.as_bytes()).as_deref(), Some(json));
            let text = format!("{BEFORE}{json}{}", after("a\"b", "16"));
            assert!(text.ends_with(r#","EnvironmentName":"a\"b","TimeStamp":16}"#), "{text}");
            assert!(is_signed_text(text.as_bytes()), "{text}");
        }
        assert_eq!(body(b"\xff"), None);
        for other in
            [r#"{"Body":"{}"}"#, "{}", "[]", r#"{"Body":"","EnvironmentName":"","TimeStamp":1,"a":1}"#]
        {
            assert!(!is_signed_text(other.as_bytes()), "{other}");
        }
    }
}
