//! The guides hold the text of the publishers' folders, word for word. `tests/tools/guides` puts it there.

use perennial::parts::webhooks::providers;

use crate::source::{File, Tree};

const FOLDERS: &str = "shared/core/src/webhooks/providers/";
const WEBHOOKS: &str = "shared/site/content/guides/webhooks.md";
const SECURITY: &str = "shared/site/content/guides/security.md";
const ADVICE: &str = "not what the publishers' folders say: run tests/tools/guides";

/// The sections before the publishers' own, and after them.
const AROUND: [&str; 2] = ["## Try it", "## When nothing happens"];
const FIELDS_HEAD: &str = "| provider | field |\n|---|---|\n";
const KEYS_HEAD: &str = "\n## Keys\n";

pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    let guide = tree.get(WEBHOOKS).expect("a guide on webhooks");
    let differing = expected(tree).into_iter().filter_map(|(file, text)| differs(file, &text));
    differing.chain(strays(guide, &folder_texts(tree, "guide.md"))).collect()
}

/// The guides as they should be.
pub(crate) fn expected(tree: &Tree) -> [(&File, String); 2] {
    let webhooks = tree.get(WEBHOOKS).expect("a guide on webhooks");
    let security = tree.get(SECURITY).expect("a guide on security");
    let fields: Vec<_> = providers::all()
        .filter_map(|provider| Some(format!("| `{}` | `{}` |", provider.name, provider.header?)))
        .collect();
    let text = with_sections(&webhooks.text, &folder_texts(tree, "guide.md"));
    let text = with_rows(&text, FIELDS_HEAD, &fields);
    let keys: Vec<_> =
        folder_texts(tree, "key.md").iter().flat_map(|text| text.lines().map(str::to_owned)).collect();
    [(webhooks, text), (security, with_rows(&security.text, KEYS_HEAD, &keys))]
}

/// The text of that file in each folder.
fn folder_texts<'a>(tree: &'a Tree, name: &str) -> Vec<&'a str> {
    let files = tree.files.iter().filter(|file| file.path.starts_with(FOLDERS));
    files.filter(|file| file.path.ends_with(&format!("/{name}"))).map(|file| &*file.text).collect()
}

/// Sections of a text, each with its heading; before them the text without one.
fn sections(text: &str) -> Vec<&str> {
    let mut starts: Vec<usize> = text.match_indices("\n## ").map(|(at, _)| at + 1).collect();
    starts.insert(0, 0);
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(&start, end)| &text[start..end]).collect()
}

fn heading(section: &str) -> &str {
    section.lines().next().unwrap_or_default()
}

/// A text in which the publishers' sections are these: each in the place of its predecessor, new ones at the end.
fn with_sections(text: &str, own: &[&str]) -> String {
    let mut all: Vec<String> = sections(text).into_iter().map(str::to_owned).collect();
    for section in own {
        let new = format!("{}\n", section.trim_start());
        match all.iter().position(|old| heading(old) == heading(section)) {
            Some(at) => all[at] = new,
            None => {
                let end = all.iter().position(|old| heading(old) == AROUND[1]).unwrap_or(all.len());
                all.insert(end, new);
            }
        }
    }
    all.concat()
}

/// A text in which the table after `head` has these rows: each in the place of the row with the same first cell, new ones
/// after the last of them.
fn with_rows(text: &str, head: &str, own: &[String]) -> String {
    let Some(at) = text.find(head) else { return text.to_owned() };
    let (before, rest) = text.split_at(at + head.len());
    let mut lines: Vec<&str> = rest.split_inclusive('\n').collect();
    let first_cell = |row: &str| row.split('|').nth(1).unwrap_or_default().trim().to_owned();
    let own: Vec<String> = own.iter().map(|row| format!("{row}\n")).collect();
    let (mut last, mut new) = (None, Vec::new());
    for row in &own {
        let is_old = |line: &&str| line.starts_with('|') && first_cell(line) == first_cell(row);
        match lines.iter().position(is_old) {
            Some(at) => {
                lines[at] = row;
                last = last.max(Some(at + 1));
            }
            None => new.push(&**row),
        }
    }
    let end = lines.iter().take_while(|line| line.starts_with('|')).count();
    let end = last.unwrap_or(end);
    lines.splice(end..end, new);
    before.to_owned() + &lines.concat()
}

fn differs(file: &File, expected: &str) -> Option<String> {
    let same = file.text.bytes().zip(expected.bytes()).take_while(|(a, b)| a == b).count();
    let is_same = same == file.text.len() && same == expected.len();
    let line = file.text[..file.text.floor_char_boundary(same)].rfind('\n').unwrap_or(0);
    (!is_same).then(|| file.complain(line, ADVICE))
}

/// Sections in the publishers' place that no folder has.
fn strays(guide: &File, own: &[&str]) -> Vec<String> {
    let all = sections(&guide.text);
    let between = all.iter().skip_while(|section| heading(section) != AROUND[0]).skip(1);
    let between = between.take_while(|section| heading(section) != AROUND[1]);
    let strays = between.filter(|section| !own.iter().any(|text| heading(text) == heading(section)));
    let at = |section: &str| section.as_ptr() as usize - guide.text.as_ptr() as usize;
    strays
        .map(|section| guide.complain(at(section), "a section of no publisher's folder: move it to one"))
        .collect()
}

#[test]
fn text_of_a_folder_gets_its_place() {
    let guide = "# A\n\n## Try it\n\nx\n\n## B\n\nold\n\n## C\n\nc\n\n## When nothing happens\n\ny\n";
    let new = with_sections(guide, &["## B\n\nnew\n", "## D\n\nd\n"]);
    assert_eq!(
        new,
        "# A\n\n## Try it\n\nx\n\n## B\n\nnew\n\n## C\n\nc\n\n## D\n\nd\n\n## When nothing happens\n\ny\n"
    );
    assert_eq!(with_sections(&new, &["## B\n\nnew\n"]), new);
    assert_eq!(strays(&File::new("g.md", new), &["## B\n", "## D\n"]).len(), 1);
    let table = "x\n| a | b |\n|---|---|\n| `q` | old |\n| z | z |\n\ny\n";
    let rows = ["| `q` | new |".to_owned(), "| `r` | 1 |".to_owned()];
    let filled = with_rows(table, "| a | b |\n|---|---|\n", &rows);
    assert_eq!(filled, "x\n| a | b |\n|---|---|\n| `q` | new |\n| `r` | 1 |\n| z | z |\n\ny\n");
    assert!(differs(&File::new("g.md", "a\nb\n"), "a\nc\n").is_some_and(|told| told.starts_with("g.md:")));
    assert!(differs(&File::new("g.md", "a"), "a").is_none());
}
