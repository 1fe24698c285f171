//! Settings as they are read: values by name, and every mistake with a line of its own.

use std::str::FromStr;
use std::time::Duration;

use crate::base::text::{Written, nearest, read, read_own};

/// What the names of settings begin with.
const PREFIX: &str = "PERENNIAL_";

/// What was given, what was asked for, and what was wrong.
pub(crate) struct Reader {
    given: Vec<(String, String)>,
    known: Vec<&'static str>,
    /// Every mistake, and what to do about it.
    pub(crate) errors: Vec<String>,
}

impl Reader {
    pub(crate) fn new(given: Vec<(String, String)>) -> Self {
        Self { given, known: Vec::new(), errors: Vec::new() }
    }

    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        // Templates and compose files set what they do not mean to an empty text.
        let found = self.given.iter().find(|(n, v)| n == name && !v.is_empty())?;
        Some(found.1.clone())
    }

    pub(crate) fn optional<T: Written>(&mut self, name: &'static str) -> Option<T> {
        let text = self.text(name)?;
        read(name, &text).map_err(|error| self.errors.push(error)).ok()
    }

    pub(crate) fn or<T: Written>(&mut self, name: &'static str, default: T) -> T {
        self.optional(name).unwrap_or(default)
    }

    pub(crate) fn above_zero<T: Written + Default + PartialEq>(
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

    pub(crate) fn millis(&mut self, name: &'static str, default: u64) -> Duration {
        Duration::from_millis(self.above_zero(name, default))
    }

    /// All that was wrong, unknown names among it.
    pub(crate) fn end(mut self) -> Result<(), Vec<String>> {
        for (name, _) in &self.given {
            if name.starts_with(PREFIX)
                && !name.starts_with("PERENNIAL_SITE_")
                && !self.known.contains(&&**name)
            {
                let own = |name: &'static str| name.strip_prefix(PREFIX);
                let known = self.known.iter().filter_map(|name| own(name));
                let hint = match nearest(&name[PREFIX.len()..], known, 1)[..] {
                    [closest] => format!("did you mean {PREFIX}{closest}?"),
                    _ => "the guide on settings lists all".to_owned(),
                };
                self.errors.push(format!("{} is no setting; {hint}", name.escape_debug()));
            }
        }
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors) }
    }
}

/// Above so many bytes, or never.
pub(crate) struct Above(pub(crate) Option<u64>);

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
