//! Settings as they are read: values by name, and every mistake with a line of its own.

use std::str::FromStr;
use std::time::Duration;

use super::AWS_STORES;
use crate::written::{Written, nearest, read, read_own};

/// What the names of settings begin with.
const PREFIX: &str = "PERENNIAL_";

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

    pub(super) fn optional<T: Written>(&mut self, name: &'static str) -> Option<T> {
        let text = self.text(name)?;
        read(name, &text).map_err(|error| self.errors.push(error)).ok()
    }

    pub(super) fn or<T: Written>(&mut self, name: &'static str, default: T) -> T {
        self.optional(name).unwrap_or(default)
    }

    pub(super) fn above_zero<T: Written + Default + PartialEq>(
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
            if name.starts_with(PREFIX)
                && !name.starts_with("PERENNIAL_SITE_")
                && !self.known.contains(&&**name)
            {
                let own = |name: &'static str| name.strip_prefix(PREFIX);
                let known = self.known.iter().filter_map(|name| own(name));
                let hint = match nearest(&name[PREFIX.len()..], known, 1)[..] {
                    [closest] => format!("did you mean {PREFIX}{closest}?"),
                    _ => "the README lists all".to_owned(),
                };
                self.errors.push(format!("{} is no setting; {hint}", name.escape_debug()));
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
        text.parse().map(|bytes| Self(Some(bytes))).map_err(|_| "must be a whole number of bytes, or `off`")
    }
}

impl Written for Above {
    fn read(text: &str) -> Result<Self, String> {
        read_own(text)
    }
}
