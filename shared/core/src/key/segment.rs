//! One segment of a route's pattern: a literal, a parameter with or without literals around it, or a catch-all. Pure.

use std::borrow::Cow;
use std::cmp::Reverse;

/// One segment of a route's pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Literal(String),
    One(One),
    Rest(String),
}

/// A parameter that is a part of one segment: `{slug}`, `post-{id}`, `{slug}.png`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct One {
    pub(crate) name: String,
    before: String,
    after: String,
}

/// The rank of a segment: the lower, the more exact.
pub(crate) type Rank = (u8, Reverse<usize>);

impl Segment {
    /// Parses one segment of the pattern `route`.
    ///
    /// # Errors
    /// A sentence that names the mistake and its correction.
    pub(crate) fn parse(part: &str, route: &str) -> Result<Self, String> {
        if part.is_empty() {
            return Err(format!("route pattern `{route}` has an empty segment"));
        }
        let parameter = part
            .split_once('{')
            .and_then(|(before, rest)| rest.split_once('}').map(|(name, after)| (before, name, after)));
        let Some((before, name, after)) = parameter else {
            check_literal(part, part, route)?;
            return if part == "." || part == ".." {
                Err(not_literal(part, route))
            } else {
                Ok(Self::Literal(part.to_owned()))
            };
        };
        if after.contains('{') {
            return Err(format!(
                "segment `{part}` of route `{route}` has two parameters: give each a segment of its own, or take one \
                 parameter whose value the page splits"
            ));
        }
        check_literal(before, part, route)?;
        check_literal(after, part, route)?;
        let (name, is_rest) = name.strip_prefix('*').map_or((name, false), |name| (name, true));
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(format!(
                "parameter `{part}` of route `{route}` needs a name of letters, digits and `_`"
            ));
        }
        let [name, before, after] = [name, before, after].map(str::to_owned);
        match is_rest {
            true if before.is_empty() && after.is_empty() => Ok(Self::Rest(name)),
            true => Err(format!(
                "catch-all `{part}` of route `{route}` must be a segment of its own: write `{{*{name}}}`, or \
                 `{before}{{{name}}}{after}` for one segment"
            )),
            false => Ok(Self::One(One { name, before, after })),
        }
    }

    /// The parameter's name; `None` for a literal.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::One(one) => Some(&one.name),
            Self::Rest(name) => Some(name),
        }
    }

    /// The rank of the segment: a literal, a parameter with literals around it (the longer the literals, the more
    /// exact), a parameter alone, a catch-all.
    pub(crate) fn rank(&self) -> Rank {
        match self {
            Self::Literal(_) => (0, Reverse(0)),
            Self::One(one) if !one.is_bare() => {
                (1, Reverse(one.before.chars().count() + one.after.chars().count()))
            }
            Self::One(_) => (2, Reverse(0)),
            Self::Rest(_) => (3, Reverse(0)),
        }
    }

    /// A text that both segments match, if there is one. Both have the same rank.
    pub(crate) fn common(&self, other: &Self) -> Option<String> {
        match (self, other) {
            (Self::Literal(a), Self::Literal(b)) => (a == b).then(|| a.clone()),
            (Self::One(a), Self::One(b)) => {
                let before = longer(&a.before, &b.before, |long, short| long.starts_with(short))?;
                let after = longer(&a.after, &b.after, |long, short| long.ends_with(short))?;
                Some(format!("{before}a{after}"))
            }
            (Self::Rest(_), Self::Rest(_)) => Some("a".to_owned()),
            _ => None,
        }
    }
}

impl One {
    /// Whether the parameter is the whole segment.
    fn is_bare(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }

    /// The parameter's value in a decoded segment that matches.
    pub(crate) fn value<'a>(&self, segment: &'a str) -> Option<&'a str> {
        let value = segment.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        (!value.is_empty()).then_some(value)
    }

    /// The decoded segment with this value: the inverse of [`One::value`].
    pub(crate) fn spelt<'a>(&self, value: &'a str) -> Cow<'a, str> {
        if self.is_bare() {
            Cow::Borrowed(value)
        } else {
            Cow::Owned(format!("{}{value}{}", self.before, self.after))
        }
    }

    /// The start that all values share whose segments begin with `text`; `None` if no segment does.
    pub(crate) fn value_start<'a>(&self, text: &'a str) -> Option<&'a str> {
        if self.before.starts_with(text) {
            return Some("");
        }
        let value = text.strip_prefix(&*self.before)?;
        // The end of the text may be the beginning of the literal behind the parameter.
        let ends = value.char_indices().map(|(at, _)| at).find(|at| self.after.starts_with(&value[*at..]));
        Some(&value[..ends.unwrap_or(value.len())])
    }
}

/// The longer of two texts, if it `holds` the shorter one.
fn longer<'a>(a: &'a str, b: &'a str, holds: impl Fn(&str, &str) -> bool) -> Option<&'a str> {
    let (long, short) = if a.len() >= b.len() { (a, b) } else { (b, a) };
    holds(long, short).then_some(long)
}

fn check_literal(text: &str, part: &str, route: &str) -> Result<(), String> {
    if text.contains(|c: char| c.is_control() || "{}|?#%\\".contains(c)) {
        return Err(not_literal(part, route));
    }
    Ok(())
}

fn not_literal(part: &str, route: &str) -> String {
    format!(
        "segment `{part}` of route `{route}`: write literals decoded, without {{ }} | ? # % \\ and control characters; \
         `.` and `..` are no segments"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(part: &str) -> One {
        match Segment::parse(part, part) {
            Ok(Segment::One(one)) => one,
            other => panic!("{part}: {other:?}"),
        }
    }

    #[test]
    fn a_parameter_has_literals_around_it() {
        for (part, segment, value) in [
            ("{slug}", "a.png", Some("a.png")),
            ("{slug}.png", "a.png", Some("a")),
            ("{slug}.png", "a.png.png", Some("a.png")),
            ("{slug}.png", ".png", None),
            ("{slug}.png", "a.PNG", None),
            ("post-{id}", "post-", None),
            ("post-{id}", "post-post-7", Some("post-7")),
            ("a{x}a", "aa", None),
            ("a{x}a", "aaa", Some("a")),
            ("é{x}ü", "éxü", Some("x")),
        ] {
            assert_eq!(one(part).value(segment), value, "{part} {segment}");
            if let Some(value) = value {
                assert_eq!(one(part).spelt(value), segment);
            }
        }
    }

    #[test]
    fn a_mistake_in_a_segment_is_refused_with_its_correction() {
        for (part, advice) in [
            ("{a}-{b}", "give each a segment of its own"),
            ("{a}{b}", "two parameters"),
            ("x{*rest}", "write `{*rest}`, or `x{rest}`"),
            ("{*rest}.html", "`{rest}.html` for one segment"),
            ("{a", "write literals decoded"),
            ("a}", "write literals decoded"),
            ("a%20{b}", "write literals decoded"),
            ("{a}?", "write literals decoded"),
            ("..", "no segments"),
            ("-{}-", "needs a name"),
        ] {
            let error = Segment::parse(part, "/x").unwrap_err();
            assert!(error.contains(advice) && error.contains("`/x`"), "{part}: {error}");
        }
    }

    #[test]
    fn the_start_of_a_segment_is_the_start_of_its_values() {
        for (part, text, start) in [
            ("post-{id}.html", "", Some("")),
            ("post-{id}.html", "po", Some("")),
            ("post-{id}.html", "post-", Some("")),
            ("post-{id}.html", "post-7", Some("7")),
            ("post-{id}.html", "post-7.ht", Some("7")),
            ("post-{id}.html", "post-7.html", Some("7")),
            ("post-{id}.html", "post-7.x", Some("7.x")),
            ("post-{id}.html", "page", None),
            ("{id}", "7.ht", Some("7.ht")),
        ] {
            assert_eq!(one(part).value_start(text), start, "{part} {text}");
        }
    }

    #[test]
    fn two_segments_have_a_text_in_common_or_not() {
        for (a, b, common) in [
            ("{x}.png", "{y}.png", Some("a.png")),
            ("{x}.png", "{y}.jpg", None),
            ("post-{x}", "{y}.html", Some("post-a.html")),
            ("ab{x}c", "a{y}bc", Some("ababc")),
        ] {
            let [a, b] = [a, b].map(|part| Segment::parse(part, part).unwrap());
            assert_eq!(a.rank() == b.rank() && a.common(&b).is_some(), common.is_some(), "{a:?} {b:?}");
            if let Some(common) = common {
                assert_eq!(a.common(&b).as_deref(), Some(common));
            }
        }
    }
}
