//! The README speaks of every setting, and of no file that is not there.

use crate::source::{File, Tree};

const SETTINGS: &str = "shared/perennial/src/settings.rs";

pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    let readme = tree.get("README.md").expect("a README.md");
    let settings = tree.get(SETTINGS).expect("settings are read in settings.rs");
    let product = &settings.text[..settings.product_code().len()];
    let rows = setting_names(product).into_iter().map(|name| (name, default_of(product, name)));
    let mut complaints: Vec<String> =
        rows.filter_map(|(name, default)| untold(readme, name, default)).collect();
    complaints.extend(missing_files(readme, |path| {
        let folder = format!("{}/", path.trim_end_matches('/'));
        tree.files.iter().any(|f| f.path == path || f.path.starts_with(&folder))
    }));
    complaints
}

/// Names of environment variables in string literals.
fn setting_names(text: &str) -> Vec<&str> {
    let is_name = |s: &str| {
        (s.starts_with("PERENNIAL_") || s == "BUILD_ID")
            && !s.ends_with('_')
            && s.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    let mut names: Vec<&str> = text.split('"').filter(|s| is_name(s)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The default that the setting's documentation gives: `10000` of "`PERENNIAL_LEASE_MS` (10000): …".
fn default_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("`{name}` ("))?;
    rest.split(')').next()
}

fn untold(readme: &File, name: &str, default: Option<&str>) -> Option<String> {
    let Some(at) = readme.text.find(&format!("| `{name}` |")) else {
        return Some(
            readme.complain(0, &format!("has no row for `{name}` of {SETTINGS}: add it to the table")),
        );
    };
    let row = readme.text[at..].lines().next().unwrap_or_default();
    let default = default.filter(|default| !row.contains(default))?;
    Some(readme.complain(at, &format!("{SETTINGS} gives {default} as the default of `{name}`: say the same")))
}

/// Paths in backquotes that lead nowhere.
fn missing_files(readme: &File, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut at = 0;
    for (n, piece) in readme.text.split('`').enumerate() {
        let in_the_tree =
            ["functions/", "shared/", "infra/", "tests/"].iter().any(|top| piece.starts_with(top));
        let is_path = in_the_tree && !piece.contains([' ', '*', '{', '\n']);
        if n % 2 == 1 && is_path && !exists(piece) {
            complaints.push(
                readme.complain(at, &format!("there is no `{piece}`: name the file that does this now")),
            );
        }
        at += piece.len() + 1;
    }
    complaints
}

#[test]
fn settings_and_paths_are_found() {
    assert_eq!(
        setting_names(r#"f("PERENNIAL_A_MS"); g("BUILD_ID", "build-id", "PERENNIAL_x")"#),
        ["BUILD_ID", "PERENNIAL_A_MS"]
    );
    let documented = "/// `PERENNIAL_A_MS` (10): how long.";
    assert_eq!(default_of(documented, "PERENNIAL_A_MS"), Some("10"));
    let table = File::new("README.md", "| name | default |\n| `PERENNIAL_A_MS` | 20 | how long |\n");
    assert!(untold(&table, "PERENNIAL_A_MS", Some("20")).is_none());
    assert!(untold(&table, "PERENNIAL_A_MS", Some("10")).is_some_and(|c| c.starts_with("README.md:2: ")));
    assert!(untold(&table, "PERENNIAL_B_MS", None).is_some());
    let readme = File::new("README.md", "a\nb `functions/x` `functions/y.rs` `tests/run unit`");
    let complaints = missing_files(&readme, |path| path == "functions/x");
    assert_eq!(complaints.len(), 1);
    assert!(complaints[0].starts_with("README.md:2: there is no `functions/y.rs`"), "{complaints:?}");
}
