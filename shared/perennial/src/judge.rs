//! Judges what a render gave before any of it is stored. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::clock::Millis;
use crate::page::{Kind, Meta, Redirect, Revalidate};
use crate::route::{Documents, Rendered};
use crate::settings::Limits;

/// A render that may be stored.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) content: Judgement,
    pub(crate) period_s: Option<u32>,
    pub(crate) expires_at: Option<Millis>,
    pub(crate) tags: Vec<String>,
    pub(crate) headers: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(crate) enum Judgement {
    Page(Documents),
    NotFound,
    Redirect(Redirect),
}

/// Why a render changes nothing.
#[derive(Debug, PartialEq)]
pub(crate) enum Refused {
    /// It gave something that cannot be stored; the text says what to do.
    Invalid(String),
    /// It said to keep what there is.
    KeepStale { retry_after: Option<Duration> },
}

/// Answers of Perennial itself, and fields that belong to one visitor or one connection (RFC 9110 section 7.6.1).
const REFUSED_HEADERS: &[&str] = &[
    "set-cookie",
    "content-length",
    "content-encoding",
    "etag",
    "age",
    "vary",
    "cache-control",
    "cache-status",
    "x-perennial-cache",
    "last-modified",
    "location",
    "date",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(crate) fn judge(rendered: Rendered, limits: &Limits) -> Result<Judged, Refused> {
    let Rendered { kind, meta } = rendered;
    let content = match kind {
        Kind::KeepStale { retry_after } => return Err(Refused::KeepStale { retry_after }),
        Kind::NotFound => Judgement::NotFound,
        Kind::Redirect(redirect) => Judgement::Redirect(check_redirect(&redirect).map_err(Refused::Invalid)?),
        Kind::Page(documents) => {
            check_documents(&documents, limits).map_err(Refused::Invalid)?;
            Judgement::Page(documents)
        }
    };
    check_meta(content, meta, limits).map_err(Refused::Invalid)
}

fn check_documents(documents: &Documents, limits: &Limits) -> Result<(), String> {
    if documents.html.is_empty() {
        return Err("the page rendered to nothing: return a document, or `Outcome::not_found()`".into());
    }
    let largest = documents.html.len().max(documents.data.len());
    if largest > limits.max_body_bytes {
        return Err(format!(
            "the page has {largest} bytes, the limit is {} (PERENNIAL_MAX_BODY_BYTES)",
            limits.max_body_bytes
        ));
    }
    Ok(())
}

fn check_meta(content: Judgement, meta: Meta, limits: &Limits) -> Result<Judged, String> {
    let period_s = match meta.revalidate {
        Revalidate::Never => None,
        Revalidate::Seconds(n) => Some(n),
        Revalidate::Invalid(given) => {
            return Err(format!(
                "the revalidate period is {given}. Give whole seconds of at least 1, `true` or `false`"
            ));
        }
    };
    let mut tags = meta.tags;
    tags.sort();
    tags.dedup();
    if tags.len() > limits.max_tags {
        return Err(format!(
            "the page has {} tags, the limit is {} (PERENNIAL_MAX_TAGS)",
            tags.len(),
            limits.max_tags
        ));
    }
    for tag in &tags {
        check_tag(tag, limits)?;
    }
    let mut headers = BTreeMap::new();
    for (name, value) in meta.headers {
        let name = name.to_ascii_lowercase();
        if REFUSED_HEADERS.contains(&&*name) {
            return Err(format!("the page sets the header `{name}`, which is not the page's to set"));
        }
        if HeaderName::try_from(&name).is_err() || HeaderValue::try_from(&value).is_err() {
            return Err(format!(
                "the page sets the header `{name}`, whose name or value HTTP does not allow"
            ));
        }
        headers.insert(name, value);
    }
    Ok(Judged { content, period_s, expires_at: meta.expires_at.map(Into::into), tags, headers })
}

/// A tag's text, as CloudFront and other caches take it: printable ASCII without commas, bounded.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_tag(tag: &str, limits: &Limits) -> Result<(), String> {
    if tag.is_empty() || tag.len() > limits.max_tag_bytes {
        return Err(format!(
            "a tag has {} bytes; give 1 to {} (PERENNIAL_MAX_TAG_BYTES)",
            tag.len(),
            limits.max_tag_bytes
        ));
    }
    if !tag.bytes().all(|b| (33..=126).contains(&b) && b != b',') {
        return Err(format!(
            "the tag `{}` may only hold printable ASCII without spaces and commas",
            tag.escape_debug()
        ));
    }
    Ok(())
}

/// Checks a redirect, and percent-encodes what is not ASCII in its destination.
fn check_redirect(redirect: &Redirect) -> Result<Redirect, String> {
    let Redirect { destination, status, base_path } = redirect;
    if ![301, 302, 303, 307, 308].contains(status) {
        return Err(format!("a redirect cannot have status {status}: give 301, 302, 303, 307 or 308"));
    }
    let shown = destination.escape_debug();
    if destination.chars().any(|c| c.is_ascii_control()) {
        return Err(format!("the redirect to `{shown}` holds a control character"));
    }
    let lower = destination.to_ascii_lowercase();
    let external = ["http://", "https://"].iter().find_map(|scheme| lower.strip_prefix(scheme));
    let internal = destination.starts_with('/') && !destination[1..].starts_with(['/', '\\']);
    if !internal && external.is_none_or(|rest| rest.is_empty() || rest.starts_with(['/', '\\'])) {
        return Err(format!(
            "the redirect to `{shown}` must be a path that begins with one `/`, or an http or https URL"
        ));
    }
    let mut encoded = String::with_capacity(destination.len());
    for c in destination.chars() {
        if c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}') {
            encoded.push(c);
        } else {
            crate::key::encode_into(&mut encoded, c.encode_utf8(&mut [0; 4]));
        }
    }
    Ok(Redirect { destination: encoded, status: *status, base_path: *base_path })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Outcome;
    use crate::settings::Settings;

    fn verdict(outcome: Outcome<Documents>) -> Result<Judged, Refused> {
        judge(Rendered { kind: outcome.kind, meta: outcome.meta }, &Settings::default().limits)
    }

    fn page(html: &str) -> Outcome<Documents> {
        Outcome::page(Documents { html: html.into(), data: "{}".into() })
    }

    fn redirect(to: &str) -> Result<Judged, Refused> {
        verdict(Outcome::redirect(Redirect::temporary(to)))
    }

    #[test]
    fn what_cannot_be_stored_is_refused_with_a_reason() {
        let limits = Settings::default().limits;
        for (outcome, part) in [
            (page(""), "rendered to nothing"),
            (page(&"x".repeat(limits.max_body_bytes + 1)), "PERENNIAL_MAX_BODY_BYTES"),
            (page("x").revalidate(0), "at least 1"),
            (page("x").tags((0..=limits.max_tags).map(|i| i.to_string())), "PERENNIAL_MAX_TAGS"),
            (page("x").tag("a,b"), "commas"),
            (page("x").tag(""), "PERENNIAL_MAX_TAG_BYTES"),
            (page("x").tag("x".repeat(limits.max_tag_bytes + 1)), "PERENNIAL_MAX_TAG_BYTES"),
            (page("x").header("Set-Cookie", "a=b"), "set-cookie"),
            (page("x").header("x-a", "line\nbreak"), "x-a"),
            (Outcome::redirect(Redirect::with_status("/a", 418)), "418"),
        ] {
            match verdict(outcome) {
                Err(Refused::Invalid(text)) => assert!(text.contains(part), "{text}"),
                other => panic!("{part}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_redirect_stays_on_the_web() {
        for bad in [
            "//host",
            "/\\host",
            "\\\\host",
            "javascript:alert(1)",
            "ftp://x/",
            "relative",
            "",
            "/a\r\nb",
            "http://",
            "https:///x",
        ] {
            assert!(matches!(redirect(bad), Err(Refused::Invalid(_))), "{bad}");
        }
        for (given, sent) in
            [("/café", "/caf%C3%A9"), ("/a b?c=d#e", "/a%20b?c=d#e"), ("HTTPS://x.y/z", "HTTPS://x.y/z")]
        {
            let Ok(Judged { content: Judgement::Redirect(to), .. }) = redirect(given) else {
                panic!("{given}")
            };
            assert_eq!(to.destination, sent);
        }
    }

    #[test]
    fn keep_stale_is_no_mistake() {
        let retry_after = Some(Duration::from_secs(5));
        assert_eq!(
            verdict(Outcome::keep_stale(retry_after)).unwrap_err(),
            Refused::KeepStale { retry_after }
        );
    }
}
