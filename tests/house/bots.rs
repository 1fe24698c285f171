//! The list of bots is what `tests/tools/bots` made of the release that is pinned.

use sha2::{Digest as _, Sha256};

use crate::source::{File, Tree};

const LIST: &str = "shared/core/src/site/bots.rs";
const PIN: &str = "tests/tools/requirements-bots.txt";
const ADVICE: &str = "run tests/tools/bots; what it takes is chosen there";

pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    let list = tree.get(LIST).expect("a list of bots");
    let pin = tree.get(PIN).expect("the pinned source of the list of bots");
    [not_as_made(list), not_as_pinned(list, pin)].concat()
}

/// Names that were changed by hand: their number and their hash stand above them.
fn not_as_made(list: &File) -> Vec<String> {
    let quoted = |line: &str| Some(line.strip_prefix("    \"")?.strip_suffix("\",")?.to_owned());
    let names: Vec<_> = list.text.lines().filter_map(quoted).collect();
    let digest: String = Sha256::digest(names.join("\n")).iter().map(|byte| format!("{byte:02x}")).collect();
    let made = format!("//! Names: {}, SHA-256 {digest}.\n", names.len());
    if list.text.contains(&made) {
        vec![]
    } else {
        vec![list.complain(0, &format!("changed by hand: {ADVICE}"))]
    }
}

/// A list of another release than the pinned one.
fn not_as_pinned(list: &File, pin: &File) -> Vec<String> {
    let pinned = pin.text.lines().find_map(|line| line.strip_prefix("crawler-user-agents=="));
    let version = pinned.and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
    let source = format!("//! Source: crawler-user-agents {version} (");
    if list.text.contains(&source) {
        return vec![];
    }
    vec![list.complain(0, &format!("not made of crawler-user-agents {version}: {ADVICE}"))]
}

#[test]
fn a_changed_name_and_another_release_are_seen() {
    let digest = "5d7d0e7c8c7b8cfd8ffb2e1d3e0ed3c1";
    let text = format!(
        "//! Source: crawler-user-agents 1.2.3 (PyPI).\n//! Names: 1, SHA-256 {digest}.\n    \"a\",\n"
    );
    let list = File::new(LIST, text);
    assert_eq!(not_as_made(&list).len(), 1);
    let pin =
        |version: &str| File::new(PIN, format!("# Why.\ncrawler-user-agents=={version} --hash=sha256:0\n"));
    assert_eq!(not_as_pinned(&list, &pin("1.2.4")).len(), 1);
    assert!(not_as_pinned(&list, &pin("1.2.3")).is_empty());
}
