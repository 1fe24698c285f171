//! Templates of paths and tags: `/blog/{/fields/slug/en-US}`, `post:{/sys/id}`. Pure.
//!
//! Braces hold a field of the payload, by JSON pointer (RFC 6901). `*` means each element of a list and each member of an
//! object, so no template can name a member that is called `*`. A list at a pointer's end means each of its elements.
//! Fields that go through the same list go through it together. Where a rule goes through a list itself (`each`),
//! pointers begin at its element, and those with `$` before them at the whole payload.
//!
//! In paths, percent-escapes of a text are decoded once, and a whole URL counts as its path. Texts that no page can have,
//! and fields that are missing, are left out with a reason.
//!
//! | written | means |
//! |---|---|
//! | `{/a/b}` | the text of a field, as one segment of a path or a part of one |
//! | `{*/a/b}` | the text of a field that is a path or a URL, each of its segments one of the page's; not in tags |
//! | `{/a/b?}` | the same; without such a field the template names nothing |
//! | `{/a/b\|docs/*.md}` | the text in the place of `*`; texts of another shape name nothing |
//! | `{/a/b\|https://a.example/*}` | the same for URLs of one site; those of others are left out |

pub(super) mod fill;
mod piece;

use crate::webhooks::pointer::Scope;
use crate::webhooks::template::fill::{Filled, Filling};
use crate::webhooks::template::piece::{Field, Kind, Piece};

/// A path or a tag with fields of a payload in it.
#[derive(Clone, Debug)]
pub(super) struct Template {
    text: String,
    pieces: Vec<Piece>,
    is_of_tag: bool,
}

impl Template {
    /// Reads a template.
    fn parse(text: &str, is_of_tag: bool) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, more)) = rest.split_once('{') {
            let (inner, after) =
                more.split_once('}').ok_or_else(|| "a `{` is not followed by `}`".to_owned())?;
            pieces.push(Piece::Literal(literal.to_owned()));
            pieces.push(Piece::Field(Field::parse(inner, is_of_tag)?));
            rest = after;
        }
        pieces.push(Piece::Literal(rest.to_owned()));
        let stray = |piece: &Piece| matches!(piece, Piece::Literal(text) if text.contains(['{', '}']));
        if pieces.iter().any(stray) {
            return Err("a `}` is not preceded by `{`".into());
        }
        pieces.retain(|piece| !matches!(piece, Piece::Literal(text) if text.is_empty()));
        Ok(Self { text: text.to_owned(), pieces, is_of_tag })
    }

    /// Reads the template of a path.
    pub(super) fn path(text: &str) -> Result<Self, String> {
        let template = Self::parse(text, false)?;
        if !text.starts_with('/') {
            return Err("a path begins with `/`".into());
        }
        for literal in template.pieces.iter().filter_map(Piece::literal) {
            if literal.contains(|c: char| c.is_control() || "?#%\\".contains(c)) {
                return Err("write it decoded, without ? # % \\ and control characters".into());
            }
        }
        if template.segments().0.iter().any(|segment| segment.as_deref() == Some("")) {
            return Err("it has an empty segment".into());
        }
        Ok(template)
    }

    /// Reads the template of a tag.
    pub(super) fn tag(text: &str) -> Result<Self, String> {
        Self::parse(text, true)
    }

    /// The segments of a path, with the text of those that hold no field; and whether more segments may follow.
    pub(super) fn segments(&self) -> (Vec<Option<String>>, bool) {
        let mut segments: Vec<Option<String>> = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Field(field) if field.kind == Kind::Path => {
                    segments.pop();
                    return (segments, true);
                }
                Piece::Field(_) => {
                    segments.pop();
                    segments.push(None);
                }
                Piece::Literal(text) => {
                    for (i, part) in text.split('/').enumerate() {
                        match segments.last_mut() {
                            Some(last) if i == 0 => {
                                if let Some(last) = last {
                                    last.push_str(part);
                                }
                            }
                            None if i == 0 => {}
                            _ => segments.push(Some(part.to_owned())),
                        }
                    }
                }
            }
        }
        if self.text == "/" {
            segments.clear();
        }
        (segments, false)
    }

    /// The tags that a payload makes of the template: `most` at most. `steps` is the rest of [`fill::STEPS_MAX`].
    pub(super) fn tags(&self, scope: Scope<'_>, most: usize, steps: &mut usize) -> Filled {
        self.fill(scope, most, steps)
    }

    /// The paths that a payload makes of the template, in the spelling of keys. A value stays in its segment.
    pub(super) fn paths(&self, scope: Scope<'_>, most: usize, steps: &mut usize) -> Filled {
        let mut filled = self.fill(scope, most, steps);
        let (paths, bad): (Vec<_>, Vec<_>) = filled.texts.into_iter().partition(|path| {
            path == "/"
                || path.split('/').skip(1).all(|segment| !segment.is_empty() && !segment.contains("%00"))
        });
        filled.texts = paths;
        if !bad.is_empty() {
            filled
                .left_out
                .push(format!("`{}` would have a segment without a text, or with a NUL", self.text));
        }
        filled
    }

    fn fill(&self, scope: Scope<'_>, most: usize, steps: &mut usize) -> Filled {
        Filling::fill((&self.pieces, &self.text, self.is_of_tag), scope, most, steps)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::webhooks::template::fill::STEPS_MAX;

    fn filled(template: Result<Template, String>, payload: &Value, most: usize) -> Filled {
        let (template, scope) = (template.unwrap(), Scope { whole: payload, element: payload });
        let mut steps = STEPS_MAX;
        if template.is_of_tag {
            template.tags(scope, most, &mut steps)
        } else {
            template.paths(scope, most, &mut steps)
        }
    }

    fn path(template: &str, payload: &Value) -> Filled {
        filled(Template::path(template), payload, 10)
    }

    fn paths(template: &str, payload: &Value) -> Vec<String> {
        let filled = path(template, payload);
        assert!(!filled.too_many);
        filled.texts
    }

    fn tags(template: &str, payload: &Value) -> Vec<String> {
        filled(Template::tag(template), payload, 10).texts
    }

    #[test]
    fn fields_are_named_by_pointers() {
        let payload =
            json!({"a": {"en-US": "x", "b/c~d": 5, "list": [{"s": true}]}, "n": null, "": {"": "y"}});
        assert_eq!(paths("/blog/{/a/en-US}", &payload), ["/blog/x"]);
        assert_eq!(paths("/{/a/b~1c~0d}-{/a/list/0/s}/z", &payload), ["/5-true/z"]);
        assert_eq!(tags("p:{//}", &payload), ["p:y"]);
        for nothing in ["/{/a}", "/{/n}", "/{/b}", "/{/a/list/1/s}", "/{/a/list/s}", "/{/a/en-US/x}"] {
            let lacks = path(nothing, &payload).missing.unwrap();
            assert!(nothing.contains(&lacks), "{nothing}");
        }
        assert!(paths("/{/b?}", &payload).is_empty());
    }

    /// A list whose elements all have another type is reported as lacking a text, like a single value of another type.
    #[test]
    fn a_list_without_a_text_lacks_one() {
        for (list, lacks) in [
            (json!([null]), true),
            (json!([{}, null]), true),
            (json!({"a": null}), true),
            (json!([]), false),
            (json!(["a", null]), false),
            (json!([["a"], null]), false),
        ] {
            let payload = json!({ "list": list });
            assert_eq!(path("/blog/{/list/*}", &payload).missing.is_some(), lacks, "{list}");
            let is_own = list.is_object() || list[0].is_array();
            assert_eq!(path("/blog/{/list}", &payload).missing.is_some(), lacks || is_own, "{list}");
            assert_eq!(path("/blog/{/list?}", &payload).missing, None, "{list}");
        }
    }

    #[test]
    fn a_value_stays_in_its_segment() {
        for (value, path) in [
            ("a/b", "/blog/a%2Fb"),
            ("..", "/blog/.."),
            ("../x", "/blog/..%2Fx"),
            ("100%", "/blog/100%25"),
            ("%2F", "/blog/%2F"),
            ("caf%c3%a9", "/blog/caf%C3%A9"),
            ("caf%25C3", "/blog/caf%25C3"),
            ("a+b", "/blog/a%2Bb"),
            ("https://a.example/b", "/blog/https%3A%2F%2Fa.example%2Fb"),
            ("a b?c#d", "/blog/a%20b%3Fc%23d"),
            ("caf\u{e9}", "/blog/caf%C3%A9"),
            ("\\", "/blog/%5C"),
            ("{/x}", "/blog/%7B%2Fx%7D"),
        ] {
            assert_eq!(paths("/blog/{/slug}", &json!({ "slug": value })), [path]);
        }
        for value in ["", "\0", "a\0", "%00"] {
            let filled = path("/blog/{/slug}", &json!({ "slug": value }));
            assert!(filled.texts.is_empty() && filled.left_out.len() == 1, "{value:?}");
        }
        assert!(paths("/{/slug}", &json!({"slug": ""})).is_empty(), "not the page at /");
        assert!(paths("/a-{/slug}", &json!({"slug": ""})).is_empty());
    }

    #[test]
    fn a_path_is_one_where_it_is_said_so() {
        for (value, path) in [
            ("a/b c", "/docs/a/b%20c"),
            ("/a/b/", "/docs/a/b"),
            ("a", "/docs/a"),
            ("a%2Fb/c", "/docs/a%2Fb/c"),
            ("caf%C3%A9/100%", "/docs/caf%C3%A9/100%25"),
            ("a?b=/c#d", "/docs/a"),
            ("https://www.example.org/a%20b/?c#d", "/docs/a%20b"),
            ("//www.example.org/a", "/docs/a"),
        ] {
            assert_eq!(paths("/docs/{*/slug}", &json!({ "slug": value })), [path]);
        }
        for value in
            ["", "/", "a//b", "//", "https://www.example.org", "ftp://a/b", "a/%00", "?a", "https:///a"]
        {
            let filled = path("/docs/{*/slug}", &json!({ "slug": value }));
            assert!(filled.texts.is_empty() && filled.left_out.len() == 1, "{value}: {filled:?}");
        }
        for home in ["/", "", "https://www.example.org", "https://www.example.org/?a", "//a.example/", "#top"]
        {
            assert_eq!(paths("/{*/slug}", &json!({ "slug": home })), ["/"], "{home}");
            assert!(paths("/a-{*/slug}", &json!({ "slug": home })).is_empty(), "{home}");
        }
        assert_eq!(paths("/", &json!({})), ["/"]);
        assert_eq!(paths("/\u{fc}ber uns", &json!({})), ["/%C3%BCber%20uns"]);
    }

    #[test]
    fn lists_are_gone_through() {
        let payload = json!({
            "slug": {"en": "dog", "de": "hund"},
            "tags": ["a", "b", null],
            "posts": [{"year": 1, "slug": "x"}, {"year": 2, "slug": "y"}, {"year": 3}],
            "none": [],
        });
        let mut all = paths("/{/slug/*}", &payload);
        all.sort();
        assert_eq!(all, ["/dog", "/hund"]);
        assert_eq!(tags("t:{/tags}", &payload), ["t:a", "t:b"]);
        assert_eq!(paths("/{/posts/*/year}/{/posts/*/slug}", &payload), ["/1/x", "/2/y"], "together");
        assert_eq!(paths("/{/posts/*/slug}/{/tags}", &payload).len(), 4, "each with each");
        assert!(paths("/{/none}", &payload).is_empty());
        // An empty list does not count as missing; a field that every element lacks does.
        assert_eq!(filled(Template::tag("{/none/*/x}"), &payload, 10).missing, None);
        assert_eq!(filled(Template::tag("{/posts/*/z}"), &payload, 10).missing.unwrap(), "/posts/*/z");
        // A field that one element lacks is reported; an element that is no text is not.
        assert_eq!(path("/{/posts/*/slug}", &payload).missing.unwrap(), "/posts/*/slug");
        assert_eq!(filled(Template::tag("{/posts/*/*}{/tags/*}"), &payload, 10).missing, None);
    }

    #[test]
    fn the_part_that_counts_is_cut_out() {
        let payload = json!({"files": ["guides/a.md", "guides/b/c.md", "src/lib.rs", "guides/.md"]});
        assert_eq!(paths("/g/{/files|guides/*.md}", &payload), ["/g/a"]);
        assert_eq!(paths("/g/{*/files|guides/*.md}", &payload), ["/g/a", "/g/b/c"]);
        assert_eq!(tags("{/files|*.rs}", &json!({"files": "lib.rs"})), ["lib"]);
        // A text of another shape does not count as missing.
        let none = filled(Template::tag("{/files|x*}"), &payload, 10);
        assert!(none.texts.is_empty() && none.missing.is_none() && none.left_out.is_empty());
    }

    #[test]
    fn a_url_of_the_site_is_a_path_and_one_of_another_site_is_left_out() {
        let payload = json!({"url": [
            "https://www.example.org/guides/caf%C3%A9", "http://WWW.example.org/guides/a/?utm_source=mail#top",
            "https://www.example.org", "https://evil.example/guides/b", "https://www.example.org/guides/a%2Fb",
        ]});
        let all = path("/{*/url|https://www.example.org/*}", &payload);
        assert_eq!(all.texts, ["/guides/caf%C3%A9", "/guides/a", "/", "/guides/a%2Fb"]);
        assert!(all.left_out.len() == 1 && all.left_out[0].contains("evil.example"), "{all:?}");
        let one = paths("/guides/{/url|https://www.example.org/guides/*}", &payload);
        assert_eq!(one, ["/guides/caf%C3%A9", "/guides/a", "/guides/a%2Fb"], "one segment each");
        assert_eq!(tags("g:{/url|https://www.example.org/guides/*}", &payload)[..2], ["g:caf\u{e9}", "g:a"]);
    }

    #[test]
    fn more_than_fits_is_told() {
        let many: Vec<_> = (0..11).collect();
        let ten = filled(Template::tag("{/n}"), &json!({ "n": many }), 10);
        assert!(ten.too_many && ten.texts.len() == 10);
        let all = filled(Template::tag("{/n}"), &json!({ "n": many }), 11);
        assert!(!all.too_many && all.texts.len() == 11);
        // Nested lists without any text are bounded in time, too.
        let wide = json!({"a": vec!["x"; 1000], "b": vec!["x"; 1000], "c": vec!["x"; 1000]});
        let none = filled(Template::tag("{/a}{/b}{/c|y*}"), &wide, 10);
        assert!(none.too_many && none.texts.is_empty());
    }

    #[test]
    fn what_is_no_template_is_told() {
        for (bad, part) in [
            ("blog/{/x}", "begins with `/`"),
            ("/a/{x}", "must begin with `/`"),
            ("/a/{/x", "not followed by `}`"),
            ("/a/}", "not preceded"),
            ("/a//b", "empty segment"),
            ("/a/", "empty segment"),
            ("/a?b={/x}", "without ?"),
            ("/a/{/x|y}", "one `*`"),
            ("/a/{/x|*y*}", "one `*`"),
        ] {
            let error = Template::path(bad).unwrap_err();
            assert!(error.contains(part), "{bad}: {error}");
        }
        assert!(Template::tag("{*/x}").is_err());
        for any_text in ["a b", "a,{/x}", "\u{e9}"] {
            assert!(Template::tag(any_text).is_ok(), "{any_text}");
        }
    }
}
