//! Templates of paths and tags: `/blog/{/fields/slug/en-US}`, `post:{/sys/id}`. Pure.
//!
//! What stands in braces is a field of the payload, by JSON pointer (RFC 6901). A member that is called `*` cannot be
//! named, because `*` means each element of a list, and each member of an object; so do lists at a pointer's end.
//! Fields that go through the same list go through it together.
//!
//! | written | means |
//! |---|---|
//! | `{/a/b}` | the text of a field, as one segment of a path or a part of one |
//! | `{*/a/b}` | the text of a field that is a path, each of its segments one of the page's; not in tags |
//! | `{/a/b?}` | the same, and where there is no such field the template names nothing |
//! | `{/a/b\|docs/*.md}` | what stands for `*` in texts that look so; others name nothing |

use serde_json::Value;

use super::pointer::{Pointer, Token, child, children};
use crate::key::encode_into;

/// Steps through one payload for one template; more are too many values.
const STEPS_MAX: usize = 100_000;

/// A path or a tag with fields of a payload in it.
#[derive(Clone, Debug)]
pub(super) struct Template {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(String),
    Field(Field),
}

#[derive(Clone, Debug)]
struct Field {
    pointer: Pointer,
    /// Its segments are the page's own.
    is_path: bool,
    is_optional: bool,
    /// What stands before and after the text that counts.
    shape: Option<(String, String)>,
}

/// What a template makes of a payload.
#[derive(Debug, Default)]
pub(super) struct Filled {
    /// Texts, in the order of the payload.
    pub(super) texts: Vec<String>,
    /// Why others were left out.
    pub(super) left_out: Vec<String>,
    /// There are more than are wanted: what is here is not all.
    pub(super) too_many: bool,
}

/// A field that a template needs and a payload has not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing(pub(super) String);

impl Field {
    fn parse(inner: &str) -> Result<Self, String> {
        let (inner, is_path) = inner.strip_prefix('*').map_or((inner, false), |rest| (rest, true));
        let (inner, shape) = match inner.split_once('|') {
            None => (inner, None),
            Some((inner, shape)) => match shape.split_once('*') {
                Some((before, after)) if !after.contains('*') => {
                    (inner, Some((before.to_owned(), after.to_owned())))
                }
                _ => return Err(format!("`{shape}` must hold one `*`, for the part that counts")),
            },
        };
        let (pointer, is_optional) = inner.strip_suffix('?').map_or((inner, false), |rest| (rest, true));
        Ok(Self { pointer: Pointer::parse(pointer)?, is_path, is_optional, shape })
    }

    /// The part of a text that counts.
    fn part<'a>(&self, text: &'a str) -> Option<&'a str> {
        let Some((before, after)) = &self.shape else { return Some(text) };
        let part = text.strip_prefix(&**before)?.strip_suffix(&**after)?;
        // As in a shell, where `*` stays in its folder.
        (!part.is_empty() && (self.is_path || !part.contains('/'))).then_some(part)
    }
}

impl Template {
    /// Reads a template.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, more)) = rest.split_once('{') {
            let (inner, after) =
                more.split_once('}').ok_or_else(|| "a `{` is not followed by `}`".to_owned())?;
            pieces.push(Piece::Literal(literal.to_owned()));
            pieces.push(Piece::Field(Field::parse(inner)?));
            rest = after;
        }
        pieces.push(Piece::Literal(rest.to_owned()));
        let stray = |piece: &Piece| matches!(piece, Piece::Literal(text) if text.contains(['{', '}']));
        if pieces.iter().any(stray) {
            return Err("a `}` is not preceded by `{`".into());
        }
        pieces.retain(|piece| !matches!(piece, Piece::Literal(text) if text.is_empty()));
        Ok(Self { text: text.to_owned(), pieces })
    }

    /// Reads the template of a path.
    pub(super) fn path(text: &str) -> Result<Self, String> {
        let template = Self::parse(text)?;
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
        let template = Self::parse(text)?;
        if template.pieces.iter().any(|piece| matches!(piece, Piece::Field(field) if field.is_path)) {
            return Err("`{*…}` is for paths".into());
        }
        let plain = |text: &str| text.bytes().all(|b| (33..=126).contains(&b) && b != b',');
        if !template.pieces.iter().filter_map(Piece::literal).all(plain) {
            return Err("a tag is printable ASCII without spaces and commas".into());
        }
        Ok(template)
    }

    /// The segments of a path: their text where a template gives all of it. Whether more may follow.
    pub(super) fn segments(&self) -> (Vec<Option<String>>, bool) {
        let mut segments: Vec<Option<String>> = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Field(field) if field.is_path => {
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

    /// The tags that a payload makes of it.
    pub(super) fn tags(&self, payload: &Value, most: usize) -> Result<Filled, Missing> {
        let (all, too_many) = self.fill(payload, most)?;
        let texts = all.iter().map(|parts| parts.concat()).collect();
        Ok(Filled { texts, left_out: Vec::new(), too_many })
    }

    /// The paths that a payload makes of it, percent-encoded by the code of keys. A value stays in its segment.
    pub(super) fn paths(&self, payload: &Value, most: usize) -> Result<Filled, Missing> {
        let (all, too_many) = self.fill(payload, most)?;
        let mut filled = Filled { too_many, ..Filled::default() };
        for parts in all {
            match self.path_of(&parts) {
                Some(path) => filled.texts.push(path),
                None => filled.left_out.push(format!("`{}` would have a segment without a text", self.text)),
            }
        }
        Ok(filled)
    }

    /// The path of these texts of its pieces; `None` if they leave a segment empty, or hold a NUL.
    fn path_of(&self, parts: &[String]) -> Option<String> {
        let mut segments: Vec<String> = Vec::new();
        for (piece, part) in self.pieces.iter().zip(parts) {
            let texts: Vec<&str> = match piece {
                Piece::Literal(_) => part.split('/').collect(),
                Piece::Field(field) if part.is_empty() || !field.is_path => vec![part],
                // It may begin and end with a slash.
                Piece::Field(_) => part.trim_matches('/').split('/').collect(),
            };
            if part.is_empty() {
                return None;
            }
            for (i, text) in texts.into_iter().enumerate() {
                match segments.last_mut() {
                    Some(last) if i == 0 => last.push_str(text),
                    // What stands before the first slash of all.
                    None if i == 0 => {}
                    _ => segments.push(text.to_owned()),
                }
            }
        }
        // The page at `/`: written so, or by a path of the payload's own that is `/`.
        let is_root = segments == [""];
        if !is_root && segments.iter().any(|segment| segment.is_empty() || segment.contains('\0')) {
            return None;
        }
        let mut path = String::new();
        for segment in &segments {
            path.push('/');
            encode_into(&mut path, segment);
        }
        Some(path)
    }

    /// The texts of all pieces, for each way to go through the lists.
    fn fill(&self, payload: &Value, most: usize) -> Result<(Vec<Vec<String>>, bool), Missing> {
        let mut filling = Filling {
            pieces: &self.pieces,
            payload,
            most,
            steps: 0,
            taken: Vec::new(),
            parts: Vec::new(),
            filled: Vec::new(),
            missing: None,
            too_many: false,
        };
        filling.from(0);
        match filling.missing {
            Some(pointer) if filling.filled.is_empty() && !filling.too_many => {
                Err(Missing(pointer.text.clone()))
            }
            _ => Ok((filling.filled, filling.too_many)),
        }
    }
}

impl Piece {
    fn literal(&self) -> Option<&str> {
        match self {
            Piece::Literal(text) => Some(text),
            Piece::Field(_) => None,
        }
    }
}

/// A template being filled.
struct Filling<'a> {
    pieces: &'a [Piece],
    payload: &'a Value,
    most: usize,
    steps: usize,
    /// Which element of which list is being gone through.
    taken: Vec<(&'a [Token], &'a Value)>,
    parts: Vec<String>,
    filled: Vec<Vec<String>>,
    missing: Option<&'a Pointer>,
    too_many: bool,
}

impl<'a> Filling<'a> {
    fn from(&mut self, piece: usize) {
        match self.pieces.get(piece) {
            None if self.filled.len() == self.most => self.too_many = true,
            None => self.filled.push(self.parts.clone()),
            Some(Piece::Literal(text)) => self.with(text.clone(), piece),
            Some(Piece::Field(field)) => self.walk(field, 0, self.payload, piece),
        }
    }

    fn with(&mut self, part: String, piece: usize) {
        self.parts.push(part);
        self.from(piece + 1);
        self.parts.pop();
    }

    fn walk(&mut self, field: &'a Field, at: usize, value: &'a Value, piece: usize) {
        self.steps += 1;
        self.too_many |= self.steps > STEPS_MAX;
        if self.too_many {
            return;
        }
        let tokens = &field.pointer.tokens;
        match (tokens.get(at), value) {
            (Some(Token::Each), _) => {
                let list = &tokens[..=at];
                if let Some((_, taken)) = self.taken.iter().find(|(taken, _)| *taken == list) {
                    return self.walk(field, at + 1, taken, piece);
                }
                if !value.is_array() && !value.is_object() {
                    return self.lacks(field);
                }
                for child in children(value) {
                    self.taken.push((list, child));
                    self.walk(field, at + 1, child, piece);
                    self.taken.pop();
                }
            }
            (Some(Token::Name(name)), value) => match child(value, name) {
                Some(child) => self.walk(field, at + 1, child, piece),
                None => self.lacks(field),
            },
            (None, Value::Array(all)) => {
                for child in all {
                    self.text(field, child, piece);
                }
            }
            (None, value) => self.text(field, value, piece),
        }
    }

    fn text(&mut self, field: &'a Field, value: &Value, piece: usize) {
        self.steps += 1;
        if self.too_many {
            return;
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(is) => is.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return self.lacks(field),
        };
        if let Some(part) = field.part(&text) {
            self.with(part.to_owned(), piece);
        }
    }

    fn lacks(&mut self, field: &'a Field) {
        if !field.is_optional {
            self.missing.get_or_insert(&field.pointer);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(template: &str, payload: &Value) -> Vec<String> {
        let filled = Template::path(template).unwrap().paths(payload, 10).unwrap_or_default();
        assert!(!filled.too_many);
        filled.texts
    }

    fn tags(template: &str, payload: &Value) -> Vec<String> {
        Template::tag(template).unwrap().tags(payload, 10).unwrap_or_default().texts
    }

    #[test]
    fn fields_are_named_by_pointers() {
        let payload =
            json!({"a": {"en-US": "x", "b/c~d": 5, "list": [{"s": true}]}, "n": null, "": {"": "y"}});
        assert_eq!(paths("/blog/{/a/en-US}", &payload), ["/blog/x"]);
        assert_eq!(paths("/{/a/b~1c~0d}-{/a/list/0/s}/z", &payload), ["/5-true/z"]);
        assert_eq!(tags("p:{//}", &payload), ["p:y"]);
        for nothing in ["/{/a}", "/{/n}", "/{/b}", "/{/a/list/1/s}", "/{/a/list/s}", "/{/a/en-US/x}"] {
            let lacks = Template::path(nothing).unwrap().paths(&payload, 10).unwrap_err();
            assert!(nothing.contains(&lacks.0), "{nothing}");
        }
        assert!(paths("/{/b?}", &payload).is_empty());
    }

    #[test]
    fn a_value_stays_in_its_segment() {
        for (value, path) in [
            ("a/b", "/blog/a%2Fb"),
            ("..", "/blog/.."),
            ("../x", "/blog/..%2Fx"),
            ("100%", "/blog/100%25"),
            ("%2F", "/blog/%252F"),
            ("a b?c#d", "/blog/a%20b%3Fc%23d"),
            ("caf\u{e9}", "/blog/caf%C3%A9"),
            ("\\", "/blog/%5C"),
            ("{/x}", "/blog/%7B%2Fx%7D"),
        ] {
            assert_eq!(paths("/blog/{/slug}", &json!({ "slug": value })), [path]);
        }
        for value in ["", "\0", "a\0"] {
            let filled =
                Template::path("/blog/{/slug}").unwrap().paths(&json!({ "slug": value }), 10).unwrap();
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
            ("a%2Fb/c", "/docs/a%252Fb/c"),
        ] {
            assert_eq!(paths("/docs/{*/slug}", &json!({ "slug": value })), [path]);
        }
        for value in ["", "/", "a//b", "//"] {
            assert!(paths("/docs/{*/slug}", &json!({ "slug": value })).is_empty(), "{value}");
        }
        assert_eq!(paths("/{*/slug}", &json!({"slug": "/"})), ["/"]);
        assert!(paths("/{*/slug}", &json!({"slug": ""})).is_empty());
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
        // An empty list is there; a field that is missing everywhere is not.
        assert!(Template::tag("{/none/*/x}").unwrap().tags(&payload, 10).is_ok());
        assert_eq!(
            Template::tag("{/posts/*/z}").unwrap().tags(&payload, 10).unwrap_err(),
            Missing("/posts/*/z".into())
        );
    }

    #[test]
    fn the_part_that_counts_is_cut_out() {
        let payload = json!({"files": ["guides/a.md", "guides/b/c.md", "src/lib.rs", "guides/.md"]});
        assert_eq!(paths("/g/{/files|guides/*.md}", &payload), ["/g/a"]);
        assert_eq!(paths("/g/{*/files|guides/*.md}", &payload), ["/g/a", "/g/b/c"]);
        assert_eq!(tags("{/files|*.rs}", &json!({"files": "lib.rs"})), ["lib"]);
        // A text that does not look so is not missing.
        assert!(Template::tag("{/files|x*}").unwrap().tags(&payload, 10).is_ok());
    }

    #[test]
    fn more_than_fits_is_told() {
        let many: Vec<_> = (0..11).collect();
        let filled = Template::tag("{/n}").unwrap().tags(&json!({ "n": many }), 10).unwrap();
        assert!(filled.too_many && filled.texts.len() == 10);
        let filled = Template::tag("{/n}").unwrap().tags(&json!({ "n": many }), 11).unwrap();
        assert!(!filled.too_many && filled.texts.len() == 11);
        // Lists of lists that fit nothing take no more time than their bound.
        let wide = json!({"a": vec!["x"; 1000], "b": vec!["x"; 1000], "c": vec!["x"; 1000]});
        let filled = Template::tag("{/a}{/b}{/c|y*}").unwrap().tags(&wide, 10).unwrap();
        assert!(filled.too_many && filled.texts.is_empty());
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
        for bad in ["a b", "a,{/x}", "\u{e9}", "{*/x}"] {
            assert!(Template::tag(bad).is_err(), "{bad}");
        }
    }
}
