//! Words and marks that tell of unfinished work or of an exception without a reason.

use crate::source::{File, Tree, places};

pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    tree.files.iter().flat_map(|file| [unfinished(file), unexplained(file), waiting(file)].concat()).collect()
}

fn unfinished(file: &File) -> Vec<String> {
    // Spelt in two halves, or this file would break its own rule.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let found = words.iter().flat_map(|word| places(&file.text, word).map(move |at| (at, word)));
    found
        .map(|(at, word)| {
            file.complain(at, &format!("`{word}`: do it now, or file it where work is planned"))
        })
        .collect()
}

/// `#[allow]`, `#[expect]` and `#[ignore]` say why.
fn unexplained(file: &File) -> Vec<String> {
    let attributes = ["allow(", "expect("]
        .iter()
        .flat_map(|name| [format!("#[{name}"), format!("#![{name}"), format!(", {name}")]);
    let mut complaints = Vec::new();
    for start in attributes {
        for (at, _) in file.code.match_indices(&start) {
            let in_attribute =
                start.starts_with('#') || line_of(&file.code, at).trim_start().starts_with("#[cfg_attr");
            let end = file.code[at..].find(']').map_or(file.code.len(), |n| at + n);
            if in_attribute && !file.code[at..end].contains("reason =") {
                complaints.push(file.complain(at, "an exception without a reason: add `reason = \"…\"`"));
            }
        }
    }
    for (at, _) in file.code.match_indices("#[ignore]") {
        complaints.push(file.complain(at, "a test that never runs: delete it, or `#[ignore = \"why\"]`"));
    }
    complaints
}

fn line_of(code: &str, at: usize) -> &str {
    let start = code[..at].rfind('\n').map_or(0, |n| n + 1);
    code[start..].lines().next().unwrap_or_default()
}

/// The only test files that may let time pass, and why.
const MAY_SLEEP: [(&str, &str); 4] = [
    ("tests/proof/sim/clock.rs", "implements the clock, whose time is made up"),
    ("tests/kit/clock.rs", "the clock of a process: the port itself"),
    ("tests/kit/until.rs", "where tests wait, for a condition or a bound"),
    ("tests/kit/upstream.rs", "an upstream that is slow on purpose"),
];

fn waiting(file: &File) -> Vec<String> {
    let may = MAY_SLEEP.iter().any(|(path, _)| *path == file.path);
    if may || !file.path.starts_with("tests/") {
        return vec![];
    }
    let advice = "a test that sleeps is slow or flaky: wait for a condition with `tests::until`";
    places(&file.code, "sleep").map(|at| file.complain(at, advice)).collect()
}

#[test]
fn each_rule_can_fail() {
    let file = |text: &str| File::new("tests/a.rs", text);
    assert_eq!(unfinished(&file(concat!("// TO", "DO: later"))).len(), 1);
    assert!(unfinished(&file(concat!("// a TO", "DOLIST"))).is_empty());
    assert_eq!(unexplained(&file("#[allow(dead_code)]\nfn f() {}")).len(), 1);
    assert_eq!(unexplained(&file("#![allow(dead_code, unused)]")).len(), 1);
    assert!(unexplained(&file("#[allow(dead_code, reason = \"why\")]\n")).is_empty());
    assert_eq!(unexplained(&file("#[ignore]\nfn f() {}")).len(), 1);
    assert_eq!(waiting(&file("std::thread::sleep(x)")).len(), 1);
    assert!(waiting(&file("// sleep")).is_empty());
    assert!(waiting(&File::new("shared/a.rs", "sleep()")).is_empty());
}
