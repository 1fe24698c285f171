//! The settings of `tests/run mutants`: cargo-mutants says nothing of a file that is not there, or of an exception
//! without a reason.

use crate::source::{File, Tree};

const SETTINGS: &str = "tests/mutants.toml";

pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    let settings = tree.get(SETTINGS).expect("settings of cargo-mutants");
    let exists = |glob: &str| {
        let start = glob.split('*').next().unwrap_or_default();
        tree.rust().any(|file| if start == glob { file.path == glob } else { file.path.starts_with(start) })
    };
    [lost_files(settings, exists), without_reason(settings)].concat()
}

/// The values of a list, and where each is.
fn values<'a>(settings: &'a File, list: &str) -> Vec<(usize, &'a str)> {
    let Some(start) = settings.text.find(&format!("{list} = [\n")) else { return vec![] };
    let text = settings.text[start..].split("\n]").next().unwrap_or_default();
    let lines = text.split_inclusive('\n').scan(start, |at, line| {
        *at += line.len();
        Some((*at - line.len(), line))
    });
    lines
        .filter_map(|(at, line)| Some((at, line.trim().strip_suffix(',')?.trim_matches(['"', '\'']))))
        .collect()
}

fn lost_files(settings: &File, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let lost = values(settings, "examine_globs").into_iter().filter(|(_, glob)| !exists(glob));
    lost.map(|(at, glob)| {
        settings.complain(at, &format!("there is no `{glob}`: name the file that does this now"))
    })
    .collect()
}

fn without_reason(settings: &File) -> Vec<String> {
    let has_reason = |at: usize| {
        let before = settings.text[..at].trim_end().rsplit('\n').next().unwrap_or_default();
        before.trim_start().starts_with('#')
    };
    let bare = values(settings, "exclude_re").into_iter().filter(|(at, _)| !has_reason(*at));
    bare.map(|(at, _)| settings.complain(at, "an exception without a reason: write one above it")).collect()
}

#[test]
fn a_lost_file_and_a_bare_exception_are_seen() {
    let text = "examine_globs = [\n    \"a/*.rs\",\n    \"b.rs\",\n]\nexclude_re = [\n    # Why.\n    'x',\n    'y',\n]\n";
    let settings = File::new(SETTINGS, text);
    let lost = lost_files(&settings, |glob| glob == "a/*.rs");
    assert!(lost.len() == 1 && lost[0].starts_with("tests/mutants.toml:3: there is no `b.rs`"), "{lost:?}");
    let bare = without_reason(&settings);
    assert!(bare.len() == 1 && bare[0].starts_with("tests/mutants.toml:8: "), "{bare:?}");
}
