//! Reads a request: its target, its coding and its entity tags. Pure.

use std::borrow::Cow;
use std::fmt::Write as _;

use http::request::Parts;
use http::{HeaderMap, Method, header};
use perennial_core::base::limits::Limits;
use perennial_core::key::encode::{BadPath, RESERVED_SEGMENT, decode_segment};
use perennial_core::record::page_record::{Coding, Form};
use perennial_core::site::ReadySite;

/// The meaning of a request's method and target.
#[derive(Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A form of the page at these decoded segments, without the base path.
    Page(Form, Vec<Cow<'a, str>>),
    /// A path in another spelling than the canonical one, which this is: 308.
    Elsewhere(String),
    /// A path outside of this site: 404.
    Nothing,
    /// A method other than GET and HEAD: 405 (RFC 9110 section 15.5.6).
    Method,
    /// A path that cannot be decoded: 400.
    Malformed(BadPath),
    /// A path longer than `PERENNIAL_MAX_PATH_BYTES`: 414.
    PathTooLong,
    /// Header fields larger than `PERENNIAL_MAX_HEADER_BYTES`: 431.
    HeadTooLong,
}

/// Reads a request's method and target, and checks the size of its fields.
pub fn target<'a>(request: &'a Parts, site: &ReadySite, build: &str, limits: &Limits) -> Target<'a> {
    if request.method != Method::GET && request.method != Method::HEAD {
        return Target::Method;
    }
    if let Some(refused) = too_large(request, limits) {
        return refused;
    }
    let path = request.uri.path();
    if !path.starts_with('/') {
        return Target::Nothing;
    }
    page_target(path, request.uri.query(), site, build)
}

/// What is too large of a request's path and fields, if anything is.
pub(crate) fn too_large(request: &Parts, limits: &Limits) -> Option<Target<'static>> {
    if request.uri.path().len() > limits.max_path_bytes {
        return Some(Target::PathTooLong);
    }
    let field_bytes: usize =
        request.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    (field_bytes > limits.max_header_bytes).then_some(Target::HeadTooLong)
}

fn page_target<'a>(path: &'a str, query: Option<&str>, site: &ReadySite, build: &str) -> Target<'a> {
    // Browsers take a backslash for a slash, so both separate segments here. The canonical spelling has single slashes.
    let raw_segments = || path.split(['/', '\\']).filter(|segment| !segment.is_empty());
    let has_single_slashes = !path.contains('\\') && !path.as_bytes().windows(2).any(|pair| pair == b"//");
    let mut segments = match raw_segments().map(decode_segment).collect::<Result<Vec<_>, _>>() {
        Ok(segments) => segments,
        Err(bad) => return Target::Malformed(bad),
    };
    let is_root = segments.is_empty();
    if !remove_base_path(&mut segments, site.base_path()) {
        return Target::Nothing;
    }
    if let [first, kind, rest @ ..] = &segments[..]
        && first == RESERVED_SEGMENT
    {
        return if kind == "data" && has_single_slashes && !path.ends_with('/') {
            data_target(rest, build)
        } else {
            Target::Nothing
        };
    }
    let is_file = segments.last().is_some_and(|last| last.contains('.'));
    let slash = if site.trailing_slash() && !is_file && !is_root { "/" } else { "" };
    if has_single_slashes && (is_root || path.ends_with('/') != slash.is_empty()) {
        return Target::Page(Form::Html, segments);
    }
    let query = query.and_then(without_secret).map_or_else(String::new, |query| format!("?{query}"));
    let path = match is_root {
        true => "/".to_owned(),
        false => format!("/{}{slash}", raw_segments().collect::<Vec<_>>().join("/")),
    };
    Target::Elsewhere(in_ascii(format!("{path}{query}")))
}

/// A query without the parameter `secret` of the revalidate endpoint; `None` if nothing is left. A publisher with a
/// misspelt URL (`//api/revalidate?secret=…`) gets a redirect. Its `Location` must not contain the secret, because it
/// ends up in logs and browser histories.
pub(crate) fn without_secret(query: &str) -> Option<Cow<'_, str>> {
    let is_secret = |pair: &&str| form_urlencoded::parse(pair.as_bytes()).any(|(name, _)| name == "secret");
    if !query.split('&').any(|pair| is_secret(&pair)) {
        return Some(query.into());
    }
    let pairs: Vec<_> = query.split('&').filter(|pair| !is_secret(pair)).collect();
    (!pairs.is_empty()).then(|| pairs.join("&").into())
}

/// Percent-encodes bytes outside of ASCII. A URL is ASCII (RFC 3986 section 2), and Lambda sends no other header
/// values, but a client may send raw bytes in its target.
pub(crate) fn in_ascii(url: String) -> String {
    if url.is_ascii() {
        return url;
    }
    url.bytes().fold(String::with_capacity(url.len() * 2), |mut out, byte| {
        let _ = if byte.is_ascii() { out.write_char(byte.into()) } else { write!(out, "%{byte:02X}") };
        out
    })
}

/// Removes the base path's segments; false if the path is not below the base path.
fn remove_base_path(segments: &mut Vec<Cow<'_, str>>, base_path: &str) -> bool {
    let mut base = base_path.split('/').filter(|part| !part.is_empty());
    let depth = base.clone().count();
    let is_below = base.by_ref().zip(&*segments).filter(|(part, segment)| part == segment).count() == depth;
    if is_below {
        segments.drain(..depth);
    }
    is_below
}

/// The page of a data URL `<build>/<path>.json`: the inverse of [`perennial_core::key::url::data_url`]. As in
/// Next.js, `index` stands for `/`, and a path that begins with `index` has a second `index`.
fn data_target<'a>(rest: &[Cow<'a, str>], build: &str) -> Target<'a> {
    let [url_build, middle @ .., last] = rest else { return Target::Nothing };
    let Some(last) = last.strip_suffix(".json").filter(|last| !last.is_empty()) else {
        return Target::Nothing;
    };
    if url_build != build {
        return Target::Nothing;
    }
    let mut segments = middle.to_vec();
    segments.push(last.to_owned().into());
    match segments.iter().map(AsRef::as_ref).collect::<Vec<_>>()[..] {
        ["index"] => segments.clear(),
        ["index", "index", ..] => drop(segments.remove(0)),
        ["index", ..] => return Target::Nothing,
        _ => {}
    }
    Target::Page(Form::Data, segments)
}

/// The coding to send (RFC 9110 section 12.5.3): the first that the client accepts of brotli, gzip and identity. A
/// client that accepts neither and forbids identity gets gzip, which every client can decode.
pub fn coding(headers: &HeaderMap) -> Coding {
    let (mut br, mut gzip, mut identity, mut any) = (None, None, None, None);
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for item in value.to_str().unwrap_or("").split(',') {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let is_accepted = !has_zero_weight(parameters);
            let name = name.trim();
            if name.eq_ignore_ascii_case("br") {
                br = Some(is_accepted);
            } else if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
                gzip = Some(is_accepted);
            } else if name.eq_ignore_ascii_case("identity") {
                identity = Some(is_accepted);
            } else if name == "*" {
                any = Some(is_accepted);
            }
        }
    }
    let accepts_any = any == Some(true);
    if br.unwrap_or(accepts_any) {
        Coding::Br
    } else if gzip.unwrap_or(accepts_any)
        || identity == Some(false)
        || (identity.is_none() && any == Some(false))
    {
        Coding::Gzip
    } else {
        Coding::Identity
    }
}

/// Whether a coding's weight is 0 (`q=0`, `q=0.000`): not acceptable (RFC 9110 section 12.4.2).
fn has_zero_weight(parameters: &str) -> bool {
    parameters.split(';').filter_map(|p| p.split_once('=')).any(|(name, value)| {
        name.trim().eq_ignore_ascii_case("q") && value.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0)
    })
}

/// Whether `If-None-Match` has this entity tag, by weak comparison, or `*` (RFC 9110 section 13.1.2).
pub fn matches_etag(headers: &HeaderMap, etag: &str) -> bool {
    // The comparison is of bytes, because entity tags of other servers may contain more than ASCII (section 8.8.3).
    headers.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        let tags = value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        tags.map(|tag| tag.strip_prefix(b"W/").unwrap_or(tag))
            .any(|tag| tag == b"*" || tag == etag.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};
    use perennial_core::key::url::data_url;
    use perennial_core::run::settings::Settings;
    use perennial_core::site::Site;

    use super::*;

    fn of(base: &str, slash: bool, uri: &str) -> Target<'static> {
        let site = Site::new().ready(Some(base), Some(slash)).unwrap();
        let request = Request::builder().uri(uri).body(()).unwrap().into_parts().0;
        // The target borrows from the request, which therefore must live as long as the test.
        target(Box::leak(Box::new(request)), &site, "b1", &Settings::default().limits)
    }

    fn page(form: Form, segments: &[&'static str]) -> Target<'static> {
        Target::Page(form, segments.iter().map(|&s| s.into()).collect())
    }

    fn to(path: &str) -> Target<'static> {
        Target::Elsewhere(path.into())
    }

    #[test]
    fn a_path_has_one_canonical_spelling() {
        for (uri, expected) in [
            ("/", page(Form::Html, &[])),
            ("/never?x=1", page(Form::Html, &["never"])),
            ("/never/", to("/never")),
            ("//never", to("/never")),
            ("//", to("/")),
            ("//evil.example/x/?a=b", to("/evil.example/x?a=b")),
            ("/blog//a", to("/blog/a")),
            ("/blog\\a", to("/blog/a")),
            ("/\\evil.example", to("/evil.example")),
            ("//caf\u{e9}?\u{f6}=%FC", to("/caf%C3%A9?%C3%B6=%FC")),
            ("//api/revalidate?secret=s", to("/api/revalidate")),
            ("/api//revalidate?path=/a&secret=s&tag=b", to("/api/revalidate?path=/a&tag=b")),
            ("/api\\revalidate?s%65cret=s", to("/api/revalidate")),
            ("/never/?secret=s&secret=t", to("/never")),
            ("/never/?secrets=s&x&=&", to("/never?secrets=s&x&=&")),
            ("/never/?", to("/never?")),
            ("/blog/a%2Fb", page(Form::Html, &["blog", "a/b"])),
            ("/blog/%2e%2e", page(Form::Html, &["blog", ".."])),
            ("/blog/%252e", page(Form::Html, &["blog", "%2e"])),
            ("/blog/100%", Target::Malformed(BadPath::Escape)),
            ("http://evil.example/never", page(Form::Html, &["never"])),
        ] {
            assert_eq!(of("", false, uri), expected, "{uri}");
        }
        assert_eq!(of("", false, &format!("/{}", "x".repeat(5000))), Target::PathTooLong);
    }

    #[test]
    fn the_canonical_spelling_follows_the_trailing_slash_policy() {
        for (uri, expected) in [
            ("/never", to("/never/")),
            ("/never/", page(Form::Html, &["never"])),
            ("/never?x=1", to("/never/?x=1")),
            ("/blog/f.txt/", to("/blog/f.txt")),
            ("/blog/f.txt", page(Form::Html, &["blog", "f.txt"])),
            ("/", page(Form::Html, &[])),
        ] {
            assert_eq!(of("", true, uri), expected, "{uri}");
        }
        assert_eq!(of("/docs", true, "/docs"), to("/docs/"));
        assert_eq!(of("/docs", true, "/docs/"), page(Form::Html, &[]));
    }

    #[test]
    fn only_paths_below_the_base_path_belong_to_the_site() {
        for (uri, expected) in [
            ("/", Target::Nothing),
            ("/never", Target::Nothing),
            ("/docsx/never", Target::Nothing),
            ("/DOCS/never", Target::Nothing),
            ("/docs", page(Form::Html, &[])),
            ("/docs/", to("/docs")),
            ("/docs/never", page(Form::Html, &["never"])),
            ("/docs/docs/never", page(Form::Html, &["docs", "never"])),
            ("//docs/never", to("/docs/never")),
            ("/docs//never", to("/docs/never")),
            ("/docs/_perennial/data/b1/never.json", page(Form::Data, &["never"])),
            ("/_perennial/data/b1/never.json", Target::Nothing),
        ] {
            assert_eq!(of("/docs", false, uri), expected, "{uri}");
        }
    }

    #[test]
    fn data_urls_read_back_to_their_pages() {
        for (path, segments) in [
            ("/", &[][..]),
            ("/index", &["index"]),
            ("/index/a", &["index", "a"]),
            ("/blog/a.json", &["blog", "a.json"]),
            ("/blog/caf%C3%A9", &["blog", "café"]),
        ] {
            assert_eq!(of("", false, &data_url("", "b1", path)), page(Form::Data, segments), "{path}");
        }
        for uri in [
            "/_perennial/data/b2/never.json",
            "/_perennial/data/b1/never",
            "/_perennial/data/b1/.json",
            "/_perennial/data/b1/index/a.json",
            "/_perennial/data/b1/never.json/",
            "/_perennial/data//b1/never.json",
            "/_perennial/data/",
            "/_perennial/x",
        ] {
            assert_eq!(of("", false, uri), Target::Nothing, "{uri}");
        }
    }

    #[test]
    fn codings_are_negotiated() {
        for (given, expected) in [
            (None, Coding::Identity),
            (Some(""), Coding::Identity),
            (Some("gzip, deflate, br;q=0.1"), Coding::Br),
            (Some("GZIP"), Coding::Gzip),
            (Some("br;q=0, gzip;q=0.5"), Coding::Gzip),
            (Some("identity"), Coding::Identity),
            (Some("identity;q=0"), Coding::Gzip),
            (Some("*"), Coding::Br),
            (Some("*;q=0"), Coding::Gzip),
            (Some("br;q=0.000"), Coding::Identity),
            (Some("zstd"), Coding::Identity),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(given) = given {
                headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(given));
            }
            assert_eq!(coding(&headers), expected, "{given:?}");
        }
    }

    #[test]
    fn entity_tags_are_compared_weakly() {
        for (given, expected) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("\"\u{e9}\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_str(given).unwrap());
            assert_eq!(matches_etag(&headers, "\"a\""), expected, "{given}");
        }
    }
}
