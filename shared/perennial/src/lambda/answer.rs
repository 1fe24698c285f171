//! An answer as a function's URL takes it: JSON, written at one go from the body that is in memory
//! (<https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads>).

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue, SET_COOKIE};
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use serde::ser::{SerializeMap as _, SerializeStruct as _};
use serde::{Serialize, Serializer};

use crate::store::StoreError;

pub(super) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    /// # Errors
    /// The body breaks off.
    pub(super) async fn of(answer: Response<crate::Body>) -> Result<Self, StoreError> {
        let (head, body) = answer.into_parts();
        let body = match body {
            crate::Body::Whole(bytes) => bytes,
            coming @ crate::Body::Coming(_) => coming.collect().await?.to_bytes(),
        };
        Ok(Self { status: head.status, headers: head.headers, body })
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut answer = to.serialize_struct("Answer", 5)?;
        answer.serialize_field("statusCode", &self.status.as_u16())?;
        answer.serialize_field("headers", &Fields(&self.headers))?;
        let cookies: Result<Vec<_>, _> = self.headers.get_all(SET_COOKIE).iter().map(text).collect();
        answer.serialize_field("cookies", &cookies?)?;
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
            let mut lines = self.0.get_all(name).iter().map(text);
            let first = lines.next().transpose()?.unwrap_or_default();
            match lines.collect::<Result<Vec<_>, _>>()? {
                rest if rest.is_empty() => fields.serialize_entry(name.as_str(), first)?,
                rest => fields.serialize_entry(name.as_str(), &[&[first], &*rest].concat().join(", "))?,
            }
        }
        fields.end()
    }
}

struct Encoded<'a>(&'a [u8]);

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

fn text<E: serde::ser::Error>(value: &HeaderValue) -> Result<&str, E> {
    value.to_str().map_err(|_| E::custom("a header field is not ASCII"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::sync::mpsc;

    use super::*;

    async fn written(answer: Response<crate::Body>) -> Value {
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
            let answer = Answer::of(Response::new(crate::Body::Coming(parts))).await;
            assert_eq!(answer.is_ok_and(|answer| answer.body == "ab"), is_whole);
        }
    }
}
