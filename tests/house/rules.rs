//! The table of `SEMANTICS.md` names the tests of each rule: every file of tests by rule is in it, and no other.

use crate::source::{File, Tree, places};

const TABLE: &str = "tests/SEMANTICS.md";
const BY_RULE: [&str; 3] = ["tests/conformance/", "tests/journeys/", "tests/processes/"];

pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    let table = tree.get(TABLE).expect("the semantics");
    let files: Vec<_> = tree.rust().filter(|file| is_by_rule(file)).collect();
    [unnamed(table, &files), unknown(table, &files)].concat()
}

fn is_by_rule(file: &File) -> bool {
    let is_test = |name: &str| places(&file.code, name).next().is_some();
    BY_RULE.iter().any(|folder| file.path.starts_with(folder))
        && (is_test("#[test]") || is_test("#[tokio::test]") || file.code.contains("#[tokio::test("))
}

/// The file as the table names it.
fn name(file: &File) -> &str {
    file.path.trim_start_matches("tests/")
}

fn unnamed(table: &File, files: &[&File]) -> Vec<String> {
    let named = |file: &&&File| table.text.contains(&format!("`{}`", name(file)));
    let lost = files.iter().filter(|file| !named(file));
    lost.map(|file| {
        file.complain(0, &format!("no rule has these tests: name the file in the table of {TABLE}"))
    })
    .collect()
}

fn unknown(table: &File, files: &[&File]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut at = 0;
    for (n, piece) in table.text.split('`').enumerate() {
        let is_named = BY_RULE.iter().any(|folder| piece.starts_with(folder.trim_start_matches("tests/")));
        if n % 2 == 1 && is_named && piece.ends_with(".rs") && !files.iter().any(|file| name(file) == piece) {
            let what = format!("there are no tests in `{piece}`: name the file that has them now");
            complaints.push(table.complain(at, &what));
        }
        at += piece.len() + 1;
    }
    complaints
}

#[test]
fn a_file_without_a_rule_and_a_rule_without_a_file_are_seen() {
    let table = File::new(TABLE, "| 1 | `journeys/a.rs`, `journeys/b.rs` |");
    let test = |path: &str| File::new(path, "#[tokio::test]\nasync fn it_holds() {}");
    let (a, c) = (test("tests/journeys/a.rs"), test("tests/journeys/c.rs"));
    assert!(unnamed(&table, &[&a]).is_empty() && unknown(&table, &[&a]).len() == 1);
    assert!(unnamed(&table, &[&a, &c])[0].starts_with("tests/journeys/c.rs:1: "));
    assert!(is_by_rule(&a) && !is_by_rule(&test("tests/aws/a.rs")));
    assert!(!is_by_rule(&File::new("tests/journeys/world.rs", "struct World;")));
}
