//! Route patterns: `/blog/{slug}`, `/og/{slug}.png`, `/docs/{*path}`. Pure.

use std::borrow::Cow;
use std::sync::Arc;

use crate::key::encode::{RESERVED_SEGMENT, decode_segment, encode_into};
use crate::key::params::{Param, Params, push_param};
use crate::key::segment::{Rank, Segment};

/// A route's pattern: literal segments, `{name}` for one segment or a part of it, `{*name}` for all remaining segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Arc<str>,
    segments: Vec<Segment>,
}

impl Pattern {
    /// Parses `/blog/{slug}`, `/og/{slug}.png`, `/docs/{*path}` or `/`.
    ///
    /// # Errors
    /// A sentence that names the mistake and its correction.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest =
            text.strip_prefix('/').ok_or_else(|| format!("route pattern `{text}` must begin with `/`"))?;
        let mut segments: Vec<Segment> = Vec::new();
        let parts: Vec<&str> = if rest.is_empty() { Vec::new() } else { rest.split('/').collect() };
        for (i, part) in parts.iter().enumerate() {
            let segment = Segment::parse(part, text)?;
            if let Some(name) = segment.name().filter(|name| segments.iter().any(|s| s.name() == Some(*name)))
            {
                return Err(format!("route `{text}` names parameter `{name}` twice: give each its own name"));
            }
            if matches!(segment, Segment::Rest(_)) && i + 1 != parts.len() {
                return Err(format!("catch-all `{part}` must be the last segment of route `{text}`"));
            }
            segments.push(segment);
        }
        if matches!(segments.first(), Some(Segment::Literal(s)) if s == RESERVED_SEGMENT) {
            return Err(format!("route `{text}`: `/{RESERVED_SEGMENT}` is kept for Perennial's own URLs"));
        }
        Ok(Self { text: text.into(), segments })
    }

    /// The pattern's text: the route's id.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn shared(&self) -> Arc<str> {
        self.text.clone()
    }

    /// Whether the pattern has parameters.
    pub fn is_dynamic(&self) -> bool {
        self.segments.iter().any(|s| !matches!(s, Segment::Literal(_)))
    }

    /// The parameters that these decoded segments give, if they match the pattern. A path with an empty segment, a dot
    /// segment or Perennial's reserved first segment matches no pattern.
    pub fn matches(&self, path: &[Cow<'_, str>]) -> Option<Params> {
        self.match_segments(path).filter(|params| self.is_reachable(params))
    }

    fn match_segments(&self, path: &[Cow<'_, str>]) -> Option<Params> {
        let mut params = Vec::new();
        for (i, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::Literal(literal) if path.get(i)? == literal => {}
                Segment::Literal(_) => return None,
                Segment::One(one) => {
                    params.push((one.name.clone(), Param::One(one.value(path.get(i)?)?.to_owned())));
                }
                Segment::Rest(name) => {
                    let rest = path.get(i..).filter(|rest| !rest.is_empty())?;
                    let rest = rest.iter().map(|s| s.clone().into_owned()).collect();
                    params.push((name.clone(), Param::Rest(rest)));
                    return Some(Params(params));
                }
            }
        }
        (path.len() == self.segments.len()).then_some(Params(params))
    }

    /// Whether a URL can lead to the page with these values. [`Pattern::parse`] has checked the literal segments.
    /// Browsers resolve a dot segment, encoded or not, to another path (RFC 3986 sections 5.2.4 and 6.2.2.2), so they
    /// never send one.
    fn is_reachable(&self, params: &Params) -> bool {
        let mut values = params.0.iter().map(|(_, value)| value);
        self.segments.iter().enumerate().all(|(i, segment)| {
            let is_segment = |text: &str, at: usize| {
                !matches!(text, "" | "." | "..") && !text.contains('\0') && (at > 0 || text != RESERVED_SEGMENT)
            };
            match segment {
                Segment::Literal(_) => true,
                Segment::One(one) => matches!(
                    values.next(), Some(Param::One(value)) if !value.is_empty() && is_segment(&one.spelt(value), i)
                ),
                Segment::Rest(_) => matches!(
                    values.next(), Some(Param::Rest(rest)) if rest.iter().zip(i..).all(|(text, at)| is_segment(text, at))
                ),
            }
        })
    }

    /// Whether some path of this route consists of these segments, where `None` stands for any text. With `more`,
    /// further segments may follow.
    pub(crate) fn may_be(&self, path: &[Option<String>], more: bool) -> bool {
        for (i, segment) in self.segments.iter().enumerate() {
            match (segment, path.get(i)) {
                (_, None) => return more,
                (Segment::Literal(literal), Some(Some(text))) if literal != text => return false,
                (Segment::One(one), Some(Some(text))) if one.value(text).is_none() => return false,
                (Segment::Rest(_), Some(_)) => return true,
                (Segment::Literal(_) | Segment::One(_), Some(_)) => {}
            }
        }
        path.len() == self.segments.len()
    }

    /// The sort key that puts the most specific route first, segment by segment: literal, parameter with literals around
    /// it, `{name}`, `{*name}`.
    pub(crate) fn specificity(&self) -> Vec<Rank> {
        self.segments.iter().map(Segment::rank).collect()
    }

    /// A path that both routes match although neither is more specific; `None` if there is none.
    pub(crate) fn clash(&self, other: &Self) -> Option<String> {
        if self.specificity() != other.specificity() {
            return None;
        }
        let segments = self.segments.iter().zip(&other.segments);
        let common = segments.map(|(one, other)| one.common(other)).collect::<Option<Vec<_>>>()?;
        Some(format!("/{}", common.join("/")))
    }

    /// The prefix of the keys of all pages whose path starts with these decoded segments; the last segment may be
    /// incomplete. `None` if no page of this route has such a path.
    pub(crate) fn key_prefix(&self, path: &[Cow<'_, str>]) -> Option<String> {
        let mut key = self.text.to_string();
        for (i, segment) in self.segments.iter().enumerate() {
            let Some(text) = path.get(i) else { return Some(key) };
            let is_last = i + 1 == path.len();
            match segment {
                Segment::Literal(literal) if is_last && literal.starts_with(&**text) => {}
                Segment::Literal(literal) if literal == text => {}
                Segment::Literal(_) => return None,
                Segment::One(one) => {
                    key.push('|');
                    encode_into(&mut key, if is_last { one.value_start(text) } else { one.value(text) }?);
                }
                Segment::Rest(_) => {
                    key.push('|');
                    encode_into(&mut key, text);
                    return Some(key);
                }
            }
            if is_last {
                return Some(key);
            }
        }
        // A trailing `/` gives an empty last segment, which is the prefix of any segment.
        path.iter().skip(self.segments.len()).all(|rest| rest.is_empty()).then_some(key)
    }

    /// Checks parameters that a page or a publisher gave, and puts them into the pattern's order.
    ///
    /// # Errors
    /// A sentence that names a missing, unknown or empty parameter, or one with the wrong number of segments.
    pub fn arrange(&self, given: &Params) -> Result<Params, String> {
        let mut params = Vec::new();
        for segment in &self.segments {
            let (name, is_rest) = match segment {
                Segment::Literal(_) => continue,
                Segment::One(one) => (&one.name, false),
                Segment::Rest(name) => (name, true),
            };
            let value = match (given.get(name), is_rest) {
                (Some(Param::One(value)), false) if !value.is_empty() => Param::One(value.clone()),
                (Some(Param::Rest(list)), true) if !list.is_empty() && list.iter().all(|s| !s.is_empty()) => {
                    Param::Rest(list.clone())
                }
                (Some(Param::One(value)), true)
                    if !value.is_empty() && value.split('/').all(|s| !s.is_empty()) =>
                {
                    Param::Rest(value.split('/').map(str::to_owned).collect())
                }
                (Some(_), _) => {
                    let kind = if is_rest { "a list of non-empty segments" } else { "one non-empty segment" };
                    return Err(format!("parameter `{name}` of route {} must be {kind}", self.text));
                }
                (None, _) => return Err(format!("parameter `{name}` of route {} is missing", self.text)),
            };
            params.push((name.clone(), value));
        }
        if let Some((name, _)) = given.iter().find(|(name, _)| !params.iter().any(|(n, _)| n == name)) {
            return Err(format!("route {} has no parameter `{name}`", self.text));
        }
        let params = Params(params);
        if !self.is_reachable(&params) {
            return Err(format!(
                "no URL leads to the page {} of route {}: it holds a NUL, or a segment that is `.` or `..`, or begins \
                 with `/{RESERVED_SEGMENT}`, which is kept for Perennial's own",
                params.to_json(),
                self.text
            ));
        }
        Ok(params)
    }

    /// The canonical, percent-encoded path of the page with these parameters.
    pub(crate) fn path(&self, params: &Params) -> String {
        let mut path = String::new();
        for segment in &self.segments {
            path.push('/');
            match segment {
                Segment::Literal(literal) => encode_into(&mut path, literal),
                Segment::One(one) => {
                    if let Some(Param::One(value)) = params.get(&one.name) {
                        encode_into(&mut path, &one.spelt(value));
                    }
                }
                Segment::Rest(name) => {
                    if let Some(param) = params.get(name) {
                        push_param(&mut path, param);
                    }
                }
            }
        }
        if path.is_empty() {
            path.push('/');
        }
        path
    }

    /// The parameters and the query of a key's text, if the text is canonical and of this route. The inverse of
    /// [`PageKey::new`](crate::key::page_key::PageKey::new).
    pub(crate) fn parse_key(&self, text: &str) -> Option<(Params, Vec<(String, String)>)> {
        let tail = text.strip_prefix(&*self.text)?;
        let (values, query) = tail.split_once('?').map_or((tail, None), |(v, q)| (v, Some(q)));
        let mut values = match values.strip_prefix('|') {
            Some(values) => values.split('|').collect::<Vec<_>>(),
            None if values.is_empty() => Vec::new(),
            None => return None,
        }
        .into_iter();
        let mut params = Vec::new();
        for segment in &self.segments {
            let (name, param) = match segment {
                Segment::Literal(_) => continue,
                Segment::One(one) => {
                    (&one.name, Param::One(decode_segment(values.next()?).ok()?.into_owned()))
                }
                Segment::Rest(name) => {
                    let segments = values.next()?.split('/');
                    let segments =
                        segments.map(|s| decode_segment(s).map(Cow::into_owned)).collect::<Result<_, _>>();
                    (name, Param::Rest(segments.ok()?))
                }
            };
            params.push((name.clone(), param));
        }
        if values.next().is_some() {
            return None;
        }
        let mut pairs = Vec::new();
        for pair in query.into_iter().flat_map(|q| q.split('&')) {
            let (name, value) = pair.split_once('=')?;
            pairs.push((decode_segment(name).ok()?.into_owned(), decode_segment(value).ok()?.into_owned()));
        }
        // Text in another order is not canonical: one page has one key.
        let is_sorted = pairs.windows(2).all(|two: &[(String, String)]| two[0].0 < two[1].0);
        let params = Params(params);
        (is_sorted && self.is_reachable(&params)).then_some((params, pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_pattern_is_refused_with_its_mistake() {
        for (text, part) in [
            ("blog", "begin with"),
            ("/a//b", "empty segment"),
            ("/{*a}/b", "last segment"),
            ("/{a}/{a}", "twice"),
            ("/{}", "needs a name"),
            ("/a|b", "decoded"),
            ("/a\0", "control characters"),
            ("/_perennial/x", "kept for"),
        ] {
            assert!(Pattern::parse(text).unwrap_err().contains(part), "{text}");
        }
    }

    #[test]
    fn parameters_from_outside_are_arranged_or_refused() {
        let pattern = Pattern::parse("/a/{x}/{*y}").unwrap();
        let given = Params::new().with("y", vec!["1".to_owned(), "2".to_owned()]).with("x", "v");
        assert_eq!(pattern.arrange(&given).unwrap().to_json(), r#"{"x":"v","y":["1","2"]}"#);
        let given = Params::new().with("x", "v");
        assert!(pattern.arrange(&given).unwrap_err().contains("`y`"));
        assert!(Params::from_json(&serde_json::json!({"slug": 5})).unwrap_err().contains("slug"));
    }

    #[test]
    fn a_path_prefix_gives_a_key_prefix() {
        for (text, prefix, expected) in [
            ("/", "/", Some("/")),
            ("/", "/b", None),
            ("/about", "/ab", Some("/about")),
            ("/about", "/about/", Some("/about")),
            ("/about", "/about/x", None),
            ("/blog/{slug}", "/bl", Some("/blog/{slug}")),
            ("/blog/{slug}", "/blog", Some("/blog/{slug}")),
            ("/blog/{slug}", "/blo/", None),
            ("/blog/{slug}", "/blog/", Some("/blog/{slug}|")),
            ("/blog/{slug}", "/blog/caf%C3%A9 b", Some("/blog/{slug}|caf%C3%A9%20b")),
            ("/og/{slug}.png", "/og/a.p", Some("/og/{slug}.png|a")),
            ("/og/{slug}.png", "/og/a.png", Some("/og/{slug}.png|a")),
            ("/og/{slug}.png", "/og/a.jpg/", None),
            ("/post-{id}", "/po", Some("/post-{id}|")),
            ("/post-{id}", "/post-%207", Some("/post-{id}|%207")),
            ("/post-{id}", "/page", None),
            ("/v{n}/{*path}", "/v2/a", Some("/v{n}/{*path}|2|a")),
            ("/{lang}/docs/{*path}", "/de/do", Some("/{lang}/docs/{*path}|de")),
            ("/{lang}/docs/{*path}", "/de/docs/a%2Fb/c", Some("/{lang}/docs/{*path}|de|a%2Fb")),
            ("/{lang}/docs/{*path}", "/de/blog", None),
        ] {
            let path = crate::key::encode::decode_path(prefix).unwrap();
            assert_eq!(
                Pattern::parse(text).unwrap().key_prefix(&path).as_deref(),
                expected,
                "{text} {prefix}"
            );
        }
    }

    #[test]
    fn literals_around_a_parameter_are_no_part_of_its_value() {
        let pattern = Pattern::parse("/og/{slug}.png").unwrap();
        let params = pattern.matches(&["og".into(), "größe.png".into()]).unwrap();
        assert_eq!(params.to_json(), r#"{"slug":"größe"}"#);
        assert_eq!(pattern.path(&params), "/og/gr%C3%B6%C3%9Fe.png");
        assert_eq!(pattern.parse_key("/og/{slug}.png|gr%C3%B6%C3%9Fe"), Some((params, Vec::new())));
        assert_eq!(pattern.matches(&["og".into(), ".png".into()]), None);
        // Dots that the literals complete to a dot segment, and Perennial's own segment in two pieces.
        let dots = Pattern::parse("/.{x}").unwrap();
        assert_eq!(dots.matches(&["..".into()]), None);
        assert!(dots.arrange(&Params::new().with("x", ".")).unwrap_err().contains("no URL"));
        assert!(dots.matches(&["...".into()]).is_some());
        let own = Pattern::parse("/_{x}").unwrap();
        assert!(own.arrange(&Params::new().with("x", "perennial")).is_err());
        let suffixed = Pattern::parse("/{x}.html").unwrap();
        assert!(suffixed.matches(&["..html".into()]).is_some(), "a value may be a dot beside a literal");
    }

    #[test]
    fn routes_of_equal_rank_clash_where_they_meet() {
        for (a, b, common) in [
            ("/{a}", "/{b}", Some("/a")),
            ("/x/{*a}", "/x/{*b}", Some("/x/a")),
            ("/og/{a}.png", "/og/{b}.png", Some("/og/a.png")),
            ("/post-{a}", "/{b}.html", Some("/post-a.html")),
            ("/{a}.png", "/{b}.jpg", None),
            ("/post-{a}", "/{b}.xml", None),
            ("/{a}.xml", "/{b}", None),
            ("/{a}.xml/b", "/a-{b}/{c}", None),
            ("/a", "/b", None),
        ] {
            let [a, b] = [a, b].map(|text| Pattern::parse(text).unwrap());
            assert_eq!((a.clash(&b).as_deref(), b.clash(&a).as_deref()), (common, common));
        }
    }

    #[test]
    fn a_page_without_a_url_is_refused() {
        let [one, rest] = ["/{x}", "/{*y}"].map(|text| Pattern::parse(text).unwrap());
        assert!(one.arrange(&Params::new().with("x", "_perennial")).unwrap_err().contains("no URL"));
        assert!(one.arrange(&Params::new().with("x", "a\0")).unwrap_err().contains("no URL"));
        for dots in [".", ".."] {
            assert!(one.arrange(&Params::new().with("x", dots)).unwrap_err().contains("no URL"));
            assert_eq!(one.matches(&[dots.into()]), None);
            assert_eq!(rest.matches(&["a".into(), dots.into(), "b".into()]), None);
            assert_eq!(rest.parse_key(&format!("/{{*y}}|a/{dots}")), None);
        }
        assert!(
            one.matches(&["../never".into()]).is_some(),
            "a text with a slash in it, sent as `..%2Fnever`"
        );
        assert!(one.matches(&["...".into()]).is_some());
        assert_eq!(rest.matches(&["_perennial".into(), "a".into()]), None);
        assert!(rest.matches(&["a".into(), "_perennial".into()]).is_some());
        for text in ["/{*y}|_perennial/a", "/{*y}|a//b", "/{*y}|a?b=1&a=2", "/{*y}|a?b=1&b=2"] {
            assert_eq!(rest.parse_key(text), None, "{text}");
        }
        assert!(rest.parse_key("/{*y}|a?a=2&b=1").is_some());
    }
}
