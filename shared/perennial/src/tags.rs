//! Names that pages can be invalidated by.

use http::HeaderMap;

use crate::key::PageKey;

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

/// A tag that a render gave; its own name space, so that it cannot stand for an implicit one.
pub fn user_tag(name: &str) -> String {
    format!("tag:{name}")
}

/// Fields in which origins name the tags of an answer, and what separates the tags: `Cache-Tag` (Cloudflare, Akamai,
/// CloudFront), `Surrogate-Key` (Fastly), `X-Cache-Tags` (FOSHttpCache with commas, others with spaces).
const FIELDS: [(&str, &[char]); 3] =
    [("cache-tag", &[',']), ("surrogate-key", &[' ', '\t']), ("x-cache-tags", &[',', ' ', '\t'])];

/// RFC 9875: a list of strings.
const CACHE_GROUPS: &str = "cache-groups";

/// The tags that an upstream's answer names in `Cache-Tag`, `Surrogate-Key`, `X-Cache-Tags` and `Cache-Groups` (RFC 9875),
/// each once. A member of `Cache-Groups` that is no string, and everything after it, is left out, as is a field that is
/// no text. Whether a tag can be used is judged with all others of its page.
pub fn tags_of(headers: &HeaderMap) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    let mut add = |tag: &str| {
        if !tag.is_empty() && !tags.iter().any(|known| known == tag) {
            tags.push(tag.to_owned());
        }
    };
    let texts = |name| headers.get_all(name).iter().filter_map(|field| field.to_str().ok());
    for (name, separators) in FIELDS {
        texts(name).flat_map(|text| text.split(separators)).for_each(|tag| add(tag.trim()));
    }
    for text in texts(CACHE_GROUPS) {
        strings(text).iter().for_each(|tag| add(tag));
    }
    tags
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
