//! House rules that a compiler cannot see. A broken rule is told as `file:line: what is wrong: what to do`.
//!
//! | module | rules |
//! |---|---|
//! | [`arrows`] | who may name whom, by the [`graph`] of files and the [`paths`] in them |
//! | [`shape`] | lengths of files and functions, no `mod.rs` |
//! | [`words`] | unfinished work, reasons for exceptions, tests that wait for time |
//! | [`guides`] | the guides name tests that exist |
//! | [`providers`] | the guides hold the text of the publishers' folders |
//! | [`bots`] | the list of bots is what its tool made |
//! | [`mutants`] | the settings of the ring `mutants` name files that are there, and give reasons |
//! | [`rules`] | the semantics say where the tests of each rule are |
//! | [`documents`] | documents name files that are there, and the README stays short |
//! | [`settings`] | the guide on settings has every setting, with its default, and no other |
#![allow(missing_docs, reason = "a test program has no readers of its documentation")]

mod arrows;
mod bots;
mod documents;
mod graph;
mod guides;
mod mutants;
mod paths;
mod providers;
mod rules;
mod settings;
mod shape;
mod source;
mod words;

use std::io::Write as _;

use source::Tree;

#[test]
fn arrows_point_one_way() {
    let findings = arrows::find(&Tree::read());
    tell(&findings.summary);
    report(&findings.complaints);
}

#[test]
fn files_and_functions_are_short() {
    let tree = Tree::read();
    shape::warnings(&tree).iter().for_each(|warning| tell(warning));
    report(&shape::broken(&tree));
}

#[test]
fn nothing_is_left_unfinished_or_unexplained() {
    report(&words::broken(&Tree::read()));
}

#[test]
fn mistakes_are_made_in_files_that_are_there() {
    report(&mutants::broken(&Tree::read()));
}

#[test]
fn each_rule_names_its_tests() {
    report(&rules::broken(&Tree::read()));
}

#[test]
fn documents_name_what_is_there() {
    report(&documents::broken(&Tree::read()));
}

#[test]
fn the_guide_on_settings_fits_the_code() {
    report(&settings::broken(&Tree::read()));
}

#[test]
fn the_list_of_bots_is_as_it_was_made() {
    report(&bots::broken(&Tree::read()));
}

#[test]
fn the_guides_tell_the_truth() {
    report(&guides::broken(&Tree::read()));
}

/// With `PERENNIAL_WRITE_GUIDES`, as `tests/tools/guides` calls it, the guides are written.
#[test]
fn the_guides_have_the_publishers_own_text() {
    if std::env::var_os("PERENNIAL_WRITE_GUIDES").is_some() {
        for (file, text) in providers::expected(&Tree::read()) {
            std::fs::write(source::root().join(&file.path), text).expect("a guide is written");
        }
    }
    report(&providers::broken(&Tree::read()));
}

/// Says a line also when the test passes, for which the test harness hides what is printed.
fn tell(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("standard error");
}

/// Fails with every complaint.
fn report(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
