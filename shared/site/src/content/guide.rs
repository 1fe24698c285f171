//! A guide: a page of the documentation.

use serde::Serialize;

/// The longest slug. With its prefix (`guide:`) the slug must still be a valid tag.
const SLUG_BYTES_MAX: usize = 80;

/// One guide, parsed from its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Guide {
    /// The file's name without `.md`: the guide's address.
    pub slug: String,
    /// From the front matter.
    pub title: String,
    /// From the front matter: one sentence.
    pub description: String,
    /// From the front matter; each is a slug too.
    pub tags: Vec<String>,
    /// From the front matter: the guides are sorted by it.
    pub order: u32,
    /// The text after the front matter.
    pub markdown: String,
}

/// Whether a text is a valid slug: 1 to 80 bytes of `a-z`, `0-9` and `-`.
pub(crate) fn is_slug(text: &str) -> bool {
    (1..=SLUG_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
