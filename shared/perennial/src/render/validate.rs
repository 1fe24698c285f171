//! Judges what a render gave before any of it is stored. Pure.

use crate::key::tags::EMPTY_TAG;
use std::time::Duration;

use crate::base::clock::Millis;
use crate::base::limits::Limits;
use crate::key::tags::{MANY, stored_tag};
use crate::record::headers;
use crate::record::headers::Headers;
use crate::site::page::{Kind, Meta, Redirect, Revalidate};
use crate::site::route::{Documents, Rendered};

/// A render that may be stored.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) content: Judgement,
    pub(crate) period_s: Option<u32>,
    pub(crate) expires_at: Option<Millis>,
    pub(crate) tags: Vec<String>,
    pub(crate) headers: Headers,
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
    let tags = check_tags(meta.tags, limits)?;
    let location_bytes = match &content {
        Judgement::Redirect(to) => "location: \r\n".len() + to.destination.len(),
        Judgement::Page(_) | Judgement::NotFound => 0,
    };
    let headers = headers::check(meta.headers, location_bytes, limits)?;
    Ok(Judged { content, period_s, expires_at: meta.expires_at.map(Into::into), tags, headers })
}

/// The tags that a page keeps. Beyond the limits it keeps the broad one instead of them: it is shown, and renewed too often
/// rather than never.
fn check_tags(given: Vec<String>, limits: &Limits) -> Result<Vec<String>, String> {
    if given.iter().any(String::is_empty) {
        return Err(EMPTY_TAG.into());
    }
    let is_too_long = given.iter().any(|tag| tag.len() > limits.max_tag_bytes);
    let mut tags: Vec<_> = given.iter().map(|tag| stored_tag(tag).into_owned()).collect();
    tags.sort();
    tags.dedup();
    if is_too_long || tags.len() > limits.max_tags {
        return Ok(vec![MANY.to_owned()]);
    }
    Ok(tags)
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
            crate::key::encode::encode_into(&mut encoded, c.encode_utf8(&mut [0; 4]));
        }
    }
    Ok(Redirect { destination: encoded, status: *status, base_path: *base_path })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tags::check_tag;
    use crate::key::tags::user_tag;
    use crate::run::settings::Settings;
    use crate::site::page::Outcome;

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
            (page("x").tag(""), "a tag is empty"),
            (page("x").header("Set-Cookie", "a=b"), "set-cookie"),
            (page("x").header("x-a", "line\nbreak"), "x-a"),
            (page("x").header("x-topic", "café"), "RFC 8187"),
            (Outcome::not_found().header("cdn-cache-control", "max-age=9"), "cdn-cache-control"),
            (Outcome::redirect(Redirect::temporary("/a")).header("expires", "0"), "expires"),
            (
                Outcome::redirect(Redirect::temporary(format!("/{}", "é".repeat(2_000)))),
                "PERENNIAL_MAX_PAGE_HEADER_BYTES",
            ),
            (Outcome::redirect(Redirect::with_status("/a", 418)), "418"),
        ] {
            match verdict(outcome) {
                Err(Refused::Invalid(text)) => assert!(text.contains(part), "{text}"),
                other => panic!("{part}: {other:?}"),
            }
        }
    }

    #[test]
    fn tags_never_keep_a_page_from_being_shown() {
        let limits = Settings::default().limits;
        let tags = |tags: Vec<String>| verdict(page("x").tags(tags)).unwrap().tags;
        let texts = ["новости", "Breaking News", "a,b", "a", "a,b"].map(str::to_owned);
        assert_eq!(tags(texts.to_vec()), ["Breaking News", "a", "a,b", "новости"]);
        let long = tags(vec!["x".repeat(limits.max_tag_bytes)]);
        assert_eq!(user_tag(&long[0]), user_tag(&"x".repeat(limits.max_tag_bytes)));
        let many = |n| (0..n).map(|i: usize| i.to_string()).collect::<Vec<_>>();
        assert_eq!(tags(many(limits.max_tags)).len(), limits.max_tags);
        assert_eq!(tags(many(limits.max_tags + 1)), [MANY]);
        assert_eq!(tags(vec!["a".into(), "x".repeat(limits.max_tag_bytes + 1)]), [MANY]);
        let too_long = check_tag(&"x".repeat(limits.max_tag_bytes + 1), &limits).unwrap_err();
        assert!(too_long.contains("PERENNIAL_MAX_TAG_BYTES"), "{too_long}");
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
