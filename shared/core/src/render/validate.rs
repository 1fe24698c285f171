//! Validation of a render's result before it is stored. Pure.

use std::time::Duration;

use crate::base::clock::Millis;
use crate::base::limits::Limits;
use crate::key::tags::{BROAD_TAG, EMPTY_TAG, stored_tag};
use crate::record::headers;
use crate::record::headers::Headers;
use crate::record::media_type;
use crate::site::destination::checked;
use crate::site::page::{Kind, Meta, Redirect, Revalidate};
use crate::site::resource::ReadyBlob;
use crate::site::route::{Documents, Forms, Rendered};

/// A valid result, which may be stored.
#[derive(Debug)]
pub(crate) struct ValidRender {
    pub(crate) content: ValidContent,
    pub(crate) period_s: Option<u32>,
    pub(crate) expires_at: Option<Millis>,
    pub(crate) tags: Vec<String>,
    pub(crate) headers: Headers,
}

#[derive(Debug)]
pub(crate) enum ValidContent {
    Page(Documents),
    Resource(ReadyBlob),
    NotFound,
    Redirect(Redirect),
}

/// A result that is not stored.
#[derive(Debug, PartialEq)]
pub(crate) enum Rejected {
    /// The result breaks a rule or a limit; the text says what to do.
    Invalid(String),
    /// The page asked to keep the stored page.
    KeepStale { retry_after: Option<Duration> },
}

/// Checks a render's result against the rules for stored pages.
pub(crate) fn validate(rendered: Rendered, limits: &Limits) -> Result<ValidRender, Rejected> {
    let Rendered { kind, meta } = rendered;
    let content = match kind {
        Kind::KeepStale { retry_after } => return Err(Rejected::KeepStale { retry_after }),
        Kind::NotFound => ValidContent::NotFound,
        Kind::Redirect(redirect) => ValidContent::Redirect(checked(&redirect).map_err(Rejected::Invalid)?),
        Kind::Page(Forms::Documents(documents)) => {
            check_documents(&documents, limits).map_err(Rejected::Invalid)?;
            ValidContent::Page(documents)
        }
        Kind::Page(Forms::Blob(blob)) => {
            check_blob(&blob, &meta, limits).map_err(Rejected::Invalid)?;
            ValidContent::Resource(blob)
        }
    };
    check_meta(content, meta, limits).map_err(Rejected::Invalid)
}

fn check_documents(documents: &Documents, limits: &Limits) -> Result<(), String> {
    if documents.html.is_empty() {
        return Err("the page rendered to nothing: return a document, or `Outcome::not_found()`".into());
    }
    check_length(documents.html.len().max(documents.data.len()), limits)
}

fn check_length(bytes: usize, limits: &Limits) -> Result<(), String> {
    if bytes > limits.max_body_bytes {
        return Err(format!(
            "the page has {bytes} bytes, the limit is {} (PERENNIAL_MAX_BODY_BYTES)",
            limits.max_body_bytes
        ));
    }
    Ok(())
}

fn check_blob(blob: &ReadyBlob, meta: &Meta, limits: &Limits) -> Result<(), String> {
    media_type::check(&blob.content_type)?;
    if meta.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        return Err("the resource sets the header `content-type`: give the content type to its `Blob`".into());
    }
    if blob.bytes.is_empty() {
        return Err("the resource has no bytes: return some, or `Outcome::not_found()`".into());
    }
    check_length(blob.bytes.len(), limits)
}

fn check_meta(content: ValidContent, meta: Meta, limits: &Limits) -> Result<ValidRender, String> {
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
    let own_bytes = match &content {
        ValidContent::Redirect(to) => "location: \r\n".len() + to.destination.len(),
        ValidContent::Resource(blob) => "content-type: \r\n".len() + blob.content_type.len(),
        ValidContent::Page(_) | ValidContent::NotFound => 0,
    };
    let mut headers = headers::check(meta.headers, own_bytes, limits)?;
    if let ValidContent::Resource(blob) = &content {
        headers.insert("content-type".to_owned(), vec![blob.content_type.clone().into_owned()]);
    }
    Ok(ValidRender { content, period_s, expires_at: meta.expires_at.map(Into::into), tags, headers })
}

/// The tags to store, sorted and without repetitions. Beyond the limits, the broad tag replaces all of them: the page
/// is then invalidated too often instead of never.
fn check_tags(given: Vec<String>, limits: &Limits) -> Result<Vec<String>, String> {
    if given.iter().any(String::is_empty) {
        return Err(EMPTY_TAG.into());
    }
    let is_too_long = given.iter().any(|tag| tag.len() > limits.max_tag_bytes);
    let mut tags: Vec<_> = given.iter().map(|tag| stored_tag(tag).into_owned()).collect();
    tags.sort();
    tags.dedup();
    if is_too_long || tags.len() > limits.max_tags {
        return Ok(vec![BROAD_TAG.to_owned()]);
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::key::tags::check_tag;
    use crate::key::tags::user_tag;
    use crate::run::settings::Settings;
    use crate::site::page::Outcome;

    fn validated(outcome: Outcome<Forms>) -> Result<ValidRender, Rejected> {
        validate(Rendered { kind: outcome.kind, meta: outcome.meta }, &Settings::default().limits)
    }

    fn page(html: &str) -> Outcome<Forms> {
        Outcome::page(Forms::Documents(Documents { html: html.into(), data: "{}".into() }))
    }

    fn blob(content_type: &str, bytes: impl Into<Bytes>) -> Outcome<Forms> {
        let blob = ReadyBlob { content_type: content_type.to_owned().into(), bytes: bytes.into() };
        Outcome::page(Forms::Blob(blob))
    }

    fn redirect(to: &str) -> Result<ValidRender, Rejected> {
        validated(Outcome::redirect(Redirect::temporary(to)))
    }

    #[test]
    fn an_invalid_result_is_refused_with_a_reason() {
        let limits = Settings::default().limits;
        for (outcome, part) in [
            (page(""), "rendered to nothing"),
            (page(&"x".repeat(limits.max_body_bytes + 1)), "PERENNIAL_MAX_BODY_BYTES"),
            (blob("image/png", ""), "no bytes"),
            (blob("image/png", vec![0; limits.max_body_bytes + 1]), "PERENNIAL_MAX_BODY_BYTES"),
            (blob("png", "x"), "the content type `png` is no media type"),
            (blob("image/png", "x").header("Content-Type", "image/png"), "to its `Blob`"),
            (
                blob(&format!("text/plain; a={}", "x".repeat(limits.max_page_header_bytes)), "x"),
                "PERENNIAL_MAX_PAGE_HEADER_BYTES",
            ),
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
            match validated(outcome) {
                Err(Rejected::Invalid(text)) => assert!(text.contains(part), "{text}"),
                other => panic!("{part}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_blobs_content_type_is_stored_as_a_header_field_beyond_the_pages_own() {
        let fields_max = Settings::default().limits.max_page_headers;
        let outcome = (0..fields_max).fold(blob("image/png", "x"), |o, n| o.header(format!("x-{n}"), "y"));
        let headers = validated(outcome).unwrap().headers;
        assert_eq!(headers["content-type"], ["image/png"]);
        assert_eq!(headers.len(), usize::from(fields_max) + 1);
    }

    #[test]
    fn too_many_tags_become_the_broad_tag() {
        let limits = Settings::default().limits;
        let tags = |tags: Vec<String>| validated(page("x").tags(tags)).unwrap().tags;
        let texts = ["новости", "Breaking News", "a,b", "a", "a,b"].map(str::to_owned);
        assert_eq!(tags(texts.to_vec()), ["Breaking News", "a", "a,b", "новости"]);
        let long = tags(vec!["x".repeat(limits.max_tag_bytes)]);
        assert_eq!(user_tag(&long[0]), user_tag(&"x".repeat(limits.max_tag_bytes)));
        let many = |n| (0..n).map(|i: usize| i.to_string()).collect::<Vec<_>>();
        assert_eq!(tags(many(limits.max_tags)).len(), limits.max_tags);
        assert_eq!(tags(many(limits.max_tags + 1)), [BROAD_TAG]);
        assert_eq!(tags(vec!["a".into(), "x".repeat(limits.max_tag_bytes + 1)]), [BROAD_TAG]);
        let too_long = check_tag(&"x".repeat(limits.max_tag_bytes + 1), &limits).unwrap_err();
        assert!(too_long.contains("PERENNIAL_MAX_TAG_BYTES"), "{too_long}");
    }

    #[test]
    fn a_redirect_leads_to_a_path_or_an_http_url() {
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
            assert!(matches!(redirect(bad), Err(Rejected::Invalid(_))), "{bad}");
        }
        for (given, sent) in
            [("/café", "/caf%C3%A9"), ("/a b?c=d#e", "/a%20b?c=d#e"), ("HTTPS://x.y/z", "HTTPS://x.y/z")]
        {
            let Ok(ValidRender { content: ValidContent::Redirect(to), .. }) = redirect(given) else {
                panic!("{given}")
            };
            assert_eq!(to.destination, sent);
        }
    }

    #[test]
    fn keep_stale_is_not_invalid() {
        let retry_after = Some(Duration::from_secs(5));
        assert_eq!(
            validated(Outcome::keep_stale(retry_after)).unwrap_err(),
            Rejected::KeepStale { retry_after }
        );
    }
}
