//! The guide on settings and the code name the same settings, with the same defaults and units.

use crate::source::{File, Tree};

const GUIDE: &str = "shared/site/content/guides/settings.md";

/// Documents that may name a setting that is no longer there.
const HISTORY: &str = "CHANGELOG.md";

pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    let guide = tree.get(GUIDE).expect("a guide on settings");
    let product: Vec<_> = tree.rust().filter(|file| is_product(&file.path)).collect();
    let is_document = |path: &str| path.ends_with(".md") || path.starts_with("infra/");
    let documents = tree.files.iter().filter(|file| is_document(&file.path) && file.path != HISTORY);
    let unknown = documents.flat_map(|document| unknown(document, &product));
    [of_rows(guide, &product), unknown.collect()].concat()
}

fn is_product(path: &str) -> bool {
    (path.starts_with("shared/") || path.starts_with("functions/"))
        && path.contains("/src/")
        && !path.ends_with("/tests.rs")
        && !path.contains("/tests/")
}

/// A file without the tests at its end.
fn text(file: &File) -> &str {
    &file.text[..file.product_code().len()]
}

/// Whether a text is the name of a variable that Perennial, AWS or a site reads.
fn is_name(text: &str) -> bool {
    let is_ours =
        text.starts_with("PERENNIAL_") || text.starts_with("AWS_") || ["BUILD_ID", "PORT"].contains(&text);
    is_ours
        && !text.ends_with('_')
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// Names in string literals, once each, with the file and the place of the first one.
fn names<'a>(product: &[&'a File]) -> Vec<(&'a str, &'a File, usize)> {
    let mut names: Vec<(&str, &File, usize)> = Vec::new();
    for file in product {
        let mut at = 0;
        for piece in text(file).split('"') {
            if is_name(piece) && !names.iter().any(|(name, ..)| *name == piece) {
                names.push((piece, file, at));
            }
            at += piece.len() + 1;
        }
    }
    names
}

/// Each setting of the library and the functions has one row, which agrees with the code.
fn of_rows(guide: &File, product: &[&File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, file, at) in names(product) {
        // Names of AWS share a row. A site's own settings are the site's to tell.
        if name.starts_with("AWS_") || name.starts_with("PERENNIAL_SITE_") {
            continue;
        }
        let rows: Vec<_> = guide.text.match_indices(&format!("| `{name}` |")).map(|(at, _)| at).collect();
        let [row] = rows[..] else {
            let what = format!("`{name}` has {} rows in {GUIDE}: give it one", rows.len());
            complaints.push(file.complain(at, &what));
            continue;
        };
        let line = guide.text[row..].lines().next().unwrap_or_default();
        let mut cells = line.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`'));
        let (default, unit) = (cells.nth(1).unwrap_or_default(), cells.next().unwrap_or_default());
        let given = [documented_default(product, name), read_default(product, name)];
        let mut given: Vec<_> = given.into_iter().flatten().collect();
        given.dedup();
        if given.is_empty() {
            let what = format!("`{name}` has no default that can be compared: document it as `{name}` (…)");
            complaints.push(file.complain(at, &what));
        }
        for given in given.iter().filter(|given| *given != default) {
            let what =
                format!("the default of `{name}` is {given} in the code, and {default} here: say the same");
            complaints.push(guide.complain(row, &what));
        }
        if let Some(of_name) = unit_of(name).filter(|of_name| *of_name != unit) {
            let what =
                format!("the unit of `{name}` is {of_name} by its name, and {unit} here: say the same");
            complaints.push(guide.complain(row, &what));
        }
    }
    complaints
}

/// The unit that a name ends with.
fn unit_of(name: &str) -> Option<&'static str> {
    let units = [("_MS", "ms"), ("_BYTES", "bytes"), ("_SECONDS", "seconds"), ("_DAYS", "days")];
    units.into_iter().find(|(end, _)| name.ends_with(end)).map(|(_, unit)| unit)
}

/// The default that the setting's documentation gives: `10000` of "`PERENNIAL_LEASE_MS` (10000): …".
fn documented_default(product: &[&File], name: &str) -> Option<String> {
    let start = format!("`{name}` (");
    let (_, rest) = product.iter().find_map(|file| text(file).split_once(&start))?;
    Some(rest.split(')').next()?.trim_matches('`').to_owned())
}

/// The number that the code falls back on: `16384` of `read("PERENNIAL_MAX_HEADER_BYTES", 16 << 10)`.
fn read_default(product: &[&File], name: &str) -> Option<String> {
    let start = format!("\"{name}\",");
    let numbers = product.iter().flat_map(|file| {
        text(file)
            .split(&*start)
            .skip(1)
            .filter_map(|rest| number(rest.split(')').next().unwrap_or_default()))
    });
    numbers.map(|number| number.to_string()).next()
}

/// `30_000` or `16 << 10`.
fn number(expression: &str) -> Option<u64> {
    let literal = |text: &str| text.trim().replace('_', "").parse::<u64>().ok();
    match expression.split_once("<<") {
        Some((number, bits)) => literal(number)?.checked_shl(literal(bits)?.try_into().ok()?),
        None => literal(expression),
    }
}

/// Names in a document, between backquotes or in an example, that no product code has.
fn unknown(document: &File, product: &[&File]) -> Vec<String> {
    let known: Vec<_> = names(product).into_iter().map(|(name, ..)| name).collect();
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut complaints = Vec::new();
    let mut at = 0;
    for word in document.text.split_inclusive(|c| !is_part(c)) {
        let name = word.trim_end_matches(|c| !is_part(c));
        // Elsewhere `AWS_IAM` and the like are values, not settings.
        let is_setting = is_name(name) && (!name.starts_with("AWS_") || document.path == GUIDE);
        if is_setting && !known.contains(&name) {
            let what = format!("no code reads `{name}`: name the setting that there is now");
            complaints.push(document.complain(at, &what));
        }
        at += word.len();
    }
    complaints
}

#[test]
fn a_missing_row_another_default_and_an_unknown_name_are_seen() {
    let code = r#"
/// `PERENNIAL_A_MS` (10000): how long.
/// `PERENNIAL_B_BYTES` (16384): how much.
fn f() { r.millis("PERENNIAL_A_MS", 10_000); r.or("PERENNIAL_B_BYTES", 16 << 10); r.text("PERENNIAL_"); }
#[cfg(test)]
mod tests { const X: &str = "PERENNIAL_IN_A_TEST"; }
"#;
    let file = File::new("shared/core/src/settings.rs", code);
    let rows = |a: &str, b: &str| File::new(GUIDE, format!("| setting |\n{a}\n{b}\n"));
    let broken = |guide: &File| [of_rows(guide, &[&file]), unknown(guide, &[&file])].concat();
    let (a, b) = ("| `PERENNIAL_A_MS` | 10000 | ms | x |", "| `PERENNIAL_B_BYTES` | 16384 | bytes | x |");
    assert_eq!(broken(&rows(a, b)), [""; 0]);
    for (mistake, told) in [
        (rows(a, ""), "`PERENNIAL_B_BYTES` has 0 rows"),
        (rows(a, &format!("{b}\n{b}")), "`PERENNIAL_B_BYTES` has 2 rows"),
        (rows(a, &b.replace("16384", "8192")), "the default of `PERENNIAL_B_BYTES` is 16384 in the code"),
        (rows(&a.replace("ms", "seconds"), b), "the unit of `PERENNIAL_A_MS` is ms by its name"),
        (rows(a, &format!("{b}\nPERENNIAL_C_MS=1")), "no code reads `PERENNIAL_C_MS`"),
    ] {
        let complaints = broken(&mistake);
        assert!(complaints.iter().any(|complaint| complaint.contains(told)), "{told}: {complaints:?}");
    }
    // What the documentation says and what the code does are both compared.
    for (from, to) in [("(16384)", "(8192)"), ("16 << 10", "8 << 10")] {
        let file = File::new(file.path.clone(), code.replace(from, to));
        let complaints = of_rows(&rows(a, b), &[&file]);
        assert!(complaints.len() == 1 && complaints[0].starts_with(GUIDE), "{complaints:?}");
    }
}
