//! Tags: names by which pages are invalidated. Any text is a tag. Pages and publishers' calls get their stored spelling
//! from this module, so that both agree.

use std::borrow::Cow;
use std::collections::HashSet;

use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};

use crate::base::limits::Limits;
use crate::key::encode::hex;
use crate::key::page_key::PageKey;

/// The implicit tags of a page: `path:…`, `route:…`, `site`.
pub fn page_tags(page: &PageKey) -> [String; 3] {
    [path_tag(page.path()), route_tag(page.route()), SITE_TAG.to_owned()]
}

/// The tag that every page of the site carries.
pub const SITE_TAG: &str = "site";

/// The tag that all variants of one path carry.
pub fn path_tag(path: &str) -> String {
    format!("path:{path}")
}

/// The tag that all pages of one route carry.
pub fn route_tag(route: &str) -> String {
    format!("route:{route}")
}

/// The prefix of a site's own tags: a name space of their own, so that none can equal an implicit tag.
const USER_PREFIX: &str = "tag:";

/// The stored spelling, with prefix, of a tag that a render gave or a publisher named.
pub fn user_tag(name: &str) -> String {
    format!("{USER_PREFIX}{}", stored_tag(name))
}

/// Whether a tag is one of the site's own, not an implicit one.
pub(crate) fn is_user_tag(tag: &str) -> bool {
    tag.starts_with(USER_PREFIX)
}

/// The broad tag: it replaces the tags of a page that has too many of them. A page that carries the tag needlessly, or
/// a publisher who names it, causes needless renders and no other harm.
pub const BROAD_TAG: &str = "perennial:many";

/// A longer tag is stored as its hash. This is no setting: two processes with different values would spell one tag in
/// two ways, and a publish would miss pages.
const UNHASHED_BYTES_MAX: usize = 256;

/// The stored spelling of a tag, without prefix: byte for byte as given (NFC and NFD are two tags), or its hash if it
/// is long or has control characters, which would have to be escaped in logs. The spelling of a spelling is the same
/// text.
pub fn stored_tag(name: &str) -> Cow<'_, str> {
    if name.len() <= UNHASHED_BYTES_MAX && !name.chars().any(char::is_control) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(format!("sha256:{}", hex(&Sha256::digest(name))))
}

/// Header fields in which origins list the tags of an answer, and the separators of each: `Cache-Tag` (Cloudflare,
/// Akamai, CloudFront), `Surrogate-Key` (Fastly), `X-Cache-Tags` (FOSHttpCache with commas, others with spaces).
const FIELDS: [(&str, &[char]); 3] =
    [("cache-tag", &[',']), ("surrogate-key", &[' ', '\t']), ("x-cache-tags", &[',', ' ', '\t'])];

/// A structured field: a list of strings (RFC 9875).
const CACHE_GROUPS: &str = "cache-groups";

/// The tags that an upstream's answer lists in `Cache-Tag`, `Surrogate-Key`, `X-Cache-Tags` and `Cache-Groups` (RFC
/// 9875), without repetitions. Parsing of `Cache-Groups` ends at the first member that is no string. Any number of tags
/// is fine: see [`Outcome::tag`](crate::site::page::Outcome::tag).
pub fn tags_of(headers: &HeaderMap) -> Vec<String> {
    let (mut tags, mut seen) = (Vec::new(), HashSet::new());
    let mut add = |tag: &str| {
        if !tag.is_empty() && seen.insert(tag.to_owned()) {
            tags.push(tag.to_owned());
        }
    };
    let texts = |name| headers.get_all(name).iter().map(text);
    for (name, separators) in FIELDS {
        texts(name).for_each(|text| text.split(separators).for_each(|tag| add(tag.trim())));
    }
    for text in texts(CACHE_GROUPS) {
        strings(&text).iter().for_each(|tag| add(tag));
    }
    tags
}

/// A field's value as text: UTF-8 as today's origins write it, or else ISO 8859-1 (RFC 9110 section 5.5).
fn text(field: &HeaderValue) -> Cow<'_, str> {
    match std::str::from_utf8(field.as_bytes()) {
        Ok(text) => text.into(),
        Err(_) => field.as_bytes().iter().map(|byte| char::from(*byte)).collect::<String>().into(),
    }
}

/// The strings at the start of a list (RFC 9651 sections 3.1 and 3.3.3), without their parameters.
fn strings(list: &str) -> Vec<String> {
    let (mut strings, mut rest) = (Vec::new(), list.trim_start());
    while let Some((string, remainder)) = string(rest) {
        strings.push(string);
        // Skips parameters up to the next member. A parameter may be a string that contains commas.
        rest = remainder;
        loop {
            match rest.find(['"', ',']) {
                Some(at) if rest[at..].starts_with(',') => break rest = rest[at + 1..].trim_start(),
                Some(at) => match self::string(&rest[at..]) {
                    Some((_, remainder)) => rest = remainder,
                    None => return strings,
                },
                None => return strings,
            }
        }
    }
    strings
}

/// The quoted string at the start of a text, unescaped, and the remaining text.
fn string(text: &str) -> Option<(String, &str)> {
    let (mut string, mut chars) = (String::new(), text.strip_prefix('"')?.chars());
    loop {
        match chars.next()? {
            '"' => return Some((string, chars.as_str())),
            '\\' => string.push(chars.next()?),
            c => string.push(c),
        }
    }
}

/// The error for an empty tag.
pub(crate) const EMPTY_TAG: &str = "a tag is empty: give it a name";

/// Checks a tag that a publisher names: any text up to `PERENNIAL_MAX_TAG_BYTES`, but not the empty one.
///
/// # Errors
/// A sentence that names the mistake.
pub fn check_tag(tag: &str, limits: &Limits) -> Result<(), String> {
    if tag.is_empty() {
        return Err(EMPTY_TAG.into());
    }
    if tag.len() > limits.max_tag_bytes {
        return Err(format!(
            "a tag has {} bytes, the limit is {} (PERENNIAL_MAX_TAG_BYTES)",
            tag.len(),
            limits.max_tag_bytes
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(fields: &[(&'static str, &'static str)]) -> Vec<String> {
        tags_of(&fields.iter().map(|(n, v)| (n.parse().unwrap(), HeaderValue::from_static(v))).collect())
    }

    #[test]
    fn tags_are_read_from_the_fields_of_every_kind_of_origin() {
        assert_eq!(of(&[("cache-tag", "post-1, blog ,post-1,,")]), ["post-1", "blog"]);
        assert_eq!(of(&[("cache-tag", "a"), ("cache-tag", "b")]), ["a", "b"]);
        assert_eq!(of(&[("surrogate-key", " post/1  a,b ")]), ["post/1", "a,b"]);
        assert_eq!(of(&[("x-cache-tags", "a,b c")]), ["a", "b", "c"]);
        assert_eq!(of(&[("cache-groups", r#""a", "b c";x="1, 2" ,"d\"e\\""#)]), ["a", "b c", "d\"e\\"]);
        assert_eq!(of(&[("x-cache-tags", "a"), ("cache-groups", "\"a\", \"b\"")]), ["a", "b"]);
        assert!(of(&[("etag", "\"a\"")]).is_empty());
    }

    #[test]
    fn tags_may_be_utf_8_or_latin_1() {
        for (bytes, tags) in [
            ("новости, Breaking News".as_bytes(), ["новости", "Breaking News"]),
            (b"caf\xe9,a", ["café", "a"]),
        ] {
            let headers = [("cache-tag".parse().unwrap(), HeaderValue::from_bytes(bytes).unwrap())];
            assert_eq!(tags_of(&HeaderMap::from_iter(headers)), tags);
        }
    }

    #[test]
    fn any_text_is_a_tag_and_has_one_stored_spelling() {
        for name in ["новости", "Breaking News", "a,b", "\"", "perennial:many", &"é".repeat(128)] {
            assert_eq!(user_tag(name), format!("tag:{name}"));
        }
        let long = "x".repeat(300);
        let mut stored: Vec<_> =
            [&*long, &long[1..], &long[44..], "a\nb", "a\u{85}b", "\0"].map(user_tag).into();
        assert!(
            stored.iter().all(|tag| tag.len() <= 260 && !tag.chars().any(char::is_control)),
            "{stored:?}"
        );
        for name in [&*long, "a\nb", "a"] {
            assert_eq!(user_tag(&stored_tag(name)), user_tag(name), "spelt twice");
        }
        stored.dedup();
        assert_eq!(stored.len(), 6);
    }

    #[test]
    fn a_member_that_is_no_string_ends_the_list() {
        for (list, tags) in [
            ("a", &[][..]),
            ("\"a", &[]),
            ("\"a\", b, \"c\"", &["a"]),
            ("", &[]),
            ("\"a\\", &[]),
            ("\"\"", &[]),
        ] {
            assert_eq!(of(&[("cache-groups", list)]), tags, "{list}");
        }
    }
}
