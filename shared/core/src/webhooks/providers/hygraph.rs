//! Hygraph, once GraphCMS. It signs a JSON object that holds the body as a text, the environment and the time.
//!
//! Signatures: <https://hygraph.com/docs/api-reference/basics/webhooks>, in detail
//! <https://github.com/hygraph/hygraph-utils/blob/main/index.js>.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::webhooks::provider::{KeyEncoding, Provider};
use crate::webhooks::signature::header::pair;
use crate::webhooks::signature::scheme::{
    Encoding, Frame, Layout, Message, OwnMessage, Scheme, SignedRequest, TOLERANCE_OF_ATTEMPTS, TimeAt, Unit,
};
#[cfg(test)]
use crate::webhooks::signature::scheme::{Sample, SampleFields};

const SIGNATURE: &str = "gcms-signature";

/// Deliveries of a project's webhooks.
pub static PROVIDER: Provider = Provider {
    name: "hygraph",
    header: Some(SIGNATURE),
    schemes: &[Scheme::over_body(SIGNATURE, Layout::Pairs("sign"), Encoding::Base64).with_time(
        Message::Own(&SignedObject),
        TimeAt::Pair,
        Unit::Millis,
        TOLERANCE_OF_ATTEMPTS,
    )],
    key: KeyEncoding::Text,
};

/// The object that is signed.
struct SignedObject;

impl OwnMessage for SignedObject {
    fn frame(&self, request: &SignedRequest<'_>) -> Result<Frame, &'static str> {
        let environment = pair(request.signature, "env").ok_or(SIGNATURE)?;
        Ok(Frame { after: after(environment, request.time), ..Frame::before(BEFORE) })
    }

    fn body<'a>(&self, body: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        std::str::from_utf8(body).ok().map(|text| quoted(text).into_bytes().into())
    }

    fn is_message(&self, text: &[u8]) -> bool {
        serde_json::from_slice::<Members>(text).is_ok()
    }

    #[cfg(test)]
    fn sample(&self, time: &str) -> Sample {
        let pairs = vec![("env", "master".to_owned()), ("t", time.to_owned())];
        let fields = SampleFields { pairs, ..SampleFields::default() };
        Sample { before: BEFORE.to_owned(), after: after("master", time), fields }
    }

    #[cfg(test)]
    fn cuts(&self, text: &str, _: &str) -> Vec<(SampleFields, String)> {
        let read: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        let field = |name: &str| read[name].as_str().map_or(read[name].to_string(), str::to_owned);
        let pairs = vec![("env", field("EnvironmentName")), ("t", field("TimeStamp"))];
        vec![(SampleFields { pairs, ..SampleFields::default() }, field("Body"))]
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    #[serde(rename = "Body")]
    _body: String,
    #[serde(rename = "EnvironmentName")]
    _environment: String,
    #[serde(rename = "TimeStamp")]
    _time: IgnoredAny,
}

/// The text before the body.
const BEFORE: &str = "{\"Body\":";

/// The text after the body.
fn after(environment: &str, time: &str) -> String {
    format!(",\"EnvironmentName\":{},\"TimeStamp\":{time}}}", quoted(environment))
}

/// A text as JSON. Hygraph escapes `&`, `<` and `>` in the body, and escapes the result once more before it signs.
fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.replace('&', r"\\u0026").replace('<', r"\\u003c").replace('>', r"\\u003e")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with texts that `@hygraph/utils` makes.
    #[test]
    fn a_body_is_signed_as_a_text() {
        for (raw, json) in [
            ("{\"a\":1}", r#""{\"a\":1}""#),
            ("\u{e9}\n\t\u{1}\u{7f}\u{2028}", "\"\u{e9}\\n\\t\\u0001\u{7f}\u{2028}\""),
            (r#""\u0026""#, r#""\"\\u0026\"""#),
            ("<&>", r#""\\u003c\\u0026\\u003e""#),
        ] {
            assert_eq!(SignedObject.body(raw.as_bytes()).as_deref(), Some(json.as_bytes()));
            let text = format!("{BEFORE}{json}{}", after("a\"b", "16"));
            assert!(text.ends_with(r#","EnvironmentName":"a\"b","TimeStamp":16}"#), "{text}");
            assert!(SignedObject.is_message(text.as_bytes()), "{text}");
        }
        assert_eq!(SignedObject.body(b"\xff"), None);
        for other in
            [r#"{"Body":"{}"}"#, "{}", "[]", r#"{"Body":"","EnvironmentName":"","TimeStamp":1,"a":1}"#]
        {
            assert!(!SignedObject.is_message(other.as_bytes()), "{other}");
        }
    }
}
