//! House rules that a compiler cannot see. A broken rule is told as `file:line: what is wrong: what to do`.
//!
//! | module | rules |
//! |---|---|
//! | [`arrows`] | who may name whom |
//! | [`shape`] | lengths of files and functions, no `mod.rs` |
//! | [`words`] | unfinished work, reasons for exceptions, tests that wait for time |
//! | [`guides`] | the guides name tests that exist |
//! | [`bots`] | the list of bots is what its tool made |
//! | [`readme`] | the README speaks of every setting, and of no file that is not there |
#![allow(missing_docs, reason = "a test program has no readers of its documentation")]

mod arrows;
mod bots;
mod guides;
mod readme;
mod shape;
mod source;
mod words;

use source::Tree;

#[test]
fn arrows_point_one_way() {
    report(&arrows::broken(&Tree::read()));
}

#[test]
fn files_and_functions_are_short() {
    report(&shape::broken(&Tree::read()));
}

#[test]
fn nothing_is_left_unfinished_or_unexplained() {
    report(&words::broken(&Tree::read()));
}

#[test]
fn the_readme_tells_the_truth() {
    report(&readme::broken(&Tree::read()));
}

#[test]
fn the_list_of_bots_is_as_it_was_made() {
    report(&bots::broken(&Tree::read()));
}

#[test]
fn the_guides_tell_the_truth() {
    report(&guides::broken(&Tree::read()));
}

/// Fails with every complaint.
fn report(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
