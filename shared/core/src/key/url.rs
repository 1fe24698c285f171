//! URLs of a site's pages, and request targets as the client sent them. Pure.

use std::sync::Arc;

use http::Uri;

use crate::key::encode::{RESERVED_SEGMENT, encode_into};

/// A request's target as the client sent it. Lambda's runtime normalises the path as browsers do: `%2E%2E` becomes a
/// step up, and `\` becomes `/`. The Lambda event still has the raw path. A path that no target can hold becomes a
/// malformed one, which gets 400.
pub fn as_sent(raw_path: &str, normalised: &Uri) -> Uri {
    let query = normalised.query().map_or_else(String::new, |query| format!("?{query}"));
    Uri::try_from(format!("{raw_path}{query}")).unwrap_or_else(|_| Uri::from_static("/%"))
}

/// A query as the client sent it. Characters that a target cannot hold are percent-encoded, because a bad query is no
/// reason to refuse a visitor.
pub fn query_as_sent(raw: &str) -> String {
    raw.chars().fold(String::with_capacity(raw.len()), |mut out, c| {
        if c.is_ascii_control() || matches!(c, ' ' | '"' | '#' | '<' | '>') {
            encode_into(&mut out, c.encode_utf8(&mut [0; 4]));
        } else {
            out.push(c);
        }
        out
    })
}

/// What follows `base` in a path that is `base` or lies below it: empty, or from a slash on. `None` for any other path,
/// also for one like `/docsx` beside `/docs`.
pub fn below<'a>(base: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The parts of a site's configuration that decide how its URLs are spelt.
#[derive(Clone, Debug)]
pub struct Urls {
    /// The prefix of every page's path: empty, or like `/docs`.
    pub base_path: String,
    /// Whether canonical paths end in `/`.
    pub trailing_slash: bool,
    /// The build's id, a part of data URLs.
    pub build: Arc<str>,
}

impl Urls {
    /// The canonical URL of the page at a canonical path.
    pub fn page(&self, path: &str) -> String {
        // Next.js adds no slash to a path that looks like a file's.
        let is_file = path.rsplit('/').next().is_some_and(|last| last.contains('.'));
        let slash = if self.trailing_slash && !is_file && path != "/" { "/" } else { "" };
        match path {
            "/" if !self.base_path.is_empty() => {
                format!("{}{}", self.base_path, if self.trailing_slash { "/" } else { "" })
            }
            path => format!("{}{path}{slash}", self.base_path),
        }
    }

    /// The URL of the data JSON of the page at a canonical path.
    pub fn data(&self, path: &str) -> String {
        data_url(&self.base_path, &self.build, path)
    }
}

/// The data URL of the page at a canonical path. As in Next.js, `index` stands for `/`, and a path that begins with
/// `index` gets a second `index`, so that two pages never share a URL.
pub fn data_url(base_path: &str, build: &str, path: &str) -> String {
    let begins_with_index = path == "/index" || path.starts_with("/index/");
    let path = match path {
        "/" => "/index".to_owned(),
        path if begins_with_index => format!("/index{path}"),
        path => path.to_owned(),
    };
    format!("{base_path}/{RESERVED_SEGMENT}/data/{build}{path}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_what_was_sent() {
        let normalised = Uri::from_static("https://id.lambda-url.us-east-1.on.aws/x?a=%2F&b");
        for (sent, target) in [
            ("/blog/%2E%2E/never", "/blog/%2E%2E/never?a=%2F&b"),
            ("/blog/../never", "/blog/../never?a=%2F&b"),
            ("//never", "//never?a=%2F&b"),
            ("/blog\\a", "/blog\\a?a=%2F&b"),
            ("/blog/caf\u{e9}", "/blog/caf\u{e9}?a=%2F&b"),
            ("/", "/?a=%2F&b"),
            ("/a b", "/%"),
            ("/<b>", "/%"),
        ] {
            assert_eq!(
                as_sent(sent, &normalised).path_and_query().expect("a path").as_str(),
                target,
                "{sent}"
            );
        }
        assert_eq!(as_sent("/a", &Uri::from_static("/x")), "/a");
    }

    #[test]
    fn a_query_is_what_was_sent_except_for_characters_that_no_url_can_hold() {
        for (sent, query) in [
            ("a=b&c=%20+%zz", "a=b&c=%20+%zz"),
            ("a=\"<b>\" #\r\n\u{7f}", "a=%22%3Cb%3E%22%20%23%0D%0A%7F"),
            ("a=\u{e9}|{}\\^`?", "a=\u{e9}|{}\\^`?"),
        ] {
            assert_eq!(query_as_sent(sent), query);
        }
        for c in '\0'..='\u{ff}' {
            let target = format!("/?{}", query_as_sent(&format!("a{c}b")));
            assert!(
                Uri::try_from(target).is_ok_and(|uri| uri.query().is_some_and(|q| q.ends_with('b'))),
                "{c:?}"
            );
        }
    }

    #[test]
    fn pages_are_spelt_as_the_site_spells_them() {
        let urls = |base_path: &str, trailing_slash| Urls {
            base_path: base_path.into(),
            trailing_slash,
            build: "b".into(),
        };
        for (base, slash, path, expected) in [
            ("", false, "/", "/"),
            ("", true, "/", "/"),
            ("", false, "/a", "/a"),
            ("", true, "/a", "/a/"),
            ("", true, "/a/feed.xml", "/a/feed.xml"),
            ("/docs", false, "/", "/docs"),
            ("/docs", true, "/", "/docs/"),
            ("/docs", true, "/a", "/docs/a/"),
        ] {
            assert_eq!(urls(base, slash).page(path), expected);
        }
        assert_eq!(urls("/docs", true).data("/"), "/docs/_perennial/data/b/index.json");
        assert_eq!(urls("", false).data("/index"), "/_perennial/data/b/index/index.json");
    }
}
