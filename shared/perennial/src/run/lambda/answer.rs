//! An answer as a function's URL takes it: JSON, written at one go from the body that is in memory
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
    /// # Errors
    /// The body breaks off.
    pub(super) async fn of(answer: Response<crate::look::body::Body>) -> Result<Self, StoreError> {
        let (head, body) = answer.into_parts();
        let body = match body {
            crate::look::body::Body::Whole(bytes) => bytes,
            coming @ crate::look::body::Body::Stream(_) => coming.collect().await?.to_bytes(),
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
                answer.serialize_field("body", &Encoded(&self.body))?;
                answer.serialize_field("isBase64Encoded", &true)?;
            }
        }
        answer.end()
    }
}

/// All header fields but cookies. Lines of one field are one line.
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

/// The lines of one field. One that JSON cannot say is left out: an answer that cannot be written would end the process
/// (`lambda_runtime` gives such an error to its caller), and the next visitors would wait for another one to start.
fn lines<'a>(headers: &'a HeaderMap, name: &'a HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(move |value| {
        let text = value.to_str();
        if text.is_err() {
            tracing::error!(field = %name, "the answer leaves a header field out: its value is not visible ASCII");
        }
        text.ok()
    })
}

/// The header fields of a streamed answer, whose head is written with each line as bytes or text, and several lines of one
/// field as a list: as [`Answer`] has them instead, but for cookies.
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

struct Encoded<'a>(&'a [u8]);

impl Serialize for Encoded<'_> {
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

    fn odd_fields() -> HeaderMap {
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
    async fn a_field_that_json_cannot_say_is_left_out() {
        let mut answer = Response::new(crate::look::body::Body::from("x"));
        *answer.headers_mut() = odd_fields();
        let answer = written(answer).await;
        assert_eq!(answer["headers"], json!({ "link": "<a>, <b>" }));
        assert_eq!(answer["cookies"], json!(["b=1", "c=2"]));
        let streamed = streamable(odd_fields());
        let streamed: Vec<_> = streamed.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
        assert_eq!(streamed, [("link", "<a>, <b>"), ("set-cookie", "b=1"), ("set-cookie", "c=2")]);
    }

    #[tokio::test]
    async fn what_is_no_text_is_encoded() {
        let bytes: Vec<u8> = (0..=255).collect();
        let answer = written(Response::new(bytes.clone().into())).await;
        assert_eq!(answer["isBase64Encoded"], true);
        use base64::Engine as _;
        assert_eq!(STANDARD.decode(answer["body"].as_str().unwrap()).unwrap(), bytes);
        assert_eq!(written(Response::new("".into())).await["body"], "");
    }

    #[tokio::test]
    async fn a_body_that_comes_in_parts_is_whole_or_no_answer() {
        for (last, is_whole) in [(Ok(Bytes::from("b")), true), (Err(StoreError::Refused("x".into())), false)]
        {
            let (say, parts) = mpsc::channel(2);
            say.send(Ok("a".into())).await.unwrap();
            say.send(last).await.unwrap();
            drop(say);
            let answer = Answer::of(Response::new(crate::look::body::Body::Stream(parts))).await;
            assert_eq!(answer.is_ok_and(|answer| answer.body == "ab"), is_whole);
        }
    }
}
