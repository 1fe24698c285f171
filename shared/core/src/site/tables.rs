//! What a site says of paths, whatever page is there: redirects, rewrites and header fields. Pure.
//!
//! The order is that of Next.js: redirects first, then rewrites, then routes. Header fields come with every answer.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::key::encode::decode_path;
use crate::key::params::{Params, push_param};
use crate::key::pattern::Pattern;
use crate::record::headers::parse_field;
use crate::site::destination::checked;
use crate::site::page::Redirect;

/// Tables of a site under construction, as its author wrote them.
#[derive(Default)]
pub(crate) struct DraftTables {
    pub(crate) redirects: Vec<(String, Redirect)>,
    pub(crate) rewrites: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, Vec<(String, String)>)>,
}

/// A site's checked tables.
#[derive(Default)]
pub struct Tables {
    redirects: Vec<(Pattern, Redirect)>,
    rewrites: Vec<(Pattern, Pattern)>,
    headers: Vec<HeaderRule>,
}

struct HeaderRule {
    /// The pattern; and, if it ends in a catch-all, the one of the path before that.
    patterns: Vec<Pattern>,
    /// Whether the pattern is `/{*name}`, which matches every request, even one that has no path.
    matches_all: bool,
    fields: Vec<(HeaderName, HeaderValue)>,
}

/// Where a table sends a path.
#[derive(Debug)]
pub enum Sent {
    /// To another address, which visitors are told. The destination is percent-encoded.
    Elsewhere(Redirect),
    /// To the page at these decoded segments.
    To(Vec<Cow<'static, str>>),
}

impl Tables {
    /// Checks the tables of a site with these routes.
    pub(crate) fn check(draft: DraftTables, routes: &[&Pattern], errors: &mut Vec<String>) -> Self {
        let DraftTables { redirects, rewrites, headers } = draft;
        let mut tables = Self::default();
        let mut seen: Vec<(Pattern, &str)> = routes.iter().map(|route| ((*route).clone(), "route")).collect();
        for (from, to) in redirects {
            if let Some(from) = parsed(&from, "redirect", &mut seen, errors) {
                errors.extend(redirect_mistake(&from, &to));
                tables.redirects.push((from, to));
            }
        }
        for (from, to) in rewrites {
            let Some(from) = parsed(&from, "rewrite", &mut seen, errors) else { continue };
            match Pattern::parse(&to) {
                Err(error) => errors.push(format!("rewrite {}: {error}", from.as_str())),
                Ok(to) => {
                    errors.extend(rewrite_mistake(&from, &to, routes));
                    tables.rewrites.push((from, to));
                }
            }
        }
        for (pattern, fields) in headers {
            match Pattern::parse(&pattern) {
                Err(error) => errors.push(format!("headers: {error}")),
                Ok(pattern) => tables.headers.push(header_rule(pattern, &fields, errors)),
            }
        }
        tables
    }

    /// Where these decoded segments are sent, before any route is asked; `None`: to no other place.
    pub fn send(&self, segments: &[Cow<'_, str>]) -> Option<Sent> {
        for (from, to) in &self.redirects {
            if let Some(params) = from.matches(segments) {
                let to = with_values(to, &params);
                return Some(Sent::Elsewhere(checked(&to).unwrap_or(to)));
            }
        }
        self.rewrites.iter().find_map(|(from, to)| {
            let path = to.path(&from.matches(segments)?);
            let segments = decode_path(&path).ok()?.into_iter();
            Some(Sent::To(segments.map(|segment| Cow::Owned(segment.into_owned())).collect()))
        })
    }

    /// Adds the fields of all patterns that match these decoded segments to an answer. `None`: the request has no path
    /// that can be decoded.
    pub fn add_headers(&self, segments: Option<&[Cow<'_, str>]>, head: &mut HeaderMap) {
        for rule in self.headers.iter().rev().filter(|rule| rule.matches(segments)) {
            for (name, value) in &rule.fields {
                if !head.contains_key(name) {
                    head.insert(name.clone(), value.clone());
                }
            }
        }
    }
}

impl HeaderRule {
    fn matches(&self, segments: Option<&[Cow<'_, str>]>) -> bool {
        let Some(segments) = segments.filter(|_| !self.matches_all) else { return self.matches_all };
        self.patterns.iter().any(|pattern| pattern.matches(segments).is_some())
    }
}

/// Reads the pattern that a table sends elsewhere. No other entry, and no route, has the same paths.
fn parsed(
    from: &str,
    table: &'static str,
    seen: &mut Vec<(Pattern, &'static str)>,
    errors: &mut Vec<String>,
) -> Option<Pattern> {
    let pattern = match Pattern::parse(from) {
        Ok(pattern) => pattern,
        Err(error) => {
            errors.push(format!("{table}: {error}"));
            return None;
        }
    };
    if let Some((other, of)) = seen.iter().find(|(other, _)| other.clash(&pattern).is_some()) {
        errors.push(format!("{table} {from} and {of} {} match the same paths", other.as_str()));
    }
    seen.push((pattern.clone(), table));
    Some(pattern)
}

fn header_rule(pattern: Pattern, fields: &[(String, String)], errors: &mut Vec<String>) -> HeaderRule {
    let mut checked = Vec::new();
    for (name, value) in fields {
        match parse_field(&name.to_ascii_lowercase(), value) {
            Ok(field) => checked.push(field),
            Err(error) => errors.push(format!("headers of {}: {error}", pattern.as_str())),
        }
    }
    let (before, last) = pattern.as_str().rsplit_once('/').unwrap_or_default();
    let before = last.starts_with("{*").then_some(before);
    let matches_all = before == Some("");
    let shorter = before.and_then(|before| Pattern::parse(before).ok());
    let patterns = [Some(pattern), shorter].into_iter().flatten().collect();
    HeaderRule { patterns, matches_all, fields: checked }
}

/// Values for all parameters of a pattern.
fn sample(pattern: &Pattern) -> Params {
    let segments: Vec<Cow<'_, str>> = decode_path(&pattern.as_str().replace(['{', '*', '}'], ""))
        .map(|segments| segments.into_iter().map(|segment| segment.into_owned().into()).collect())
        .unwrap_or_default();
    pattern.matches(&segments).unwrap_or_default()
}

fn redirect_mistake(from: &Pattern, to: &Redirect) -> Option<String> {
    let params = sample(from);
    let unknown = placeholders(&to.destination).find(|name| params.get(name).is_none());
    let mistake = match unknown {
        Some(name) => {
            Err(format!("its destination `{}` names `{{{name}}}`, and its pattern does not", to.destination))
        }
        None => checked(&with_values(to, &params)).map(drop),
    };
    mistake.err().map(|what| format!("redirect {}: {what}", from.as_str()))
}

fn rewrite_mistake(from: &Pattern, to: &Pattern, routes: &[&Pattern]) -> Option<String> {
    let (given, wanted) = (sample(from), sample(to));
    let what = if let Some((name, _)) = wanted.iter().find(|(name, _)| given.get(name).is_none()) {
        format!("`{}` names `{{{name}}}`, and the pattern does not", to.as_str())
    } else if !routes.iter().any(|route| leads_to(to, route)) {
        format!("no route accepts `{}`", to.as_str())
    } else {
        return None;
    };
    Some(format!("rewrite {}: {what}", from.as_str()))
}

/// Whether some path of the destination may be one of the route's.
fn leads_to(to: &Pattern, route: &Pattern) -> bool {
    let parts = to.as_str().split('/').filter(|part| !part.is_empty());
    let segments: Vec<_> = parts.map(|part| (!part.contains('{')).then(|| part.to_owned())).collect();
    let more = to.as_str().contains("{*");
    route.may_be(&segments, more)
}

/// The names of `{name}` and `{*name}` in a destination.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.trim_start_matches('*')))
}

/// A redirect whose destination has percent-encoded values in the place of its placeholders.
fn with_values(to: &Redirect, params: &Params) -> Redirect {
    let Redirect { destination, status, base_path } = to;
    Redirect { destination: filled(destination, params), status: *status, base_path: *base_path }
}

/// A destination with percent-encoded values in the place of its placeholders.
fn filled(text: &str, params: &Params) -> String {
    let mut parts = text.split('{');
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('}') {
            Some((name, rest)) => {
                if let Some(param) = params.get(name.trim_start_matches('*')) {
                    push_param(&mut filled, param);
                }
                filled.push_str(rest);
            }
            None => {
                filled.push('{');
                filled.push_str(part);
            }
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Site;
    use crate::site::route::Route;
    use crate::testing::Text;

    fn site() -> Site {
        Site::new().route(Route::new("/blog/{slug}", Text)).route(Route::new("/docs/{*path}", Text))
    }

    #[track_caller]
    fn refused(site: Site, words: &[&str]) {
        let error = site.ready(None, None).map(|_| ()).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
    }

    fn sent(site: Site, path: &str) -> Option<String> {
        let site = site.ready(None, None).unwrap();
        Some(match site.tables().send(&decode_path(path).unwrap())? {
            Sent::Elsewhere(to) => to.destination,
            Sent::To(segments) => format!("page {}", segments.join("|")),
        })
    }

    #[test]
    fn mistakes_are_refused_at_the_start() {
        refused(site().redirect("/a/{x}", Redirect::permanent("/b/{y}")), &["/a/{x}", "{y}"]);
        refused(site().redirect("/a", Redirect::permanent("b")), &["redirect /a", "begins with one `/`"]);
        refused(site().redirect("/a", Redirect::with_status("/b", 418)), &["redirect /a", "418"]);
        refused(site().redirect("a", Redirect::permanent("/b")), &["redirect", "must begin with `/`"]);
        refused(
            site().redirect("/blog/{id}", Redirect::permanent("/b")),
            &["route /blog/{slug}", "the same paths"],
        );
        let twice = site().redirect("/a/{x}", Redirect::permanent("/b")).rewrite("/a/{y}", "/blog/{y}");
        refused(twice, &["redirect /a/{x}", "rewrite /a/{y}"]);
        refused(site().rewrite("/a", "/blog/{slug}"), &["rewrite /a", "{slug}"]);
        refused(site().rewrite("/a", "/none"), &["rewrite /a", "no route accepts `/none`"]);
        refused(
            site().headers("/{*p}", [("cache-control", "no-store")]),
            &["/{*p}", "cache-control", "revalidate"],
        );
        refused(site().headers("/{*p}", [("x-a", "é")]), &["/{*p}", "x-a", "not ASCII"]);
        refused(site().headers("p", [("x-a", "b")]), &["headers", "must begin with `/`"]);
        for origin in
            ["example.com", "ftp://example.com", "https://", "https://e.com/a", "https://u@e.com", ""]
        {
            refused(site().origin(origin), &["PERENNIAL_ORIGIN", "https://example.com"]);
        }
    }

    #[test]
    fn values_are_encoded_where_they_go() {
        let to = |from: &str, to: &str| site().redirect(from, Redirect::temporary(to));
        assert_eq!(sent(to("/a/{x}", "/b/{x}?y={x}#{x}"), "/a/1%262").unwrap(), "/b/1%262?y=1%262#1%262");
        assert_eq!(
            sent(to("/a/{*x}", "https://w.example/{x}"), "/a/b%2Fc/d").unwrap(),
            "https://w.example/b%2Fc/d"
        );
        assert_eq!(sent(to("/a", "/caf\u{e9}"), "/a").unwrap(), "/caf%C3%A9");
        assert_eq!(sent(to("/a", "/b"), "/c"), None);
        assert_eq!(sent(to("/a/{x}", "/b/{x}"), "/a/.."), None, "no browser keeps this path");
        assert_eq!(sent(site().rewrite("/p/{*x}", "/docs/{*x}"), "/p/a/b%2Fc").unwrap(), "page docs|a|b/c");
        assert_eq!(sent(site().rewrite("/p/{x}", "/docs/intro/{x}"), "/p/a").unwrap(), "page docs|intro|a");
    }

    #[test]
    fn a_later_pattern_wins_and_the_answers_own_field_always() {
        let site = site()
            .headers("/{*path}", [("x-a", "all"), ("x-b", "all")])
            .headers("/docs/{*path}", [("x-a", "docs")])
            .ready(None, None)
            .unwrap();
        for (path, own, expected) in [
            (Some("/"), None, ("all", "all")),
            (Some("/docs"), None, ("docs", "all")),
            (Some("/docs/a/b"), None, ("docs", "all")),
            (Some("/docsx"), None, ("all", "all")),
            (Some("/docs/a"), Some("own"), ("own", "all")),
            (None, None, ("all", "all")),
        ] {
            let mut head = HeaderMap::new();
            head.extend(own.map(|own| (HeaderName::from_static("x-a"), HeaderValue::from_static(own))));
            let segments = path.map(|path| decode_path(path).unwrap());
            site.tables().add_headers(segments.as_deref(), &mut head);
            let is = |name: &str| head[name].to_str().unwrap().to_owned();
            assert_eq!((is("x-a"), is("x-b")), (expected.0.into(), expected.1.into()), "{path:?}");
        }
    }
}
