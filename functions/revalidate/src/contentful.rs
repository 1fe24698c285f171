//! What Contentful signs: method, path, query and some fields, before the body
//! (<https://github.com/contentful/node-apps-toolkit>). Pure.

use std::fmt::Write as _;

use http::HeaderMap;
use http::request::Parts;

pub(crate) const TIMESTAMP: &str = "x-contentful-timestamp";
pub(crate) const SIGNED_HEADERS: &str = "x-contentful-signed-headers";

/// What may have been signed of a request before its body, a text for each path that it may have been sent to; and the
/// fields in it. `None`: one of those fields is missing, or there twice.
pub(crate) fn signed(request: &Parts, base_path: &str) -> Option<(Vec<String>, Vec<String>)> {
    let listed = text(&request.headers, SIGNED_HEADERS)?;
    let listed = listed.split(',').map(|name| name.trim().to_ascii_lowercase());
    // Both are signed, listed or not.
    let mut names: Vec<String> = listed.chain([SIGNED_HEADERS, TIMESTAMP].map(str::to_owned)).collect();
    names.sort_unstable();
    names.dedup();
    let mut fields = Vec::new();
    for name in &names {
        let value = if name == SIGNED_HEADERS { names.join(",") } else { text(&request.headers, name)? };
        fields.push(format!("{name}:{}", value.trim()));
    }
    let (method, fields) = (request.method.as_str(), fields.join(";"));
    let query = request.uri.query().unwrap_or_default();
    // What follows another question mark would not be signed.
    if query.contains('?') {
        return None;
    }
    // The same query, as somebody in between may have spelt it with more escapes.
    let queries = [query.to_owned(), plainly(query)].map(|query| signed_query(&query));
    let paths = paths(request, base_path);
    let text = |path: &String, query| format!("{method}\n{}{query}\n{fields}\n", encode_uri(path));
    let mut texts: Vec<String> =
        paths.iter().flat_map(|path| queries.iter().map(move |query| text(path, query))).collect();
    texts.dedup();
    Some((texts, names))
}

/// A query without the escapes that it does not need: it means the same.
fn plainly(query: &str) -> String {
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

/// The path as it came, and as it may have been before somebody in between took the base path off or put it before it:
/// never what a field like `x-forwarded-prefix` says, because anybody can write one, and would then have a delivery to
/// another address count here.
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

/// A field's value as JavaScript has it: a character a byte.
fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.as_bytes().iter().map(|byte| char::from(*byte)).collect();
    values.next().is_none().then_some(value)
}

/// The query, escaped as Node's `querystring` does, and then once more as part of the URI.
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
