//! Names that pages can be invalidated by. Any text is one: what pages carry and what publishers name is spelt here.

use crate::base::limits::Limits;
use std::borrow::Cow;
use std::collections::HashSet;

use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};

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

/// What the tags that renders give begin with: a name space of their own, so that none can stand for an implicit one.
const USER: &str = "tag:";

/// A tag that a render gave, or that a publisher names.
pub fn user_tag(name: &str) -> String {
    format!("{USER}{}", kept(name))
}

/// Whether it is one that a render gave.
pub(crate) fn is_user_tag(tag: &str) -> bool {
    tag.starts_with(USER)
}

/// The broad tag of pages that have more tags than can be told apart. Who gives it to a page, or publishes it, renews too
/// much, and nothing else.
pub const MANY: &str = "perennial:many";

/// Longer tags are kept by their hash. No setting: processes that spelt a tag differently would lose publishes.
const AS_GIVEN_BYTES_MAX: usize = 256;

/// A tag as pages keep it: as it was given, byte for byte (NFC and NFD are two tags), or by its hash if it is long or has
/// control characters, which no log should have to escape. Keeping it again changes nothing.
pub fn kept(name: &str) -> Cow<'_, str> {
    if name.len() <= AS_GIVEN_BYTES_MAX && !name.chars().any(char::is_control) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(format!("sha256:{}", hex(&Sha256::digest(name))))
}

/// Fields in which origins name the tags of an answer, and what separates the tags: `Cache-Tag` (Cloudflare, Akamai,
/// CloudFront), `Surrogate-Key` (Fastly), `X-Cache-Tags` (FOSHttpCache with commas, others with spaces).
const FIELDS: [(&str, &[char]); 3] =
    [("cache-tag", &[',']), ("surrogate-key", &[' ', '\t']), ("x-cache-tags", &[',', ' ', '\t'])];

/// RFC 9875: a list of strings.
const CACHE_GROUPS: &str = "cache-groups";

/// The tags that an upstream's answer names in `Cache-Tag`, `Surrogate-Key`, `X-Cache-Tags` and `Cache-Groups` (RFC 9875),
/// each once. A member of `Cache-Groups` that is no string, and everything after it, is left out. However many there are,
/// the page can be shown: see [`Outcome::tag`](crate::site::page::Outcome::tag).
pub fn tags_of(headers: &HeaderMap) -> Vec<String> {
    let (mut tags, mut known) = (Vec::new(), HashSet::new());
    let mut add = |tag: &str| {
        if !tag.is_empty() && known.insert(tag.to_owned()) {
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

/// What a field says: UTF-8, as origins write what is not ASCII today, or else ISO 8859-1 (RFC 9110 section 5.5).
fn text(field: &HeaderValue) -> Cow<'_, str> {
    match std::str::from_utf8(field.as_bytes()) {
        Ok(text) => text.into(),
        Err(_) => field.as_bytes().iter().map(|byte| char::from(*byte)).collect::<String>().into(),
    }
}

/// The strings that a list begins with (RFC 9651 sections 3.1 and 3.3.3); their parameters do not matter here.
fn strings(list: &str) -> Vec<String> {
    let (mut strings, mut rest) = (Vec::new(), list.trim_start());
    while let Some((string, after)) = string(rest) {
        strings.push(string);
        // Parameters, which may be strings with commas in them, up to the next member.
        rest = after;
        loop {
            match rest.find(['"', ',']) {
                Some(at) if rest[at..].starts_with(',') => break rest = rest[at + 1..].trim_start(),
                Some(at) => match self::string(&rest[at..]) {
                    Some((_, after)) => rest = after,
                    None => return strings,
                },
                None => return strings,
            }
        }
    }
    strings
}

/// The string that a text begins with, and what follows it.
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

/// What is said of a tag without text.
pub(crate) const EMPTY_TAG: &str = "a tag is empty: give it a name";

/// Whether a publisher may name this tag: any text, bounded.
///
/// # Errors
/// Says what is wrong with it.
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
    fn tags_come_as_each_kind_of_origin_sends_them() {
        assert_eq!(of(&[("cache-tag", "post-1, blog ,post-1,,")]), ["post-1", "blog"]);
        assert_eq!(of(&[("cache-tag", "a"), ("cache-tag", "b")]), ["a", "b"]);
        assert_eq!(of(&[("surrogate-key", " post/1  a,b ")]), ["post/1", "a,b"]);
        assert_eq!(of(&[("x-cache-tags", "a,b c")]), ["a", "b", "c"]);
        assert_eq!(of(&[("cache-groups", r#""a", "b c";x="1, 2" ,"d\"e\\""#)]), ["a", "b c", "d\"e\\"]);
        assert_eq!(of(&[("x-cache-tags", "a"), ("cache-groups", "\"a\", \"b\"")]), ["a", "b"]);
        assert!(of(&[("etag", "\"a\"")]).is_empty());
    }

    #[test]
    fn tags_that_are_not_ascii_are_those_of_their_origin() {
        for (bytes, tags) in [
            ("новости, Breaking News".as_bytes(), ["новости", "Breaking News"]),
            (b"caf\xe9,a", ["café", "a"]),
        ] {
            let headers = [("cache-tag".parse().unwrap(), HeaderValue::from_bytes(bytes).unwrap())];
            assert_eq!(tags_of(&HeaderMap::from_iter(headers)), tags);
        }
    }

    #[test]
    fn any_text_is_a_tag_and_is_spelt_in_one_way() {
        for name in ["новости", "Breaking News", "a,b", "\"", "perennial:many", &"é".repeat(128)] {
            assert_eq!(user_tag(name), format!("tag:{name}"));
        }
        let long = "x".repeat(300);
        let mut spelt: Vec<_> =
            [&*long, &long[1..], &long[44..], "a\nb", "a\u{85}b", "\0"].map(user_tag).into();
        assert!(spelt.iter().all(|tag| tag.len() <= 260 && !tag.chars().any(char::is_control)), "{spelt:?}");
        for name in [&*long, "a\nb", "a"] {
            assert_eq!(user_tag(&kept(name)), user_tag(name), "kept twice");
        }
        spelt.dedup();
        assert_eq!(spelt.len(), 6);
    }

    #[test]
    fn what_is_no_string_ends_the_list() {
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
