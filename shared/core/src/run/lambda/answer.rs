//! A whole answer in the JSON that a function URL takes, written directly from the body in memory
//! (<https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads>).

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use serde::ser::{SerializeMap as _, SerializeStruct as _};
use serde::{Serialize, Serializer};

use crate::ports::error::StoreError;

pub(super) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    /// Collects the body.
    ///
    /// # Errors
    /// The body breaks off.
    pub(super) async fn of(answer: Response<crate::look::body::Body>) -> Result<Self, StoreError> {
        let (head, body) = answer.into_parts();
        let body = match body {
            crate::look::body::Body::Whole(bytes) => bytes,
            stream => stream.collect().await?.to_bytes(),
        };
        Ok(Self { status: head.status, headers: head.headers, body })
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut answer = to.serialize_struct("Answer", 5)?;
        answer.serialize_field("statusCode", &self.status.as_u16())?;
        answer.serialize_field("headers", &Fields(&self.headers))?;
        answer.serialize_field("cookies", &lines(&self.headers, &SET_COOKIE).collect::<Vec<_>>())?;
        match std::str::from_utf8(&self.body) {
            Ok(text) => {
                answer.serialize_field("body", text)?;
                answer.serialize_field("isBase64Encoded", &false)?;
            }
            Err(_) => {
                answer.serialize_field("body", &Base64Body(&self.body))?;
                answer.serialize_field("isBase64Encoded", &true)?;
            }
        }
        answer.end()
    }
}

/// All header fields but `set-cookie`. Several lines of one field are joined with a comma (RFC 9110, section 5.3).
struct Fields<'a>(&'a HeaderMap);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut fields = to.serialize_map(None)?;
        for name in self.0.keys().filter(|name| *name != SET_COOKIE) {
            let mut lines = lines(self.0, name);
            let Some(first) = lines.next() else { continue };
            match lines.collect::<Vec<_>>() {
                rest if rest.is_empty() => fields.serialize_entry(name.as_str(), first)?,
                rest => fields.serialize_entry(name.as_str(), &[&[first], &*rest].concat().join(", "))?,
            }
        }
        fields.end()
    }
}

/// The lines of one field. A line that is not visible ASCII is left out and logged: JSON cannot hold it, an answer that cannot
/// be written would end the process (`lambda_runtime` returns the error), and the next visitors would wait for a cold start.
fn lines<'a>(headers: &'a HeaderMap, name: &'a HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(move |value| {
        let text = value.to_str();
        if text.is_err() {
            tracing::error!(field = %name, "the answer leaves a header field out: its value is not visible ASCII");
        }
        text.ok()
    })
}

/// The header fields of a streamed answer, joined and filtered as in [`Answer`]; every cookie stays a line of its own.
/// `lambda_runtime` would write a field of several lines as a list, and other bytes as numbers.
pub(super) fn streamable(headers: HeaderMap) -> HeaderMap {
    if headers.len() == headers.keys_len() && headers.values().all(|value| value.to_str().is_ok()) {
        return headers;
    }
    let mut streamed = HeaderMap::with_capacity(headers.len());
    for name in headers.keys() {
        let lines = lines(&headers, name).collect::<Vec<_>>();
        let parts = if name == SET_COOKIE { 1 } else { lines.len().max(1) };
        for line in lines.chunks(parts) {
            streamed.extend(HeaderValue::from_str(&line.join(", ")).ok().map(|line| (name.clone(), line)));
        }
    }
    streamed
}

/// Bytes in base64.
struct Base64Body<'a>(&'a [u8]);

impl Serialize for Base64Body<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::sync::mpsc;

    use super::*;

    async fn written(answer: Response<crate::look::body::Body>) -> Value {
        serde_json::to_value(Answer::of(answer).await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn an_answer_is_json_with_its_body_in_it() {
        let answer = Response::builder()
            .status(404)
            .header("vary", "accept-encoding")
            .header("set-cookie", "a=1; Path=/")
            .header("vary", "cookie")
            .header("set-cookie", "b=2")
            .header("etag", "\"x\"")
            .body("\"é\"\n<p>".into());
        assert_eq!(
            written(answer.unwrap()).await,
            json!({
                "statusCode": 404,
                "headers": { "vary": "accept-encoding, cookie", "etag": "\"x\"" },
                "cookies": ["a=1; Path=/", "b=2"],
                "body": "\"é\"\n<p>",
                "isBase64Encoded": false,
            })
        );
    }

    fn invalid_fields() -> HeaderMap {
        let fields: [(&str, &[u8]); 7] = [
            ("link", b"<a>"),
            ("x-topic", "café".as_bytes()),
            ("link", b"\xff"),
            ("link", b"<b>"),
            ("set-cookie", b"a=\xe9"),
            ("set-cookie", b"b=1"),
            ("set-cookie", b"c=2"),
        ];
        let field =
            |(name, value): (&str, &[u8])| (name.parse().unwrap(), HeaderValue::from_bytes(value).unwrap());
        fields.map(field).into_iter().fold(HeaderMap::new(), |mut all, (name, value): (HeaderName, _)| {
            all.append(name, value);
            all
        })
    }

    #[tokio::test]
    async fn a_field_that_is_not_visible_ascii_is_left_out() {
        let mut answer = Response::new(crate::look::body::Body::from("x"));
        *answer.headers_mut() = invalid_fields();
        let answer = written(answer).await;
        assert_eq!(answer["headers"], json!({ "link": "<a>, <b>" }));
        assert_eq!(answer["cookies"], json!(["b=1", "c=2"]));
        let streamed = streamable(invalid_fields());
        let streamed: Vec<_> = streamed.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
        assert_eq!(streamed, [("link", "<a>, <b>"), ("set-cookie", "b=1"), ("set-cookie", "c=2")]);
    }

    #[tokio::test]
    async fn a_body_that_is_not_utf_8_is_base64() {
        let bytes: Vec<u8> = (0..=255).collect();
        let answer = written(Response::new(bytes.clone().into())).await;
        assert_eq!(answer["isBase64Encoded"], true);
        use base64::Engine as _;
        assert_eq!(STANDARD.decode(answer["body"].as_str().unwrap()).unwrap(), bytes);
        assert_eq!(written(Response::new("".into())).await["body"], "");
    }

    #[tokio::test]
    async fn a_stream_is_answered_whole_or_not_at_all() {
        for (last, is_whole) in [(Ok(Bytes::from("b")), true), (Err(StoreError::refused("x")), false)] {
            let (sender, parts) = mpsc::channel(2);
            sender.send(Ok("a".into())).await.unwrap();
            sender.send(last).await.unwrap();
            drop(sender);
            let answer = Answer::of(Response::new(crate::look::body::Body::Stream(parts))).await;
            assert_eq!(answer.is_ok_and(|answer| answer.body == "ab"), is_whole);
        }
    }
}
