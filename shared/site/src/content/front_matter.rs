//! Front matter: lines of `key: value` between two lines of `---` at the start of a guide.

use crate::content::guide::{Guide, is_slug};

/// Parses a guide. An unknown key or a malformed line is an error that quotes it.
pub(super) fn parse(slug: &str, text: &str) -> Result<Guide, String> {
    // Editors on Windows may add a byte order mark and CRLF line ends.
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let (head, markdown) = text
        .strip_prefix("---\n")
        .and_then(|rest| rest.split_once("\n---\n"))
        .ok_or("a guide begins with front matter between two lines of `---`")?;
    let mut guide = Guide {
        slug: slug.to_owned(),
        title: String::new(),
        description: String::new(),
        tags: Vec::new(),
        order: u32::MAX,
        markdown: markdown.to_owned(),
    };
    for line in head.lines().filter(|line| !line.trim().is_empty()) {
        let (key, value) = line.split_once(':').ok_or_else(|| format!("`{line}` is not `key: value`"))?;
        let value = value.trim();
        match key.trim() {
            "title" => guide.title = value.to_owned(),
            "description" => guide.description = value.to_owned(),
            "tags" => guide.tags = tags(value)?,
            "order" => {
                guide.order = value.parse().map_err(|_| format!("order `{value}` is not a whole number"))?;
            }
            other => {
                return Err(format!("unknown key `{other}`: title, description, tags and order are known"));
            }
        }
    }
    if guide.title.is_empty() {
        return Err("the guide has no title".to_owned());
    }
    Ok(guide)
}

fn tags(value: &str) -> Result<Vec<String>, String> {
    let names = value.split(',').map(str::trim).filter(|tag| !tag.is_empty());
    names
        .map(|tag| {
            is_slug(tag).then(|| tag.to_owned()).ok_or_else(|| format!("tag `{tag}`: use a-z, 0-9 and -"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guide_is_read() {
        let text = "\u{feff}---\r\ntitle: Colons: fine\r\ndescription: One line.\r\ntags: a, b-2\r\norder: 3\r\n---\r\nText\r\n---\r\nmore";
        let guide = parse("x", text).unwrap();
        assert_eq!((guide.title.as_str(), guide.order), ("Colons: fine", 3));
        assert_eq!(guide.tags, ["a", "b-2"]);
        assert_eq!(guide.markdown, "Text\n---\nmore");
        assert_eq!(parse("x", "---\ntitle: T\n---\n").unwrap().order, u32::MAX, "unordered guides come last");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("# no front matter", "between two lines"),
            ("---\ntitle: never closed\n", "between two lines"),
            ("---\ntitle: T\nauthor: me\n---\n", "`author`"),
            ("---\ntitle: T\norder: soon\n---\n", "`soon`"),
            ("---\ntitle: T\ntags: ok, Not OK\n---\n", "`Not OK`"),
            ("---\njust text\n---\n", "`just text`"),
            ("---\norder: 1\n---\n", "no title"),
        ] {
            let error = parse("x", text).unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}
