//! Contentful. It signs method, path, query and some header fields before the body.
//!
//! Signatures: <https://www.contentful.com/developers/docs/webhooks/request-verification/>, in detail
//! <https://github.com/contentful/node-apps-toolkit>.

use std::fmt::Write as _;

use http::HeaderMap;
use http::request::Parts;

use crate::webhooks::provider::{KeyEncoding, Provider};
use crate::webhooks::signature::header::single;
use crate::webhooks::signature::scheme::{
    DeliveryId, Encoding, Frame, Layout, Message, OwnMessage, Scheme, SignedRequest, TOLERANCE, TimeAt, Unit,
};
#[cfg(test)]
use crate::webhooks::signature::scheme::{Sample, SampleFields};

const TIMESTAMP: &str = "x-contentful-timestamp";
const SIGNED_HEADERS: &str = "x-contentful-signed-headers";

/// Deliveries of a space's webhooks.
pub static PROVIDER: Provider = Provider {
    name: "contentful",
    header: Some("X-Contentful-Topic"),
    schemes: &[Scheme::over_body("x-contentful-signature", Layout::Single(""), Encoding::Hex)
        .with_time(Message::Own(&WholeRequest), TimeAt::Header(TIMESTAMP), Unit::Millis, TOLERANCE)
        .with_id(DeliveryId::Header("x-contentful-idempotency-key"))],
    key: KeyEncoding::Text,
};

/// Method, address, header fields and body.
struct WholeRequest;

impl OwnMessage for WholeRequest {
    fn frame(&self, request: &SignedRequest<'_>) -> Result<Frame, &'static str> {
        let (before, fields) = signed(request.parts, request.base_path).ok_or(SIGNED_HEADERS)?;
        Ok(Frame { before, after: String::new(), fields })
    }

    fn listed_fields(&self, headers: &HeaderMap) -> Vec<String> {
        single(headers, SIGNED_HEADERS).map(|listed| names(listed).collect()).unwrap_or_default()
    }

    #[cfg(test)]
    fn sample(&self, time: &str) -> Sample {
        let listed = format!("{SIGNED_HEADERS},{TIMESTAMP}");
        let before = format!("POST\n/api/revalidate\n{SIGNED_HEADERS}:{listed};{TIMESTAMP}:{time}\n");
        let headers = vec![(SIGNED_HEADERS, listed), (TIMESTAMP, time.to_owned())];
        let fields = SampleFields { headers, ..SampleFields::default() };
        Sample { before, after: String::new(), fields }
    }

    /// The header fields are part of the signed text, so that another text is no delivery however it is cut.
    #[cfg(test)]
    fn cuts(&self, text: &str, time: &str) -> Vec<(SampleFields, String)> {
        let sample = self.sample(time);
        let body = text.strip_prefix(&sample.before).unwrap_or(text);
        vec![(sample.fields, body.to_owned())]
    }
}

/// Names in a list, in lower case.
fn names(listed: &str) -> impl Iterator<Item = String> {
    listed.split(',').map(|name| name.trim().to_ascii_lowercase())
}

/// The texts that Contentful may have signed before the body, one for each path that the request may have been sent to,
/// and the header fields in them. `None`: one of those fields is missing, or is there twice.
fn signed(request: &Parts, base_path: &str) -> Option<(Vec<String>, Vec<String>)> {
    let listed = text(&request.headers, SIGNED_HEADERS)?;
    // These two are signed, listed or not.
    let mut names: Vec<String> =
        names(&listed).chain([SIGNED_HEADERS, TIMESTAMP].map(str::to_owned)).collect();
    names.sort_unstable();
    names.dedup();
    let mut fields = Vec::new();
    for name in &names {
        let value = if name == SIGNED_HEADERS { names.join(",") } else { text(&request.headers, name)? };
        fields.push(format!("{name}:{}", value.trim()));
    }
    let (method, fields) = (request.method.as_str(), fields.join(";"));
    let query = request.uri.query().unwrap_or_default();
    // Contentful does not sign the text after a second question mark.
    if query.contains('?') {
        return None;
    }
    // A proxy may have added escapes to the query: Contentful signed the plain spelling.
    let queries = [query.to_owned(), unescaped(query)].map(|query| signed_query(&query));
    let paths = paths(request, base_path);
    let text = |path: &String, query| format!("{method}\n{}{query}\n{fields}\n", encode_uri(path));
    let mut texts: Vec<String> =
        paths.iter().flat_map(|path| queries.iter().map(move |query| text(path, query))).collect();
    texts.dedup();
    Some((texts, names))
}

/// A query without needless escapes. It means the same.
fn unescaped(query: &str) -> String {
    let mut out = String::with_capacity(query.len());
    let mut rest = query;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code.filter(|byte| byte.is_ascii_alphanumeric() || b"-._~/:@!$'()*,;".contains(byte)) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &rest[at + 3..];
            }
            None => {
                out.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    out + rest
}

/// The path as it arrived, and the path before a proxy took the base path off or added it. A header field like
/// `x-forwarded-prefix` is not read: an attacker could write it, and a delivery to another address would count here.
fn paths(request: &Parts, base_path: &str) -> Vec<String> {
    let path = request.uri.path();
    let mut paths = vec![path.to_owned()];
    if !base_path.is_empty() {
        paths.push(match path.strip_prefix(base_path) {
            Some(below) if below.starts_with('/') => below.to_owned(),
            _ => format!("{base_path}{path}"),
        });
    }
    paths
}

/// The value of a header field that is there once, as JavaScript reads it: one character for each byte.
fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.as_bytes().iter().map(|byte| char::from(*byte)).collect();
    values.next().is_none().then_some(value)
}

/// The query, escaped as Node's `querystring` does, and then once more as a part of the URI.
fn signed_query(query: &str) -> String {
    match query {
        "" => String::new(),
        query => format!("?{}", encode_uri(&encode(query, "-._~!'()*"))),
    }
}

/// JavaScript's `encodeURI`.
fn encode_uri(text: &str) -> String {
    encode(text, ";,/?:@&=+$-_.!~*'()#")
}

fn encode(text: &str, kept: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(all(test, feature = "signatures"))]
mod tests {
    use super::*;
    use crate::webhooks::verify::vectors::{Vector, of};

    /// The delivery that is signed for one of the vectors' addresses, sent to another one.
    fn sent_to(target: &str, signed_for: &str) -> Vector {
        let vector = of(&PROVIDER).into_iter().find(|vector| vector.target == signed_for).unwrap();
        Vector { target: target.to_owned(), ..vector }
    }

    /// Contentful signs the query, and the path that its webhook was given, whatever a proxy changes.
    #[test]
    fn contentful_signs_the_address() {
        const WITH_QUERY: &str = "/api/revalidate?path=/blog/a%20b&tag=x";
        let verified = sent_to(WITH_QUERY, WITH_QUERY).judged().unwrap();
        assert!(verified.signed_fields.contains(&"x-contentful-topic".to_owned()));
        // Further escapes do not change the query's meaning.
        sent_to("/api/revalidate?path=%2Fblog%2Fa%20b&%74ag=x", WITH_QUERY).judged().unwrap();
        for wrong in [
            "/api/revalidate",
            "/api/revalidate?path=/blog/a%20b&tag=y",
            "/api/revalidate?path=/blog/a%20b&tag=x&tag=y",
            "/api/revalidate?tag=x&path=/blog/a%20b",
            "/api/revalidate?path=/blog/a%20b%26tag=x",
            "/api/revalidate?path=/blog/a+b&tag=x",
            "/api/revalidates?path=/blog/a%20b&tag=x",
            // Contentful signs the text before a second question mark.
            "/api/revalidate?path=/blog/a%20b&tag=x?&path=/other",
        ] {
            assert!(sent_to(wrong, WITH_QUERY).judged().is_err(), "{wrong}");
        }
        // A proxy has taken the base path off.
        let plain = |target| sent_to(target, "/api/revalidate");
        assert!(plain("/revalidate").judged().is_err());
        assert!(plain("/revalidate").judged_behind("/api").is_ok());
        // A header field that an attacker can write does not count.
        for prefix in ["/api", "/api/", "/api/revalidate?x=", "/api,/api"] {
            let mut forwarded = plain("/revalidate");
            forwarded.headers.push(("x-forwarded-prefix".to_owned(), prefix.to_owned()));
            assert!(forwarded.judged().is_err(), "{prefix}");
        }
        // A proxy has added the base path.
        assert!(plain("/docs/api/revalidate").judged_behind("/docs").is_ok());
        assert!(plain("/docs/api/revalidate").judged().is_err());
        let escaped = plain("/docs/api/revalidate?%61=1%3Fb=2");
        assert!(escaped.judged().is_err(), "a `?` that is escaped is part of what is signed");
    }
}
