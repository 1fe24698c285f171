//! Settings as they are read: values by name, and every mistake with a line of its own.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use super::AWS_STORES;

/// What was given, what was asked for, and what was wrong.
pub(super) struct Reader {
    given: Vec<(String, String)>,
    known: Vec<&'static str>,
    /// Every mistake, and what to do about it.
    pub(super) errors: Vec<String>,
}

impl Reader {
    pub(super) fn new(given: Vec<(String, String)>) -> Self {
        Self { given, known: Vec::new(), errors: Vec::new() }
    }

    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        // Templates and compose files set what they do not mean to an empty text.
        let found = self.given.iter().find(|(n, v)| n == name && !v.is_empty())?;
        Some(found.1.clone())
    }

    pub(super) fn optional<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        let text = self.text(name)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.errors.push(format!("{name} is `{text}`: {error}"));
                None
            }
        }
    }

    pub(super) fn or<T: FromStr<Err: Display>>(&mut self, name: &'static str, default: T) -> T {
        self.optional(name).unwrap_or(default)
    }

    pub(super) fn above_zero<T: FromStr<Err: Display> + Default + PartialEq>(
        &mut self,
        name: &'static str,
        default: T,
    ) -> T {
        let value = self.or(name, default);
        if value == T::default() {
            self.errors.push(format!("{name} is `0`: give 1 or more"));
        }
        value
    }

    /// A setting of the stores on AWS, which are used all together or not at all.
    pub(super) fn with_table(
        &mut self,
        table: &Option<String>,
        name: &'static str,
        given: Option<String>,
    ) -> String {
        if table.is_some() != given.is_some() {
            let names = AWS_STORES.join(", ");
            self.errors.push(format!("{name} and PERENNIAL_TABLE are given together or not at all: {names}"));
        }
        given.unwrap_or_default()
    }

    /// What Lambda sets by itself, needed only beside a table.
    pub(super) fn aws(&mut self, name: &'static str, table: &Option<String>) -> String {
        let given = self.text(name);
        if table.is_some() && given.is_none() {
            self.errors.push(format!("{name} is not set, and PERENNIAL_TABLE is: set it as the AWS CLI has it (`aws configure export-credentials --format env`)"));
        }
        given.unwrap_or_default()
    }

    pub(super) fn millis(&mut self, name: &'static str, default: u64) -> Duration {
        Duration::from_millis(self.above_zero(name, default))
    }

    /// All that was wrong, unknown names among it.
    pub(super) fn end(mut self) -> Result<(), Vec<String>> {
        for (name, _) in &self.given {
            if name.starts_with("PERENNIAL_")
                && !name.starts_with("PERENNIAL_SITE_")
                && !self.known.contains(&&**name)
            {
                let closest =
                    self.known.iter().min_by_key(|known| distance(known, name)).expect("some are known");
                self.errors.push(format!("{name} is no setting; did you mean {closest}?"));
            }
        }
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors) }
    }
}

/// Above so many bytes, or never.
pub(super) struct Above(pub(super) Option<u64>);

impl FromStr for Above {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self(None));
        }
        text.parse().map(|bytes| Self(Some(bytes))).map_err(|_| "give a number of bytes, or `off`")
    }
}

/// Levenshtein distance, for a suggestion in an error message.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
