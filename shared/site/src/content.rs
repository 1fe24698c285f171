//! The guides: Markdown files with front matter, read whenever a page is rendered.
//!
//! A visitor's slug never becomes a file name: it is only compared with the names of the files in the folder.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use serde::Serialize;

use crate::content::guide::{Guide, is_slug};

mod front_matter;
pub mod guide;

/// The largest file of a guide; a larger file fails the render.
const GUIDE_BYTES_MAX: u64 = 1024 * 1024;
/// The part of a guide that lists and links show.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// The guide's address.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// One sentence.
    pub description: String,
    /// Its tags.
    pub tags: Vec<String>,
}

impl From<&Guide> for Entry {
    fn from(guide: &Guide) -> Self {
        let Guide { slug, title, description, tags, .. } = guide.clone();
        Self { slug, title, description, tags }
    }
}

/// The folder of the guides.
#[derive(Debug)]
pub struct Content {
    guides: PathBuf,
    /// Whether the settings named the folder.
    is_configured: bool,
}

/// Why the guides cannot be read.
#[derive(Debug)]
pub struct ContentError {
    file: PathBuf,
    problem: String,
}

impl fmt::Display for ContentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.problem)
    }
}

impl std::error::Error for ContentError {}

impl Content {
    /// The given folder, or this crate's own.
    pub fn new(folder: Option<PathBuf>) -> Self {
        let is_configured = folder.is_some();
        let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("content"));
        Self { guides: folder.join("guides"), is_configured }
    }

    /// All guides in reading order, read from disk now. Where only the binary was deployed, the compiled-in copies replace this
    /// crate's folder. A folder that the settings name must exist.
    ///
    /// # Errors
    /// The file that cannot be read, or its mistake. One bad file fails the whole list: an old page is better than a page
    /// with half of the list.
    pub fn guides(&self) -> Result<Vec<Guide>, ContentError> {
        let mut guides = match std::fs::read_dir(&self.guides) {
            Ok(entries) => self.read(entries)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound && !self.is_configured => compiled_in()?,
            Err(e) => return Err(failed(&self.guides, e)),
        };
        guides.sort_by(|a, b| (a.order, &a.slug).cmp(&(b.order, &b.slug)));
        Ok(guides)
    }

    fn read(&self, entries: std::fs::ReadDir) -> Result<Vec<Guide>, ContentError> {
        let mut guides = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| failed(&self.guides, e))?.path();
            let slug = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| is_slug(stem));
            let (Some(slug), Some("md")) = (slug, path.extension().and_then(|e| e.to_str())) else {
                continue;
            };
            let size = std::fs::metadata(&path).map_err(|e| failed(&path, e))?.len();
            if size > GUIDE_BYTES_MAX {
                return Err(failed(&path, format!("{size} bytes; a guide has at most {GUIDE_BYTES_MAX}")));
            }
            let text = std::fs::read_to_string(&path).map_err(|e| failed(&path, e))?;
            guides.push(front_matter::parse(slug, &text).map_err(|problem| failed(&path, problem))?);
        }
        Ok(guides)
    }
}

fn failed(file: &Path, problem: impl fmt::Display) -> ContentError {
    ContentError { file: file.to_owned(), problem: problem.to_string() }
}

macro_rules! compiled {
    ($($slug:literal),* $(,)?) => {
        &[$(($slug, include_str!(concat!("../content/guides/", $slug, ".md")))),*]
    };
}

const COMPILED: &[(&str, &str)] = compiled![
    "getting-started",
    "how-isr-works",
    "routes-and-pages",
    "feeds-and-files",
    "on-demand-revalidation",
    "webhooks",
    "axum",
    "error-handling",
    "testing",
    "self-hosting",
    "deploying",
    "settings",
    "http-answers",
    "guarantees",
    "security",
];

fn compiled_in() -> Result<Vec<Guide>, ContentError> {
    let parse = |(slug, text): &(&str, &str)| {
        front_matter::parse(slug, text).map_err(|problem| failed(Path::new(slug), problem))
    };
    COMPILED.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_cannot_leave_the_folder() {
        assert!(is_slug("getting-started") && is_slug("a") && is_slug("2026"));
        for bad in ["", "..", "../x", "a/b", "a\\b", "A", "é", "a.md", "a b", "a\0", "%2e", &"a".repeat(81)]
        {
            assert!(!is_slug(bad), "{bad}");
        }
    }

    #[test]
    fn the_copies_compiled_in_are_the_files() {
        let files = Content::new(None).guides().unwrap();
        let mut copies = compiled_in().unwrap();
        copies.sort_by_key(|guide| guide.order);
        assert_eq!(files, copies);
    }

    #[test]
    fn the_copies_replace_the_default_folder_only() {
        let gone = PathBuf::from("/nonexistent/perennial");
        assert!(
            Content { guides: gone.clone(), is_configured: false }.guides().unwrap().len() == COMPILED.len()
        );
        assert!(Content::new(Some(gone)).guides().is_err());
    }
}
