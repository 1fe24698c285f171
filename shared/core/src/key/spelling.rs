//! Patterns that are spelt as other routers have them, and how Perennial spells the same. Such a pattern would be literal
//! text that no visitor asks for. Only a site's start refuses them: keys of earlier versions may have such literals. Pure.

use crate::key::encode::has_one_spelling;

/// The mistake in a pattern's spelling: a sentence with the right one. `None` if there is none.
pub(crate) fn mistake(pattern: &str) -> Option<String> {
    let parts: Vec<&str> = pattern.split('/').collect();
    let spelt = |(i, part): (usize, &&str)| segment(part, i + 1 == parts.len());
    let right: Vec<Option<Right>> = parts.iter().enumerate().map(spelt).collect();
    let is_optional = right.iter().flatten().any(|right| right.is_optional);
    if right.iter().all(Option::is_none) {
        return None;
    }
    let text = |(right, part): (Option<Right>, &&str)| right.map_or((*part).to_owned(), |right| right.text);
    let right = right.into_iter().zip(&parts).map(text).collect::<Vec<_>>().join("/");
    let also = if is_optional { ", and a second route for the path without the parameter" } else { "" };
    Some(format!("route `{pattern}` is spelt as other routers have it: write `{right}`{also}"))
}

/// The right spelling of a segment.
struct Right {
    text: String,
    /// Whether the parameter was meant to be optional.
    is_optional: bool,
}

/// A parameter as another router has it: its name, and what its marks mean.
#[derive(Default)]
struct Meant {
    name: String,
    is_rest: bool,
    is_optional: bool,
}

impl Meant {
    /// The parameter with literals around it. A catch-all is a segment of its own, and the last one.
    fn spelt(self, before: &str, after: &str, is_last: bool) -> Right {
        let Self { name, is_rest, is_optional } = self;
        let is_rest = is_rest && is_last && before.is_empty() && after.is_empty();
        let name = match name.as_str() {
            "" if is_rest => "rest",
            "" => "name",
            name => name,
        };
        let star = if is_rest { "*" } else { "" };
        Right { text: format!("{before}{{{star}{name}}}{after}"), is_optional }
    }
}

fn segment(part: &str, is_last: bool) -> Option<Right> {
    if let Some((before, inside, after)) = within(part, '{', '}') {
        return braces(inside).map(|meant| meant.spelt(before, after, is_last));
    }
    if let Some(rest) = part.strip_prefix(':') {
        let name_bytes = name_bytes(rest);
        let (name, mut after) = rest.split_at(name_bytes);
        let mut meant = Meant { name: name.to_owned(), ..Meant::default() };
        while let Some(mark) = after.chars().next().filter(|mark| "?*+".contains(*mark)) {
            meant.is_rest |= mark != '?';
            meant.is_optional |= mark == '?';
            after = &after[1..];
        }
        return Some(meant.spelt("", if has_one_spelling(after) { after } else { "" }, is_last));
    }
    if let Some((before, inside, after)) = within(part, '[', ']') {
        let is_optional = inside.starts_with('[');
        let inside = inside.trim_start_matches('[');
        let name = inside.trim_start_matches("...");
        let meant = Meant { name: named(name), is_rest: name.len() < inside.len(), is_optional };
        return Some(meant.spelt(before, after.trim_start_matches(']'), is_last));
    }
    if let Some((before, inside, after)) = within(part, '<', '>') {
        let (kind, name) = inside.split_once(':').unwrap_or(("", inside));
        let is_rest = kind == "path" || name.ends_with("..");
        let meant = Meant { name: named(name), is_rest, is_optional: false };
        return Some(meant.spelt(before, after, is_last));
    }
    let (before, rest) = part.split_once('*')?;
    let rest = rest.trim_start_matches('*');
    let after = &rest[name_bytes(rest)..];
    if before.is_empty() && after.is_empty() {
        let meant = Meant { name: rest.to_owned(), is_rest: true, is_optional: false };
        return Some(meant.spelt("", "", is_last));
    }
    Some(Meant::default().spelt(before, rest, is_last))
}

/// What a parameter in braces was meant to be, if it is not spelt right.
fn braces(inside: &str) -> Option<Meant> {
    let name = inside.strip_prefix('*').unwrap_or(inside);
    if name_bytes(name) == name.len() {
        // Right, or without a name, of which the parser knows more.
        return None;
    }
    let (name, kind) = inside.split_once(':').unwrap_or((inside, ""));
    let is_rest = name.contains(['*', '+']) || name.contains("...") || ["path", ".*", ".+"].contains(&kind);
    let is_optional = name.ends_with('?');
    let name = named(name);
    (!name.is_empty()).then_some(Meant { name, is_rest, is_optional })
}

/// The text before, between and behind the first pair of marks with something between them.
fn within(part: &str, open: char, close: char) -> Option<(&str, &str, &str)> {
    let (before, rest) = part.split_once(open)?;
    let (inside, after) = rest.split_once(close)?;
    (!inside.is_empty()).then_some((before, inside, after))
}

/// The bytes at the text's start that a parameter's name may have.
fn name_bytes(text: &str) -> usize {
    text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
}

/// A parameter's name, made of the characters of a text that may be in one.
fn named(text: &str) -> String {
    let text = text.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::pattern::Pattern;

    #[test]
    fn a_pattern_of_another_router_is_told_its_right_spelling() {
        for (given, right) in [
            ("/blog/:slug", "/blog/{slug}"),
            ("/blog/:slug?", "/blog/{slug}"),
            ("/files/:path*", "/files/{*path}"),
            ("/files/:path+", "/files/{*path}"),
            ("/og/:slug.png", "/og/{slug}.png"),
            ("/blog/[slug]", "/blog/{slug}"),
            ("/blog/[...slug]", "/blog/{*slug}"),
            ("/blog/[[...slug]]", "/blog/{*slug}"),
            ("/[lang]/[slug].json", "/{lang}/{slug}.json"),
            ("/blog/<slug>", "/blog/{slug}"),
            ("/blog/<int:id>", "/blog/{id}"),
            ("/files/<path:file>", "/files/{*file}"),
            ("/files/<file..>", "/files/{*file}"),
            ("/*", "/{*rest}"),
            ("/**", "/{*rest}"),
            ("/blog/*rest", "/blog/{*rest}"),
            ("/a/*/b", "/a/{name}/b"),
            ("/files/*.pdf", "/files/{name}.pdf"),
            ("/blog-*", "/blog-{name}"),
            ("/blog/{slug?}", "/blog/{slug}"),
            ("/files/{path...}", "/files/{*path}"),
            ("/files/{...path}", "/files/{*path}"),
            ("/files/{**path}", "/files/{*path}"),
            ("/files/{path:path}", "/files/{*path}"),
            ("/files/{path:.*}", "/files/{*path}"),
            ("/blog/{id:[0-9]+}", "/blog/{id}"),
            ("/blog/{post-id}", "/blog/{post_id}"),
            ("/blog/{ slug }", "/blog/{slug}"),
        ] {
            let said = mistake(given).unwrap_or_else(|| panic!("{given} is accepted"));
            assert!(said.contains(&format!("route `{given}`")), "{said}");
            assert!(said.contains(&format!("write `{right}`")), "{given}: {said}");
            assert!(Pattern::parse(right).is_ok() && mistake(right).is_none(), "{right}");
            assert_eq!(
                said.contains("second route"),
                given.contains(['?']) || given.contains("[["),
                "{said}"
            );
        }
    }

    #[test]
    fn a_pattern_that_is_spelt_right_has_no_mistake() {
        for right in [
            "/",
            "/a/{x}/{*rest}",
            "/og/{slug}.png",
            "/post-{id}",
            "/wiki/Help:Contents",
            "/a(b)",
            "/~user",
            "/a<b",
            "/a[b",
            "/{}",
            "blog",
        ] {
            assert_eq!(mistake(right), None, "{right}");
        }
    }
}
