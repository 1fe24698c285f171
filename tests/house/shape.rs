//! Lengths: short enough to be read at one sitting.

use crate::source::{File, Tree, places};

/// A longer file is worth a look: does it know two things? A contract of many methods knows one, and stays whole.
const FILE_LINES_LONG: usize = 500;
/// No contract is as long as this.
const FILE_LINES_MAX: usize = 700;
const MAIN_LINES_MAX: usize = 60;
const FUNCTION_LINES_MAX: usize = 70;

pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    tree.rust().flat_map(|file| [file_length(file), functions(file), no_mod_rs(file)].concat()).collect()
}

/// Files that are long, and not too long.
pub(crate) fn warnings(tree: &Tree) -> Vec<String> {
    tree.rust().filter_map(long_file).collect()
}

fn lines_before_tests(file: &File) -> usize {
    file.product_code().trim_end().lines().count()
}

fn long_file(file: &File) -> Option<String> {
    let lines = lines_before_tests(file);
    let what = format!(
        "warning: {lines} lines before its tests, more than {FILE_LINES_LONG}: split it if it knows two things; \
         a contract is never cut to fit"
    );
    (FILE_LINES_LONG < lines && lines <= FILE_LINES_MAX).then(|| file.complain(0, &what))
}

fn file_length(file: &File) -> Vec<String> {
    let is_main = file.path.starts_with("shared/site/src/bin/") || file.path == "shared/site/src/main.rs";
    let most = if is_main { MAIN_LINES_MAX } else { FILE_LINES_MAX };
    let lines = lines_before_tests(file);
    let advice = if is_main { "a program wires, the library works" } else { "split it by what it knows" };
    if lines <= most {
        return vec![];
    }
    vec![file.complain(0, &format!("{lines} lines before its tests, {most} at most: {advice}"))]
}

fn functions(file: &File) -> Vec<String> {
    let code = &file.code;
    let mut complaints = Vec::new();
    for at in places(code, "fn ") {
        let Some(lines) = body_lines(&code[at..]) else { continue };
        if lines > FUNCTION_LINES_MAX {
            let name = code[at + 3..].split(['(', '<']).next().unwrap_or_default();
            let what = format!(
                "function `{name}` has {lines} lines, {FUNCTION_LINES_MAX} at most: take a step out and name it"
            );
            complaints.push(file.complain(at, &what));
        }
    }
    complaints
}

/// Lines from `fn` to the brace that closes the body; `None` for a signature alone or a function type.
fn body_lines(code: &str) -> Option<usize> {
    let (mut depth, mut parentheses) = (0, 0);
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => parentheses += 1,
            ')' | ']' if parentheses == 0 && depth == 0 => return None,
            ')' | ']' => parentheses -= 1,
            // A signature in a trait ends here, or a function type.
            ';' if depth == 0 && parentheses == 0 => return None,
            '{' => depth += 1,
            '}' if depth == 0 => return None,
            '}' => {
                depth -= 1;
                if depth == 0 && parentheses == 0 {
                    return Some(code[..at].matches('\n').count() + 1);
                }
            }
            _ => {}
        }
    }
    None
}

fn no_mod_rs(file: &File) -> Vec<String> {
    if !file.path.ends_with("/mod.rs") {
        return vec![];
    }
    vec![file.complain(0, "a `mod.rs` hides its name: put `store.rs` beside `store/`")]
}

#[test]
fn a_long_function_and_a_long_file_are_seen() {
    let long = |lines: usize| format!("fn long(a: [u8; 2])\nwhere\n{{\n{}}}\n", "    x();\n".repeat(lines));
    let file = |text: String| File::new("shared/a/src/b.rs", text);
    assert!(functions(&file(long(66))).is_empty());
    assert_eq!(functions(&file(long(67))).len(), 1);
    assert!(functions(&file("trait T { fn f(&self); }\ntype F = fn(u8);\n".into())).is_empty());
    let of_lines = |lines: usize| {
        file("\n".repeat(lines - 1) + "x();\n#[cfg(test)]\nmod tests {\n" + &"\n".repeat(99) + "}")
    };
    for (lines, warned, refused) in [(500, 0, 0), (501, 1, 0), (700, 1, 0), (701, 0, 1)] {
        let file = of_lines(lines);
        assert_eq!((long_file(&file).iter().count(), file_length(&file).len()), (warned, refused), "{lines}");
    }
    assert_eq!(no_mod_rs(&File::new("shared/a/src/b/mod.rs", "")).len(), 1);
}
