//! Documents name files that are there, and the README stays short.

use crate::source::{File, Tree};

/// A README is read at one sitting: what is longer belongs into a guide.
const README_LINES_MAX: usize = 120;

/// What was true of an earlier version stays written.
const HISTORY: &str = "CHANGELOG.md";

pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    let exists = |path: &str| {
        let folder = format!("{}/", path.trim_end_matches('/'));
        tree.files.iter().any(|f| f.path == path || f.path.starts_with(&folder))
    };
    let documents = tree.files.iter().filter(|f| f.path.ends_with(".md") && f.path != HISTORY);
    let lost =
        documents.flat_map(|document| [lost_files(document, exists), lost_links(document, exists)].concat());
    [too_long(tree.get("README.md").expect("a README.md")), lost.collect()].concat()
}

fn too_long(readme: &File) -> Vec<String> {
    let lines = readme.text.lines().count();
    if lines <= README_LINES_MAX {
        return vec![];
    }
    let what = format!("{lines} lines, {README_LINES_MAX} at most: move a part into a guide and link to it");
    vec![readme.complain(0, &what)]
}

/// Paths in backquotes that lead nowhere.
fn lost_files(document: &File, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut at = 0;
    for (n, piece) in document.text.split('`').enumerate() {
        let in_the_tree =
            ["functions/", "shared/", "infra/", "tests/"].iter().any(|top| piece.starts_with(top));
        let is_path = in_the_tree && !piece.contains([' ', '*', '{', '\n']);
        if n % 2 == 1 && is_path && !exists(piece) {
            complaints.push(
                document.complain(at, &format!("there is no `{piece}`: name the file that does this now")),
            );
        }
        at += piece.len() + 1;
    }
    complaints
}

/// Links to files that lead nowhere. Guides link to addresses of the site, which the site checks.
fn lost_links(document: &File, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut complaints = Vec::new();
    for (at, _) in document.text.match_indices("](") {
        let target = document.text[at + 2..].split(')').next().unwrap_or_default();
        let file = target.split('#').next().unwrap_or_default();
        if !file.is_empty()
            && !file.starts_with('/')
            && !file.contains("://")
            && !exists(&beside(document, file))
        {
            complaints.push(
                document
                    .complain(at, &format!("the link to {target} leads nowhere: link to where that is now")),
            );
        }
    }
    complaints
}

/// The path from the root of what a document calls `../a`.
fn beside(document: &File, target: &str) -> String {
    let mut parts: Vec<_> = document.path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn a_long_readme_and_lost_files_are_seen() {
    let readme = |lines: usize| File::new("README.md", "x\n".repeat(lines));
    assert!(too_long(&readme(120)).is_empty() && too_long(&readme(121)).len() == 1);
    let exists = |path: &str| path == "functions/x";
    let document = File::new("README.md", "a\nb `functions/x` `functions/y.rs` `tests/run unit`");
    let complaints = lost_files(&document, exists);
    assert_eq!(complaints.len(), 1);
    assert!(complaints[0].starts_with("README.md:2: there is no `functions/y.rs`"), "{complaints:?}");
    let links = "[x](../functions/x#a) [y](y.md) [z](#z) [w](https://example.com/) [g](/guides/x)";
    let complaints = lost_links(&File::new("tests/a.md", links), exists);
    assert!(complaints.len() == 1 && complaints[0].contains("y.md"), "{complaints:?}");
}
