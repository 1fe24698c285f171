//! References to pages: texts that are a path or a whole URL (RFC 3986). Pure.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::key::encode::encode_into;

/// A text whose percent-escapes are decoded once (RFC 3986, section 2.4). An invalid escape stays as it is, like in the URL
/// Standard. A text whose escapes give no UTF-8 stays as a whole.
pub(super) fn decoded(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8().unwrap_or(Cow::Borrowed(text))
}

/// A segment of a path in the spelling of keys.
pub(super) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    encode_into(&mut out, &decoded(text));
    out
}

/// A path with each segment in the spelling of keys. An escaped slash stays in its segment.
pub(super) fn path(text: &str) -> String {
    text.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// A reference to a page (RFC 3986, section 4.1), without query and fragment.
pub(super) struct Reference<'a> {
    /// The origin of a whole URL; `None` for a path.
    pub(super) origin: Option<Origin>,
    pub(super) path: &'a str,
}

/// The origin of a page. `http` and `https` count as one site, and user information does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The host in lower case (RFC 3986, section 3.2.2), with its port unless that is the scheme's default.
    host: String,
}

impl<'a> Reference<'a> {
    /// Reads a text.
    ///
    /// # Errors
    /// The text is a whole URL with another scheme than `http` and `https`, or without a host.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        let without_query = |text: &'a str| &text[..text.find(['?', '#']).unwrap_or(text.len())];
        let url = without_query(text.trim());
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
            _ => match url.strip_prefix("//") {
                Some(rest) => (String::new(), rest),
                None => return Ok(Self { origin: None, path: without_query(text) }),
            },
        };
        if !["", "http", "https"].contains(&&*scheme) {
            return Err(format!("a URL of the scheme `{scheme}` is no page"));
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_ascii_lowercase();
        let own_port = if scheme == "http" { ":80" } else { ":443" };
        let host = host.strip_suffix(own_port).or(host.strip_suffix(':')).unwrap_or(&host);
        if host.is_empty() {
            return Err("a URL has no host".into());
        }
        Ok(Self { origin: Some(Origin { host: host.to_owned() }), path })
    }

    /// The path without its first slash and a slash at its end; empty for the home page.
    pub(super) fn below_root(&self) -> &'a str {
        let path = self.path.strip_prefix('/').unwrap_or(self.path);
        path.strip_suffix('/').unwrap_or(path)
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.host.escape_debug())
    }
}

/// Whether a text is a scheme (RFC 3986, section 3.1).
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// The texts before and after the part that counts.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    text: String,
    before: String,
    after: String,
    /// The origin in `before`; `None` if `before` is no whole URL.
    origin: Option<Origin>,
}

impl Shape {
    /// Reads a shape like `docs/*.md` or `https://www.example.org/*`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (before, after) = match text.split_once('*') {
            Some((before, after)) if !after.contains('*') => (before, after),
            _ => return Err(format!("`{text}` must hold one `*`, for the part that counts")),
        };
        let reference = Reference::parse(before).map_err(|why| format!("`{text}`: {why}"))?;
        let (origin, before) = match reference.origin {
            Some(origin) if reference.path.is_empty() => (Some(origin), "/"),
            Some(origin) => (Some(origin), reference.path),
            None => (None, before),
        };
        let (before, after) = (before.to_owned(), after.to_owned());
        Ok(Self { text: text.to_owned(), before, after, origin })
    }

    /// The part of a text that counts, unchanged.
    pub(super) fn cut<'a>(&self, text: &'a str) -> Option<&'a str> {
        let part = text.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        (!part.is_empty()).then_some(part)
    }

    /// The part of a path that counts, in the spelling of keys; empty if nothing but a slash is missing to what stands
    /// before it, and nothing stands after it. A text is a reference if it is a whole URL, or begins with a slash; a name of a file is not.
    ///
    /// # Errors
    /// The text is a URL of another site.
    pub(super) fn cut_path(&self, text: &str) -> Result<Option<String>, String> {
        if !self.takes_references(text) {
            let (before, after) = (path(&self.before), path(&self.after));
            let part = path(text);
            let part = part.strip_prefix(&*before).and_then(|part| part.strip_suffix(&*after));
            return Ok(part.filter(|part| !part.is_empty()).map(str::to_owned));
        }
        let reference = Reference::parse(text)?;
        if let (Some(wanted), Some(given)) = (&self.origin, &reference.origin)
            && wanted != given
        {
            return Err(format!("a URL is of the host `{given}`, and `{}` asks for `{wanted}`", self.text));
        }
        let (before, after) = (path(&self.before), path(&self.after));
        let after = after.strip_suffix('/').unwrap_or(&after);
        let whole = path(&format!("/{}", reference.below_root()));
        let part = match whole.strip_prefix(&*before) {
            Some(part) => part,
            None if before.strip_suffix('/') == Some(&*whole) => "",
            None => return Ok(None),
        };
        Ok(part.strip_suffix(after).filter(|part| !part.is_empty() || after.is_empty()).map(str::to_owned))
    }

    fn takes_references(&self, text: &str) -> bool {
        let text = text.trim_start();
        text.starts_with('/') || text.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_once() {
        for (text, expected) in [
            ("caf%C3%A9", "café"),
            ("caf%c3%a9", "café"),
            ("%d8%b1%d8%ad%d9%84%d8%a9-1", "رحلة-1"),
            ("caf%25C3%25A9", "caf%C3%A9"),
            ("100%", "100%"),
            ("50%-off%20now", "50%-off now"),
            ("%zz%2", "%zz%2"),
            ("a+b", "a+b"),
            ("%FF", "%FF"),
            ("%2e%2E", ".."),
        ] {
            assert_eq!(decoded(text), expected);
        }
    }

    #[test]
    fn a_whole_url_is_its_path() {
        for (text, host, path) in [
            ("https://www.example.org/a/b?c#d", "www.example.org", "/a/b"),
            ("HTTPS://WWW.Example.ORG:443", "www.example.org", ""),
            ("http://www.example.org:80/", "www.example.org", "/"),
            ("http://www.example.org:443/", "www.example.org:443", "/"),
            ("//cdn.example.org/x", "cdn.example.org", "/x"),
            ("https://me:pass@www.example.org/x", "www.example.org", "/x"),
            ("https://www.example.org@evil.example/x", "evil.example", "/x"),
            ("https://www.example.org?x=/y", "www.example.org", ""),
            ("https://[2001:db8::1]:8443/x", "[2001:db8::1]:8443", "/x"),
            (" https://a/b\n", "a", "/b"),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!((&*reference.origin.unwrap().host, reference.path), (host, path), "{text}");
        }
        for text in ["a/b", "/a://b", "a b://c", ":///x", "/a?x://y"] {
            assert!(Reference::parse(text).unwrap().origin.is_none(), "{text}");
        }
        for text in ["ftp://a/b", "https://", "///a", "https://me@/x", "//"] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_shape_is_of_a_site_a_path_or_a_file() {
        let cut = |shape: &str, text: &str| Shape::parse(shape).unwrap().cut_path(text);
        for (shape, text, part) in [
            (
                "https://www.example.org/*",
                "https://www.example.org/guides/caf%C3%A9",
                Some("guides/caf%C3%A9"),
            ),
            ("https://www.example.org/*", "http://WWW.EXAMPLE.ORG:80/a/?x#y", Some("a")),
            ("https://www.example.org/*", "https://www.example.org", Some("")),
            ("https://www.example.org*", "https://www.example.org/a", Some("a")),
            ("https://www.example.org/*", "//www.example.org/a", Some("a")),
            ("https://www.example.org/*", "/a", Some("a")),
            ("https://www.example.org/*", "a", None),
            ("https://www.example.org/blog/*", "https://www.example.org/blog", Some("")),
            ("https://www.example.org/blog/*", "https://www.example.org/blogs/a", None),
            ("https://www.example.org/blog/*/", "https://www.example.org/blog/a", Some("a")),
            ("https://www.example.org/caf%c3%a9/*", "https://www.example.org/café/a", Some("a")),
            ("/blog/*", "https://anywhere.example/blog/a", Some("a")),
            ("/blog/*.html", "/blog/a.html?x", Some("a")),
            ("/blog/*.html", "/blog/.html", None),
            ("docs/*.md", "docs/c#/100%.md", Some("c%23/100%25")),
            ("docs/*.md", "docs/.md", None),
            ("docs/*.md", "https://a/docs/x.md", None),
        ] {
            assert_eq!(cut(shape, text).unwrap().as_deref(), part, "{shape} of {text}");
        }
        for text in [
            "https://evil.example/a",
            "https://www.example.org:8443/a",
            "//evil.example",
            "ftp://www.example.org/a",
        ] {
            assert!(cut("https://www.example.org/*", text).is_err(), "{text}");
        }
    }
}
