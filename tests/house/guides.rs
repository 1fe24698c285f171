//! Guides that name tests name tests that exist, and guides that show tests show tests that run.

use crate::source::{File, Tree, places};

const SECURITY: &str = "shared/site/content/guides/security.md";
/// Guides, and the tests that run what they show.
const SHOWN: [(&str, &str); 1] = [("shared/site/content/guides/testing.md", "shared/site/tests/testing.rs")];

pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    let guide = tree.get(SECURITY).expect("a guide about security");
    let files: Vec<_> = tree.rust().collect();
    let shown = SHOWN.iter().flat_map(|(guide, tests)| {
        let (guide, tests) = (tree.get(guide).expect("a guide"), tree.get(tests).expect("its tests"));
        not_run(guide, tests)
    });
    [without_a_test(guide), unknown_tests(guide, &files), shown.collect()].concat()
}

/// Rust that a guide shows, and that its tests do not hold word for word.
fn not_run(guide: &File, tests: &File) -> Vec<String> {
    const BEGINS: &str = "```rust\n";
    let blocks = guide.text.match_indices(BEGINS).map(|(at, _)| at + BEGINS.len());
    let shown = blocks.map(|at| (at, guide.text[at..].split("```").next().unwrap_or_default()));
    let missing = shown.filter(|(_, code)| !tests.text.contains(code.trim_end()));
    let advice = format!("this code is not in {}, word for word: nothing runs it", tests.path);
    missing.map(|(at, _)| guide.complain(at, &advice)).collect()
}

/// Rows of a table whose last column names no test.
fn without_a_test(guide: &File) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut at = 0;
    for line in guide.text.split_inclusive('\n') {
        let is_head = line.starts_with("| attack") || line.starts_with("| what is authenticated");
        let is_row = line.starts_with("| ") && !is_head;
        let tests = line.trim_end().trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        if is_row && !tests.contains("::") {
            complaints.push(guide.complain(at, "an attack that no test refuses: name one, `file::test`"));
        }
        at += line.len();
    }
    complaints
}

/// Names like `file::test` of no function that is marked as a test in a file, or folder, of that name.
fn unknown_tests(guide: &File, files: &[&File]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut at = 0;
    for (n, piece) in guide.text.split('`').enumerate() {
        if n % 2 == 1
            && let Some((file, test)) = piece.split_once("::")
            && test.contains('_')
            && test.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !files.iter().any(|f| is_of(f, file) && has_test(f, test))
        {
            complaints.push(
                guide.complain(at, &format!("there is no test `{piece}`: name the one that does this now")),
            );
        }
        at += piece.len() + 1;
    }
    complaints
}

fn is_of(file: &File, name: &str) -> bool {
    let path = &file.path;
    path.ends_with(&format!("/{name}.rs")) || path.ends_with(&format!("/{name}/main.rs"))
}

fn has_test(file: &File, name: &str) -> bool {
    places(&file.code, &format!("fn {name}")).any(|at| {
        let before = &file.code[..at];
        let attributes = &before[before.rfind("\n\n").or_else(|| before.rfind('}')).unwrap_or(0)..];
        attributes.contains("test]") || attributes.contains("tokio::test(")
    })
}

#[test]
fn tests_are_found() {
    let code = File::new("tests/a/b.rs", "#[test]\nfn it_holds() {}\n\nfn helps_it() {}\n");
    let guide = |text: &str| File::new("g.md", text);
    let broken = |text: &str| unknown_tests(&guide(text), &[&code]).len();
    assert_eq!(
        ["`b::it_holds`", "`b::it_fails`", "`c::it_holds`", "`b::helps_it`"].map(broken),
        [0, 1, 1, 1]
    );
    assert_eq!(["`Fallback::NotFound`", "`Outcome::not_found()`"].map(broken), [0, 0], "code, not tests");
    let rows = "| attack | refused by |\n|---|---|\n| x | `b::it_holds` |\n| y | nothing |\n";
    let complaints = without_a_test(&guide(rows));
    assert!(complaints.len() == 1 && complaints[0].starts_with("g.md:4: "), "{complaints:?}");
    let shows = guide("text\n```rust\nfn it_holds() {}\n```\n```sh\nls\n```\n```rust\nfn other() {}\n```\n");
    let complaints = not_run(&shows, &code);
    assert!(complaints.len() == 1 && complaints[0].starts_with("g.md:9: "), "{complaints:?}");
}
